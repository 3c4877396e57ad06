//! What is read anew on SIGHUP, while everybody stays connected: all of it, or nothing.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use weir_metrics::{Metrics, Reloaded};

use super::manager::Manager;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Reload(Vec<Part>);

/// Puts into effect what was read. It cannot fail.
pub(super) type TakeOver = Box<dyn FnOnce() + Send>;

/// Something that is read from files.
struct Part {
    what: &'static str,
    read: Box<dyn Fn() -> anyhow::Result<TakeOver> + Send>,
}

impl Reload {
    /// Adds something: `read` looks at what the files hold now and changes nothing by itself.
    pub(super) fn with<T: FnOnce() + Send + 'static>(
        mut self,
        what: &'static str,
        read: impl Fn() -> anyhow::Result<T> + Send + 'static,
    ) -> Self {
        let read = move || read().map(|take_over| Box::new(take_over) as TakeOver);
        self.0.push(Part { what, read: Box::new(read) });
        self
    }

    /// Reads all of it anew whenever somebody asks. It never ends an instance: what is bad now was good at start.
    pub(super) async fn run(self, mut hangup: Signal, (metrics, manager): (Arc<Metrics>, Manager)) {
        let mut reload = self;
        while hangup.recv().await.is_some() {
            manager.reloading().await;
            // A file may lie on a disk that does not answer.
            let read = spawn_blocking(move || {
                let how = reload.read();
                (reload, how)
            });
            let Ok((back, how)) = read.await else { return };
            reload = back;
            metrics.reloads.reloaded(how);
            manager.reloaded(how).await;
        }
    }

    fn read(&self) -> Reloaded {
        let mut good = Vec::new();
        for Part { what, read } in &self.0 {
            match read() {
                Ok(take_over) => good.push(take_over),
                Err(error) => {
                    let error = format!("{error:#}");
                    // Half of what somebody changed together is what nobody wanted.
                    tracing::error!(what, error, "not read anew, kept as it was");
                    return Reloaded::Failed;
                }
            }
        }
        good.into_iter().for_each(|take_over| take_over());
        let what: Vec<&str> = self.0.iter().map(|part| part.what).collect();
        tracing::info!(what = what.join(", "), "read anew");
        Reloaded::Ok
    }
}
