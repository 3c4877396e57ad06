//! Room for admin connections: bounded, and never taken by those who only sit there.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Connections at once. A scrape needs its own for milliseconds, so one that is the oldest of so many is stuck or idle.
const MOST: usize = 64;

/// See the [module](self). When it is full, who comes takes the place of who has been there longest, so that nobody can keep
/// an operator or a scrape out by holding connections open.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<Places>);

// Invariant: `open` is by rising number, oldest first.
#[derive(Debug, Default)]
struct Places {
    open: VecDeque<(u64, CancellationToken)>,
    next: u64,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    nth: u64,
    taken: CancellationToken,
}

impl Room {
    pub(crate) fn enter(self: &Arc<Self>) -> Place {
        let taken = CancellationToken::new();
        let mut places = self.0.lock();
        while places.open.len() >= MOST {
            let Some((_, oldest)) = places.open.pop_front() else { break };
            oldest.cancel();
        }
        let nth = places.next;
        places.next += 1;
        places.open.push_back((nth, taken.clone()));
        Place { room: Arc::clone(self), nth, taken }
    }
}

impl Place {
    /// Runs a connection until its end, or until somebody else takes its place.
    pub(crate) async fn hold(self, connection: impl Future<Output = ()>) {
        self.taken.run_until_cancelled(connection).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.lock().open.retain(|(nth, _)| *nth != self.nth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_takes_the_place_of_the_oldest() {
        let room = Arc::new(Room::default());
        let mut places: Vec<_> = (0..MOST).map(|_| room.enter()).collect();
        let second = places.remove(1);
        drop(second);
        places.push(room.enter());
        assert!(places.iter().all(|place| !place.taken.is_cancelled()), "there was room");
        let newest = room.enter();
        assert!(places[0].taken.is_cancelled() && !places[1].taken.is_cancelled());
        places.remove(0).hold(std::future::pending()).await;
        assert_eq!(room.0.lock().open.len(), MOST);
        drop((places, newest));
        assert_eq!(room.0.lock().open.len(), 0);
    }
}
