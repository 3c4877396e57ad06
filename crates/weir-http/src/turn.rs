//! Letting others go first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Lets the task go on after those that it has just woken, and those that they wake first, and before all that is woken
/// after that.
///
/// tokio runs what a task woke last as soon as that task pauses, and queues the task itself behind what is ready. Its own
/// `yield_now` would go on only after everything that is ready and another look at the sockets: a thousand deliveries later.
pub fn pass() -> impl Future<Output = ()> + Send {
    Pass { passed: false }
}

#[derive(Debug)]
struct Pass {
    passed: bool,
}

impl Future for Pass {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.passed {
            return Poll::Ready(());
        }
        self.passed = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// A publish wakes the pump, the pump wakes clients: the pump and the client it woke last come before the answer, and
    /// the answer before the rest of the clients.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn whoever_lets_others_pass_waits_for_a_few_and_not_for_all() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let (wake_pump, mut pump) = unbounded_channel();
        let mut tasks = tokio::task::JoinSet::new();
        let mut clients = Vec::new();
        for _ in 0..100 {
            let ((wake, mut woken), order) = (unbounded_channel(), Arc::clone(&order));
            clients.push(wake);
            tasks.spawn(async move {
                woken.recv().await;
                order.lock().push("client");
            });
        }
        let pumped = Arc::clone(&order);
        tasks.spawn(async move {
            pump.recv().await;
            pumped.lock().push("pump");
            clients.iter().for_each(|client| client.send(()).unwrap());
        });
        let answered = Arc::clone(&order);
        tasks.spawn(async move {
            // Whoever was spawned before waits by now: this task was queued behind them.
            tokio::task::yield_now().await;
            wake_pump.send(()).unwrap();
            pass().await;
            answered.lock().push("answer");
        });
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let place = order.lock().iter().position(|who| *who == "answer").unwrap();
        assert_eq!(order.lock()[0], "pump");
        assert!((2..10).contains(&place), "the answer came at {place} of {}", order.lock().len());
    }
}
