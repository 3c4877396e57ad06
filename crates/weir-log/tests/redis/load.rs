//! A publisher that goes on whatever happens, and the books of what it wrote.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Sender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_core::log::{AppendError, Appended, EventLog, Feed, LogReader};
use weir_log::RedisLog;
use weir_testkit::log_suite::follow::{event, next, numbers, plain};

/// Publishes rising numbers, one a ms.
pub(crate) struct Load {
    stop: CancellationToken,
    /// How many are written.
    count: Sender<usize>,
    task: JoinHandle<Books>,
}

/// What became of the numbers.
#[derive(Debug, Default)]
pub(crate) struct Books {
    written: Vec<usize>,
    /// Those whose connection ended before the answer.
    unknown: Vec<usize>,
}

/// What a reader got meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) numbers: Vec<usize>,
    pub(crate) resets: usize,
}

impl Load {
    pub(crate) fn start(log: &Arc<RedisLog>) -> Self {
        let (stop, count) = (CancellationToken::new(), Sender::new(0));
        let task = TaskTracker::new().spawn(publish(Arc::clone(log), stop.clone(), count.clone()));
        Self { stop, count, task }
    }

    /// Waits until so many more are written.
    pub(crate) async fn goes_on(&self, more: usize) {
        let mut count = self.count.subscribe();
        let due = *count.borrow_and_update() + more;
        count.wait_for(|count| *count >= due).await.expect("it is kept here");
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn finish(self) -> Books {
        self.stop.cancel();
        self.task.await.expect("the publisher does not panic")
    }
}

/// One that was certainly not written is tried again, as a client does.
async fn publish(log: Arc<RedisLog>, stop: CancellationToken, count: Sender<usize>) -> Books {
    let mut books = Books::default();
    let mut number = 0;
    while !stop.is_cancelled() {
        match log.append(&[plain(number)], None).await {
            Ok(Appended::Written(_)) => {
                books.written.push(number);
                count.send_replace(books.written.len());
            }
            Err(AppendError::OutcomeUnknown(_)) => books.unknown.push(number),
            Err(AppendError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            other @ (Ok(Appended::Duplicate(_)) | Err(AppendError::Conflict)) => {
                panic!("{number}: {other:?}")
            }
        }
        number += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    books
}

/// Reads until nothing comes any more after the publisher's end.
pub(crate) async fn read_all(reader: &mut dyn LogReader, load: &Load) -> Got {
    let mut got = Got::default();
    loop {
        match next(reader).await {
            Feed::Batch(batch) if batch.is_empty() && load.task.is_finished() => return got,
            Feed::Batch(batch) => {
                got.numbers.extend(numbers(&batch.into_iter().map(event).collect::<Vec<_>>()));
            }
            Feed::Reset { .. } => got.resets += 1,
            Feed::Down(_) | Feed::Restored | Feed::Loaded(_) | Feed::Revoked(_) => {}
            feed @ Feed::Lost { .. } => panic!("{feed:?}"),
        }
    }
}

impl Books {
    /// Every number that was written came once and in order, and nothing else but what may have been. Returns how many.
    pub(crate) fn check(self, got: &[usize]) -> usize {
        assert!(got.is_sorted_by(|one, two| one < two), "out of order or twice: {got:?}");
        let missing: Vec<_> =
            self.written.iter().filter(|number| got.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "lost: {missing:?}");
        let surplus = got.iter().filter(|number| self.written.binary_search(number).is_err());
        assert!(surplus.clone().all(|number| self.unknown.contains(number)), "{surplus:?}");
        self.written.len()
    }
}
