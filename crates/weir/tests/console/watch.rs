//! One who looks.

use anyhow::{Context as _, bail};
use serde_json::Value;
use weir_testkit::{Client, DEADLINE, Instance, SseStream};

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The stream of the console of this instance.
pub(crate) async fn watch(weir: &Instance) -> anyhow::Result<SseStream> {
    watch_as(&weir.admin_client(), ("weir-admin", "1")).await
}

/// The same with another header.
pub(crate) async fn watch_as(admin: &Client, (name, value): (&str, &str)) -> anyhow::Result<SseStream> {
    admin.get("/console/events").header(name, value).subscribe().await
}

/// The next news.
pub(crate) async fn news(stream: &mut SseStream) -> anyhow::Result<Value> {
    let event = stream.next_event().await?;
    anyhow::ensure!(event.event == "weir.instances" && event.id.is_none(), "{event:?}");
    Ok(serde_json::from_str(&event.data)?)
}

/// The first news of which this is true.
pub(crate) async fn until(stream: &mut SseStream, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let end = tokio::time::Instant::now() + DEADLINE * 2;
    let mut last = Value::Null;
    while tokio::time::Instant::now() < end {
        last = news(stream).await.with_context(|| format!("after {last}"))?;
        if is(&last) {
            return Ok(last);
        }
    }
    bail!("never so: {last}")
}

/// What the instance of this name told, in news of another.
pub(crate) fn told<'a>(news: &'a Value, instance: &str) -> Option<&'a Value> {
    news["peers"]["told"].as_array()?.iter().find(|told| told["report"]["instance"] == instance)
}
