//! `weir doctor --through`: what a load balancer does to streams is seen from where clients are.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::process::Command;

use serde_json::Value;
use weir_testkit::balancer::Kind;
use weir_testkit::program::without_settings;
use weir_testkit::{Balancer, Instance, Secret};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What nginx is told of the one instance behind it, beside where that is.
fn nginx(instance: &Instance, told: &str) -> String {
    let address = instance.public();
    format!(
        "events {{}}
         http {{
           access_log off;
           server {{
             listen @LISTEN@;
             location / {{ proxy_pass http://{address}; {told} }}
           }}
         }}"
    )
}

struct Report(Vec<Value>);

impl Report {
    async fn of(url: String, flags: &[&str]) -> Self {
        let mut command = Command::new(WEIR);
        without_settings(&mut command).args(["doctor", "--json", "--through", &url]).args(flags);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        Self(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[track_caller]
    fn assert(&self, check: &str, level: &str, says: &str) {
        let found = self.0.iter().find(|finding| finding["check"] == check);
        let found = found.unwrap_or_else(|| panic!("no {check} in {:#?}", self.0));
        let text = format!("{}; {}", found["finding"], found["advice"]);
        assert!(found["level"] == level && text.contains(says), "{found:#}");
    }

    fn says_nothing_of(&self, check: &str) -> bool {
        self.0.iter().all(|finding| finding["check"] != check)
    }
}

async fn instance() -> anyhow::Result<Instance> {
    Instance::start(WEIR, &["--anonymous", "all", "--heartbeat", "1s"]).await
}

async fn behind(instance: &Instance, told: &str) -> anyhow::Result<(Balancer, Report)> {
    let balancer = Balancer::with(Kind::Nginx, &nginx(instance, told)).await?;
    let report = Report::of(format!("http://{}", balancer.address()), &[]).await;
    Ok((balancer, report))
}

#[tokio::test]
async fn the_shipped_configurations_are_well() -> anyhow::Result<()> {
    let weir = instance().await?;
    for kind in [Kind::Nginx, Kind::HaProxy] {
        let balancer = Balancer::start(kind, &[weir.public()]).await?;
        let report = Report::of(format!("http://{}", balancer.address()), &[]).await;
        for check in ["through", "headers", "first-bytes", "event", "idle"] {
            report.assert(check, "ok", "");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_compressed() -> anyhow::Result<()> {
    let weir = instance().await?;
    let told = "gzip on; gzip_types text/event-stream;";
    let (_balancer, report) = behind(&weir, told).await?;
    report.assert("headers", "fail", "compressed (gzip)");
    report.assert("headers", "fail", "gzip_types");
    Ok(())
}

/// nginx does as weir asks for each stream, unless it is told not to.
#[tokio::test]
async fn a_proxy_that_holds_streams_back() -> anyhow::Result<()> {
    let weir = instance().await?;
    let (_balancer, report) = behind(&weir, "proxy_buffering on;").await?;
    report.assert("first-bytes", "ok", "at once");
    let told = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
    let (_balancer, report) = behind(&weir, told).await?;
    report.assert("through", "fail", "its answer does not begin");
    report.assert("through", "fail", "holds no answer back");
    let (_balancer, report) = behind(&weir, &format!("{told} postpone_output 0;")).await?;
    report.assert("headers", "ok", "");
    report.assert("first-bytes", "fail", "nothing came within 2.0s");
    report.assert("first-bytes", "fail", "proxy_buffering off");
    assert!(report.says_nothing_of("event"));
    Ok(())
}

#[tokio::test]
async fn an_idle_timeout_below_the_heartbeat() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--anonymous", "all", "--heartbeat", "10s"]).await?;
    let (_balancer, report) = behind(&weir, "proxy_read_timeout 1s;").await?;
    report.assert("first-bytes", "ok", "at once");
    report.assert("idle", "fail", "proxy_read_timeout");
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_changes_what_it_hands_on() -> anyhow::Result<()> {
    let weir = instance().await?;
    let told = "proxy_hide_header Cache-Control;";
    let (_balancer, report) = behind(&weir, told).await?;
    report.assert("headers", "warn", "Cache-Control is none");
    let told = "proxy_hide_header Content-Type;";
    let (_balancer, report) = behind(&weir, told).await?;
    report.assert("headers", "fail", "the content type is none");
    Ok(())
}

/// By HTTP/1.0, which nginx speaks where it is told nothing, nobody counts as a client of this machine.
#[tokio::test]
async fn what_nginx_does_where_it_is_told_nothing() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let (_balancer, report) = behind(&weir, "").await?;
    report.assert("through", "fail", "answered 401");
    report.assert("through", "fail", "--token-file");
    Ok(())
}

#[tokio::test]
async fn two_instances_that_share_no_log() -> anyhow::Result<()> {
    let (one, other) = (instance().await?, instance().await?);
    let balancer = Balancer::start(Kind::Nginx, &[one.public(), other.public()]).await?;
    let report = Report::of(format!("http://{}", balancer.address()), &[]).await;
    report.assert("event", "fail", "one --redis and one --stream");
    Ok(())
}

#[tokio::test]
async fn nobody_there_and_nobody_allowed() -> anyhow::Result<()> {
    let report = Report::of("http://127.0.0.1:9".to_owned(), &[]).await;
    report.assert("through", "fail", "refused");
    assert!(report.says_nothing_of("event"));

    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag(), "--heartbeat", "1s"]).await?;
    let url = format!("http://{}", weir.public());
    Report::of(url.clone(), &[]).await.assert("through", "fail", "answered 401");
    let reader = tempfile::NamedTempFile::new()?;
    std::fs::write(reader.path(), secret.sign(&weir_testkit::token::claims("7", &["weir-doctor-*"], &[])))?;
    let report = Report::of(url, &["--token-file", reader.path().to_str().unwrap()]).await;
    report.assert("first-bytes", "ok", "at once");
    report.assert("event", "unknown", "may publish to weir-doctor-*");
    report.assert("idle", "ok", "heartbeat");
    Ok(())
}
