//! Section 5: a client that is too slow.

use weir_core::broker::BrokerBounds;
use weir_core::mailbox::{MailboxBounds, Overflow};
use weir_core::subscription::Wants;
use weir_core::window::WindowBounds;

use crate::contract::driver::{Instance, event, from, keyed, oversize, typed, wants};

fn with(overflow: Overflow, sessions: &str) -> Wants {
    Wants { overflow, ..wants(sessions) }
}

#[test]
fn catch_up_refills_from_the_window_in_order() {
    let instance = Instance::at("4-0", 10, 2);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    let tally = instance.batch([1, 2, 3, 4, 5].map(|n| event(&format!("5-{n}"), "room", "x")));
    assert_eq!((tally.queued, tally.dropped.total()), (2, 0));
    assert_eq!((seat.progress().queued, seat.progress().lag, seat.progress().catching_up), (2, 5, true));
    let drained = instance.once(&seat, 10).expect("the queue").tally;
    let refilled = instance.once(&seat, 2).expect("the window").tally;
    assert_eq!((drained.delivered, refilled.queued, refilled.delivered, refilled.replayed), (2, 2, 2, 0));
    instance.batch([event("5-6", "room", "x")]);
    assert_eq!(instance.pull(&seat), ["5-5 x", "5-6 x"]);
    assert!(!seat.progress().catching_up);
}

#[test]
fn under_catch_up_only_what_left_the_window_is_lost() {
    let instance = Instance::at("4-0", 2, 2);
    let seat = instance.join(Wants { filter: only("a"), ..wants("room") });
    instance.pull(&seat);
    instance.batch([1, 2, 3, 4].map(|n| typed(&format!("5-{n}"), "room", "a", "x")));
    instance.batch([typed("5-5", "room", "b", "not wanted"), typed("5-6", "room", "a", "x")]);
    assert_eq!(
        instance.pull(&seat),
        ["5-1 x", "5-2 x", "gap trimmed room 2 (5-2, 5-5)", "ping 5-4", "5-6 x"]
    );
    assert_eq!(seat.progress().dropped, 2);
}

#[test]
fn under_catch_up_nothing_is_announced_where_only_unwanted_events_left() {
    let instance = Instance::at("4-0", 2, 1);
    let seat = instance.join(Wants { filter: only("a"), ..wants("room") });
    instance.pull(&seat);
    instance.batch([typed("5-1", "room", "a", "x"), typed("5-2", "room", "a", "y")]);
    assert_eq!(instance.some(&seat, 1), ["5-1 x"]);
    assert_eq!(instance.some(&seat, 1), ["5-2 y"]);
    instance.batch([
        typed("5-3", "room", "b", "-"),
        typed("5-4", "room", "b", "-"),
        typed("5-5", "room", "a", "z"),
    ]);
    assert_eq!(instance.pull(&seat), ["5-5 z"]);
}

#[test]
fn drop_oldest_makes_room_and_says_so_at_the_place() {
    let instance = Instance::at("4-0", 10, 2);
    let seat = instance.join(with(Overflow::DropOldest, "room"));
    instance.pull(&seat);
    let tally = instance.batch([1, 2, 3, 4, 5].map(|n| event(&format!("5-{n}"), "room", "x")));
    assert_eq!((tally.queued, tally.dropped.overflow), (5, 3));
    assert_eq!(seat.progress().dropped, 3);
    assert_eq!(instance.pull(&seat), ["gap overflow room 3 (5-0, 5-4)", "ping 5-3", "5-4 x", "5-5 x"]);
}

#[test]
fn a_loss_of_several_sessions_names_none() {
    let instance = Instance::at("4-0", 10, 1);
    let seat = instance.join(with(Overflow::DropOldest, "a b"));
    instance.pull(&seat);
    instance.batch([event("5-1", "a", "x"), event("5-2", "b", "y"), event("5-3", "a", "z")]);
    assert_eq!(instance.pull(&seat), ["gap overflow - 2 (5-0, 5-3)", "ping 5-2", "5-3 z"]);
}

#[test]
fn latest_replaces_the_queued_event_of_the_key_and_ids_rise() {
    let instance = Instance::at("4-0", 10, 2);
    let seat = instance.join(with(Overflow::Latest, "room"));
    instance.pull(&seat);
    let tally = instance.batch([
        keyed("5-1", "room", "k", "old"),
        keyed("5-2", "room", "m", "m"),
        keyed("5-3", "room", "k", "new"),
    ]);
    assert_eq!((tally.queued, tally.conflated, tally.dropped.overflow), (3, 1, 0));
    assert_eq!(instance.pull(&seat), ["5-2 m", "5-3 new"]);
}

#[test]
fn latest_without_keys_goes_by_session() {
    let instance = Instance::at("4-0", 10, 9);
    let seat = instance.join(with(Overflow::Latest, "a b"));
    instance.pull(&seat);
    instance.batch([event("5-1", "a", "old"), event("5-2", "b", "b"), event("5-3", "a", "new")]);
    instance.batch([keyed("5-4", "a", "k", "another key")]);
    assert_eq!(instance.pull(&seat), ["5-2 b", "5-3 new", "5-4 another key"]);
}

#[test]
fn latest_with_more_keys_than_room_drops_the_oldest() {
    let instance = Instance::at("4-0", 10, 2);
    let seat = instance.join(with(Overflow::Latest, "room"));
    instance.pull(&seat);
    instance.batch(["j", "k", "l"].map(|key| keyed(&format!("5-{}", key.as_bytes()[0]), "room", key, key)));
    assert_eq!(
        instance.pull(&seat),
        ["gap overflow room 1 (5-105, 5-107)", "ping 5-106", "5-107 k", "5-108 l"]
    );
}

#[test]
fn disconnect_closes_and_the_client_resumes_by_its_position() {
    let instance = Instance::at("4-0", 10, 2);
    let seat = instance.join(with(Overflow::Disconnect, "room"));
    instance.pull(&seat);
    let tally = instance.batch([1, 2, 3].map(|n| event(&format!("5-{n}"), "room", "x")));
    assert_eq!(tally.queued, 2);
    assert_eq!(instance.pull(&seat), ["end Overflow"]);
    assert_eq!(seat.look(|subscription| subscription.position()).to_string(), "4-0");
    assert_eq!(instance.broker.leave(&seat), 2);
    assert_eq!(instance.first(from("room", "4-0"))[1..], ["5-1 x", "5-2 x", "5-3 x"]);
}

#[test]
fn bytes_bound_the_queue_too_and_one_event_always_fits() {
    let window = WindowBounds { events: 10, bytes: 1 << 20, age: None, remembered_sessions: 10 };
    let mailbox = MailboxBounds { events: 10, bytes: 100 };
    let instance = Instance::bounded(BrokerBounds { window, mailbox, snapshot_bytes: 0 });
    instance.load("4-0", Vec::new(), "4-0");
    let seat = instance.join(with(Overflow::DropOldest, "room"));
    instance.pull(&seat);
    let large = "x".repeat(500);
    instance.batch([event("5-1", "room", &large)]);
    assert_eq!(seat.progress().queued, 1);
    instance.batch([
        event("5-2", "room", "a"),
        event("5-3", "room", &"y".repeat(30)),
        event("5-4", "room", &"z".repeat(40)),
    ]);
    // `id: 5-2\ndata: a\n\n` is 17 bytes, the next two are 46 and 56.
    assert_eq!((seat.progress().queued, seat.progress().queued_bytes), (1, 56));
    assert_eq!(instance.pull(&seat)[0], "gap overflow room 3 (5-0, 5-4)");
}

#[test]
fn no_policy_applies_while_a_client_replays() {
    let instance = Instance::at("4-0", 20, 1);
    instance.batch([event("5-1", "room", "x"), event("5-2", "room", "x")]);
    let wants = Wants { overflow: Overflow::Disconnect, ..from("room", "4-0") };
    let seat = instance.join(wants);
    assert_eq!(instance.some(&seat, 1), ["connected 4-0", "5-1 x"]);
    instance.batch([3, 4, 5].map(|n| event(&format!("5-{n}"), "room", "x")));
    assert_eq!(instance.pull(&seat), ["5-2 x", "5-3 x", "5-4 x", "5-5 x"]);
}

#[test]
fn what_concerns_everybody_is_not_hidden_behind_an_overflow() {
    let instance = Instance::at("4-0", 10, 1);
    let seat = instance.join(with(Overflow::DropOldest, "room"));
    instance.pull(&seat);
    instance.batch([event("5-1", "room", "x")]);
    instance.lose("5-1", "6-0");
    instance.batch([event("7-0", "room", "y")]);
    assert_eq!(instance.pull(&seat), ["gap reader - - (5-0, 6-1)", "ping 6-0", "7-0 y"]);

    instance.batch([oversize("7-1", "room"), event("7-2", "room", "x"), event("7-3", "room", "y")]);
    assert_eq!(instance.pull(&seat), ["gap overflow room 2 (7-0, 7-3)", "ping 7-2", "7-3 y"]);

    instance.batch([event("8-1", "room", "x")]);
    instance.reset(("8-0", "8-1"), "2-0", Vec::new(), "2-0");
    instance.batch([event("3-0", "room", "z")]);
    assert_eq!(instance.pull(&seat), ["gap reset - - (8-0, -)", "ping 2-0", "3-0 z"]);
}

#[test]
fn the_books_balance() {
    let instance = Instance::at("4-0", 3, 2);
    let policies = [Overflow::CatchUp, Overflow::DropOldest, Overflow::Latest, Overflow::Disconnect];
    let seats = policies.map(|policy| instance.join(with(policy, "room")));
    seats.iter().for_each(|seat| drop(instance.pull(seat)));
    let mut tally =
        instance.batch([1, 2, 3, 4, 5].map(|n| keyed(&format!("5-{n}"), "room", ["k", "m"][n % 2], "x")));
    tally += instance.once(&seats[0], 10).expect("two").tally;
    tally += instance.once(&seats[0], 1).expect("one more, and a gap").tally;
    tally += instance.once(&seats[1], 1).expect("one, and a gap").tally;
    let queued: usize = seats.iter().map(|seat| seat.progress().queued).sum();
    assert_eq!(tally.queued, tally.delivered + tally.dropped.overflow + tally.conflated + queued as u64);
    let left: u64 = seats.iter().map(|seat| instance.broker.leave(seat)).sum();
    assert_eq!(left, queued as u64);
    assert_eq!((instance.broker.hub().clients(), instance.broker.hub().sessions()), (0, 0));
}

fn only(kind: &str) -> weir_core::filter::Filter {
    let kind = weir_core::name::EventType::parse(kind).expect("a type");
    weir_core::filter::Filter { kinds: [kind].into(), keys: Box::default() }
}
