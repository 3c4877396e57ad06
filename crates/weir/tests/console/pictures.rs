//! The pictures of `docs/console.md`, made anew by `make pictures`: three instances on one log, with load.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::task::JoinSet;
use weir_testkit::browser::{browse, step};
use weir_testkit::client::Request;
use weir_testkit::page::root;
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, Instance, SseStream};

use crate::watch::WEIR;

const SESSIONS: [&str; 5] = ["acme/agent-7", "acme/agent-12", "orders", "build-log", "support-chat"];

/// As long as its sparklines show.
const LOOK: &str = "
    await new Promise((resolve) => setTimeout(resolve, 62000));
    return document.getElementById('line-text').textContent;";

/// Makes one picture, with Chromium to itself, so that all look at the same time.
async fn picture(address: &str, name: &str, (width, height): (u32, u32), dark: bool) -> anyhow::Result<()> {
    let mut step = step(address, LOOK);
    step["strict"] = json!(true);
    step["view"] = json!({ "width": width, "height": height, "dark": dark, "fold": true, "scale": 1.5 });
    step["picture"] = json!(root().join("docs/images").join(name));
    let results = browse(&[step]).await?;
    assert_eq!((&results[0]["result"], &results[0]["errors"]), (&json!("Live"), &json!([])), "{name}");
    Ok(())
}

/// One that does not read; the kernel cuts it after a while, and it comes again.
async fn stall(request: impl Fn() -> Request) -> anyhow::Result<()> {
    loop {
        let _stream = request().receive_buffer(4096).subscribe().await?;
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

async fn read(mut stream: SseStream) {
    while stream.next().await.is_ok() {}
}

/// Events come in waves, so that there is something to see.
async fn publish(client: Client) -> anyhow::Result<()> {
    for nth in 0_u32.. {
        let session = SESSIONS[nth as usize % SESSIONS.len()];
        let wave = (f64::from(nth) / 300.0).sin();
        client.publish(session, "x".repeat(200 + 150 * (nth as usize % 7))).await?;
        tokio::time::sleep(Duration::from_secs_f64(0.020 + 0.012 * wave)).await;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "make pictures"]
async fn of_the_console() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let mut all = Vec::new();
    for name in ["weir-a", "weir-b", "weir-c"] {
        let flags =
            ["--redis", &redis.url(), "--instance", name, "--queue-events", "20", "--stall-timeout", "10m"];
        all.push(Instance::start(WEIR, &[&flags[..], &["--max-connections", "15000"]].concat()).await?);
    }
    let mut load = JoinSet::new();
    for (nth, weir) in all.iter().enumerate() {
        for client in 0..60 - 7 * nth {
            let stream = weir.client().subscribe(SESSIONS[client * client % SESSIONS.len()]).await?;
            load.spawn(read(stream));
        }
        let client = weir.client();
        load.spawn(async move { drop(stall(|| client.events("orders")).await) });
    }
    // One whose queue lets go of what is old.
    let lossy = all[0].client();
    load.spawn(async move {
        drop(stall(|| lossy.events("build-log").query("overflow", "drop-oldest")).await);
    });
    let first = all.first().context("an instance")?;
    let client = first.client();
    load.spawn(async move {
        let _until_it_is_aborted = publish(client).await;
    });
    let address = format!("http://{}/", first.admin());
    std::fs::create_dir_all(root().join("docs/images"))?;
    tokio::try_join!(
        picture(&address, "console-light.png", (1280, 1210), false),
        picture(&address, "console-dark.png", (1280, 1210), true),
        picture(&address, "console-phone.png", (390, 844), true),
    )?;
    Ok(())
}
