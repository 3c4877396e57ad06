//! `snapshot=1`: the newest snapshot first, and the healing of gaps.

use std::sync::Arc;

use weir_core::Content;
use weir_core::subscription::Wants;

use crate::contract::driver::{Instance, event, from, session, snapshot, typed, wants};

fn healing(wants: Wants) -> Wants {
    Wants { snapshot: true, ..wants }
}

#[test]
fn first_the_snapshot_then_all_after_it_that_the_window_holds() {
    let instance = Instance::at("4-0", 10, 10);
    assert_eq!(instance.first(healing(wants("room"))), ["connected 4-0"], "none yet");
    instance.batch([
        snapshot("5-0", "room", 60, "old"),
        snapshot("5-1", "room", 60, "s"),
        event("5-2", "room", "a"),
    ]);
    // From there a client that got no further gets the snapshot again.
    assert_eq!(instance.first(healing(wants("room"))), ["connected 5-0", "5-1 s", "5-2 a"]);
    assert_eq!(instance.first(wants("room")), ["connected 5-2"]);
}

#[test]
fn several_sessions_each_begin_with_their_own_in_the_order_of_ids() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([event("5-0", "a", "before"), snapshot("5-1", "b", 60, "sb"), event("5-2", "b", "b1")]);
    instance.batch([
        event("5-3", "a", "before"),
        event("5-4", "c", "before"),
        snapshot("5-5", "a", 60, "sa"),
    ]);
    instance.batch([event("5-6", "b", "b2"), event("5-7", "a", "a1")]);
    let seat = instance.join(healing(wants("a b c")));
    assert_eq!(instance.pull(&seat), ["connected 5-0", "5-1 sb", "5-2 b1", "5-5 sa", "5-6 b2", "5-7 a1"]);
    instance.batch([event("5-8", "c", "c1")]);
    assert_eq!(instance.pull(&seat), ["5-8 c1"]);
}

#[test]
fn a_complete_resume_gets_none() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([snapshot("5-0", "room", 60, "s"), event("5-1", "room", "a")]);
    assert_eq!(instance.first(healing(from("room", "5-0"))), ["connected 5-0", "5-1 a"]);
    assert_eq!(
        instance.first(healing(from("room", "4-0"))),
        ["connected 4-0", "5-0 s", "5-1 a"],
        "as an event"
    );
}

#[test]
fn after_every_gap_of_a_resume_the_snapshot_heals() {
    let instance = Instance::at("4-0", 1, 10);
    instance.batch([snapshot("5-0", "room", 60, "s"), event("5-1", "room", "a"), event("5-2", "room", "b")]);
    assert_eq!(
        instance.first(healing(from("room", "4-0"))),
        ["connected 4-0", "gap trimmed room - (4-0, 5-2)", "ping 5-1", "5-0 s", "5-2 b"]
    );
    assert_eq!(
        instance.first(healing(from("room", "5-0"))),
        ["connected 5-0", "gap trimmed room - (5-0, 5-2)", "ping 5-1", "5-2 b"],
        "it has that snapshot"
    );
    assert_eq!(
        instance.first(healing(from("room", "junk"))),
        ["connected 5-2", "gap unknown-id - - (-, -)", "ping 5-2", "5-0 s"]
    );
    instance.reset(
        ("4-0", "5-2"),
        "1-0",
        vec![snapshot("2-0", "room", 60, "new"), event("2-1", "room", "c")],
        "2-1",
    );
    assert_eq!(
        instance.first(healing(from("room", "5-0"))),
        ["connected 5-0", "gap reset - - (5-0, -)", "ping 2-1", "2-0 new"]
    );
}

#[test]
fn a_snapshot_above_the_gap_stands_for_what_lies_between() {
    let instance = Instance::at("4-0", 3, 10);
    instance.batch([event("5-0", "room", "a"), event("5-1", "room", "b"), snapshot("5-2", "room", 60, "s")]);
    instance.batch([event("5-3", "room", "c")]);
    assert_eq!(
        instance.first(healing(from("room", "4-0"))),
        ["connected 4-0", "gap trimmed room - (4-0, 5-2)", "ping 5-0", "5-2 s", "5-3 c"]
    );
}

#[test]
fn it_expires_and_the_newest_wins_in_whatever_order_they_come() {
    let mut instance = Instance::at("4-0", 1, 10);
    instance.batch([snapshot("1000-0", "room", 2, "s"), event("1000-1", "room", "a")]);
    let Content::Event(older) = snapshot("999-0", "room", 60, "older").content else { unreachable!() };
    instance.broker.keep_snapshot(older);
    instance.wait(1999);
    assert_eq!(instance.first(healing(wants("room")))[1], "1000-0 s");
    instance.wait(1);
    assert_eq!(instance.broker.snapshot(&session("room"), instance.ms).map(|event| event.id), None);
    assert_eq!(instance.first(healing(wants("room"))), ["connected 1000-1"]);
}

#[test]
fn one_above_the_head_is_left_to_come_by_itself() {
    let instance = Instance::at("4-0", 10, 10);
    let entry = snapshot("6-0", "room", 60, "s");
    let Content::Event(kept) = &entry.content else { unreachable!() };
    instance.broker.keep_snapshot(Arc::clone(kept));
    let seat = instance.join(healing(wants("room")));
    assert_eq!(instance.pull(&seat), ["connected 4-0"]);
    instance.batch([event("5-0", "room", "a"), entry]);
    assert_eq!(instance.pull(&seat), ["5-0 a", "6-0 s"]);
}

#[test]
fn the_filter_holds_for_snapshots_too() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([snapshot("5-0", "room", 60, "s"), typed("5-1", "room", "tick", "t")]);
    let kinds = [weir_core::name::EventType::parse("tick").expect("a type")].into();
    let filter = weir_core::filter::Filter { kinds, keys: Box::default() };
    assert_eq!(instance.first(Wants { filter, ..healing(wants("room")) }), ["connected 5-1"]);
}

#[test]
fn a_client_that_loses_more_while_it_is_healed_is_healed_again() {
    let mut instance = Instance::at("4-0", 3, 10);
    instance.batch([event("5-0", "a", "x"), event("5-1", "a", "x"), event("5-2", "a", "x")]);
    instance.batch([snapshot("5-3", "b", 1, "sb")]);
    let seat = instance.join(healing(from("a b", "4-0")));
    assert_eq!(instance.some(&seat, 1), ["connected 4-0", "gap trimmed - - (4-0, 5-3)", "ping 5-0", "5-1 x"]);
    // The snapshot that it was promised leaves the window and expires before it is given.
    instance.wait(60_000);
    instance.batch([event("5-4", "a", "x"), event("5-5", "a", "x"), event("5-6", "b", "y")]);
    assert_eq!(
        instance.pull(&seat),
        ["gap trimmed - - (5-1, 5-3)", "ping 5-2", "5-3 sb", "5-4 x", "5-5 x", "5-6 y"]
    );
}

#[test]
fn memory_is_bounded_and_the_oldest_goes() {
    let Content::Event(one) = snapshot("5-0", "a", 60, "x").content else { unreachable!() };
    let Content::Event(two) = snapshot("5-0", "b", 60, "y").content else { unreachable!() };
    let Content::Event(three) = snapshot("6-0", "c", 60, "z").content else { unreachable!() };
    let mut snapshots = weir_core::snapshots::Snapshots::new(2 * one.cost());
    for event in [one, two, three] {
        snapshots.put(event);
    }
    let kept = ["a", "b", "c"].map(|name| snapshots.get(&session(name), 0).is_some());
    assert_eq!(kept, [false, true, true], "two of one id, from logs that replaced one another, are two");
}
