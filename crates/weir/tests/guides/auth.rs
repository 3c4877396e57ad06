//! The guide on tokens: its log-in is started, its page gets new tokens before the old ones expire, and its scripts read.

use std::fs;
use std::net::SocketAddr;

use anyhow::ensure;
use serde_json::json;
use tokio::net::TcpStream;
use weir_testkit::browser::{Browser, Kind};
use weir_testkit::{Client, DEADLINE, Metrics, eventually};

use super::{Reader, blocks};

pub(super) const GUIDE: &str = "auth-with-eventsource";

const SHOWN: &str = "return [...document.querySelectorAll('#events li')].map((entry) => entry.textContent)";

/// Tokens that expire while the test looks on. weir says so at half of it.
const SECONDS: &str = "10";

fn only(language: &str) -> Vec<String> {
    blocks(GUIDE).into_iter().filter(|(is, _)| is == language).map(|(_, text)| text).collect()
}

/// The subscribes that were let in.
async fn subscribes(reader: &Reader) -> anyhow::Result<f64> {
    counted(reader, "weir_connections_total").await
}

async fn counted(reader: &Reader, series: &str) -> anyhow::Result<f64> {
    let admin: SocketAddr = reader.adapt("127.0.0.1:8081").parse()?;
    let page = Client::new(admin).get("/metrics").send().await?;
    Ok(Metrics::parse(page.text()?)?.sum(series, &[]))
}

#[tokio::test]
async fn a_page_gets_new_cookies_before_the_old_ones_expire() -> anyhow::Result<()> {
    let mut reader = Reader::begin().await?;
    let save = |name: &str, text: &str| fs::write(reader.folder.path().join(name), reader.adapt(text));
    save("login.mjs", &only("js")[0])?;
    save("index.html", &only("html")[0])?;
    reader.does(&format!("export SECONDS={SECONDS}")).await?;
    let [start, publish] = <[String; 2]>::try_from(only("sh")).map_err(|all| anyhow::anyhow!("{all:?}"))?;
    reader.does(&start).await?;
    eventually(DEADLINE, async || Ok(TcpStream::connect(reader.pages).await?)).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = browser.open(format!("http://{}/", reader.pages)).await?;
    eventually(DEADLINE, async || {
        ensure!(subscribes(&reader).await? > 0.0, "it does not listen");
        Ok(())
    })
    .await?;
    reader.does(&publish).await?;
    tab.until("return document.querySelectorAll('#events li').length > 0").await?;
    // Two tokens later it still listens, and has seen each event once.
    eventually(DEADLINE * 3, async || {
        ensure!(subscribes(&reader).await? >= 3.0, "it got no new token");
        Ok(())
    })
    .await?;
    reader.does(&publish).await?;
    tab.until("return document.querySelectorAll('#events li').length > 1").await?;
    ensure!(tab.run(SHOWN).await? == json!(["for 7 alone", "for 7 alone"]));

    let refused = counted(&reader, "weir_connections_rejected_total").await?;
    ensure!(refused == 0.0, "it came too late with a new token, {refused} times");

    let others = only("js");
    ensure!(others.len() == 3, "the log-in, the address and the client");
    for (nth, script) in others[1..].iter().enumerate() {
        let listening = subscribes(&reader).await?;
        let script = reader.adapt(script);
        let module = format!(
            "const {{ Weir }} = await import('{}'); const show = (text) => {{ window.got = text }};\n{script}",
            reader.adapt("http://127.0.0.1:8080/client.js")
        );
        tab.run(&format!("window.got = null; {module}")).await?;
        eventually(DEADLINE, async || {
            ensure!(subscribes(&reader).await? > listening, "it does not listen");
            Ok(())
        })
        .await?;
        reader.does(&publish).await?;
        tab.until("return window.got").await?;
        ensure!(tab.run("return window.got").await? == json!("for 7 alone"), "script {nth}");
    }
    Ok(())
}
