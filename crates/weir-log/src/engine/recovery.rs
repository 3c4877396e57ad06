//! What happens after the database has failed, as on a disk that is full.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::refusal::Refusal;
use super::{Place, Shared, place};

/// For how long nothing is tried after a failure. It bounds what opening the file again and again costs, and is how long after
/// there is room again the first is still refused.
const REST: Duration = Duration::from_millis(200);

/// The database has failed, and nothing was written since.
#[derive(Debug)]
pub(super) struct Trouble {
    refusal: Refusal,
    until: Instant,
}

impl Shared {
    /// Why nothing is tried for the moment.
    pub(super) fn rests(&self) -> Option<Refusal> {
        let trouble = self.trouble.lock();
        let trouble = trouble.as_ref().filter(|trouble| Instant::now() < trouble.until)?;
        Some(trouble.refusal.clone())
    }

    /// Opens the file again after a failure. `None` where the transaction of that number turns out to be committed, else what
    /// those hear who wait for it.
    pub(super) fn recover(&self, error: &redb::Error, number: Option<u64>) -> Option<Refusal> {
        let opened = self.open_again();
        let refusal = match (number, opened) {
            // It did not come to the commit, or not to its end.
            (None, _) => Refusal::of(error),
            (Some(number), Some(counted)) if counted < number => Refusal::of(error),
            (Some(_), Some(_)) => return None,
            (Some(_), None) => Refusal::OutcomeUnknown(error.to_string()),
        };
        let until = Instant::now() + REST;
        let next = match &refusal {
            Refusal::OutcomeUnknown(why) => Refusal::Unavailable(why.clone()),
            Refusal::Full(_) | Refusal::Unavailable(_) => refusal.clone(),
        };
        let before = self.trouble.lock().replace(Trouble { refusal: next, until });
        if before.is_none() {
            tracing::warn!(%error, "nothing can be written: it is tried again as long as that takes");
        }
        Some(refusal)
    }

    /// What somebody asked for was written.
    pub(super) fn recovered(&self) {
        self.slow.store(false, Ordering::Relaxed);
        if self.trouble.lock().take().is_some() {
            tracing::info!("the database can be written again");
        }
    }

    /// How many transactions the file has, if it can be opened. Readers wait meanwhile.
    fn open_again(&self) -> Option<u64> {
        if matches!(self.place, Place::Memory) {
            return None;
        }
        let mut database = self.database.write();
        // It holds the file's lock until it is gone.
        *database = None;
        match self.place.open() {
            Ok(opened) => place::counted(database.insert(opened)).ok(),
            Err(error) => {
                tracing::debug!(%error, "the database cannot be opened again");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use redb::TableDefinition;

    use super::super::{Engine, More, Refusal};
    use super::*;

    /// Else what is scraped says that all is well between two publishes that are refused.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn upkeep_that_writes_nothing_is_no_proof_of_room() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(Place::Directory(dir.path().to_owned())).unwrap();
        assert!(engine.is_writable());
        let (looked, looks) = channel();
        engine.upkeep(move |_| {
            // The test may have ended.
            let _ = looked.send(());
            Ok(More::Nothing)
        });
        let full = std::io::ErrorKind::StorageFull;
        let refused = engine.submit::<(), _>(move |_| Err(redb::Error::Io(full.into()))).await;
        assert!(matches!(refused, Err(Refusal::Full(_))), "{refused:?}");
        let seen = tokio::task::spawn_blocking(move || {
            while looks.try_recv().is_ok() {}
            looks.iter().take(2).count()
        });
        assert_eq!(seen.await.unwrap(), 2);
        assert!(!engine.is_writable());
        let table = TableDefinition::<u64, u64>::new("numbers");
        engine.submit(move |writing| Ok(writing.table(table)?.insert(1, 1).map(drop)?)).await.unwrap();
        assert!(engine.is_writable());
    }
}
