//! The stream: who may have it, what it says, how it ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::body::End;
use weir_testkit::raw::RawConn;
use weir_testkit::{DEADLINE, Instance, Signal, eventually, expect};

use crate::watch::{WEIR, news, until, watch, watch_as};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn it_says_how_the_instance_is_as_that_changes() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--instance", "one", "--max-connections", "77"]).await?;
    let mut console = watch(&weir).await?;
    for (name, value) in [("content-type", "text/event-stream"), ("cache-control", "no-store")] {
        assert_eq!(console.head.header(name), Some(value));
    }
    let first = news(&mut console).await?;
    let own = &first["own"];
    assert_eq!(
        (&own["instance"], &own["log"], &own["stage"]),
        (&json!("one"), &json!("memory"), &json!("serving"))
    );
    assert_eq!(
        (&own["ready"], &own["status"], &own["clients"]["max"]),
        (&json!(true), &json!("ready"), &json!(77))
    );
    assert_eq!((&own["counts"]["dropped"]["overflow"], &own["busiest"]), (&json!(0), &json!([])));
    assert_eq!(first["peers"], Value::Null, "it has a log of its own");

    let mut client =
        weir.client().get("/v1/events?session=a&session=b&session=c&session=d").subscribe().await?;
    for data in ["1", "2", "3"] {
        weir.client().publish("a", data).await?;
    }
    client.next_data(3).await?;
    let later = until(&mut console, |news| news["own"]["counts"]["delivered"] == 3).await?;
    let own = &later["own"];
    assert_eq!((&own["counts"]["read"], &own["counts"]["publishes"]["ok"]), (&json!(3), &json!(3)));
    assert_eq!((&own["clients"]["sse"], &own["clients"]["sessions"]), (&json!(1), &json!(4)));
    let busiest = &own["busiest"][0];
    assert_eq!((&busiest["delivered"], &busiest["moreSessions"]), (&json!(3), &json!(1)));
    assert_eq!(busiest["sessions"].as_array().map(Vec::len), Some(3));
    assert_eq!(own["slowest"], json!([]), "nobody is behind");
    // What is new comes at least every other second, which is how a page knows that its connection stands.
    let before = Instant::now();
    news(&mut console).await?;
    news(&mut console).await?;
    ensure!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    Ok(())
}

#[tokio::test]
async fn only_operators_have_it() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let admin = weir.admin_client();
    let path = "/console/events";
    expect::problem(&admin.get(path).send().await?, 403, "admin_header_missing")?;
    for (name, value) in [("host", "evil.example"), ("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=a")] {
        let request = admin.get(path).header("weir-admin", "1").header(name, value);
        expect::problem(&request.send().await?, 403, "admin_not_local")?;
    }
    // A page of another origin may not even ask whether it may.
    let preflight = admin.request("OPTIONS", path).header("origin", "https://evil.example");
    let asked = preflight.header("access-control-request-headers", "weir-admin").send().await?;
    assert!(asked.status() >= 400 && asked.head.header("access-control-allow-origin").is_none(), "{asked:?}");
    expect::problem(&admin.post(path).header("weir-admin", "1").send().await?, 405, "method_not_allowed")?;
    let head = admin.request("HEAD", path).header("weir-admin", "1").send().await?;
    assert_eq!((head.status(), head.body.len()), (200, 0));
    expect::problem(&weir.client().get(path).header("weir-admin", "1").send().await?, 404, "unknown_path")?;
    let public = weir.client().get("/").send().await?;
    ensure!(!public.text()?.contains("console/events"), "it is the console");
    Ok(())
}

/// The page is open to whoever reaches the listener, because it says nothing of the instance.
#[tokio::test]
async fn the_page_holds_nothing_and_allows_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN)?;
    let flags = ["--instance", "secret-name", "--admin-token-file", file.to_str().context("a path")?];
    let weir = Instance::start(WEIR, &flags).await?;
    let page = weir.admin_client().get("/").header("host", "weir.example").send().await?;
    assert_eq!(page.status(), 200);
    let text = page.text()?;
    ensure!(!text.contains("secret-name") && !text.contains(env!("CARGO_PKG_VERSION")), "it tells");
    expect::strict_policy(&page)?;
    let tag = page.head.header("etag").context("a tag")?.to_owned();
    let again = weir.admin_client().get("/").header("if-none-match", tag).send().await?;
    assert_eq!((again.status(), again.body.len()), (304, 0));
    assert_eq!(weir.metrics().await?.value("weir_admin_denied_total", &[]), Some(0.0));
    Ok(())
}

/// A token that leaked is of no more use to whoever already looks.
#[tokio::test]
async fn whoever_shows_a_token_of_before_looks_no_more() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN)?;
    let weir = Instance::start(WEIR, &["--admin-token-file", file.to_str().context("a path")?]).await?;
    let admin = weir.admin_client();
    expect::problem(
        &admin.get("/console/events").header("weir-admin", "1").send().await?,
        401,
        "admin_token_missing",
    )?;
    let bearer = format!("Bearer {TOKEN}");
    let mut console = watch_as(&admin, ("authorization", &bearer)).await?;
    news(&mut console).await?;
    std::fs::write(&file, TOKEN.to_uppercase())?;
    weir.signal(Signal::HUP)?;
    let (_, end) = tokio::time::timeout(DEADLINE, console.read_to_end()).await.context("it looks on")??;
    assert_eq!(end, End::Clean);
    expect::problem(
        &admin.get("/console/events").header("authorization", bearer).send().await?,
        401,
        "admin_token_invalid",
    )
}

#[tokio::test]
async fn so_many_look_and_no_more() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(watch(&weir).await?);
    }
    let request = || weir.admin_client().get("/console/events").header("weir-admin", "1");
    let refused = request().send().await?;
    expect::problem(&refused, 503, "too_many_viewers")?;
    assert!(refused.head.header("retry-after").is_some());
    news(all.last_mut().context("viewers")?).await?;
    drop(all.pop());
    eventually(DEADLINE, async || {
        let mut console = watch(&weir).await?;
        news(&mut console).await
    })
    .await?;
    Ok(())
}

/// Whoever does not read keeps a place and what had been sent by then, and both only for a while.
#[tokio::test]
async fn whoever_does_not_read_is_cut_and_holds_nobody_up() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "1s"]).await?;
    let mut console = watch(&weir).await?;
    let mut asleep = Vec::new();
    for _ in 0..8 {
        let mut viewer = RawConn::open_narrow(weir.admin(), 4096).await?;
        viewer.write(b"GET /console/events HTTP/1.1\r\nhost: localhost\r\nweir-admin: 1\r\n\r\n").await?;
        assert_eq!(viewer.read_head(DEADLINE).await?.status, 200);
        asleep.push(viewer);
    }
    // Whoever comes has news sent to all who look, by which those who sleep come to have unread what no buffer takes.
    eventually(DEADLINE * 2, async || {
        news(&mut watch(&weir).await?).await?;
        let mut all = Vec::new();
        for _ in 0..15 {
            all.push(watch(&weir).await?);
        }
        Ok(())
    })
    .await?;
    news(&mut console).await?;
    drop(asleep);
    Ok(())
}

/// The end is seen to the end, and holds nothing up.
#[tokio::test]
async fn it_ends_with_the_process_and_not_with_a_drain() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "3s", "--drain-window", "0s", "--shutdown-timeout", "60s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client().subscribe("s").await?;
    let mut console = watch(&weir).await?;
    news(&mut console).await?;
    let admin = weir.admin_client();
    let order = async |path: &str| admin.post(path).header("weir-admin", "1").send().await;
    order("/drain").await?;
    let drained = until(&mut console, |news| news["own"]["stage"] == "draining").await?;
    assert_eq!((&drained["own"]["ready"], &drained["own"]["status"]), (&json!(false), &json!("draining")));
    order("/undrain").await?;
    until(&mut console, |news| news["own"]["stage"] == "serving").await?;
    weir.signal(Signal::TERM)?;
    // Far less than the process may take to end.
    let ended = tokio::time::timeout(DEADLINE * 2, console.read_to_end()).await;
    let (said, end) = ended.context("it holds the process up")??;
    assert_eq!(end, End::Clean);
    ensure!(said.iter().any(|event| event.data.contains("\"stage\":\"ending\"")), "the end is not shown");
    weir.wait_exit(DEADLINE).await?;
    drop(client);
    Ok(())
}
