//! What the service manager is told, by the protocol of systemd (`sd_notify(3)`); without one, nothing.
//!
//! Ready: once `/readyz` has answered 200 for the first time, so that what is ordered after weir finds its events. Where the log
//! is away for longer than `--ready-grace` it is told all the same: clients are held and told to come back, and a restart would
//! only make them come back more often.
//!
//! Alive: as long as the runtime runs this task, the pump answers, and the reader does not hang. Whether Redis answers has no
//! part in it: no restart mends that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use weir_http::app::App;
use weir_http::health::{Readiness, reader_hangs, readiness};
use weir_metrics::Reloaded;

/// How often it is looked whether the instance is ready for the first time.
const UNTIL_READY: Duration = Duration::from_millis(100);

/// How often the status is told where no watchdog asks for more.
const STATUS: Duration = Duration::from_secs(10);

/// Asked of the pump, and answered whenever it is between two feeds.
pub(super) type Asked = mpsc::Receiver<oneshot::Sender<()>>;

/// Asks the pump whether it is alive.
#[derive(Debug)]
pub(super) struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Manager {
    is_there: bool,
    /// Whether it was told that the instance is ready for the first time.
    knows: Arc<AtomicBool>,
}

impl Pulse {
    /// One question at a time: whoever leaves one unanswered gets no further one.
    pub(super) fn new() -> (Self, Asked) {
        let (ask, asked) = mpsc::channel(1);
        (Self(ask), asked)
    }

    pub(super) async fn beats(&self, within: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).is_ok() && timeout(within, answered).await.is_ok_and(|beat| beat.is_ok())
    }
}

impl Manager {
    pub(super) fn new() -> Self {
        Self { is_there: std::env::var_os("NOTIFY_SOCKET").is_some(), knows: Arc::default() }
    }

    /// Tells how the instance does until it is dropped.
    pub(super) async fn keep(self, app: Arc<App>, pulse: Pulse) {
        if !self.is_there {
            return;
        }
        let since = Instant::now();
        while !readiness(&app).ready && since.elapsed() < app.config.ready_grace {
            tokio::time::sleep(UNTIL_READY).await;
        }
        self.tell(|| notify(&[NotifyState::Ready])).await;
        self.knows.store(true, Ordering::Relaxed);
        // Three times as often as it must, so that one that comes late is none that is missed.
        let every = watchdog_enabled().map_or(STATUS, |limit| STATUS.min(limit / 3));
        let mut told = String::new();
        let mut was_alive = true;
        loop {
            let status = status(&app, &readiness(&app));
            if status != told {
                told.clone_from(&status);
                self.tell(move || notify(&[NotifyState::Status(&status)])).await;
            }
            let next = Instant::now() + every;
            let is_alive = pulse.beats(every).await && !reader_hangs(&app);
            if is_alive {
                self.tell(|| notify(&[NotifyState::Watchdog])).await;
            } else if was_alive {
                tracing::error!(
                    "stuck: the service manager is not told any longer that this instance is alive"
                );
            }
            was_alive = is_alive;
            tokio::time::sleep_until(next).await;
        }
    }

    /// Files and settings are being read anew.
    pub(super) async fn reloading(&self) {
        if self.knows.load(Ordering::Relaxed) {
            // Since systemd 253 the time must be told, too.
            self.tell(|| notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])).await;
        }
    }

    /// That is over. Ready ends a reload, and would end a start that is not over yet.
    pub(super) async fn reloaded(&self, how: Reloaded) {
        if !self.knows.load(Ordering::Relaxed) {
            return;
        }
        let status = match how {
            Reloaded::Ok => "settings, keys and certificates were read anew",
            Reloaded::Failed => "what was to be read anew is bad, and all stayed as it was: see the log",
        };
        self.tell(|| notify(&[NotifyState::Ready, NotifyState::Status(status)])).await;
    }

    /// The instance goes away.
    pub(super) async fn stopping(self) {
        self.tell(|| notify(&[NotifyState::Stopping, NotifyState::Status("releasing the clients")])).await;
    }

    /// On a thread that may wait: a manager that is busy takes nothing from its socket.
    async fn tell(&self, what: impl FnOnce() -> io::Result<()> + Send + 'static) {
        if !self.is_there {
            return;
        }
        if let Ok(Err(error)) = spawn_blocking(what).await {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

/// For people, in the output of `systemctl status`.
fn status(app: &App, now: &Readiness) -> String {
    let clients = app.metrics.clients.open_by_any();
    let facts = app.log.facts();
    let lag = facts.lag.map(|entries| format!(", {entries} entries behind")).unwrap_or_default();
    match &now.waiting_for {
        Some(what) => format!("{clients} clients{lag}; waiting for {what}"),
        None => format!("{clients} clients{lag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pump_that_does_not_answer_is_not_alive() {
        let (pulse, mut asked) = Pulse::new();
        assert!(!pulse.beats(Duration::from_millis(1)).await);
        // The question of before is still there, and its answer comes too late for anybody.
        assert!(!pulse.beats(STATUS).await);
        asked.recv().await.unwrap().send(()).unwrap_err();
        let (beats, ()) = tokio::join!(pulse.beats(STATUS), async {
            asked.recv().await.unwrap().send(()).unwrap();
        });
        assert!(beats);
        drop(asked);
        assert!(!pulse.beats(STATUS).await);
    }
}
