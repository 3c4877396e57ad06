//! The console: a page for operators, and the stream that it lives on.
//!
//! - `page`: what a browser loads; it holds no data
//! - `viewer`: one who looks
//! - `report`: what an instance tells of itself
//!
//! While nobody looks, all of it is one question to the log every two seconds, whether somebody looks elsewhere.

pub(super) mod page;
mod report;
pub(crate) mod viewer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use weir_core::frame;
use weir_core::log::LogUnavailable;
use weir_core::peers::{Peers, Seen};

use crate::app::App;
use report::Report;

/// Most who look at once. Each holds a connection for as long as it looks, of which operators have few.
const MOST_VIEWERS: usize = 16;

/// How often viewers get news. It is also the sign of life by which a page knows that its connection stands.
const EVERY: Duration = Duration::from_secs(1);

/// How often the instances tell and look. Jittered.
const EXCHANGE: Duration = Duration::from_secs(2);

/// The only event of the stream.
const EVENT: &str = "weir.instances";

/// What this instance is, which does not change.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name.
    pub instance: String,
    /// The release.
    pub version: &'static str,
    /// The commit.
    pub revision: &'static str,
    /// Where its log is, in a word.
    pub log: &'static str,
}

/// Who looks at an instance, and what they see.
#[derive(Debug)]
pub(crate) struct Console {
    /// The newest event; empty while nobody looks.
    news: watch::Sender<Bytes>,
    /// Somebody came.
    came: Notify,
    places: Arc<Semaphore>,
    closed: CancellationToken,
    began: Instant,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            news: watch::Sender::new(Bytes::new()),
            came: Notify::new(),
            places: Arc::new(Semaphore::new(MOST_VIEWERS)),
            closed: CancellationToken::new(),
            began: Instant::now(),
        }
    }
}

impl Console {
    /// Ends the streams, so that the connections under them can end: the process is about to.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    fn is_watched(&self) -> bool {
        self.news.receiver_count() > 0
    }

    /// Resolves when somebody looks.
    async fn watched(&self) {
        while !self.is_watched() {
            self.came.notified().await;
        }
    }
}

/// What was last seen of the others.
#[derive(Debug, Default)]
struct Others {
    seen: Seen,
    at: Option<Instant>,
    trouble: Option<String>,
}

/// Serves those who look, and tells the other instances while somebody looks there. It runs until `stop`.
pub async fn run(app: Arc<App>, about: About, peers: Option<Arc<dyn Peers>>, stop: CancellationToken) {
    let others = Mutex::new(Others::default());
    let wake = Notify::new();
    let watch = show(&app, &about, (peers.as_deref(), &others, &wake));
    let exchange = async {
        match &peers {
            Some(peers) => exchange(&app, &about, (&**peers, &others, &wake)).await,
            None => std::future::pending().await,
        }
    };
    stop.run_until_cancelled(async { tokio::join!(watch, exchange) }).await;
}

/// News for those who look, once a second.
async fn show(
    app: &App,
    about: &About,
    (peers, others, wake): (Option<&dyn Peers>, &Mutex<Others>, &Notify),
) {
    loop {
        app.console.watched().await;
        wake.notify_one();
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while app.console.is_watched() {
            // Whoever comes is served at once.
            tokio::select! {
                _ = tick.tick() => {}
                () = app.console.came.notified() => {}
            }
            let own = Report::of(app, about);
            app.console.news.send_replace(event(&own, peers.map(|peers| (peers.own(), others))));
        }
        app.console.news.send_replace(Bytes::new());
    }
}

/// Tells the other instances while somebody looks anywhere, and looks at them while somebody looks here.
async fn exchange(app: &App, about: &About, (peers, others, wake): (&dyn Peers, &Mutex<Others>, &Notify)) {
    let mut told = false;
    loop {
        // A log that does not answer is said where somebody looks, and nowhere else: it is known by other means.
        if app.console.is_watched() {
            told |= tell(app, about, peers).await;
            let seen = peers.look().await;
            others.lock().saw(seen);
        } else if peers.are_watched().await.unwrap_or(false) {
            told |= tell(app, about, peers).await;
        } else if told && peers.leave().await.is_ok() {
            told = false;
        }
        let pause = if app.console.is_watched() { EVERY } else { EXCHANGE };
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(0.8 + fastrand::f64() * 0.4)) => {}
            () = wake.notified() => {}
        }
    }
}

async fn tell(app: &App, about: &About, peers: &dyn Peers) -> bool {
    let report = serde_json::to_string(&Report::of(app, about)).expect("texts and numbers always serialise");
    peers.tell(&report).await.is_ok()
}

impl Others {
    fn saw(&mut self, seen: Result<Seen, LogUnavailable>) {
        match seen {
            Ok(seen) => *self = Self { seen, at: Some(Instant::now()), trouble: None },
            Err(LogUnavailable(why)) => self.trouble = Some(why),
        }
    }
}

/// What viewers get.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct News<'a> {
    own: &'a Report,
    /// None without a shared log.
    peers: Option<PeersNews>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PeersNews {
    /// Why they cannot be seen now.
    trouble: Option<String>,
    /// How many there are beyond those that are shown.
    left_out: u64,
    /// By their names.
    told: Vec<PeerNews>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerNews {
    id: String,
    age_ms: u128,
    /// None where this release cannot read it.
    report: Option<Report>,
}

fn event(own: &Report, others: Option<(&str, &Mutex<Others>)>) -> Bytes {
    let peers = others.map(|(id, others)| {
        let others = others.lock();
        PeersNews { trouble: others.trouble.clone(), left_out: others.seen.left_out, told: told(id, &others) }
    });
    let news = serde_json::to_string(&News { own, peers }).expect("texts and numbers always serialise");
    let mut out = BytesMut::with_capacity(news.len() + 64);
    frame::put_control(&mut out, EVENT, None, &news);
    out.freeze()
}

fn told(own: &str, others: &Others) -> Vec<PeerNews> {
    let since = others.at.map(|at| at.elapsed()).unwrap_or_default();
    let mut told: Vec<_> = others.seen.told.iter().filter(|told| told.id != own).collect();
    told.sort_by(|one, other| one.id.cmp(&other.id));
    told.into_iter()
        .map(|told| PeerNews {
            id: told.id.clone(),
            age_ms: (told.age + since).as_millis(),
            report: Report::parse(&told.report),
        })
        .collect()
}
