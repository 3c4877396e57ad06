//! A token stands in no log, at whatever level, and in no setting that is shown.

use weir_testkit::http2::{self, Http2};
use weir_testkit::{DEADLINE, Instance, Secret};

use crate::WEIR;

/// Good and bad ones, in every place, over both versions of HTTP: neither they nor their parts are logged.
#[tokio::test]
async fn no_level_logs_a_token() -> anyhow::Result<()> {
    let (secret, other) = (Secret::new(), Secret::new());
    let flags = ["--jwt-secret-file", secret.flag(), "--log", "trace"];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let tokens =
        [secret.token("7", &["s"], &["s"]), other.token("7", &["s"], &["s"]), "not-a-token".to_owned()];
    for token in &tokens {
        let cookie = format!("weir_token={token}");
        for request in [
            client.event("s"),
            client.events("s").query("wait", "0"),
            client.get("/nowhere"),
            client.get("/v1/events?session=%ff"),
        ] {
            for request in [
                request.clone().bearer(token),
                request.clone().header("cookie", &cookie),
                request.clone().query("token", token),
                request.clone().header("authorization", format!("Basic {token}")),
            ] {
                request.send().await?;
            }
        }
        let mut conn = Http2::open(weir.public(), &[]).await?;
        let (bearer, path) = (format!("Bearer {token}"), format!("/v1/sessions/s/snapshot?token={token}"));
        let more = [("authorization", bearer.as_str()), ("cookie", cookie.as_str())];
        conn.send(&http2::request(1, &http2::fields("GET", &path, &more), true)).await?;
        conn.status(1, DEADLINE).await?;
    }
    let log = weir.log().join("\n");
    assert!(log.contains("token_signature"), "the log says nothing of refusals: {log}");
    for part in tokens.iter().flat_map(|token| token.split('.')) {
        assert!(!log.contains(part), "{part} is in the log: {log}");
    }
    Ok(())
}
