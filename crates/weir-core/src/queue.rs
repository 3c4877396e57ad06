//! A queue that is seldom longer than one.

use std::collections::VecDeque;

/// First in, first out. Its head stands in the queue itself: most clients take each event before the next one comes, and
/// then nothing is allocated, and nothing beside the queue is touched.
// Invariant: `rest` is empty where `head` is none.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    head: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { head: None, rest: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.head.is_some()) + self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.head.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.head.iter().chain(&self.rest)
    }

    pub(crate) fn push_back(&mut self, item: T) {
        if self.head.is_none() {
            self.head = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.head.take()?;
        if !self.rest.is_empty() {
            self.head = self.rest.pop_front();
            if self.rest.is_empty() {
                // What a burst needed is not kept for a client that reads.
                self.rest = VecDeque::new();
            }
        }
        Some(first)
    }

    /// Takes the item at this place out.
    pub(crate) fn remove(&mut self, nth: usize) -> Option<T> {
        match nth.checked_sub(1) {
            None => self.pop_front(),
            Some(behind) => self.rest.remove(behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_queue(steps in proptest::collection::vec((0_u8..5, 0_usize..6), 0..60)) {
            let (mut queue, mut naive) = (Queue::default(), VecDeque::new());
            for (nth, (step, place)) in steps.into_iter().enumerate() {
                match step {
                    0..=2 => {
                        queue.push_back(nth);
                        naive.push_back(nth);
                    }
                    3 => prop_assert_eq!(queue.pop_front(), naive.pop_front()),
                    _ => prop_assert_eq!(queue.remove(place), naive.remove(place)),
                }
                prop_assert_eq!(queue.iter().copied().collect::<Vec<_>>(), Vec::from(naive.clone()));
                prop_assert_eq!((queue.len(), queue.is_empty(), queue.front()), (naive.len(), naive.is_empty(), naive.front()));
            }
        }
    }
}
