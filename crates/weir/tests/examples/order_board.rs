//! `docs/examples/order-board` in Chromium, as its README starts it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_testkit::browser::{Browser, Kind, Tab};
use weir_testkit::loopback::own_address;
use weir_testkit::{Client, DEADLINE, Metrics, Response, Signal, eventually};

use crate::application::{Application, folder};
use crate::pictures::pictures;

/// All of it, and where its parts are.
struct Board {
    application: Application,
    origin: String,
    api: Client,
    weir: Client,
    admin: Client,
    _data: TempDir,
}

impl Board {
    async fn start(env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let [at, weir, admin] = [own_address()?, own_address()?, own_address()?];
        let data = tempfile::tempdir()?;
        let text = |address: SocketAddr| address.to_string();
        let own = [
            ("HOST", at.ip().to_string()),
            ("PORT", at.port().to_string()),
            ("WEIR_LISTEN", text(weir)),
            ("WEIR_ADMIN_LISTEN", text(admin)),
            ("DATA", data.path().to_string_lossy().into_owned()),
        ];
        let own = own.iter().map(|(name, value)| (*name, &**value));
        let all: Vec<_> = own.chain(env.iter().copied()).collect();
        let mut application = Application::start(&folder("order-board"), &all)?;
        application.says("the order board is at").await?;
        let [api, weir, admin] = [at, weir, admin].map(Client::new);
        let board = Self { application, origin: format!("http://{at}"), api, weir, admin, _data: data };
        eventually(DEADLINE, async || {
            let ready = board.admin.get("/readyz").send().await?;
            ensure!(ready.status() == 200, "{ready:?}");
            Ok(())
        })
        .await?;
        Ok(board)
    }

    /// A tab that shows the board, live.
    async fn tab(&self, browser: &Browser) -> anyhow::Result<Tab> {
        let tab = browser.open(&self.origin).await?;
        live(&tab).await.with_context(|| self.application.tail())?;
        tab.until("return document.querySelectorAll('tbody tr').length === 12").await?;
        Ok(tab)
    }

    /// Calls the API as the page does.
    async fn call(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Response> {
        let request = self.api.request(method, path).header("content-type", "application/json");
        request.body(body.to_owned()).send().await
    }

    async fn change(&self, id: &str, change: Value) -> anyhow::Result<Value> {
        let answer = self.call("PATCH", &format!("/api/orders/{id}"), &change.to_string()).await?;
        ensure!(answer.status() == 200, "{answer:?}");
        Ok(serde_json::from_str(answer.text()?)?)
    }

    /// Publishes an event, and waits until weir has sent it to the one who listens.
    async fn publish(&self, kind: &str, key: &str, data: &str) -> anyhow::Result<()> {
        let before = self.sum("weir_events_delivered_total").await?;
        let event = self.weir.event("orders").query("type", kind).query("key", key).body(data.to_owned());
        event.send().await?.event_id()?;
        eventually(DEADLINE, async || {
            ensure!(self.sum("weir_events_delivered_total").await? > before, "{kind} was not sent");
            Ok(())
        })
        .await
    }

    /// Has something happen to an order that is not there, and waits until the page knows.
    async fn tell(&self, tab: &Tab, id: &str) -> anyhow::Result<()> {
        let event = json!({ "type": "order.updated", "id": id, "patch": {} });
        self.publish("order.updated", id, &event.to_string()).await?;
        logged(tab, &format!("order.updated {id} ")).await
    }

    /// What weir counted.
    async fn sum(&self, series: &str) -> anyhow::Result<f64> {
        Ok(Metrics::parse(self.admin.get("/metrics").send().await?.text()?)?.sum(series, &[]))
    }
}

async fn live(tab: &Tab) -> anyhow::Result<()> {
    tab.until("return document.getElementById('state')?.textContent === 'live'").await.map(drop)
}

/// Waits until an element shows this.
async fn shows(tab: &Tab, id: &str, text: &str) -> anyhow::Result<()> {
    let script = format!("return document.getElementById({})?.textContent === {}", json!(id), json!(text));
    tab.until(&script).await.map(drop).with_context(|| format!("{id} shows {text:?}"))
}

/// Waits until the newest of what happened begins like this.
async fn logged(tab: &Tab, text: &str) -> anyhow::Result<()> {
    let script = format!("return document.querySelector('#log li')?.textContent.startsWith({})", json!(text));
    tab.until(&script).await.map(drop).with_context(|| format!("logs {text:?}"))
}

async fn click(tab: &Tab, selector: &str) -> anyhow::Result<()> {
    tab.until(&format!("return !!document.querySelector({})", json!(selector))).await?;
    tab.run(&format!("document.querySelector({}).click()", json!(selector))).await.map(drop)
}

/// Shows an order beside the list.
async fn choose(tab: &Tab, id: &str) -> anyhow::Result<()> {
    click(tab, &format!("#{id} button")).await?;
    tab.until("return !!document.getElementById('detail-state')").await.map(drop)
}

/// The state of an order in the list.
async fn listed(tab: &Tab, id: &str, state: &str) -> anyhow::Result<()> {
    let script = format!("return document.querySelector('#{id} .pill')?.textContent === {}", json!(state));
    tab.until(&script).await.map(drop).with_context(|| format!("{id} is listed as {state}"))
}

#[tokio::test]
#[ignore = "make examples"]
async fn what_one_changes_all_see_on_one_connection_each() -> anyhow::Result<()> {
    let board = Board::start(&[("DEMO", "off")]).await?;
    let mut raw = board.weir.subscribe("orders").await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let (one, other) = (board.tab(&browser).await?, board.tab(&browser).await?);
    choose(&other, "ord_1024").await?;
    shows(&other, "detail-state", "new").await?;
    one.front().await?;
    choose(&one, "ord_1024").await?;
    click(&one, "#next").await?;
    shows(&one, "detail-state", "paid").await?;
    other.front().await?;
    shows(&other, "detail-state", "paid").await?;
    listed(&other, "ord_1024", "paid").await?;
    // On the wire it is the application's own envelope, under the name of its type.
    let event = raw.next_published().await?;
    let ts = serde_json::from_str::<Value>(&event.data)?["ts"].clone();
    let envelope =
        format!(r#"{{"type":"order.updated","id":"ord_1024","patch":{{"state":"paid"}},"ts":{ts}}}"#);
    ensure!(event.data == envelope && event.event == "order.updated", "{event:?}");
    // An order that is new, and a figure that is another one by it.
    let order = json!({ "customer": "Radia Perlman", "items": 3, "total": 4200 });
    let made = board.call("POST", "/api/orders", &order.to_string()).await?;
    ensure!(made.status() == 200, "{made:?}");
    listed(&other, "ord_1025", "new").await?;
    shows(&other, "open", "13").await?;
    // A type that nobody has heard of.
    board.publish("order.returned", "ord_1024", r#"{"id":"ord_1024"}"#).await?;
    while raw.next_published().await?.event != "order.returned" {}
    let clients = board.sum("weir_clients").await?;
    ensure!(clients == 3.0, "{clients} streams for two tabs and this test");
    let complaints = one.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// The two servers that answer, by the ids of their processes.
async fn answering(board: &Board) -> anyhow::Result<BTreeSet<String>> {
    let mut servers = BTreeSet::new();
    for _ in 0..20 {
        // What was handed to a server that is killed is never answered.
        let asked = board.api.get("/api/orders/ord_1020").deadline(Duration::from_secs(1));
        let answer = asked.send().await?;
        ensure!(answer.status() == 200, "{answer:?}");
        servers.insert(answer.head.header("x-api-server").context("the server")?.to_owned());
    }
    ensure!(servers.len() == 2, "{servers:?}: whoever has the next turn answers");
    Ok(servers)
}

#[tokio::test]
#[ignore = "make examples"]
async fn weir_and_an_api_server_are_killed_and_nothing_is_missed() -> anyhow::Result<()> {
    let board = Board::start(&[("DEMO", "off")]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = board.tab(&browser).await?;
    choose(&tab, "ord_1020").await?;
    let servers = eventually(DEADLINE, async || answering(&board).await).await?;
    // Else the pauses of the page would not begin with a second.
    let retry = board.weir.subscribe("orders").await?.retry();
    ensure!(retry.is_some_and(|ms| (800..=1200).contains(&ms)), "{retry:?}");
    let states = "window.states = [];
        const note = () => states.push(document.querySelector('.connection').textContent);
        new MutationObserver(note).observe(document.querySelector('.connection'), { subtree: true, childList: true, characterData: true })";
    tab.run(states).await?;
    kill_process(board.application.weir()?, Signal::KILL)?;
    // The caller is answered whatever becomes of the event.
    board.change("ord_1020", json!({ "state": "packing" })).await?;
    board.change("ord_1020", json!({ "packed": 2 })).await?;
    shows(&tab, "detail-state", "packing").await.with_context(|| board.application.tail())?;
    tab.until("return document.getElementById('detail-packed').textContent.startsWith('2 /')").await?;
    listed(&tab, "ord_1020", "packing").await?;
    live(&tab).await?;
    let states = tab
        .run("return states.filter((state) => /^connecting.*try 2 in \\d s.*Try now/.test(state)).length")
        .await?;
    ensure!(states != 0, "{}", tab.run("return states").await?);

    let first = servers.first().and_then(|id| id.parse().ok()).and_then(Pid::from_raw).context("its id")?;
    kill_process(first, Signal::KILL)?;
    let others = eventually(DEADLINE, async || {
        let others = answering(&board).await?;
        ensure!(others != servers, "{others:?}");
        Ok(others)
    });
    ensure!(!others.await?.contains(servers.first().context("a server")?), "it answers still");
    board.change("ord_1020", json!({ "state": "sent" })).await?;
    shows(&tab, "detail-state", "sent").await?;
    listed(&tab, "ord_1020", "sent").await
}

#[tokio::test]
#[ignore = "make examples"]
async fn what_is_old_or_cannot_be_read_changes_nothing() -> anyhow::Result<()> {
    let board = Board::start(&[("DEMO", "off"), ("WEIR_HEARTBEAT", "1s")]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = board.tab(&browser).await?;
    choose(&tab, "ord_1023").await?;
    let bad = board.call("PATCH", "/api/orders/ord_1023", "{").await?;
    ensure!(bad.status() == 400, "{bad:?}");
    board.publish("order.updated", "x", "{").await?;
    logged(&tab, "skipped").await?;
    let now = board.change("ord_1023", json!({ "note": "by phone" })).await?;
    shows(&tab, "detail-note", "by phone").await?;
    let ts = now["ts"].as_u64().context("its time")?;
    let note = |note: &str, ts: u64| {
        json!({ "type": "order.updated", "id": "ord_1023", "patch": { "note": note }, "ts": ts }).to_string()
    };
    let watch = "window.notes = [];
        new MutationObserver(() => notes.push(document.getElementById('detail-note')?.textContent))
            .observe(document.querySelector('.detail'), { subtree: true, childList: true, characterData: true })";
    tab.run(watch).await?;
    // Older than what was fetched, newer, and older than the one before.
    board.publish("order.updated", "ord_1023:note", &note("long ago", ts - 1)).await?;
    board.publish("order.updated", "ord_1023:note", &note("newest", ts + 100)).await?;
    tab.until("return notes.includes('newest')").await?;
    board.publish("order.updated", "ord_1023:note", &note("late", ts + 50)).await?;
    board.tell(&tab, "ord_1").await?;
    // The API, which knows nothing of the newest, is asked in the end.
    shows(&tab, "detail-note", "by phone").await?;
    let notes = tab.run("return notes").await?.to_string();
    ensure!(!notes.contains("long ago") && !notes.contains("late"), "{notes}");
    // Nothing happens, and the page can see that weir is there.
    let ping = "return document.getElementById('heartbeat').dataset.ping";
    let first = tab.until(ping).await?;
    tab.until(&format!("{ping} !== '{}'", first.as_str().context("a time")?)).await.map(drop)
}

/// An API that people take as it is: whatever comes is answered, ends nothing, and is no page's of another site.
#[tokio::test]
#[ignore = "make examples"]
async fn what_the_api_cannot_take_is_refused_and_ends_nothing() -> anyhow::Result<()> {
    let board = Board::start(&[("DEMO", "off")]).await?;
    let hostile = r#"{ "customer": { "toString": 1 }, "items": { "valueOf": 1 }, "total": 1e999 }"#;
    let made = board.call("POST", "/api/orders", hostile).await?;
    let made: Value = serde_json::from_str(made.text()?)?;
    ensure!(made["customer"] == "" && made["items"] == 0 && made["total"] == 0, "{made}");
    let large = json!({ "note": "x".repeat(70_000) }).to_string();
    for (path, body, status) in
        [("/api/orders/%", "{}", 400), ("/api/orders/ord_1001", large.as_str(), 413), ("//", "{}", 404)]
    {
        let answer = board.call("PATCH", path, body).await?;
        ensure!(answer.status() == status, "{path}: {answer:?}");
    }
    // What a page of another site may send without asking first.
    let simple = board.api.post("/api/orders").header("content-type", "text/plain").body("{}").send().await?;
    ensure!(simple.status() == 415, "{simple:?}");
    // All of it runs still.
    board
        .change("ord_1001", json!({ "note": "well" }))
        .await
        .map(drop)
        .with_context(|| board.application.tail())
}

#[tokio::test]
#[ignore = "make examples"]
async fn only_what_is_shown_is_sent_and_rapid_updates_are_merged() -> anyhow::Result<()> {
    let board = Board::start(&[("DEMO", "off")]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = board.tab(&browser).await?;
    choose(&tab, "ord_1014").await?;
    let begun = Instant::now();
    for nth in 1..=60 {
        board.change("ord_1014", json!({ "packed": nth / 10 })).await?;
    }
    shows(&tab, "detail-packed", "6 / 6").await?;
    let windows = begun.elapsed().as_millis() / 250;
    let told = tab.run("return [...document.querySelectorAll('#log li')].filter((entry) => entry.textContent.includes('packed')).length");
    let told = u128::from(told.await?.as_u64().context("a number")?);
    ensure!(told <= windows + 2, "{told} of 60 events in {windows} windows");

    let opened = board.sum("weir_connections_total").await?;
    click(&tab, "#with-figures").await?;
    eventually(DEADLINE, async || {
        ensure!(board.sum("weir_connections_total").await? > opened, "it does not subscribe anew");
        Ok(())
    })
    .await?;
    live(&tab).await?;
    let before = board.sum("weir_events_delivered_total").await?;
    let figure = r#"{"id":"open","patch":{"value":99}}"#;
    board.weir.event("orders").query("type", "metric.updated").body(figure).send().await?.event_id()?;
    board.tell(&tab, "ord_1").await?;
    let delivered = board.sum("weir_events_delivered_total").await? - before;
    ensure!(delivered == 1.0, "{delivered} events were sent");
    click(&tab, "#with-figures").await?;
    shows(&tab, "open", "12").await
}

#[tokio::test]
#[ignore = "make examples"]
async fn its_pictures() -> anyhow::Result<()> {
    let board = Board::start(&[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = board.tab(&browser).await?;
    choose(&tab, "ord_1016").await?;
    tab.until_within(Duration::from_secs(40), "return document.querySelectorAll('#log li').length > 9")
        .await?;
    pictures(&tab, "order-board").await?;
    let complaints = tab.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}
