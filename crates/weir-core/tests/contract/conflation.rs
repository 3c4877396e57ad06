//! Section 2: at most one event per key in each period; the newest wins.

use std::time::Duration;

use weir_core::subscription::Wants;

use crate::contract::driver::{Instance, event, from, keyed, wants};

fn every(ms: u64, wants: Wants) -> Wants {
    Wants { conflate: Some(Duration::from_millis(ms)), ..wants }
}

#[test]
fn the_newest_of_each_key_leaves_once_in_each_period() {
    let mut instance = Instance::at("4-0", 100, 10);
    let seat = instance.join(every(100, wants("room")));
    instance.pull(&seat);
    instance.batch([keyed("5-1", "room", "k", "first")]);
    assert_eq!(instance.pull(&seat), ["5-1 first"], "the first leaves at once");
    let tally = instance.batch([
        keyed("5-2", "room", "k", "a"),
        keyed("5-3", "room", "m", "b"),
        keyed("5-4", "room", "k", "c"),
    ]);
    assert_eq!((tally.queued, tally.conflated), (3, 1));
    assert!(instance.pull(&seat).is_empty());
    assert_eq!(
        seat.look(|subscription| subscription.deadline()),
        Some(instance.time().now + Duration::from_millis(100))
    );
    instance.wait(99);
    assert!(instance.pull(&seat).is_empty());
    instance.wait(1);
    assert_eq!(instance.pull(&seat), ["5-3 b", "5-4 c"]);
}

#[test]
fn without_keys_it_goes_by_session() {
    let mut instance = Instance::at("4-0", 100, 10);
    let seat = instance.join(every(100, wants("a b")));
    instance.pull(&seat);
    instance.batch([event("5-1", "a", "x"), event("5-2", "b", "x"), event("5-3", "a", "y")]);
    assert_eq!(instance.pull(&seat), ["5-2 x", "5-3 y"]);
    instance.batch([event("5-4", "b", "y")]);
    assert!(instance.pull(&seat).is_empty());
    instance.wait(100);
    assert_eq!(instance.pull(&seat), ["5-4 y"]);
}

#[test]
fn a_replay_is_conflated_and_its_books_balance() {
    let instance = Instance::at("4-0", 100, 10);
    instance.batch([
        keyed("5-1", "room", "k", "a"),
        keyed("5-2", "room", "m", "b"),
        keyed("5-3", "room", "k", "c"),
    ]);
    let seat = instance.join(every(100, from("room", "4-0")));
    let tally = instance.once(&seat, 1).expect("a replay").tally;
    assert_eq!((tally.replayed, tally.queued, tally.conflated), (2, 1, 1));
}

#[test]
fn a_full_queue_of_many_keys_leaves_in_one_go() {
    let mut instance = Instance::at("4-0", 100, 10);
    let seat = instance.join(every(100, wants("room")));
    instance.pull(&seat);
    instance.batch([1, 2, 3, 4, 5].map(|n| keyed(&format!("5-{n}"), "room", &n.to_string(), "x")));
    assert_eq!(instance.some(&seat, 1).len(), 5, "or a newer one of a key could leave in the same period");
    // The queue overflows while the gate is closed; what did not fit follows in the next period.
    instance.batch(
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map(|n| keyed(&format!("6-{n}"), "room", &n.to_string(), "x")),
    );
    instance.wait(100);
    assert_eq!(instance.pull(&seat).len(), 10);
    instance.wait(100);
    assert_eq!(instance.pull(&seat), ["6-11 x"]);
}
