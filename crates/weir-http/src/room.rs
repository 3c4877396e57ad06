//! How many there may be in all. The number may change while they are there: nobody has to go for it, and where there are more
//! than it allows, nobody comes until there are fewer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Room {
    most: AtomicUsize,
    taken: AtomicUsize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub(crate) struct Taken(Arc<Room>);

impl Room {
    /// For so many.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: AtomicUsize::new(most), taken: AtomicUsize::new(0) })
    }

    /// From now on for so many.
    pub(crate) fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Takes a place, where there is one left.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Taken> {
        let most = self.most.load(Ordering::Relaxed);
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        let took = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        took.is_ok().then(|| Taken(Arc::clone(self)))
    }

    /// What share of the places is left, in hundredths: 0 only where none is.
    pub(crate) fn free(&self) -> usize {
        let most = self.most.load(Ordering::Relaxed);
        let left = most.saturating_sub(self.taken.load(Ordering::Relaxed));
        let share = left.saturating_mul(100) / most.max(1);
        share.max(usize::from(left > 0))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_room_says_so() {
        let room = Room::new(300);
        assert_eq!(room.free(), 100);
        let mut held: Vec<_> = (0..150).map(|_| room.take().unwrap()).collect();
        assert_eq!(room.free(), 50);
        held.extend((150..299).map(|_| room.take().unwrap()));
        assert_eq!(room.free(), 1);
        held.push(room.take().unwrap());
        assert_eq!(room.free(), 0);
        room.resize(200);
        assert_eq!((room.free(), Room::new(0).free()), (0, 0));
    }

    #[test]
    fn a_smaller_room_fills_up_again_only_when_enough_have_gone() {
        let room = Room::new(3);
        let mut held: Vec<_> = (0..3).map(|_| room.take().unwrap()).collect();
        assert!(room.take().is_none());
        room.resize(2);
        held.pop();
        assert!(room.take().is_none());
        held.pop();
        held.push(room.take().unwrap());
        assert!(room.take().is_none());
        room.resize(3);
        let one_more = room.take();
        assert!(one_more.is_some() && room.take().is_none());
        drop((held, one_more));
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
