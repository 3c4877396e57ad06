//! Whether an instance can serve, proved and not assumed.

use std::time::Duration;

use serde_json::json;

use crate::app::App;

/// Whether load balancers should send clients here, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// New clients are welcome.
    pub ready: bool,
    /// One word for operators.
    pub status: Status,
    /// What it is waiting for.
    pub waiting_for: Option<String>,
}

/// How an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Ready,
    /// The log is away, within the grace: clients are held and replays are answered.
    Degraded,
    /// The window has not been loaded.
    Starting,
    /// It is going away.
    Draining,
    /// The log has been away for longer than the grace.
    LogAway,
    /// The log answers, but the reader makes no progress.
    ReaderStuck,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::LogAway => "log-away",
            Self::ReaderStuck => "reader-stuck",
        }
    }
}

/// Looks at the instance now.
pub fn readiness(app: &App) -> Readiness {
    let now = app.time().now;
    let (status, waiting_for) = if app.stages.is_draining() {
        (Status::Draining, leaving(app))
    } else if !app.broker.is_loaded() {
        (Status::Starting, Some(format!("the first window load{}", trouble(app))))
    } else if !app.config.tokens.keyring.is_ready() {
        (Status::Starting, Some("the keys of --jwks-url".to_owned()))
    } else if let Some(since) = app.broker.degraded() {
        away(app, now.saturating_duration_since(since.now))
    } else {
        reading(app, app.reader_silent_for(now))
    };
    let ready = matches!(status, Status::Ready | Status::Degraded);
    Readiness { ready, status, waiting_for }
}

fn leaving(app: &App) -> Option<String> {
    match app.metrics.clients.open_by_any() {
        0 => None,
        1 => Some("1 client to leave".to_owned()),
        clients => Some(format!("{clients} clients to leave")),
    }
}

fn away(app: &App, time: Duration) -> (Status, Option<String>) {
    // Where the log answers others on this instance, the fault is the reader's own.
    let status = if app.log.facts().up {
        Status::ReaderStuck
    } else if time <= app.config.ready_grace {
        Status::Degraded
    } else {
        Status::LogAway
    };
    (status, Some(format!("the log, away for {} s{}", time.as_secs(), trouble(app))))
}

/// What the log itself says about why it cannot be read.
fn trouble(app: &App) -> String {
    app.log.facts().trouble.map(|why| format!(": {why}")).unwrap_or_default()
}

/// Whether the reader owes a return that it does not make, although the log answers and the reader has not said that it
/// cannot read: a fault of this process, which only a new one mends. Without a log that answers nobody can tell.
pub fn reader_hangs(app: &App) -> bool {
    let is_reading = app.broker.is_loaded() && app.broker.degraded().is_none();
    is_reading && is_overdue(app, app.reader_silent_for(app.time().now), app.log.facts().up)
}

fn is_overdue(app: &App, silent: Duration, log_is_up: bool) -> bool {
    silent > app.config.reader_patience && log_is_up
}

fn reading(app: &App, silent: Duration) -> (Status, Option<String>) {
    let facts = app.log.facts();
    if !is_overdue(app, silent, facts.up) {
        // Nothing is missing to clients, so that it is ready all the same.
        let lacks = facts.lacks.map(|rights| format!("rights in Redis: {rights}"));
        let group = facts.group_refused.map(|why| format!("a reader group, which Redis refuses: {why}"));
        return (Status::Ready, lacks.or(group));
    }
    (Status::ReaderStuck, Some(format!("the reader, which returned nothing for {} s", silent.as_secs())))
}

impl Readiness {
    /// The body of the admin listener's `/readyz`.
    pub(crate) fn to_json(&self, app: &App) -> serde_json::Value {
        json!({
            "ready": self.ready,
            "status": self.status.as_str(),
            "waitingFor": self.waiting_for,
            "group": app.log.facts().group,
        })
    }
}
