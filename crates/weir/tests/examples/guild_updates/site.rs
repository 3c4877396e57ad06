//! The application, with a weir of its own or with one that the test takes away and brings back.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_testkit::browser::{Browser, Tab};
use weir_testkit::loopback::own_address;
use weir_testkit::{Client, DEADLINE, Instance, Metrics, Response, SseStream, eventually};

use crate::application::{Application, WEIR, folder};

/// The users, as `accounts.js` has them. Ada is an operator.
pub(crate) const ADA: &str = "1";
pub(crate) const GRACE: &str = "2";

const SECRET: &str = "only for this example";

pub(crate) struct Site {
    pub(crate) application: Application,
    pub(crate) origin: String,
    at: SocketAddr,
    weir_at: SocketAddr,
    admin_at: SocketAddr,
    data: TempDir,
}

impl Site {
    /// All of it, as `npm start` has it.
    pub(crate) async fn whole() -> anyhow::Result<Self> {
        Self::start(false, &[]).await
    }

    /// Without a weir, for [`Self::weir`] to start it when the test likes.
    pub(crate) async fn without_weir(env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start(true, env).await
    }

    /// The same, and a weir.
    pub(crate) async fn with_weir(env: &[(&str, &str)]) -> anyhow::Result<(Self, Instance)> {
        let site = Self::without_weir(env).await?;
        let weir = site.weir().await?;
        Ok((site, weir))
    }

    async fn start(apart: bool, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (at, weir_at, admin_at, data) = (own_address()?, own_address()?, own_address()?, TempDir::new()?);
        let (host, port) = (at.ip().to_string(), at.port().to_string());
        let (weir, admin) = (weir_at.to_string(), admin_at.to_string());
        let url = format!("http://{weir_at}");
        let dir = data.path().to_str().context("a path in UTF-8")?;
        let mut all = vec![("HOST", &*host), ("PORT", &port), ("DATA", dir)];
        all.extend([("WEIR_LISTEN", &*weir), ("WEIR_ADMIN_LISTEN", &admin)]);
        all.extend(apart.then_some(("WEIR_URL", &*url)));
        all.extend(env);
        let mut application = Application::start(&folder("guild-updates"), &all)?;
        application.says("guild updates are at").await?;
        let site = Self { application, origin: format!("http://{at}"), at, weir_at, admin_at, data };
        if !apart {
            let ready = eventually(DEADLINE, async || {
                ensure!(site.admin().get("/readyz").send().await?.status() == 200, "weir is not ready");
                Ok(())
            });
            ready.await.with_context(|| site.application.tail())?;
        }
        Ok(site)
    }

    /// A weir as `start.js` starts it, whose key that has made.
    pub(crate) async fn weir(&self) -> anyhow::Result<Instance> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
        let settings = text(&folder("guild-updates").join("weir.toml"))?;
        let (key, kept) =
            (text(&self.data.path().join("weir.secret"))?, text(&self.data.path().join("weir"))?);
        let weir = Instance::builder(WEIR).listen(self.weir_at).admin_listen(self.admin_at);
        let weir = weir.flags(&["--config", &settings, "--jwt-secret-file", &key, "--data-dir", &kept]);
        weir.flags(&["--cors-origin", &self.origin]).start().await
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.at)
    }

    pub(crate) fn streams(&self) -> Client {
        Client::new(self.weir_at)
    }

    fn admin(&self) -> Client {
        Client::new(self.admin_at)
    }

    pub(crate) async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::parse(self.admin().get("/metrics").send().await?.text()?)
    }

    /// Waits until so many clients are connected.
    pub(crate) async fn clients(&self, count: f64) -> anyhow::Result<()> {
        eventually(DEADLINE * 3, async || {
            let clients = self.metrics().await?.sum("weir_clients", &[]);
            ensure!((clients - count).abs() < 0.5, "{clients} clients");
            Ok(())
        })
        .await
    }

    pub(crate) async fn post(&self, path: &str, cookie: &str, body: &Value) -> anyhow::Result<Response> {
        let request = self.client().post(path).header("content-type", "application/json");
        request.header("cookie", cookie).body(body.to_string()).send().await
    }

    /// The cookie of a user who logged in.
    pub(crate) async fn log_in(&self, user: &str) -> anyhow::Result<String> {
        let answer = self.post("/login", "", &json!({ "user": user })).await?;
        let cookie = answer.head.header("set-cookie").context("a cookie")?;
        ensure!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        Ok(cookie.split(';').next().context("a cookie")?.to_owned())
    }

    /// A token for the page of whoever has this cookie.
    pub(crate) async fn token(&self, cookie: &str) -> anyhow::Result<String> {
        let answer = self.client().get("/token").header("cookie", cookie).send().await?;
        Ok(answer.json()?["token"].as_str().context("a token")?.to_owned())
    }

    /// What a user's page would follow, with all that was published before.
    pub(crate) async fn follow(&self, user: &str) -> anyhow::Result<SseStream> {
        let token = self.token(&self.log_in(user).await?).await?;
        let request = self.streams().get("/v1/events").query("session", format!("user:{user}"));
        request.query("lastEventId", "earliest").bearer(&token).subscribe().await
    }

    /// What the platform calls when its bot joined a guild of this name.
    pub(crate) async fn bot_joined(
        &self,
        delivery: &str,
        user: &str,
        guild: &str,
    ) -> anyhow::Result<Response> {
        self.webhook("bot-joined", delivery, user, ("10", guild)).await
    }

    pub(crate) async fn webhook(
        &self,
        event: &str,
        delivery: &str,
        user: &str,
        (id, name): (&str, &str),
    ) -> anyhow::Result<Response> {
        let user = json!({ "id": user, "email": "ada@example.com", "locale": "en" });
        let body =
            json!({ "delivery": delivery, "user": user, "guild": { "id": id, "name": name, "members": 42 } });
        let request = self.client().post(&format!("/webhooks/{event}")).bearer(SECRET);
        request.header("content-type", "application/json").body(body.to_string()).send().await
    }

    /// The figures as an operator sees them.
    pub(crate) async fn figures(&self) -> anyhow::Result<Value> {
        let cookie = self.log_in(ADA).await?;
        self.client().get("/figures.json").header("cookie", cookie).send().await?.json()
    }

    /// Opens the page, and logs in with a click on a name.
    pub(crate) async fn page(&self, browser: &Browser, name: &str) -> anyhow::Result<Tab> {
        let tab = browser.open(&self.origin).await?;
        tab.until("return document.querySelectorAll('#users button').length > 0").await?;
        let click = "[...document.querySelectorAll('#users button')].find((button) => button.textContent === given).click()";
        tab.run_with(click, json!(name)).await?;
        self.live(&tab).await?;
        Ok(tab)
    }

    pub(crate) async fn live(&self, tab: &Tab) -> anyhow::Result<()> {
        let live = tab.until("return document.getElementById('state').dataset.state === 'live'").await;
        live.map(drop).with_context(|| self.application.tail())
    }
}

/// The guilds in the list, the newest first, once there are so many.
pub(crate) async fn updates(tab: &Tab, count: usize) -> anyhow::Result<Vec<String>> {
    let script = format!(
        "const shown = [...document.querySelectorAll('#updates li span:nth-child(2)')].map((line) => line.textContent);
        return shown.length >= {count} && shown"
    );
    Ok(serde_json::from_value(tab.until(&script).await?)?)
}
