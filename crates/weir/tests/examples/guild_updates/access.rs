//! Who may follow what, how often, and for how long.

use anyhow::ensure;
use serde_json::{Value, json};

use super::site::{ADA, GRACE, Site};

#[tokio::test]
#[ignore = "make examples"]
async fn whoever_is_not_logged_in_has_no_token_and_no_stream() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    for path in ["/token", "/session", "/figures.json"] {
        let answer = site.client().get(path).send().await?;
        ensure!(answer.status() == 401, "{path}: {answer:?}");
    }
    let answer = site.streams().events("user:1").send().await?;
    ensure!(answer.status() == 401 && answer.problem_code()? == "unauthorized", "{answer:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn a_users_updates_reach_that_user_alone() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let (mut ada, mut grace) = (site.follow(ADA).await?, site.follow(GRACE).await?);
    site.bot_joined("1", ADA, "of Ada").await?;
    ensure!(ada.next_published().await?.data.contains("of Ada"));
    site.bot_joined("2", GRACE, "of Grace").await?;
    // The first that she gets at all.
    ensure!(grace.next_published().await?.data.contains("of Grace"));

    let token = site.token(&site.log_in(GRACE).await?).await?;
    for session in ["user:1", "user:2*", "user:{sub}", "other"] {
        let answer = site.streams().events(session).bearer(&token).send().await?;
        ensure!(answer.status() == 403 && answer.problem_code()? == "forbidden", "{session}: {answer:?}");
    }
    let forged = site.streams().event("user:2").bearer(&token).body("forged").send().await?;
    ensure!(forged.status() == 403, "{forged:?}");
    let cookie = site.log_in(GRACE).await?;
    let figures = site.client().get("/figures.json").header("cookie", cookie).send().await?;
    ensure!(figures.status() == 403, "figures are for operators: {figures:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn a_user_has_so_many_connections_and_hears_a_heartbeat_every_30_s() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = site.follow(ADA).await?;
        let connected = stream.next_event().await?;
        ensure!(connected.event == "weir.connected", "{connected:?}");
        ensure!(
            serde_json::from_str::<Value>(&connected.data)? == json!({ "heartbeat": 30_000 }),
            "{connected:?}"
        );
        streams.push(stream);
    }
    let refused = site.follow(ADA).await?.next_event().await?;
    ensure!(refused.event == "weir.refused" && refused.data.contains("\"subject\""), "{refused:?}");
    let other = site.follow(GRACE).await?.next_event().await?;
    ensure!(other.event == "weir.connected", "{other:?}");
    Ok(())
}

/// A page at another port of the same host is of the same site, so its posts carry the cookie.
#[tokio::test]
#[ignore = "make examples"]
async fn pages_of_other_origins_post_nothing() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let cookie = site.log_in(ADA).await?;
    for path in ["/login", "/logout", "/logout-everywhere", "/invite"] {
        // What a page may send without asking first.
        let post = site
            .client()
            .post(path)
            .header("cookie", &cookie)
            .header("content-type", "text/plain")
            .body("{}");
        let answer = post.send().await?;
        ensure!(answer.status() == 415, "{path}: {answer:?}");
    }
    let nothing = site.post("/login", &cookie, &json!(null)).await?;
    ensure!(nothing.status() == 403, "{nothing:?}");
    // Still logged in.
    site.token(&cookie).await.map(drop)
}

#[tokio::test]
#[ignore = "make examples"]
async fn to_log_out_ends_the_streams_and_everywhere_also_the_tokens() -> anyhow::Result<()> {
    let (site, _weir) = Site::with_weir(&[]).await?;
    let (here, elsewhere) = (site.log_in(ADA).await?, site.log_in(ADA).await?);
    let token = site.token(&here).await?;
    let (mut ada, mut grace) = (site.follow(ADA).await?, site.follow(GRACE).await?);
    site.post("/logout", &here, &json!({})).await?;
    let (events, _) = ada.read_to_end().await?;
    let last = events.last().map(|event| (&*event.event, &*event.data));
    ensure!(last == Some(("weir.expired", "{\"reason\":\"revoked\"}")), "{last:?}");
    let answer = site.client().get("/token").header("cookie", &here).send().await?;
    ensure!(answer.status() == 401, "{answer:?}");
    // Whoever is logged in elsewhere comes back.
    site.token(&elsewhere).await?;

    site.post("/logout-everywhere", &elsewhere, &json!({})).await?;
    let answer = site.client().get("/token").header("cookie", &elsewhere).send().await?;
    ensure!(answer.status() == 401, "{answer:?}");
    let answer = site.streams().events("user:1").bearer(&token).send().await?;
    ensure!(answer.status() == 401 && answer.problem_code()? == "token_revoked", "{answer:?}");
    site.bot_joined("1", GRACE, "of Grace").await?;
    ensure!(grace.next_published().await?.data.contains("of Grace"), "nobody else is concerned");
    Ok(())
}
