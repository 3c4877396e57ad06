//! What is read anew on SIGHUP, while everybody stays connected.

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Reload(Vec<Part>);

/// Something that is read from files.
struct Part {
    what: &'static str,
    /// Takes all of what is there now, or nothing of it.
    read: Box<dyn Fn() -> anyhow::Result<()> + Send>,
}

impl Reload {
    /// Adds something: `read` either takes over what the files hold now, or says what is wrong and changes nothing.
    pub(super) fn with(
        mut self,
        what: &'static str,
        read: impl Fn() -> anyhow::Result<()> + Send + 'static,
    ) -> Self {
        self.0.push(Part { what, read: Box::new(read) });
        self
    }

    /// Reads all of it anew whenever somebody asks. It never ends an instance: what is bad now was good at start.
    pub(super) async fn run(self, mut hangup: Signal) {
        let mut reload = self;
        while hangup.recv().await.is_some() {
            // A file may lie on a disk that does not answer.
            let read = spawn_blocking(move || {
                reload.read();
                reload
            });
            let Ok(back) = read.await else { return };
            reload = back;
        }
    }

    fn read(&self) {
        for Part { what, read } in &self.0 {
            match read() {
                Ok(()) => tracing::info!(what, "read anew"),
                Err(error) => {
                    tracing::error!(what, error = format!("{error:#}"), "not read anew, kept as it was")
                }
            }
        }
    }
}
