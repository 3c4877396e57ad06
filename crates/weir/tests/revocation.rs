//! Taking a subject off: its streams end on every instance, and its tokens are refused for as long as asked.
// sizes: one way around a revocation after the other, all from the same few helpers

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weir_testkit::http2::{Http2, fields, request};
use weir_testkit::redis::RedisServer;
use weir_testkit::token::{claims, now_secs};
use weir_testkit::{
    DEADLINE, End, Instance, Proxy, RawConn, Response, Secret, SseStream, Ticker, eventually, expect, stall,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The revocations beside the stream.
const KEPT: &str = "{weir:events}:revoked";

async fn disconnect(weir: &Instance, query: &str) -> anyhow::Result<Response> {
    weir.admin_client().post(&format!("/disconnect?{query}")).header("weir-admin", "1").send().await
}

async fn subscribe(weir: &Instance, token: &str) -> anyhow::Result<SseStream> {
    let mut stream = weir.client().events("s").bearer(token).subscribe().await?;
    ensure!(stream.next_event().await?.event == "weir.connected");
    Ok(stream)
}

/// The stream ends as one of somebody who was taken off.
async fn ensure_taken_off(stream: &mut SseStream) -> anyhow::Result<()> {
    let (events, end) = stream.read_to_end().await?;
    let last = events.last().context("no last word")?;
    ensure!(end == End::Clean && events.len() == 1, "{end:?} after {events:?}");
    ensure!((&*last.event, &*last.data) == ("weir.expired", "{\"reason\":\"revoked\"}"), "{last:?}");
    Ok(())
}

/// Nothing can be done with the token.
async fn ensure_refused(weir: &Instance, token: &str) -> anyhow::Result<()> {
    let client = weir.client();
    for call in [
        client.events("s"),
        client.events("s").query("wait", "0"),
        client.event("s").body("x"),
        client.get("/v1/sessions/s/snapshot"),
    ] {
        expect::problem(&call.bearer(token).send().await?, 401, "token_revoked")?;
    }
    Ok(())
}

/// A token that says to be issued so many seconds after now.
fn issued_in(secret: &Secret, subject: &str, secs: u64) -> String {
    let mut claims = claims(subject, &["*"], &["*"]);
    claims["iat"] = json!(now_secs() + secs);
    secret.sign(&claims)
}

/// A token that no clock could have made before whatever was done so far: it says a minute from now, which is as far ahead as
/// is believed, and in a later second, because tokens tell whole ones.
async fn newer(secret: &Secret, subject: &str) -> anyhow::Result<String> {
    let done = now_secs();
    eventually(DEADLINE, async || {
        ensure!(now_secs() > done, "the same second");
        Ok(())
    })
    .await?;
    Ok(issued_in(secret, subject, 60))
}

fn count(of: &str) -> (&'static str, [(&'static str, &str); 1]) {
    ("weir_disconnections_total", [("reason", of)])
}

async fn revoked(weir: &Instance) -> anyhow::Result<Option<f64>> {
    let (name, labels) = count("revoked");
    Ok(weir.metrics().await?.value(name, &labels))
}

#[tokio::test]
async fn on_every_instance_and_of_one_subject_alone() -> anyhow::Result<()> {
    let (redis, secret) = (RedisServer::start().await, Secret::new());
    let url = redis.url();
    let flags = ["--redis", &url, "--jwt-secret-file", secret.flag()];
    let (one, two) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
    let (ann, bob) = (secret.token("Änn & co", &["*"], &["*"]), secret.token("bob", &["*"], &["*"]));
    let mut anns = [subscribe(&one, &ann).await?, subscribe(&two, &ann).await?];
    let mut bobs = [subscribe(&one, &bob).await?, subscribe(&two, &bob).await?];
    let mut poll = JoinSet::new();
    poll.spawn(two.client().events("s").query("wait", "60").bearer(&ann).send());
    expect::clients(&two, 3).await?;

    let before = now_secs();
    let answer = disconnect(&one, "subject=%C3%84nn+%26%20co&revoke=60").await?;
    let said = answer.json()?;
    assert_eq!((answer.status(), &said["subject"], &said["ended"]), (200, &json!("Änn & co"), &json!(1)));
    let until = said["revokedUntil"].as_u64().context("a time")? / 1000;
    assert!((before + 60..=now_secs() + 60).contains(&until), "{said}");
    for stream in &mut anns {
        ensure_taken_off(stream).await?;
    }
    let answer = poll.join_next().await.context("an answer")???;
    assert_eq!((answer.status(), &answer.json()?["events"]), (200, &json!([])));
    eventually(DEADLINE, async || {
        ensure!((revoked(&one).await?, revoked(&two).await?) == (Some(1.0), Some(2.0)), "not yet");
        Ok(())
    })
    .await?;
    for weir in [&one, &two] {
        ensure_refused(weir, &ann).await?;
        assert_eq!(weir.metrics().await?.value("weir_revocations", &[]), Some(1.0));
    }
    // Whoever has a newer token is somebody else, and so is everybody else.
    let again = newer(&secret, "Änn & co").await?;
    let mut back = [subscribe(&one, &again).await?, subscribe(&two, &again).await?];
    one.client().event("s").bearer(&again).body("after").send().await?.event_id()?;
    for stream in back.iter_mut().chain(&mut bobs) {
        assert_eq!(stream.next_data(1).await?, ["after"]);
    }
    // The log has no other trace of it than for instances.
    let rejected = one.metrics().await?.sum("weir_entries_malformed_total", &[]);
    assert_eq!(rejected, 0.0);
    Ok(())
}

/// The head comes while the token is good, and the body when it is revoked, or expired.
#[tokio::test]
async fn a_publish_does_not_outlive_what_allowed_it() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let mut short = claims("bob", &["*"], &["*"]);
    short["exp"] = json!(now_secs() + 2);
    let begin = async |token: &str, path: &str| {
        let mut conn = RawConn::open(weir.public()).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: \
             application/json\r\nexpect: 100-continue\r\ncontent-length: 28\r\n\r\n"
        );
        conn.write(head.as_bytes()).await?;
        // Whoever is asked for the body was let in.
        ensure!(conn.read_head(DEADLINE).await?.status == 100);
        anyhow::Ok(conn)
    };
    let (ann, bob) = (secret.token("ann", &["*"], &["*"]), secret.sign(&short));
    let mut cases = Vec::new();
    for path in ["/v1/sessions/s/events", "/v1/events"] {
        cases.push((begin(&ann, path).await?, "token_revoked"));
        cases.push((begin(&bob, path).await?, "token_expired"));
    }
    assert_eq!(disconnect(&weir, "subject=ann&revoke=60").await?.status(), 200);
    eventually(DEADLINE, async || {
        let answer = weir.client().event("s").bearer(&bob).body("x").send().await?;
        expect::problem(&answer, 401, "token_expired")
    })
    .await?;
    for (conn, code) in &mut cases {
        conn.write(br#"[{"session":"s","data":"x"}]"#).await?;
        let head = conn.read_head(DEADLINE).await?;
        assert_eq!(head.status, 401, "{code}");
        conn.finish_writing().await?;
        let (body, _) = conn.read_until_close(DEADLINE).await?;
        assert_eq!(serde_json::from_slice::<Value>(&body)?["code"], *code);
    }
    Ok(())
}

/// A token whose issuer's clock is ahead says to be of later than it is.
#[tokio::test]
async fn a_clock_that_is_ahead_saves_no_token() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let ahead = [25, 60].map(|secs| issued_in(&secret, "ann", secs));
    for token in &ahead {
        subscribe(&weir, token).await?;
    }
    // Without a shared log it is forgotten with the instance, and said so.
    let said = disconnect(&weir, "subject=ann&revoke=300").await?.json()?;
    assert_eq!(said["survivesRestart"], false, "{said}");
    for token in &ahead {
        ensure_refused(&weir, token).await?;
    }
    subscribe(&weir, &newer(&secret, "ann").await?).await?;
    Ok(())
}

/// The stream forgets, instances end, and one that comes later knows all the same.
#[tokio::test]
async fn neither_the_cap_nor_a_restart_forgets_it() -> anyhow::Result<()> {
    let (redis, secret) = (RedisServer::start().await, Secret::new());
    let url = redis.url();
    let flags = ["--redis", &url, "--jwt-secret-file", secret.flag(), "--maxlen", "10"];
    let token = secret.token("ann", &["*"], &["*"]);
    let weir = Instance::start(WEIR, &flags).await?;
    let said = disconnect(&weir, "subject=ann&revoke=300").await?.json()?;
    assert_eq!(said["survivesRestart"], true, "{said}");
    drop(weir);
    redis.cli(&["XTRIM", "weir:events", "MAXLEN", "0"]).await;
    let weir = Instance::start(WEIR, &flags).await?;
    ensure_refused(&weir, &token).await?;
    subscribe(&weir, &newer(&secret, "ann").await?).await?;
    // Nor is it kept for ever.
    let left: u64 = redis.cli(&["PTTL", KEPT]).await.parse()?;
    assert!((200_000..=300_000).contains(&left), "{left} ms");
    Ok(())
}

/// A client that is held until the window is loaded gets nothing of it, and nothing else is done with its token before.
#[tokio::test]
async fn who_comes_before_the_list_is_known_is_taken_off_with_it() -> anyhow::Result<()> {
    let (mut redis, secret) = (RedisServer::start().await, Secret::new());
    let url = redis.url();
    let flags = ["--redis", &url, "--jwt-secret-file", secret.flag()];
    let token = secret.token("ann", &["*"], &["*"]);
    let weir = Instance::start(WEIR, &flags).await?;
    assert_eq!(disconnect(&weir, "subject=ann&revoke=300").await?.status(), 200);
    weir.client().event("s").bearer(&newer(&secret, "ann").await?).body("secret").send().await?.event_id()?;
    redis.cli(&["CONFIG", "SET", "save", "1 1"]).await;
    redis.cli(&["SAVE"]).await;
    drop(weir);
    redis.stop();
    let weir = Instance::builder(WEIR).flags(&flags).unready().start().await?;
    let client = weir.client();
    let mut held = client.events("s").query("lastEventId", "0").bearer(&token).subscribe().await?;
    for call in [client.event("s").body("x"), client.get("/v1/sessions/s/snapshot")] {
        expect::problem(&call.bearer(&token).send().await?, 503, "starting")?;
    }
    let metrics = weir.metrics().await?;
    let refused = |reason| metrics.value("weir_requests_rejected_total", &[("reason", reason)]);
    assert_eq!((refused("unavailable"), refused("auth")), (Some(1.0), Some(0.0)));
    redis.restart().await;
    let (events, end) = held.read_to_end().await?;
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!((names.as_slice(), end), (&["weir.expired"][..], End::Clean));
    ensure_refused(&weir, &token).await
}

/// An instance that could not read the entry before it was trimmed is told when it is back.
#[tokio::test]
async fn an_instance_that_was_cut_off_learns_of_it() -> anyhow::Result<()> {
    let (redis, secret) = (RedisServer::start().await, Secret::new());
    let network = Proxy::start(([127, 0, 0, 1], redis.port()).into()).await?;
    let (near, far) = (redis.url(), format!("redis://{}", network.addr()));
    let flags = |url| ["--redis", url, "--jwt-secret-file", secret.flag(), "--read-block", "500ms"];
    let (near, far) = (flags(&near), flags(&far));
    let (one, two) = tokio::try_join!(Instance::start(WEIR, &near), Instance::start(WEIR, &far))?;
    let (ann, bob) = (secret.token("ann", &["*"], &["*"]), secret.token("bob", &["*"], &["*"]));
    let (mut anns, mut bobs) = (subscribe(&two, &ann).await?, subscribe(&two, &bob).await?);
    network.black_hole();
    assert_eq!(disconnect(&one, "subject=ann&revoke=300").await?.json()?["ended"], 0);
    redis.cli(&["XTRIM", "weir:events", "MAXLEN", "0"]).await;
    network.heal();
    network.close_all(weir_testkit::chaos::Close::Reset);
    let (events, end) = anns.read_to_end().await?;
    let last = events.last().context("no last word")?;
    assert!(end == End::Clean && last.event == "weir.expired", "{end:?} after {events:?}");
    ensure_refused(&two, &ann).await?;
    one.client().event("s").bearer(&bob).body("after").send().await?.event_id()?;
    eventually(DEADLINE, async || {
        let event = bobs.next_event().await?;
        ensure!(event.data == "after", "{event:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn while_the_log_is_away_it_is_done_here_and_said() -> anyhow::Result<()> {
    let (mut redis, secret) = (RedisServer::start().await, Secret::new());
    let url = redis.url();
    let flags = ["--redis", &url, "--jwt-secret-file", secret.flag()];
    let weir = Instance::start(WEIR, &flags).await?;
    let token = secret.token("ann", &["*"], &["*"]);
    let mut stream = subscribe(&weir, &token).await?;
    redis.stop();
    let answer = eventually(DEADLINE, async || {
        let answer = disconnect(&weir, "subject=ann&revoke=60").await?;
        expect::problem(&answer, 503, "log_unavailable")?;
        Ok(answer)
    })
    .await?;
    assert!(answer.head.header("retry-after").is_some());
    let detail = answer.json()?["detail"].as_str().context("a detail")?.to_owned();
    assert!(detail.contains("this instance alone") && detail.contains("call again"), "{detail}");
    let (events, end) = stream.read_to_end().await?;
    assert!(
        end == End::Clean && events.last().is_some_and(|last| last.event == "weir.expired"),
        "{events:?}"
    );
    expect::problem(&weir.client().events("s").bearer(&token).send().await?, 401, "token_revoked")?;
    redis.restart().await;
    eventually(DEADLINE, async || {
        ensure!(disconnect(&weir, "subject=ann&revoke=60").await?.status() == 200, "not yet");
        Ok(())
    })
    .await?;
    assert!(redis.cli(&["GET", KEPT]).await.ends_with(" ann"));
    Ok(())
}

#[tokio::test]
async fn without_a_time_only_streams_end() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let token = secret.token("ann", &["*"], &["*"]);
    let mut stream = subscribe(&weir, &token).await?;
    let listed = weir.admin_client().get("/clients").header("weir-admin", "1").send().await?.json()?;
    assert_eq!(listed["clients"][0]["subject"], "ann");
    let said = disconnect(&weir, "subject=ann").await?.json()?;
    assert_eq!(said, json!({"subject": "ann", "ended": 1, "revokedUntil": null, "survivesRestart": null}));
    ensure_taken_off(&mut stream).await?;
    // What was done before the answer is not done again to who comes after it.
    let mut back = subscribe(&weir, &token).await?;
    weir.client().event("s").bearer(&token).body("back").send().await?.event_id()?;
    assert_eq!(back.next_data(1).await?, ["back"]);
    // A token without a time of issue counts as from before.
    let mut claims = claims("bob", &["*"], &["*"]);
    claims.as_object_mut().context("claims")?.remove("iat");
    let timeless = secret.sign(&claims);
    assert_eq!(disconnect(&weir, "subject=bob&revoke=60").await?.json()?["ended"], 0);
    ensure_refused(&weir, &timeless).await
}

/// What is queued for whoever was taken off is not given to them, and who does not read is gone all the same.
#[tokio::test]
async fn nothing_more_is_given_to_who_was_taken_off() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let token = secret.token("ann", &["*"], &["*"]);
    let ticker = Ticker::new();
    let client = weir.client();
    let subscribe = client.events("s").bearer(&token);
    let mut stalled = stall(&weir, subscribe, client.post("/v1/events").bearer(&token)).await?;
    assert_eq!(disconnect(&weir, "subject=ann").await?.json()?["ended"], 1);
    let ended = Instant::now();
    expect::clients(&weir, 0).await?;
    let (took, lost) = (ended.elapsed(), ticker.lost_since(ended));
    assert!(took < Duration::from_secs(1) + lost, "{took:?}, of which {lost:?} were not its own");
    let metrics = weir.metrics().await?;
    assert_eq!(revoked(&weir).await?, Some(1.0));
    let left = metrics.value("weir_events_discarded_total", &[("reason", "expired")]);
    assert!(left > Some(0.0), "{left:?}");
    expect::balance(&weir).await?;
    let (events, end) = stalled.read_to_end().await?;
    assert!(end == End::Cut && events.len() < 400, "{} events, {end:?}", events.len());
    Ok(())
}

/// On HTTP/2 who does not read is cut with its connection, and whoever else is on that did not leave.
#[tokio::test]
async fn who_is_dragged_along_is_counted_as_such() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    // Nothing is taken beyond the heads of the answers.
    let mut conn = Http2::open(weir.public(), &[(4, 0)]).await?;
    for (stream, subject) in [(1, "bob"), (3, "ann"), (5, "cid")] {
        let bearer = format!("Bearer {}", secret.token(subject, &["*"], &[]));
        let fields = fields("GET", "/v1/sessions/s/events", &[("authorization", &bearer)]);
        conn.send(&request(stream, &fields, true)).await?;
    }
    expect::clients(&weir, 3).await?;
    assert_eq!(disconnect(&weir, "subject=ann").await?.json()?["ended"], 1);
    conn.ended(DEADLINE).await?;
    expect::clients(&weir, 0).await?;
    let metrics = weir.metrics().await?;
    let ended = |reason| metrics.value("weir_disconnections_total", &[("reason", reason)]);
    assert_eq!(["revoked", "error", "client"].map(ended), [Some(1.0), Some(2.0), Some(0.0)]);
    Ok(())
}

/// Whoever may write the stream may do the same by hand, and no more: what makes no sense is nobody's.
#[tokio::test]
async fn entries_of_others_do_no_more_than_they_say() -> anyhow::Result<()> {
    let (redis, secret) = (RedisServer::start().await, Secret::new());
    let weir = Instance::start(WEIR, &["--redis", &redis.url(), "--jwt-secret-file", secret.flag()]).await?;
    let (ann, bob) = (secret.token("ann", &["*"], &["*"]), secret.token("bob", &["*"], &["*"]));
    let (mut anns, mut bobs) = (subscribe(&weir, &ann).await?, subscribe(&weir, &bob).await?);
    let add = async |fields: &[&str]| redis.cli(&[&["XADD", "weir:events", "*"], fields].concat()).await;
    let long = "x".repeat(300);
    for fields in [
        &["weir", "revoke"][..],
        &["weir", "revoke", "subject", "ann"],
        &["weir", "revoke", "subject", "", "at", "1"],
        &["weir", "revoke", "subject", &long, "at", "1"],
        &["weir", "revoke", "subject", "ann", "at", "soon"],
        &["weir", "revoke", "subject", "ann", "at", "1", "until", "-1"],
        &["weir", "of tomorrow", "subject", "ann", "at", "1"],
        &["weir", "revoke", "session", "s", "data", "forged"],
        &["session", "s", "data", "forged", "type", "weir.expired"],
    ] {
        add(fields).await;
    }
    let forever = (u64::MAX).to_string();
    add(&["weir", "revoke", "subject", "ann", "at", "1", "until", &forever, "session", "s", "data", "x"])
        .await;
    add(&["session", "s", "data", "last"]).await;
    // The one entry that makes sense ends the stream; a token of after its time is good.
    ensure_taken_off(&mut anns).await?;
    assert_eq!(bobs.next_data(1).await?, ["last"]);
    subscribe(&weir, &ann).await?;
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.sum("weir_entries_malformed_total", &[]), 1.0, "the forged control event");
    assert_eq!(metrics.value("weir_entries_read_total", &[]), Some(11.0));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let long = format!("subject={}", "x".repeat(257));
    for bad in
        ["", "subject=", &long, "subject=a%0Ab", "subject=%zz", "subject=a&revoke=0", "subject=a&revoke=x"]
            .into_iter()
            .chain(["subject=a&revoke=-1", "subject=a&revoke=31622401", "revoke=5"])
    {
        expect::problem(&disconnect(&weir, bad).await?, 400, "invalid_parameter")?;
    }
    let get = weir.admin_client().get("/disconnect?subject=a").header("weir-admin", "1").send().await?;
    expect::problem(&get, 405, "method_not_allowed")?;
    assert_eq!(get.head.header("allow"), Some("POST"));
    let page = weir.admin_client().post("/disconnect?subject=a").send().await?;
    expect::problem(&page, 403, "admin_header_missing")?;
    let nobody: Value = disconnect(&weir, "subject=nobody&revoke=60").await?.json()?;
    assert_eq!(nobody["ended"], 0);
    Ok(())
}
