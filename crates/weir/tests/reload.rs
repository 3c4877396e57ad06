//! What SIGHUP has read anew takes effect while everybody stays connected: all of it, or nothing.

use std::fs;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use weir_testkit::{DEADLINE, Instance, Signal, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An instance and the file of its settings.
struct Kept {
    weir: Instance,
    folder: TempDir,
}

impl Kept {
    async fn start(settings: &str, flags: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("weir.toml");
        fs::write(&file, settings)?;
        let file = file.to_str().context("a path is text")?;
        let weir = Instance::start(WEIR, &[&["--config", file], flags].concat()).await?;
        Ok(Self { weir, folder })
    }

    /// Writes other settings and has them read; `ok` or `failed`.
    async fn reload(&self, settings: &str, how: &str) -> anyhow::Result<()> {
        fs::write(self.folder.path().join("weir.toml"), settings)?;
        let count = async || {
            let metrics = self.weir.metrics().await?;
            metrics.value("weir_config_reloads_total", &[("result", how)]).context("no such series")
        };
        let before = count().await?;
        self.weir.signal(Signal::HUP)?;
        eventually(DEADLINE, async || {
            ensure!(count().await? == before + 1.0, "not read, or not {how}: {:?}", self.weir.log());
            Ok(())
        })
        .await
    }

    fn lines(&self, text: &str) -> Vec<String> {
        self.weir.log().into_iter().filter(|line| line.contains(text)).collect()
    }

    async fn successful(&self) -> anyhow::Result<Option<f64>> {
        Ok(self.weir.metrics().await?.value("weir_config_last_reload_successful", &[]))
    }

    /// Status of an admin call with this token.
    async fn asks(&self, token: &str) -> anyhow::Result<u16> {
        let call = self.weir.admin_client().get("/clients");
        Ok(call.header("authorization", format!("Bearer {token}")).send().await?.status())
    }

    /// Status of one more subscribe, which is over at once.
    async fn come(&self) -> anyhow::Result<u16> {
        Ok(self.weir.client().get("/v1/sessions/s/events?wait=0").send().await?.status())
    }
}

#[tokio::test]
async fn limits_change_and_nobody_has_to_go() -> anyhow::Result<()> {
    let kept = Kept::start("", &[]).await?;
    ensure!(kept.successful().await?.is_some_and(f64::is_nan), "nothing was read anew yet");
    let client = kept.weir.client();
    let mut streams = [client.subscribe("s").await?, client.subscribe("s").await?];
    kept.reload("max-connections = 1", "ok").await?;
    ensure!(kept.weir.metrics().await?.value("weir_clients_max", &[]) == Some(1.0));
    ensure!(kept.come().await? == 503);
    client.publish("s", "x").await?;
    for stream in &mut streams {
        ensure!(stream.next_data(1).await? == ["x"]);
    }
    // One of two has gone, and one may be there.
    let [stay, go] = streams;
    drop(go);
    eventually(DEADLINE, async || {
        let open = kept.weir.metrics().await?.value("weir_clients", &[("transport", "sse")]);
        ensure!(open == Some(1.0), "{open:?}");
        Ok(())
    })
    .await?;
    ensure!(kept.come().await? == 503);
    drop(stay);
    eventually(DEADLINE, async || {
        let status = kept.come().await?;
        ensure!(status == 200, "{status}");
        Ok(())
    })
    .await?;
    ensure!(kept.successful().await? == Some(1.0));
    Ok(())
}

#[tokio::test]
async fn rates_origins_memory_and_level_change() -> anyhow::Result<()> {
    let kept = Kept::start("publish-rate = \"1/m\"", &[]).await?;
    let client = kept.weir.client();
    let publish = async || client.event("s").body("x").send().await;
    publish().await?.event_id()?;
    expect::problem(&publish().await?, 429, "rate")?;
    // The same rate is no new one.
    kept.reload("publish-rate = \"1/m\"\nlog = \"debug\"", "ok").await?;
    expect::problem(&publish().await?, 429, "rate")?;
    kept.reload("publish-rate = \"2/m\"", "ok").await?;
    publish().await?.event_id()?;

    let origin = "https://app.example.com";
    let allowed = async || -> anyhow::Result<bool> {
        let answer = client.get("/livez").header("origin", origin).send().await?;
        Ok(answer.head.header("access-control-allow-origin") == Some(origin))
    };
    ensure!(!allowed().await?);
    kept.reload(&format!("cors-origin = \"{origin}\""), "ok").await?;
    ensure!(allowed().await?);
    publish().await?.event_id()?;

    let memory_limit = async || -> anyhow::Result<f64> {
        kept.weir.metrics().await?.value("weir_memory_limit_bytes", &[]).context("no such series")
    };
    ensure!(memory_limit().await?.is_nan(), "there is none");
    kept.reload("memory-limit = 1", "ok").await?;
    ensure!(memory_limit().await? == 1.0);
    eventually(DEADLINE, async || {
        let status = kept.come().await?;
        ensure!(status == 503, "{status}");
        Ok(())
    })
    .await?;
    kept.reload("log = \"error\"", "ok").await?;
    ensure!(kept.come().await? == 200);
    ensure!(memory_limit().await?.is_nan(), "there is none again");
    kept.reload("log = \"info\"", "ok").await?;
    // That reload said what it did as the first four had, and the one before was not heard any longer.
    eventually(DEADLINE, async || {
        ensure!(kept.lines("read anew").len() == 5, "{:?}", kept.lines("read anew"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() -> anyhow::Result<()> {
    let kept = Kept::start("max-connections = 7", &[]).await?;
    for (bad, why) in [
        ("max-connections = 1\nmax-conections = 2", "unknown key max-conections"),
        ("max-connections = 1\nconnect-rate = \"often\"", "connect-rate"),
        ("max-connections = 1\nproxy-protocol = true", "--proxy-protocol needs --trusted-proxy"),
        ("max-connections = 1\njwt-secret-file = \"/nowhere\"", "cannot use --jwt-secret-file /nowhere"),
        ("max-connections = ", "is not TOML: line 1"),
    ] {
        kept.reload(bad, "failed").await?;
        // What is logged comes by another way than what is counted.
        eventually(DEADLINE, async || {
            let lines = kept.lines("not read anew, kept as it was");
            ensure!(lines.last().is_some_and(|line| line.contains(why)), "{why}: {lines:?}");
            Ok(())
        })
        .await?;
        ensure!(kept.weir.metrics().await?.value("weir_clients_max", &[]) == Some(7.0), "{bad}");
        ensure!(kept.successful().await? == Some(0.0));
    }
    fs::remove_file(kept.folder.path().join("weir.toml"))?;
    kept.weir.signal(Signal::HUP)?;
    eventually(DEADLINE, async || {
        ensure!(kept.lines("cannot read the configuration file").len() == 1, "nothing is said");
        Ok(())
    })
    .await?;
    kept.reload("max-connections = 8", "ok").await?;
    ensure!(kept.successful().await? == Some(1.0));
    ensure!(kept.weir.metrics().await?.value("weir_clients_max", &[]) == Some(8.0));
    Ok(())
}

/// The file may say one thing and a flag another, and then nothing changed.
#[tokio::test]
async fn what_has_to_wait_for_the_next_start_is_named_in_one_line() -> anyhow::Result<()> {
    let kept = Kept::start("", &["--heartbeat", "7s"]).await?;
    kept.reload("maxlen = 7\nheartbeat = \"9s\"\nretry = \"1s\"\nmax-connections = 3", "ok").await?;
    eventually(DEADLINE, async || {
        let lines = kept.lines("take effect only at the next start");
        ensure!(lines.len() == 1 && lines[0].contains("\"maxlen, retry\""), "{lines:?}");
        Ok(())
    })
    .await?;
    ensure!(kept.weir.metrics().await?.value("weir_stream_maxlen", &[]) == Some(5000.0));
    kept.reload("", "ok").await?;
    ensure!(kept.lines("take effect only at the next start").len() == 1, "it is as it was at the start");
    Ok(())
}

/// Half of what was changed together is what nobody wanted.
#[tokio::test]
async fn a_bad_key_keeps_good_settings_out() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    fs::write(&token, TOKEN)?;
    let flag = token.to_str().context("a path is text")?;
    let kept = Kept::start("max-connections = 7", &["--admin-token-file", flag]).await?;
    fs::write(&token, "short")?;
    kept.reload("max-connections = 8", "failed").await?;
    ensure!(kept.weir.metrics().await?.value("weir_clients_max", &[]) == Some(7.0));
    // Nor do bad settings let a good key in, which is read before them.
    let (old, new) = (TOKEN, format!("{TOKEN}g"));
    fs::write(&token, &new)?;
    kept.reload("max-connections = ", "failed").await?;
    ensure!((kept.asks(old).await?, kept.asks(&new).await?) == (200, 401));
    kept.reload("max-connections = 8", "ok").await?;
    ensure!((kept.asks(old).await?, kept.asks(&new).await?) == (401, 200));
    ensure!(kept.weir.metrics().await?.value("weir_clients_max", &[]) == Some(8.0));
    Ok(())
}
