//! Section 3: signs of life, the state of the log, and the end.

use weir_core::log::Feed;
use weir_core::subscription::{End, Intake, Wants};

use crate::contract::driver::{Instance, event, from, id, oversize, skipped, typed, wants};

#[test]
fn a_beat_is_a_comment_where_the_position_stands() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    seat.beat();
    assert_eq!(instance.pull(&seat), [":"]);
    instance.batch([event("5-0", "room", "a")]);
    instance.pull(&seat);
    seat.beat();
    assert_eq!(instance.pull(&seat), [":"]);
}

#[test]
fn a_beat_is_a_positioned_ping_where_the_position_moved_without_an_event() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    instance.batch([event("5-0", "other", "a"), skipped("6-0")]);
    assert!(instance.pull(&seat).is_empty());
    seat.beat();
    assert_eq!(instance.pull(&seat), ["ping 6-0"]);
    seat.beat();
    assert_eq!(instance.pull(&seat), [":"]);
}

#[test]
fn a_beat_that_a_page_can_see_is_always_a_ping() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(Wants { visible_beat: true, ..wants("room") });
    instance.pull(&seat);
    for _ in 0..2 {
        seat.beat();
        assert_eq!(instance.pull(&seat), ["ping 4-0"]);
    }
}

#[test]
fn a_ping_never_passes_what_is_queued_or_still_to_be_read() {
    let instance = Instance::at("4-0", 10, 2);
    let seat = instance.join(Wants { visible_beat: true, ..wants("room") });
    instance.pull(&seat);
    instance.batch([1, 2, 3].map(|n| event(&format!("5-{n}"), "room", "x")));
    instance.batch([event("6-0", "other", "-")]);
    for expected in [["5-1 x", "ping 5-1"], ["5-2 x", "ping 5-2"], ["5-3 x", "ping 6-0"]] {
        seat.beat();
        assert_eq!(instance.some(&seat, 1), expected);
    }
}

#[test]
fn a_replay_that_gave_nothing_moves_the_position_at_the_next_beat() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([event("5-0", "other", "a")]);
    let seat = instance.join(from("room", "4-0"));
    assert_eq!(instance.pull(&seat), ["connected 4-0"]);
    seat.beat();
    assert_eq!(instance.pull(&seat), ["ping 5-0"]);
}

#[test]
fn who_follows_a_durable_stream_gets_notices_without_positions() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(Wants { intake: Intake::Elsewhere, ..Wants::default() });
    assert!(instance.pull(&seat).is_empty());
    instance.batch([event("5-0", "room", "a"), skipped("6-0")]);
    instance.apply(&Feed::Lost { after: id("6-0"), through: id("7-0"), count: None });
    assert!(instance.pull(&seat).is_empty());
    seat.beat();
    assert_eq!(instance.pull(&seat), [":"]);
    seat.warn(7000);
    instance.apply(&Feed::Down(String::new()));
    assert_eq!(instance.pull(&seat), ["Degraded(1000)", "Expiring(7000)"]);
    seat.close(End::MaxAge);
    assert_eq!(instance.pull(&seat), ["Shutdown", "end MaxAge"]);
}

#[test]
fn the_log_going_away_and_coming_back_is_told_once() {
    let mut instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    let down = || Feed::Down("refused".to_owned());
    instance.apply(&down());
    assert_eq!(instance.pull(&seat), ["Degraded(1000)"]);
    instance.wait(500);
    instance.apply(&down());
    assert!(instance.pull(&seat).is_empty());
    assert_eq!(instance.broker.degraded().map(|since| since.ms), Some(1000));
    assert_eq!(instance.first(wants("room")), ["connected 4-0", "Degraded(1000)"]);
    instance.apply(&Feed::Restored);
    instance.apply(&Feed::Restored);
    assert_eq!(instance.pull(&seat), ["Restored"]);
    assert_eq!(instance.first(wants("room")), ["connected 4-0"]);
}

#[test]
fn an_outage_that_nobody_saw_is_not_told() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    instance.apply(&Feed::Down(String::new()));
    instance.apply(&Feed::Restored);
    assert!(instance.pull(&seat).is_empty());
}

#[test]
fn at_the_end_what_is_queued_leaves_first() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b")]);
    seat.close(End::Shutdown);
    seat.close(End::MaxAge);
    let tally = instance.batch([event("7-0", "room", "too late")]);
    assert_eq!(tally.queued, 0);
    assert_eq!(instance.some(&seat, 1), ["5-0 a"]);
    assert_eq!(instance.pull(&seat), ["6-0 b", "Shutdown", "end Shutdown"], "the first end counts");
}

#[test]
fn at_the_end_no_ping_passes_what_came_too_late() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(Wants { visible_beat: true, ..wants("room") });
    instance.pull(&seat);
    seat.beat();
    seat.close(End::MaxAge);
    instance.batch([event("5-0", "room", "too late")]);
    assert_eq!(instance.pull(&seat), ["ping 4-0", "Shutdown", "end MaxAge"]);
    assert_eq!(instance.first(from("room", "4-0"))[1..], ["5-0 too late"]);
}

#[test]
fn at_the_end_a_replay_is_cut_and_goes_on_elsewhere() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b")]);
    let seat = instance.join(from("room", "4-0"));
    assert_eq!(instance.some(&seat, 1), ["connected 4-0", "5-0 a"]);
    seat.close(End::Shutdown);
    assert_eq!(instance.pull(&seat), ["Shutdown", "end Shutdown"]);
    assert_eq!(instance.first(from("room", "5-0"))[1..], ["6-0 b"]);
}

#[test]
fn a_token_that_expires_is_told_ahead_and_at_its_end() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    seat.warn(30_000);
    assert_eq!(instance.pull(&seat), ["Expiring(30000)"]);
    instance.batch([event("5-0", "room", "a")]);
    // How well it was to be let go no longer counts.
    seat.close(End::Shutdown);
    seat.close(End::Expired);
    assert_eq!(instance.pull(&seat), ["5-0 a", "Expired", "end Expired"]);
}

#[test]
fn who_is_revoked_gets_nothing_more() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    instance.batch([event("5-0", "room", "a")]);
    seat.close(End::Expired);
    seat.close(End::Revoked);
    seat.close(End::Shutdown);
    assert_eq!(instance.pull(&seat), ["Revoked", "end Revoked"]);
    assert_eq!(seat.leave(), 1, "what was queued is left behind and counted");
}

#[test]
fn who_is_held_is_revoked_all_the_same() {
    let instance = Instance::at("4-0", 10, 10);
    let seat = instance.join(from("room", "9-0"));
    instance.pull(&seat);
    seat.close(End::Revoked);
    assert_eq!(instance.pull(&seat), ["Revoked", "end Revoked"]);
}

#[test]
fn an_oversize_event_is_told_to_its_session_at_its_place() {
    let instance = Instance::at("4-0", 10, 10);
    let seats = [instance.join(wants("room")), instance.join(wants("other"))];
    seats.iter().for_each(|seat| drop(instance.pull(seat)));
    instance.batch([event("5-0", "room", "a"), oversize("5-1", "room"), event("5-2", "room", "b")]);
    assert_eq!(instance.pull(&seats[0]), ["5-0 a", "gap oversize room 1 (5-0, 5-2)", "ping 5-1", "5-2 b"]);
    assert!(instance.pull(&seats[1]).is_empty());
    assert_eq!(seats[0].progress().dropped, 1);
}

#[test]
fn a_hole_is_told_to_everybody_at_its_place() {
    let instance = Instance::at("4-0", 10, 10);
    let seats = [instance.join(wants("room")), instance.join(wants("other"))];
    seats.iter().for_each(|seat| drop(instance.pull(seat)));
    instance.batch([event("5-0", "room", "a")]);
    instance.lose("5-0", "7-0");
    instance.batch([event("8-0", "room", "b")]);
    let gap = ["gap reader - - (5-0, 7-1)", "ping 7-0"];
    assert_eq!(instance.pull(&seats[0]), ["5-0 a", gap[0], gap[1], "8-0 b"]);
    assert_eq!(instance.pull(&seats[1]), gap);
}

#[test]
fn a_reset_is_told_to_everybody_live_full_or_behind() {
    let instance = Instance::at("4-0", 10, 1);
    let live = instance.join(wants("room"));
    let full = instance.join(wants("room"));
    instance.pull(&live);
    instance.pull(&full);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b")]);
    instance.pull(&live);
    let behind = instance.join(from("room", "4-0"));
    assert_eq!(instance.some(&behind, 1), ["connected 4-0", "5-0 a"]);
    // Ids go back: the new log knows nothing above 2-0.
    instance.reset(("4-0", "6-0"), "1-0", vec![event("2-0", "room", "c")], "2-0");
    let reset = |after| [format!("gap reset - - ({after}, -)"), "ping 2-0".to_owned()];
    assert_eq!(instance.pull(&live), reset("4-0"));
    assert_eq!(instance.pull(&full)[1..], reset("5-0"));
    assert_eq!(instance.pull(&behind), reset("5-0"));
    instance.batch([event("3-0", "room", "d")]);
    for seat in [live, full, behind] {
        assert_eq!(instance.pull(&seat), ["3-0 d"]);
    }
}

#[test]
fn after_a_reset_everything_that_is_new_follows() {
    let start = || {
        let instance = Instance::at("4-0", 10, 10);
        let seats = [instance.join(wants("room")), instance.join(from("room", "4-0"))];
        instance.pull(&seats[0]);
        instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b"), event("7-0", "room", "c")]);
        instance.pull(&seats[0]);
        instance.some(&seats[1], 1);
        (instance, seats)
    };
    // A replica that had not got 7-0 took over: up to 6-0 both logs are one.
    let (instance, [live, behind]) = start();
    let ours = vec![event("5-0", "room", "a"), event("6-0", "room", "b"), event("8-0", "room", "d")];
    instance.reset(("0-0", "7-0"), "4-0", ours, "8-0");
    // Entries of the old log that nobody had read lie below the position, too.
    let told = "ping 7-18446744073709551615";
    assert_eq!(instance.pull(&live), ["gap reset - - (6-0, -)", told, "8-0 d"]);
    assert_eq!(instance.pull(&behind), ["gap reset - - (5-0, -)", told, "8-0 d"]);
    assert_eq!(instance.first(from("room", "7-18446744073709551615"))[1..], ["8-0 d"]);
    assert_eq!(instance.first(from("room", "5-0")), ["connected 5-0", "6-0 b", "8-0 d"]);
    assert_eq!(instance.first(from("room", "7-0"))[1], "gap reset - - (7-0, -)");
    // The log was emptied: only what lies above all that was seen is certainly new.
    let (instance, [live, behind]) = start();
    let ours = vec![event("5-0", "room", "other"), event("6-0", "room", "b2"), event("9-0", "room", "e")];
    instance.reset(("0-0", "7-0"), "4-0", ours, "9-0");
    let told = "ping 8-18446744073709551615";
    assert_eq!(instance.pull(&live), ["gap reset - - (0-0, -)", told, "9-0 e"]);
    assert_eq!(instance.pull(&behind), ["gap reset - - (5-0, -)", told, "9-0 e"]);
    assert_eq!(instance.first(from("room", "8-18446744073709551615"))[1..], ["9-0 e"]);
}

#[test]
fn a_filter_by_type_takes_what_a_client_would_call_it() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([
        event("5-0", "room", "none"),
        typed("5-1", "room", "message", "named"),
        typed("5-2", "room", "tick", "t"),
    ]);
    let kinds = |kind: &str| Wants {
        filter: weir_core::filter::Filter {
            kinds: [weir_core::name::EventType::parse(kind).expect("a type")].into(),
            keys: Box::default(),
        },
        ..from("room", "4-0")
    };
    assert_eq!(instance.first(kinds("message"))[1..], ["5-0 none", "5-1 named"]);
    assert_eq!(instance.first(kinds("tick"))[1..], ["5-2 t"]);
}
