//! One stream that is followed, and who follows it.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;
use weir_core::durable::{From, Look, Offset, StreamName};
use weir_core::hub::Seat;

use super::read::Read;

/// Reads that are kept for others who want the same. More places at once are read by each for itself.
const READS: usize = 8;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) name: StreamName,
    state: Mutex<State>,
}

/// Counts what may have changed a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

#[derive(Debug, Default)]
struct State {
    holders: usize,
    /// Invariant: by rising number, so that one of many is found at once.
    seats: Vec<Arc<Seat>>,
    version: Version,
    /// The version at which something happened of which nobody said where the end is since.
    unsure: Version,
    /// Where the end is, as far as was said since then.
    known: Option<Look>,
    /// Whether a call to this instance said so, and may be announced as well.
    told: bool,
    reads: SmallVec<[Kept; 1]>,
}

#[derive(Debug)]
struct Kept {
    from: From,
    version: Version,
    read: Read,
    /// Followers that may still want it.
    owed: usize,
}

/// Where a follower is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// It has everything before this.
    pub(super) from: From,
    /// Up to which version it has everything; `None` where there is more.
    pub(super) seen: Option<Version>,
    /// It has come just now, and has not been told anything.
    pub(super) is_new: bool,
}

/// Whether a follower has to read.
pub(super) enum Next {
    /// It has everything.
    Wait,
    /// This one, which tells what there is at this version.
    Read(Read, Version),
}

impl Tail {
    pub(super) fn new(name: StreamName) -> Self {
        Self { name, state: Mutex::default() }
    }

    pub(super) fn hold(&self) {
        self.state.lock().holders += 1;
    }

    pub(super) fn sit(&self, seat: &Arc<Seat>) {
        let seats = &mut self.state.lock().seats;
        let nth = seats.partition_point(|other| other.id() < seat.id());
        seats.insert(nth, Arc::clone(seat));
    }

    pub(super) fn leave(&self, seat: Option<&Seat>) {
        let mut state = self.state.lock();
        state.holders -= 1;
        let Some(seat) = seat else { return };
        let nth = state.seats.partition_point(|other| other.id() < seat.id());
        if state.seats.get(nth).is_some_and(|other| other.id() == seat.id()) {
            state.seats.remove(nth);
        }
        if state.seats.len() < state.seats.capacity() / 4 {
            state.seats.shrink_to_fit();
        }
    }

    pub(super) fn is_left(&self) -> bool {
        self.state.lock().holders == 0
    }

    pub(super) fn version(&self) -> Version {
        self.state.lock().version
    }

    /// A call to this instance has found the stream so. Returns whom to wake.
    pub(super) fn changed(&self, now: Look) -> Option<Vec<Arc<Seat>>> {
        let mut state = self.state.lock();
        state.told = true;
        // Answers to two calls may overtake each other.
        state.is_news(now).then(|| state.wake(Some(now)))
    }

    /// Somebody has changed the stream. `None` where a call to this instance has told of it already, perhaps; then a look
    /// tells.
    pub(super) fn announced(&self) -> Option<Vec<Arc<Seat>>> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.told) {
            return None;
        }
        Some(state.wake(None))
    }

    /// It may have changed.
    pub(super) fn unsure(&self) -> Vec<Arc<Seat>> {
        self.state.lock().wake(None)
    }

    /// A look that was begun at this version found the stream so. Returns whom to wake.
    pub(super) fn found(&self, now: Look, before: Version) -> Option<Vec<Arc<Seat>>> {
        let mut state = self.state.lock();
        if state.version == before {
            return (state.known != Some(now)).then(|| state.wake(Some(now)));
        }
        // What overtook the look may be newer, and it may have told less: a call tells of what it appended, and the look
        // has seen what somebody else did after that.
        state.is_news(now).then(|| state.wake(None))
    }

    /// What a follower does that is here. `begin` makes a read.
    pub(super) fn next(&self, place: Place, begin: impl FnOnce() -> Read) -> Next {
        let mut state = self.state.lock();
        let version = state.version;
        if place.seen.is_some_and(|seen| seen == version || state.is_known(place.from, seen)) {
            return Next::Wait;
        }
        let Some(nth) = state.begun(place) else {
            return Next::Read(state.begin(place.from, begin()), version);
        };
        let kept = &mut state.reads[nth];
        kept.owed = kept.owed.saturating_sub(1);
        let (read, version) = (kept.read.clone(), kept.version);
        if kept.owed == 0 {
            state.reads.remove(nth);
        }
        Next::Read(read, version)
    }

    /// A read of this version found the end here.
    pub(super) fn learn(&self, now: Look, at: Version) {
        let mut state = self.state.lock();
        if state.version == at {
            state.known = Some(now);
        }
    }

    /// Lets go of what was read and is kept for others, who read it again.
    pub(super) fn give_way(&self) {
        self.state.lock().reads.retain(|kept| kept.read.peek().is_none());
    }

    /// Lets go of what was kept for others.
    pub(super) fn forget(&self) {
        self.state.lock().reads = SmallVec::new();
    }
}

impl State {
    /// Something has happened. Where nobody says where the end is now, all have to read.
    fn wake(&mut self, now: Option<Look>) -> Vec<Arc<Seat>> {
        self.version.0 += 1;
        self.known = now.or(self.known);
        if now.is_none() {
            self.unsure = self.version;
        }
        self.seats.clone()
    }

    /// Whether this is more than what is known.
    fn is_news(&self, now: Look) -> bool {
        match (self.known, now) {
            (Some(Look::At { tail: known, closed }), Look::At { tail, closed: closes }) => {
                tail > known || (closes && !closed)
            }
            (Some(known), now) => known != now,
            (None, _) => true,
        }
    }

    /// Whether a follower at this place, which saw that version, has all that is known of.
    fn is_known(&self, from: From, seen: Version) -> bool {
        let end = match self.known {
            Some(Look::At { tail, closed: false }) => tail,
            Some(Look::At { closed: true, .. } | Look::Missing) | None => return false,
        };
        seen >= self.unsure && is_at(from, end)
    }

    /// A read that was begun and serves a follower. One of before the last change does, where it was told since where the end
    /// is: what was announced before is in it, and the follower reads again where that does not reach the end. But where `now`
    /// is, an older one does not tell: what was appended before somebody asked would be new to them. What was found already
    /// serves only who was there then, and only where nothing has happened since: whoever comes now may know of more.
    fn begun(&self, place: Place) -> Option<usize> {
        let serves = |kept: &Kept| match kept.read.peek() {
            Some(found) => !place.is_new && found.page.is_ok() && kept.version == self.version,
            None => {
                kept.version == self.version
                    || (place.from != From::End
                        && kept.version >= self.unsure
                        && place.seen.is_none_or(|seen| kept.version > seen))
            }
        };
        self.reads.iter().position(|kept| kept.from == place.from && serves(kept))
    }

    fn begin(&mut self, from: From, read: Read) -> Read {
        let others = self.holders.saturating_sub(1);
        if others > 0 {
            if self.reads.len() >= READS {
                self.reads.remove(0);
            }
            self.reads.push(Kept { from, version: self.version, read: read.clone(), owed: others });
        }
        read
    }
}

fn is_at(from: From, end: Offset) -> bool {
    match from {
        From::After(offset) => offset == end,
        From::Begin | From::End => false,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use weir_core::durable::{Head, Lifetime, MediaType, Page, ReadError};

    use super::*;
    use crate::tails::read::Found;

    const N1: Offset = Offset::BEGIN;

    fn at(n: u64) -> Offset {
        Offset::new(7, n)
    }

    fn open(n: u64) -> Look {
        Look::At { tail: at(n), closed: false }
    }

    fn read() -> Read {
        let found: weir_core::log::BoxFuture<'static, _> =
            Box::pin(std::future::ready(Arc::new(Found::new(Err(ReadError::Missing)))));
        found.shared()
    }

    /// Whether a follower reads, and up to which version it has everything then.
    fn reads(tail: &Tail, from: Offset, seen: Option<Version>) -> Option<Version> {
        match tail.next(Place { from: From::After(from), seen, is_new: false }, read) {
            Next::Wait => None,
            Next::Read(_, version) => Some(version),
        }
    }

    fn tail(holders: usize) -> Tail {
        let tail = Tail::new(StreamName::parse("a").unwrap());
        (0..holders).for_each(|_| tail.hold());
        tail
    }

    #[test]
    fn a_follower_reads_when_something_happened_and_only_then() {
        let tail = tail(1);
        let seen = reads(&tail, N1, None);
        assert!(seen.is_some());
        assert_eq!(reads(&tail, N1, seen), None);
        assert!(tail.changed(open(1)).is_some());
        let seen = reads(&tail, N1, seen);
        assert!(seen.is_some());
        assert_eq!(reads(&tail, at(1), seen), None);
        // The same is announced: who is there has it, whoever looks finds nothing new.
        assert!(tail.announced().is_none());
        assert!(tail.found(open(1), tail.version()).is_none());
        assert_eq!(reads(&tail, at(1), seen), None);
        // What somebody else announces is read, though nobody knows what it is.
        assert!(tail.announced().is_some());
        assert!(reads(&tail, at(1), seen).is_some());
    }

    #[test]
    fn what_a_call_found_hides_nothing_that_was_announced_before() {
        let tail = tail(1);
        let seen = reads(&tail, N1, None);
        assert!(tail.changed(open(1)).is_some());
        let seen = reads(&tail, N1, seen);
        // Another instance appends the third, and the answer to the call that appended the second comes late.
        assert!(tail.announced().is_none());
        assert!(tail.announced().is_some());
        assert!(tail.changed(open(2)).is_some());
        assert!(reads(&tail, at(2), seen).is_some());
        // And it does not go back.
        assert!(tail.changed(open(1)).is_none());
    }

    /// The store announces before it answers, so a call often tells what is being read already.
    #[test]
    fn what_is_being_read_is_not_read_again_for_the_call_that_wrote_it() {
        let tail = tail(3);
        let seen = reads(&tail, N1, None);
        assert!(tail.announced().is_some());
        let first = reads(&tail, N1, seen);
        assert!(tail.changed(open(1)).is_some());
        assert_eq!(reads(&tail, N1, seen), first);
        assert_eq!(reads(&tail, at(1), first), None);
        // It did not reach the end: there is another read.
        assert!(reads(&tail, N1, first) > first);
    }

    #[test]
    fn a_call_that_overtakes_a_look_hides_nothing_of_what_it_saw() {
        let tail = tail(1);
        assert!(tail.changed(open(4)).is_some());
        let seen = reads(&tail, at(3), None);
        // The announcements of the fifth, from here, and of the sixth come together: a look begins.
        assert!(tail.announced().is_none());
        let before = tail.version();
        assert!(tail.changed(open(5)).is_some());
        // The read that was under way found the fifth.
        assert_eq!(reads(&tail, at(5), seen), None);
        assert!(tail.found(open(6), before).is_some());
        assert!(reads(&tail, at(5), seen).is_some());
        let before = tail.version();
        assert!(tail.changed(open(7)).is_some());
        assert!(tail.found(Look::At { tail: at(7), closed: true }, before).is_some());
        assert!(tail.found(Look::Missing, before).is_some());
    }

    #[test]
    fn now_is_never_before_the_last_change() {
        let tail = tail(3);
        let place = Place { from: From::End, seen: None, is_new: true };
        let version = || match tail.next(place, read) {
            Next::Wait => unreachable!("it has nothing"),
            Next::Read(_, version) => version,
        };
        let before = version();
        assert_eq!(version(), before);
        assert!(tail.changed(open(1)).is_some());
        assert!(version() > before);
    }

    #[test]
    fn a_look_that_something_overtook_does_not_count() {
        let tail = tail(1);
        let before = tail.version();
        assert!(tail.changed(open(1)).is_some());
        assert!(tail.found(open(0), before).is_none());
        assert!(reads(&tail, N1, Some(before)).is_some());
        let closed = Look::At { tail: at(1), closed: true };
        assert!(tail.found(closed, tail.version()).is_some());
        assert!(reads(&tail, at(1), Some(before)).is_some());
    }

    #[test]
    fn what_was_found_is_for_those_who_were_there() {
        let tail = tail(9);
        let made = std::cell::Cell::new(0);
        let next = |is_new: bool, found: Result<Page, ReadError>| {
            let begin = || {
                made.set(made.get() + 1);
                let found: weir_core::log::BoxFuture<'static, _> =
                    Box::pin(std::future::ready(Arc::new(Found::new(found))));
                found.shared()
            };
            let place = Place { from: From::After(at(1)), seen: None, is_new };
            let Next::Read(read, _) = tail.next(place, begin) else { panic!("it waits") };
            (made.get(), read)
        };
        let head = Head {
            media: MediaType::octets(),
            lifetime: Lifetime::Forever,
            tail: at(1),
            closed: false,
            born: 7,
        };
        let page = || Ok(Page { head: head.clone(), chunks: Vec::new(), next: at(1) });
        let (_, first) = next(false, page());
        // It has not ended, so it serves everybody.
        assert_eq!(next(true, page()).0, 1);
        assert!(first.now_or_never().is_some());
        assert_eq!([next(false, page()).0, next(true, page()).0], [1, 2]);
        // Nor is anything read again that has not changed.
        assert_eq!(next(false, page()).0, 2);
        assert!(tail.changed(open(2)).is_some());
        tail.forget();
        let (nth, failed) = next(false, Err(ReadError::Missing));
        assert!(failed.now_or_never().is_some());
        assert_eq!(next(false, page()).0, nth + 1);
        tail.give_way();
        assert_eq!(tail.state.lock().reads.len(), 1);
    }

    #[test]
    fn a_read_is_shared_until_something_happens() {
        let tail = tail(3);
        let made = std::cell::Cell::new(0);
        let next = |from: u64| {
            let begin = || {
                made.set(made.get() + 1);
                read()
            };
            let place = Place { from: From::After(at(from)), seen: None, is_new: true };
            assert!(matches!(tail.next(place, begin), Next::Read(..)));
            made.get()
        };
        assert_eq!([next(1), next(1), next(1)], [1, 1, 1]);
        // All three had it, so it is gone.
        assert_eq!([next(1), next(1)], [2, 2]);
        tail.announced();
        assert_eq!([next(1), next(2), next(1), next(2)], [3, 4, 4, 4]);
        tail.forget();
        assert_eq!(next(1), 5);
        (10..30).for_each(|from| assert!(next(from) > 5));
        assert_eq!(tail.state.lock().reads.len(), READS);
    }
}
