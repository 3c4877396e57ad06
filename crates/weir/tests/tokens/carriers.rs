//! A token in the header, in the cookie, in the query.

use weir_testkit::{Instance, Secret, expect};

use crate::WEIR;

#[tokio::test]
async fn any_of_them_subscribes_and_the_header_publishes() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let (client, token) = (weir.client(), secret.token("7", &["s"], &["s"]));
    let cookie = format!("a=b; weir_token={token}; c=d");
    for request in [
        client.events("s").bearer(&token),
        client.events("s").header("cookie", &cookie),
        client.events("s").query("token", &token),
    ] {
        request.clone().subscribe().await?;
        assert_eq!(request.query("wait", "0").send().await?.status(), 200);
    }
    for request in [client.event("s").header("cookie", &cookie), client.event("s").query("token", &token)] {
        let answer = request.body("x").send().await?;
        expect::problem(&answer, 403, "token_cannot_publish")?;
        assert_eq!(answer.head.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
    }
    let body = r#"[{"session":"s","data":1}]"#;
    let batch = client.post("/v1/events").header("content-type", "application/json").body(body);
    expect::problem(&batch.clone().header("cookie", &cookie).send().await?, 403, "token_cannot_publish")?;
    assert_eq!(batch.bearer(&token).send().await?.status(), 201);
    client.event("s").bearer(&token).query("snapshot", "60").body("x").send().await?.event_id()?;

    let snapshot = client.get("/v1/sessions/s/snapshot");
    assert_eq!(snapshot.clone().header("cookie", &cookie).send().await?.text()?, "x");
    assert_eq!(snapshot.clone().query("token", &token).send().await?.text()?, "x");
    expect::problem(&snapshot.send().await?, 401, "unauthorized")?;
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_publishes_total", &[("result", "denied")]), Some(3.0));
    assert_eq!(metrics.value("weir_requests_rejected_total", &[("reason", "auth")]), Some(1.0));
    Ok(())
}

/// What comes first decides, also where it is bad and the next would have been good.
#[tokio::test]
async fn the_header_wins_over_the_cookie_and_that_over_the_query() -> anyhow::Result<()> {
    let secret = Secret::new();
    let flags = ["--jwt-secret-file", secret.flag(), "--token-cookie", "__Host-t"];
    let weir = Instance::start(WEIR, &flags).await?;
    let (client, good, bad) = (weir.client(), secret.token("7", &["s"], &[]), "bad");
    let all = |header: &str, cookie: &str, query: &str| {
        let request = client.events("s").query("wait", "0");
        let request = request.header("cookie", format!("__Host-t={cookie}")).query("token", query);
        if header.is_empty() { request } else { request.bearer(header) }
    };
    assert_eq!(all(&good, bad, bad).send().await?.status(), 200);
    assert_eq!(all("", &good, bad).send().await?.status(), 200);
    assert_eq!(all("", "", &good).send().await?.status(), 200);
    for request in [all(bad, &good, &good), all("", bad, &good), all("", "", bad)] {
        expect::problem(&request.send().await?, 401, "token_malformed")?;
    }
    // The cookie of the default name is a stranger's here.
    let other = client.events("s").header("cookie", format!("weir_token={good}"));
    expect::problem(&other.send().await?, 401, "unauthorized")
}

/// Whoever shows a token relies on it: a bad one is not silently the same as none.
#[tokio::test]
async fn a_bad_token_is_refused_where_none_was_needed() -> anyhow::Result<()> {
    let (secret, other) = (Secret::new(), Secret::new());
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag(), "--anonymous", "all"]).await?;
    let (client, forged) = (weir.client(), other.token("7", &["s"], &["s"]));
    client.publish("s", "x").await?;
    expect::problem(&client.event("s").bearer(&forged).body("x").send().await?, 401, "token_signature")?;
    expect::problem(&client.events("s").query("token", &forged).send().await?, 401, "token_signature")?;
    // A good one takes nothing away from what everybody may do.
    let narrow = secret.token("7", &[], &[]);
    client.event("s").bearer(&narrow).body("x").send().await?.event_id()?;
    client.event("s").header("cookie", format!("weir_token={narrow}")).body("x").send().await?.event_id()?;

    let keyless = Instance::start(WEIR, &[]).await?;
    let answer = keyless.client().events("s").bearer(&forged).send().await?;
    expect::problem(&answer, 401, "token_without_keys")
}
