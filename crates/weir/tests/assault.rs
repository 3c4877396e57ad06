//! Two thousand hostile requests of every kind while honest clients listen: nothing is lost to those, everything that was
//! refused is counted under its reason, and the instance is what it was before. `make bench BENCH=hostile` does it with a
//! hundred thousand, and measures.

use std::time::Duration;

use anyhow::ensure;
use weir_testkit::{Assault, Beset, DEADLINE, eventually, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const LISTENERS: usize = 20;
const EVENTS: usize = 200;

/// What two thousand refusals may leave in the memory of an allocator.
const SLACK: u64 = 24 << 20;

#[tokio::test]
async fn an_assault_harms_nobody_and_is_counted() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let client = beset.weir.client();
    let mut crowd = Vec::new();
    for _ in 0..LISTENERS {
        crowd.push(client.subscribe("crowd").await?);
    }
    beset.ensure_unharmed().await?;
    let (memory, files) = (usage::resident(beset.weir.pid())?, usage::open_files(beset.weir.pid())?);
    let before = beset.refusals().await?;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let target = beset.weir.public();
    let assault = Assault { target, requests: 2_000, at_once: 20, slow: 12, over: Duration::ZERO, seed };
    let publish = async {
        for nth in 0..EVENTS {
            client.publish("crowd", nth.to_string()).await?;
        }
        anyhow::Ok(())
    };
    let (report, published) = tokio::join!(assault.run(), publish);
    published?;
    let report = report?;
    ensure!(report.surprises.is_empty(), "{:?}", report.surprises);
    ensure!(report.requests == 2_012, "{report:?}");

    let expected: Vec<_> = (0..EVENTS).map(|nth| nth.to_string()).collect();
    for stream in &mut crowd {
        ensure!(stream.next_data(EVENTS).await? == expected, "lost or out of order");
    }
    // Every refusal under its reason, and none that nobody asked for.
    eventually(DEADLINE, async || {
        let counted = beset.refusals().await?.since(&before);
        ensure!(counted == report.counted, "counted {counted:?}, done {:?}", report.counted);
        Ok(())
    })
    .await?;
    eventually(DEADLINE, async || {
        let now = usage::open_files(beset.weir.pid())?;
        ensure!(now <= files, "{files} files before, {now} after");
        Ok(())
    })
    .await?;
    let after = usage::resident(beset.weir.pid())?;
    ensure!(after < memory + SLACK, "{memory} bytes before, {after} after");
    beset.ensure_unharmed().await
}
