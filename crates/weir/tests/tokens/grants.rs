//! Which sessions a token is good for.

use serde_json::json;
use weir_testkit::token::claims;
use weir_testkit::{Client, DEADLINE, Instance, RawConn, Secret, expect};

use crate::WEIR;

async fn start() -> anyhow::Result<(Instance, Secret)> {
    let secret = Secret::new();
    Ok((Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?, secret))
}

async fn status(client: &Client, token: &str, session: &str) -> anyhow::Result<u16> {
    let answer = client.events(session).query("wait", "0").bearer(token).send().await?;
    if answer.status() != 200 {
        expect::problem(&answer, 403, "forbidden")?;
    }
    Ok(answer.status())
}

#[tokio::test]
async fn names_prefixes_and_the_subject() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let client = weir.client();
    let token = secret.token("7", &["news", "room:*", "user:{sub}"], &["room:1"]);
    for session in ["news", "room:", "room:a/b", "user:7"] {
        assert_eq!(status(&client, &token, session).await?, 200, "{session}");
    }
    for session in ["new", "news2", "room", "user:{sub}", "user:77", "user:8", "*", "room*"] {
        assert_eq!(status(&client, &token, session).await?, 403, "{session}");
    }
    client.event("room:1").bearer(&token).body("x").send().await?.event_id()?;
    for session in ["room:2", "news", "user:7"] {
        let answer = client.event(session).bearer(&token).body("x").send().await?;
        expect::problem(&answer, 403, "forbidden")?;
    }
    let star = secret.token("*", &["user:{sub}"], &[]);
    assert_eq!(status(&client, &star, "user:*").await?, 200);
    assert_eq!(status(&client, &star, "user:7").await?, 403);
    let mut nobody = claims("7", &["user:{sub}", "user:{sub}*"], &[]);
    nobody.as_object_mut().unwrap().remove("sub");
    for session in ["user:", "user:{sub}", "user:7"] {
        assert_eq!(status(&client, &secret.sign(&nobody), session).await?, 403, "{session}");
    }
    Ok(())
}

/// Nothing of the call is done, and its answer names no session.
#[tokio::test]
async fn one_forbidden_session_refuses_the_whole_call() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let (client, token) = (weir.client(), secret.token("7", &["mine"], &["mine"]));
    let several = client.get("/v1/events?session=mine&session=theirs&wait=0").bearer(&token).send().await?;
    expect::problem(&several, 403, "forbidden")?;
    let body = "{\"session\":\"mine\",\"data\":1}\n{\"session\":\"theirs\",\"data\":1}\n";
    let batch = client.post("/v1/events").header("content-type", "application/x-ndjson").body(body);
    let batch = batch.bearer(&token).send().await?;
    expect::problem(&batch, 403, "forbidden")?;
    let snapshot = client.get("/v1/sessions/theirs/snapshot").bearer(&token).send().await?;
    expect::problem(&snapshot, 403, "forbidden")?;
    for answer in [several, batch, snapshot] {
        assert!(!answer.text()?.contains("theirs") && !answer.text()?.contains("mine"), "{answer:?}");
    }
    let held = client.events("mine").bearer(&token).query("lastEventId", "earliest").query("wait", "0");
    assert_eq!(held.send().await?.json()?["events"], json!([]));
    Ok(())
}

/// Nothing is read of a batch for whoever may publish nothing.
#[tokio::test]
async fn who_may_publish_nothing_is_told_so_before_a_batch() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let token = secret.token("7", &["mine"], &[]);
    let mut conn = RawConn::open(weir.public()).await?;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 4000000\r\n\r\n["
    );
    conn.write(head.as_bytes()).await?;
    assert_eq!(conn.read_head(DEADLINE / 5).await?.status, 403);
    Ok(())
}

/// A token says nothing about sessions: it is good, and good for nothing.
#[tokio::test]
async fn without_the_claim_a_token_allows_nothing() -> anyhow::Result<()> {
    let (weir, secret) = start().await?;
    let mut claims = claims("7", &[], &[]);
    claims.as_object_mut().unwrap().remove("weir");
    assert_eq!(status(&weir.client(), &secret.sign(&claims), "s").await?, 403);
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_connections_rejected_total", &[("reason", "auth")]), Some(1.0));
    Ok(())
}
