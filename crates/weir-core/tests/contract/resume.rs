//! Section 4: a resume is provably complete or announced as a gap.

use weir_core::broker::BrokerBounds;
use weir_core::mailbox::MailboxBounds;
use weir_core::subscription::ResumeResult;
use weir_core::window::WindowBounds;

use crate::contract::driver::{Instance, event, from, oversize, skipped, wants};

/// A window of three, of which `room` lost 5-0 and `quiet` lost 6-0, and which holds 7-0 to 9-0.
fn trimmed() -> Instance {
    let instance = Instance::at("4-0", 3, 10);
    instance.batch([event("5-0", "room", "a"), event("6-0", "quiet", "b"), event("7-0", "room", "c")]);
    instance.batch([event("8-0", "other", "d"), event("9-0", "room", "e")]);
    instance
}

#[test]
fn without_a_position_it_is_live_only() {
    let instance = trimmed();
    let seat = instance.join(wants("room"));
    assert_eq!(instance.pull(&seat), ["connected 9-0"]);
    instance.batch([event("10-0", "room", "f"), event("11-0", "other", "g")]);
    assert_eq!(instance.pull(&seat), ["10-0 f"]);
}

#[test]
fn earliest_gives_all_that_the_window_holds_without_a_gap() {
    for position in ["earliest", "0", "0-0"] {
        assert_eq!(trimmed().first(from("room", position)), ["connected 0-0", "7-0 c", "9-0 e"]);
    }
}

#[test]
fn after_the_newest_evicted_id_it_is_complete_and_before_it_a_gap() {
    let instance = trimmed();
    assert_eq!(instance.first(from("room", "7-0")), ["connected 7-0", "9-0 e"]);
    assert_eq!(instance.first(from("room", "5-0")), ["connected 5-0", "7-0 c", "9-0 e"]);
    assert_eq!(
        instance.first(from("room", "4-99")),
        ["connected 4-99", "gap trimmed room - (4-99, 5-1)", "ping 5-0", "7-0 c", "9-0 e"]
    );
}

#[test]
fn a_quiet_session_stays_resumable_however_busy_the_others_are() {
    let instance = trimmed();
    assert_eq!(instance.first(from("quiet", "6-0")), ["connected 6-0"]);
    assert_eq!(instance.first(from("silent", "4-0")), ["connected 4-0"]);
    assert_eq!(
        instance.first(from("quiet", "5-0")),
        ["connected 5-0", "gap trimmed quiet - (5-0, 6-1)", "ping 6-0"]
    );
}

#[test]
fn one_trimmed_session_of_several_makes_a_gap() {
    let instance = trimmed();
    assert_eq!(instance.first(from("room quiet", "6-0")), ["connected 6-0", "7-0 c", "9-0 e"]);
    assert_eq!(
        instance.first(from("room quiet", "5-0")),
        ["connected 5-0", "gap trimmed - - (5-0, 6-1)", "ping 6-0", "7-0 c", "9-0 e"]
    );
}

#[test]
fn an_id_need_not_be_an_entry() {
    let instance = trimmed();
    instance.batch([skipped("12-0")]);
    assert_eq!(instance.first(from("room", "7-5")), ["connected 7-5", "9-0 e"]);
    assert_eq!(instance.first(from("room", "12-0")), ["connected 12-0"]);
    assert_eq!(instance.first(from("room", "11-7")), ["connected 11-7"]);
}

#[test]
fn milliseconds_alone_are_a_time() {
    let instance = trimmed();
    let before_9 = format!("connected 8-{}", u64::MAX);
    assert_eq!(instance.first(from("room", "9")), [before_9.as_str(), "9-0 e"]);
}

#[test]
fn below_the_load_everything_may_be_missing() {
    let instance = Instance::starting(10, 10);
    instance.load("6-3", vec![event("6-4", "other", "a"), event("7-0", "room", "b")], "8-0");
    assert_eq!(instance.first(from("room", "6-3")), ["connected 6-3", "7-0 b"]);
    assert_eq!(
        instance.first(from("room", "6-2")),
        ["connected 6-2", "gap trimmed room - (6-2, 6-4)", "ping 6-3", "7-0 b"]
    );
    assert_eq!(instance.first(from("room", "8-0")), ["connected 8-0"]);
}

#[test]
fn below_the_first_entry_of_a_log_that_was_empty_everything_may_be_missing() {
    let instance = Instance::at("0-0", 10, 10);
    assert_eq!(instance.first(wants("room")), ["connected 0-0"]);
    instance.batch([skipped("5-0"), event("6-0", "room", "a")]);
    assert_eq!(instance.first(from("room", "0-0")), ["connected 0-0", "6-0 a"]);
    let edge = format!("ping 4-{}", u64::MAX);
    assert_eq!(
        instance.first(from("room", "3-0")),
        ["connected 3-0", "gap trimmed room - (3-0, 5-0)", edge.as_str(), "6-0 a"]
    );
}

/// `0-0` asks for whatever is held. `0-1` is the place of a client that was there when there was nothing.
#[test]
fn who_was_there_when_the_log_was_empty_is_told_what_left() {
    let instance = Instance::at("0-0", 3, 10);
    let seat = instance.join(from("room", "0-1"));
    assert_eq!(instance.pull(&seat), ["connected 0-1"]);
    instance.batch([skipped("5-0"), event("6-0", "room", "a"), event("7-0", "quiet", "b")]);
    assert_eq!(instance.pull(&seat), ["6-0 a"]);
    assert_eq!(instance.first(from("room", "0-1")), ["connected 0-1", "6-0 a"]);
    instance.batch([event("8-0", "quiet", "c"), event("9-0", "quiet", "d")]);
    assert_eq!(
        instance.first(from("room", "0-1")),
        ["connected 0-1", "gap trimmed room - (0-1, 6-1)", "ping 6-0"]
    );
    assert_eq!(instance.first(from("room", "0-0")), ["connected 0-0"]);
    assert_eq!(instance.first(from("quiet", "0-1")), ["connected 0-1", "7-0 b", "8-0 c", "9-0 d"]);
}

/// An instance that came later knows it where nothing ever left the log, and else says so.
#[test]
fn an_instance_that_came_later_answers_who_was_there_when_the_log_was_empty() {
    let instance = Instance::at("0-0", 10, 10);
    instance.load("0-0", vec![event("6-0", "room", "a")], "6-0");
    assert_eq!(instance.first(from("room", "0-1")), ["connected 0-1", "6-0 a"]);
    let instance = Instance::at("0-0", 10, 10);
    instance.load("5-0", vec![event("6-0", "room", "a")], "6-0");
    assert_eq!(
        instance.first(from("room", "0-1")),
        ["connected 0-1", "gap trimmed room - (0-1, 5-1)", "ping 5-0", "6-0 a"]
    );
}

#[test]
fn a_hole_in_the_window_is_told_at_its_place() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([event("5-0", "room", "a")]);
    instance.lose("5-0", "7-0");
    instance.batch([event("8-0", "room", "b")]);
    let across = ["5-0 a", "gap reader - - (5-0, 7-1)", "ping 7-0", "8-0 b"];
    assert_eq!(instance.first(from("room", "4-0"))[1..], across);
    assert_eq!(instance.first(from("room", "earliest"))[1..], across);
    // Inside of the hole, and behind it.
    assert_eq!(instance.first(from("room", "6-0"))[1..], across[1..]);
    assert_eq!(instance.first(from("room", "7-0"))[1..], across[3..]);
}

#[test]
fn a_hole_that_left_the_window_breaks_what_lies_before_it() {
    let instance = Instance::at("4-0", 1, 10);
    instance.lose("4-0", "6-0");
    instance.batch([event("7-0", "room", "a")]);
    assert_eq!(
        instance.first(from("room", "4-0")),
        ["connected 4-0", "gap reader - - (4-0, 6-1)", "ping 6-0", "7-0 a"]
    );
    assert_eq!(instance.first(from("room", "6-0")), ["connected 6-0", "7-0 a"]);
}

#[test]
fn a_position_of_a_replaced_log_is_a_reset() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b")]);
    instance.reset(("5-0", "6-0"), "4-0", vec![event("5-0", "room", "a"), event("8-0", "room", "c")], "8-0");
    // The range is open below and closed above.
    assert_eq!(instance.first(from("room", "5-0")), ["connected 5-0", "8-0 c"]);
    for inside in ["5-1", "6-0"] {
        let lines = instance.first(from("room", inside));
        assert_eq!(
            lines,
            [format!("connected {inside}"), format!("gap reset - - ({inside}, -)"), "ping 8-0".to_owned()]
        );
    }
    assert_eq!(instance.first(from("room", "6-1")), ["connected 6-1", "8-0 c"]);
}

#[test]
fn two_resets_before_one_load_leave_both_in_doubt() {
    let instance = Instance::at("4-0", 10, 10);
    instance.apply(&weir_core::log::Feed::Reset {
        after: "5-0".parse().unwrap(),
        through: "6-0".parse().unwrap(),
    });
    instance.reset(("2-0", "3-0"), "9-0", Vec::new(), "9-0");
    for doubtful in ["3-0", "6-0"] {
        assert!(instance.first(from("room", doubtful))[1].starts_with("gap reset"), "{doubtful}");
    }
}

#[test]
fn anything_else_is_unknown() {
    let instance = trimmed();
    for garbage in ["", "abc", "-", "1-2-3", "+1-0", &"9".repeat(4000)] {
        assert_eq!(
            instance.first(from("room", garbage)),
            ["connected 9-0", "gap unknown-id - - (-, -)", "ping 9-0"]
        );
    }
}

#[test]
fn what_is_forgotten_raises_the_floor_of_those_who_are_forgotten() {
    let window = WindowBounds { events: 1, bytes: 1 << 20, age: None, remembered_sessions: 1 };
    let mailbox = MailboxBounds { events: 10, bytes: 1 << 20 };
    let instance = Instance::bounded(BrokerBounds { window, mailbox, snapshot_bytes: 0 });
    instance.load("4-0", Vec::new(), "4-0");
    for (id, session) in [("5-0", "a"), ("6-0", "b"), ("7-0", "c")] {
        instance.batch([event(id, session, "x")]);
    }
    // `b` is remembered, `a` is not, and `d` might be `a` for all that is known.
    assert_eq!(instance.first(from("b", "6-0")), ["connected 6-0"]);
    assert_eq!(instance.first(from("d", "5-0")), ["connected 5-0"]);
    for forgotten in ["a", "d"] {
        assert!(instance.first(from(forgotten, "4-0"))[1].starts_with("gap trimmed"), "{forgotten}");
    }
    assert!(instance.first(from("c", "4-0"))[1].starts_with("7-0"), "never evicted, and known since");
}

#[test]
fn an_oversize_event_is_told_in_a_replay_and_trimmed_like_an_event() {
    let instance = Instance::at("4-0", 2, 10);
    instance.batch([oversize("5-0", "room"), event("6-0", "room", "a")]);
    assert_eq!(
        instance.first(from("room", "4-0"))[1..],
        [format!("gap oversize room 1 (4-{}, 5-1)", u64::MAX).as_str(), "ping 5-0", "6-0 a"]
    );
    instance.batch([event("7-0", "room", "b")]);
    assert!(instance.first(from("room", "4-0"))[1].starts_with("gap trimmed room -"));
}

#[test]
fn the_result_counts_holes_and_is_reported_once() {
    let instance = Instance::at("4-0", 10, 10);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b")]);
    let result = |position: &str| {
        let seat = instance.join(from("room", position));
        let first = instance.once(&seat, 1).expect("a greeting").resume;
        while let Some(pulled) = instance.once(&seat, 1) {
            assert_eq!(pulled.resume, None);
        }
        instance.broker.leave(&seat);
        first
    };
    assert_eq!(result("4-0"), Some(ResumeResult::Complete));
    assert_eq!(result("6-0"), Some(ResumeResult::Complete));
    assert_eq!(result("3-0"), Some(ResumeResult::Gap));
    assert_eq!(result("junk"), Some(ResumeResult::Gap));
    instance.lose("6-0", "8-0");
    assert_eq!(result("4-0"), Some(ResumeResult::Gap), "the hole lies beyond the first pull");
    assert_eq!(result("8-0"), Some(ResumeResult::Complete));
}

#[test]
fn a_replay_goes_at_the_pace_of_its_socket_and_meets_the_live_events_without_a_seam() {
    let instance = Instance::at("4-0", 10, 2);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b"), event("7-0", "room", "c")]);
    let seat = instance.join(from("room", "4-0"));
    assert_eq!(instance.some(&seat, 2), ["connected 4-0", "5-0 a", "6-0 b"]);
    let tally =
        instance.batch([event("8-0", "room", "d"), event("9-0", "room", "e"), event("10-0", "room", "f")]);
    assert_eq!(tally.queued, 0, "nothing enters the queue of a client that is behind");
    assert_eq!(seat.progress().lag, 4);
    assert_eq!(instance.pull(&seat), ["7-0 c", "8-0 d", "9-0 e", "10-0 f"]);
    assert_eq!(instance.batch([event("11-0", "room", "g")]).queued, 1);
    assert_eq!(instance.pull(&seat), ["11-0 g"]);
}

#[test]
fn what_leaves_the_window_during_a_replay_is_counted_exactly() {
    let instance = Instance::at("4-0", 3, 10);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b"), event("7-0", "room", "c")]);
    let seat = instance.join(from("room", "4-0"));
    assert_eq!(instance.some(&seat, 1), ["connected 4-0", "5-0 a"]);
    instance.batch([
        event("8-0", "x", "-"),
        event("9-0", "room", "d"),
        event("10-0", "room", "e"),
        event("11-0", "x", "-"),
    ]);
    let pulled = instance.once(&seat, 10).expect("a gap");
    assert_eq!(pulled.tally.dropped.trimmed, 2);
    instance.broker.leave(&seat);

    let seat = instance.join(from("room", "7-0"));
    assert_eq!(instance.pull(&seat), ["connected 7-0", "9-0 d", "10-0 e"]);
}

#[test]
fn a_batch_larger_than_the_window_is_lost_by_nobody_who_is_live() {
    let instance = Instance::at("4-0", 1, 10);
    let seat = instance.join(wants("room"));
    instance.pull(&seat);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b"), event("7-0", "room", "c")]);
    assert_eq!(instance.pull(&seat), ["5-0 a", "6-0 b", "7-0 c"]);
    assert_eq!(instance.broker.window_size().0, 1);
}

#[test]
fn a_hole_that_is_forgotten_is_told_to_who_was_behind_it() {
    let instance = Instance::at("4-0", 1000, 10);
    instance.batch([event("5-0", "room", "a"), event("6-0", "room", "b")]);
    let seat = instance.join(from("room", "4-0"));
    assert_eq!(instance.some(&seat, 1), ["connected 4-0", "5-0 a"]);
    for hole in 0..65 {
        instance.lose(&format!("{}-0", 10 + hole), &format!("{}-1", 10 + hole));
    }
    let lines = instance.pull(&seat);
    assert_eq!(lines[..2], ["gap reader - - (5-0, 10-2)", "ping 10-1"], "6-0 and the oldest hole");
    assert_eq!(lines.len(), 2 * 65);
    assert!(instance.first(from("room", "6-0"))[1].starts_with("gap trimmed"));
}

#[test]
fn doubts_beyond_the_bound_are_merged_and_never_dropped() {
    let instance = Instance::at("0-0", 10, 10);
    for nth in 1..=20 {
        instance.reset((&format!("{nth}-0"), &format!("{nth}-5")), "100-0", Vec::new(), "100-0");
    }
    for nth in 1..=20 {
        assert!(instance.first(from("room", &format!("{nth}-5")))[1].starts_with("gap reset"), "{nth}");
    }
    assert_eq!(instance.first(from("room", "100-0")), ["connected 100-0"]);
}
