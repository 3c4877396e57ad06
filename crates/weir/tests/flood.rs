//! Whatever an instance is made to say again and again, it says no more than people read, and how often it was.

use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::{DEADLINE, Instance, Signal, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Something has a file read anew that is bad, as fast as it can.
#[tokio::test]
async fn what_is_said_again_and_again_is_counted_instead() -> anyhow::Result<()> {
    const TIMES: u64 = 60;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("weir.toml");
    fs::write(&file, "")?;
    let weir = Instance::start(WEIR, &["--config", file.to_str().context("a path is text")?]).await?;
    fs::write(&file, "no settings")?;
    for nth in 1..=TIMES {
        weir.signal(Signal::HUP)?;
        eventually(DEADLINE, async || {
            let failed = weir.metrics().await?.value("weir_config_reloads_total", &[("result", "failed")]);
            ensure!(failed == Some(nth as f64), "{failed:?} of {nth}");
            Ok(())
        })
        .await?;
    }
    let lines =
        || -> Vec<Value> { weir.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect() };
    let says = "not read anew, kept as it was";
    eventually(DEADLINE * 2, async || {
        let lines = lines();
        let written = lines.iter().filter(|line| line["message"] == says).count() as u64;
        let told = lines.iter().filter(|line| line["message"] == "more lines like this were left out");
        let left_out: u64 =
            told.filter(|line| line["what"] == says).filter_map(|line| line["count"].as_u64()).sum();
        ensure!(left_out > 0 && written >= 20 && written + left_out == TIMES, "{written} and {left_out}");
        Ok(())
    })
    .await?;
    // Others are heard all the while.
    fs::write(&file, "")?;
    weir.signal(Signal::HUP)?;
    eventually(DEADLINE, async || {
        ensure!(lines().iter().any(|line| line["message"] == "read anew"), "it is not heard");
        Ok(())
    })
    .await
}
