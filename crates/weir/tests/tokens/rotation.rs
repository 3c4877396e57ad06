//! Keys change while streams are open.

use std::fs;

use anyhow::ensure;
use weir_testkit::token::{claims, hs256};
use weir_testkit::{DEADLINE, Instance, Secret, Signal, eventually, expect};

use crate::WEIR;

const HEADER: &str = r#"{"alg":"HS256"}"#;

/// How many lines of the log say this.
fn lines(weir: &Instance, text: &str) -> usize {
    weir.log().iter().filter(|line| line.contains(text)).count()
}

/// Has the files read anew, and waits for the line that says so.
async fn reload(weir: &Instance, says: &str) -> anyhow::Result<()> {
    let before = lines(weir, says);
    weir.signal(Signal::HUP)?;
    eventually(DEADLINE, async || {
        ensure!(lines(weir, says) == before + 1, "no further line with {says:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_new_file_takes_over_and_a_bad_one_does_not() -> anyhow::Result<()> {
    let (first, second) = (Secret::new(), Secret::new());
    let flags = ["--jwt-secret-file", first.flag(), "--jwt-secret-file", second.flag()];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let claims = claims("7", &["s"], &["s"]).to_string();
    let new = "a secret that takes the place of the first one";
    let (old, other, later) = (
        first.sign_text(HEADER, &claims),
        second.sign_text(HEADER, &claims),
        hs256(new.as_bytes(), HEADER, &claims),
    );
    let publish = async |token: &str| client.event("s").bearer(token).body("x").send().await;
    let mut stream = client.events("s").bearer(&old).subscribe().await?;
    publish(&old).await?.event_id()?;
    publish(&other).await?.event_id()?;
    expect::problem(&publish(&later).await?, 401, "token_signature")?;

    fs::write(first.path(), new)?;
    reload(&weir, "read anew").await?;
    expect::problem(&publish(&old).await?, 401, "token_signature")?;
    publish(&other).await?.event_id()?;
    publish(&later).await?.event_id()?;

    // One bad file of two, and neither is taken.
    fs::write(second.path(), "")?;
    fs::write(first.path(), "another secret that would be a good one by itself")?;
    reload(&weir, "kept as it was").await?;
    publish(&other).await?.event_id()?;
    publish(&later).await?.event_id()?;
    fs::remove_file(first.path())?;
    reload(&weir, "kept as it was").await?;
    publish(&later).await?.event_id()?;
    let errors =
        weir.log().iter().filter(|line| line.contains("kept as it was")).cloned().collect::<Vec<_>>();
    ensure!(
        errors
            .iter()
            .all(|line| line.contains("cannot use --jwt-secret-file") && !line.contains("a good one"))
    );

    // Whoever was connected by the first secret still is.
    assert_eq!(stream.next_data(6).await?.len(), 6);
    Ok(())
}

/// Without keys SIGHUP is nothing that ends an instance.
#[tokio::test]
async fn nothing_to_read_is_no_reason_to_end() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    reload(&weir, "read anew").await?;
    assert_eq!(weir.client().get("/livez").send().await?.status(), 200);
    Ok(())
}
