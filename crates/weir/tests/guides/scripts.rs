//! The scripts of the guides, each in a page of its own.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weir_testkit::browser::{Browser, Kind, Tab};
use weir_testkit::loopback::own_address;
use weir_testkit::{DEADLINE, Instance, Secret, Signal, eventually};

use super::{WEIR, blocks};

/// Guides whose scripts run here, all of them.
pub(super) const GUIDES: [&str; 3] = ["resume-and-gaps", "moving-from-polling", "moving-from-mercure"];

/// What a guide leaves to the page.
const PAGE: &str = "<!doctype html><title>guide</title><link rel=icon href='data:,'><script type=module>
    @IMPORT@
    window.shown = []; window.rendered = []; window.anew = 0;
    const reader = '@TOKEN@';
    const show = (text) => shown.push(text);
    const render = (list) => rendered.push(list);
    const loadAnew = () => { anew += 1 };
    @SCRIPT@
    window.began = true;
</script>";

const IMPORT: &str = "import { Weir } from '@WEIR@/client.js'";

/// The list that the application keeps.
const ORDERS: &str = r#"[{"id":41,"status":"new"},{"id":42,"status":"new"}]"#;

/// The application: one page and its orders.
struct Site {
    at: SocketAddr,
    listener: TcpListener,
}

impl Site {
    async fn new() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(own_address()?).await?;
        Ok(Self { at: listener.local_addr()?, listener })
    }

    fn origin(&self) -> String {
        format!("http://{}", self.at)
    }

    async fn serve(self, page: String) {
        let mut open = JoinSet::new();
        while let Ok((tcp, _)) = self.listener.accept().await {
            let page = page.clone();
            open.spawn(async move {
                // A browser that goes away has what it wanted.
                let _ = reply(tcp, &page).await;
            });
        }
    }
}

async fn reply(mut tcp: TcpStream, page: &str) -> std::io::Result<()> {
    let mut head = [0; 8_192];
    let length = tcp.read(&mut head).await?;
    let (kind, body) = if head[..length].starts_with(b"GET /api/orders ") {
        ("application/json", ORDERS)
    } else {
        ("text/html", page)
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await
}

/// A script of a guide in a page, and the instance that it talks to.
struct Stage {
    weir: Instance,
    tab: Tab,
    flags: Vec<String>,
    _served: JoinSet<()>,
}

impl Stage {
    /// The `nth` script of a guide, for an instance with these flags.
    async fn of(
        browser: &Browser,
        (guide, nth): (&str, usize),
        flags: &[&str],
        token: &str,
    ) -> anyhow::Result<Self> {
        let site = Site::new().await?;
        let origin = site.origin();
        let flags = [&["--cors-origin", &origin, "--retry", "200ms"], flags].concat();
        let weir = Instance::builder(WEIR).listen(own_address()?).flags(&flags).start().await?;
        let scripts = blocks(guide).into_iter().filter(|(language, _)| language == "js");
        let (_, script) = scripts.into_iter().nth(nth).context("there is no such script")?;
        let at = format!("http://{}", weir.public());
        let import = if script.contains("new Weir(") { IMPORT } else { "" };
        let page = PAGE
            .replace("@IMPORT@", import)
            .replace("@SCRIPT@", &script)
            .replace("http://127.0.0.1:8080", &at);
        let page = page.replace("@WEIR@", &at).replace("@TOKEN@", token);
        let mut served = JoinSet::new();
        served.spawn(site.serve(page));
        let tab = browser.open(&origin).await?;
        tab.until("return window.began").await?;
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Ok(Self { weir, tab, flags, _served: served })
    }

    /// Waits until the page listens.
    async fn connected(&self) -> anyhow::Result<()> {
        eventually(DEADLINE, async || {
            let clients = self.weir.metrics().await?.sum("weir_clients", &[]);
            ensure!(clients > 0.0, "nobody listens");
            Ok(())
        })
        .await
    }

    /// The instance is killed, and comes back without its log.
    async fn forgets(&mut self) -> anyhow::Result<()> {
        let at = self.weir.public();
        self.weir.signal(Signal::KILL)?;
        self.weir.wait_exit(DEADLINE).await?;
        let flags: Vec<_> = self.flags.iter().map(|flag| &**flag).collect();
        self.weir = Instance::builder(WEIR).listen(at).flags(&flags).start().await?;
        Ok(())
    }
}

/// Both scripts of the guide on gaps: an event is shown, and a log that is gone is told.
#[tokio::test]
async fn a_gap_makes_the_page_load_anew() -> anyhow::Result<()> {
    let browser = Browser::start(Kind::Chromium).await?;
    for nth in [0, 1] {
        let mut stage = Stage::of(&browser, ("resume-and-gaps", nth), &[], "").await?;
        stage.connected().await?;
        stage.weir.client().publish("orders", "one").await?;
        stage.tab.until("return shown.length > 0").await?;
        ensure!(stage.tab.run("return [shown, anew]").await? == json!([["one"], 0]), "{nth}");
        stage.forgets().await?;
        stage.tab.until("return anew > 0").await?;
        stage.weir.client().publish("orders", "two").await?;
        stage.tab.until("return shown.length > 1").await?;
        ensure!(stage.tab.run("return [shown, anew]").await? == json!([["one", "two"], 1]), "{nth}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_that_polls_becomes_one_that_is_told() -> anyhow::Result<()> {
    let browser = Browser::start(Kind::Chromium).await?;
    let polling = Stage::of(&browser, ("moving-from-polling", 0), &[], "").await?;
    polling.tab.until("return rendered.length > 0").await?;

    let loading = Stage::of(&browser, ("moving-from-polling", 1), &[], "").await?;
    loading.tab.until("return rendered.length > 0").await?;
    let before = loading.tab.run("return rendered.length").await?;
    loading.connected().await?;
    loading.weir.client().publish("orders", "something").await?;
    loading.tab.until(&format!("return rendered.length > {before}")).await?;

    let patching = Stage::of(&browser, ("moving-from-polling", 2), &[], "").await?;
    patching.tab.until("return rendered.length > 0").await?;
    let event = patching.weir.client().event("orders").query("type", "order.updated");
    event.body(r#"{"id":42,"status":"shipped"}"#).send().await?.event_id()?;
    patching.tab.until("return rendered.at(-1)[1].status === 'shipped'").await?;
    let last = patching.tab.run("return rendered.at(-1)").await?;
    ensure!(last == json!([{ "id": 41, "status": "new" }, { "id": 42, "status": "shipped" }]), "{last}");
    Ok(())
}

#[tokio::test]
async fn a_page_of_a_mercure_hub_has_another_address() -> anyhow::Result<()> {
    let secret = Secret::new();
    let token = secret.token("7", &["books/*"], &["books/*"]);
    let browser = Browser::start(Kind::Chromium).await?;
    for (nth, shown) in [(0, "in stock"), (1, "books/1 book in stock")] {
        let stage =
            Stage::of(&browser, ("moving-from-mercure", nth), &["--jwt-secret-file", secret.flag()], &token)
                .await?;
        stage.connected().await?;
        let event = stage.weir.client().event("books/1").query("type", "book").bearer(&token);
        event.body("in stock").send().await?.event_id()?;
        stage.tab.until("return shown.length > 0").await?;
        ensure!(stage.tab.run("return shown").await? == json!([shown]));
    }
    Ok(())
}
