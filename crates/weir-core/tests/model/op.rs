//! What can happen, chosen at random.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use weir_core::broker::BrokerBounds;
use weir_core::filter::Filter;
use weir_core::mailbox::{MailboxBounds, Overflow};
use weir_core::name::{EventType, Key, Session};
use weir_core::subscription::{End, Format, Intake, Wants};
use weir_core::window::WindowBounds;

/// One step. Numbers that choose among what exists are taken modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Entries that the reader gets in one batch.
    Batch(Vec<New>),
    /// The reader was too slow for the log.
    Hole,
    /// The log was replaced; its ids go on above, or `back`.
    Reset {
        back: bool,
        load: Vec<New>,
    },
    Down,
    Restored,
    /// A new client.
    Join(Wants, From),
    /// The connection has room for so much.
    Pull {
        who: usize,
        events: usize,
        bytes: usize,
    },
    /// The connection takes all there is.
    Drain(usize),
    Beat(usize),
    Advance(u64),
    Close {
        who: usize,
        end: End,
    },
    /// Its token expires soon.
    Warn(usize),
    /// The connection breaks, with what was written last, and the client comes back with the last id it saw.
    Reconnect {
        who: usize,
        lost: bool,
    },
    Leave(usize),
    /// When `on` is woken, `pull` is pulled at once, in the middle of the fan-out.
    Hook {
        on: usize,
        pull: usize,
        events: usize,
    },
}

/// An entry to write.
#[derive(Clone, Debug)]
pub(crate) enum New {
    Event { session: usize, kind: usize, key: usize, size: usize, lines: bool, snapshot: Option<u32> },
    Malformed,
    Internal,
    Oversize(usize),
}

/// Where a new client stands.
#[derive(Clone, Debug)]
pub(crate) enum From {
    Live,
    Earliest,
    /// At an item.
    Item(usize),
    /// Between items.
    Above(usize),
    Ahead(u64),
    Garbage,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) bounds: BrokerBounds,
    /// Entries in the log before the instance starts, and how many of them it loads.
    pub(crate) before: Vec<New>,
    pub(crate) loads: usize,
    /// The step before which the window is loaded.
    pub(crate) load_at: usize,
    pub(crate) ops: Vec<Op>,
}

pub(crate) const SESSIONS: [&str; 5] = ["a", "b", "c", "d", "e"];
pub(crate) const KINDS: [Option<&str>; 4] = [None, Some("message"), Some("order.created"), Some("tick")];
pub(crate) const KEYS: [Option<&str>; 4] = [None, Some("k1"), Some("k2"), Some("k3")];

pub(crate) fn session(nth: usize) -> Session {
    Session::parse(SESSIONS[nth % SESSIONS.len()]).expect("a session")
}

pub(crate) fn kind(nth: usize) -> Option<EventType> {
    KINDS[nth % KINDS.len()].map(|kind| EventType::parse(kind).expect("a type"))
}

pub(crate) fn key(nth: usize) -> Option<Key> {
    KEYS[nth % KEYS.len()].map(|key| Key::parse(key).expect("a key"))
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    (bounds(), vec(new(), 0..6), 0..6_usize, 0..4_usize, vec(op(), 1..90))
        .prop_map(|(bounds, before, loads, load_at, ops)| Plan { bounds, before, loads, load_at, ops })
}

fn bounds() -> impl Strategy<Value = BrokerBounds> {
    let age = option::weighted(0.3, (20..3000_u64).prop_map(Duration::from_millis));
    let bytes = prop_oneof![3 => Just(1 << 20), 1 => 500..4000_usize];
    let window =
        (1..12_usize, bytes, age, 0..4_usize).prop_map(|(events, bytes, age, remembered_sessions)| {
            WindowBounds { events, bytes, age, remembered_sessions }
        });
    let bytes = prop_oneof![3 => Just(1 << 20), 1 => 60..600_usize];
    let mailbox = (1..6_usize, bytes).prop_map(|(events, bytes)| MailboxBounds { events, bytes });
    (window, mailbox).prop_map(|(window, mailbox)| BrokerBounds { window, mailbox, snapshot_bytes: 1 << 20 })
}

fn new() -> impl Strategy<Value = New> {
    let event =
        (0..5_usize, 0..4_usize, 0..4_usize, 0..120_usize, any::<bool>(), option::weighted(0.2, 0..4_u32));
    prop_oneof![
        12 => event.prop_map(|(session, kind, key, size, lines, snapshot)| {
            // The first sessions are busy, the last are quiet.
            New::Event { session: session * session / 5, kind, key, size, lines, snapshot }
        }),
        1 => Just(New::Malformed),
        1 => Just(New::Internal),
        1 => (0..5_usize).prop_map(New::Oversize),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..8_usize;
    prop_oneof![
        14 => vec(new(), 0..9).prop_map(Op::Batch),
        2 => Just(Op::Hole),
        1 => (any::<bool>(), vec(new(), 0..4)).prop_map(|(back, load)| Op::Reset { back, load }),
        1 => Just(Op::Down),
        1 => Just(Op::Restored),
        8 => (wants(), from()).prop_map(|(wants, from)| Op::Join(wants, from)),
        10 => (who(), 1..5_usize, prop_oneof![Just(1 << 20), 1..300_usize])
            .prop_map(|(who, events, bytes)| Op::Pull { who, events, bytes }),
        8 => who().prop_map(Op::Drain),
        4 => who().prop_map(Op::Beat),
        3 => prop_oneof![4 => 1..400_u64, 1 => 3000..11_000_u64].prop_map(Op::Advance),
        2 => (who(), end()).prop_map(|(who, end)| Op::Close { who, end }),
        1 => who().prop_map(Op::Warn),
        6 => (who(), any::<bool>()).prop_map(|(who, lost)| Op::Reconnect { who, lost }),
        1 => who().prop_map(Op::Leave),
        6 => (who(), who(), 1..5_usize).prop_map(|(on, pull, events)| Op::Hook { on, pull, events }),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Shutdown), Just(End::MaxAge), Just(End::Expired), Just(End::Revoked)]
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        4 => Just(From::Live),
        2 => Just(From::Earliest),
        4 => any::<usize>().prop_map(From::Item),
        2 => any::<usize>().prop_map(From::Above),
        1 => (1..2000_u64).prop_map(From::Ahead),
        1 => Just(From::Garbage),
    ]
}

fn wants() -> impl Strategy<Value = Wants> {
    let sessions = prop_oneof![
        3 => (0..5_usize).prop_map(|one| vec![one]),
        2 => Just(vec![0, 1]),
        1 => Just(vec![3, 0, 2]),
        1 => Just(vec![0, 1, 2, 3, 4]),
    ];
    let filter =
        (option::weighted(0.15, 0..4_usize), option::weighted(0.15, 0..4_usize)).prop_map(|(one, two)| {
            Filter {
                kinds: one.and_then(kind).into_iter().collect(),
                keys: two.and_then(key).into_iter().collect(),
            }
        });
    let overflow = prop_oneof![
        3 => Just(Overflow::CatchUp),
        2 => Just(Overflow::DropOldest),
        2 => Just(Overflow::Latest),
        1 => Just(Overflow::Disconnect),
    ];
    let conflate = option::weighted(0.15, (50..500_u64).prop_map(Duration::from_millis));
    let taste =
        (any::<bool>(), option::weighted(0.3, Just(())), any::<bool>(), option::weighted(0.15, Just(())));
    (sessions, filter, overflow, conflate, taste).prop_map(
        |(sessions, filter, overflow, conflate, (json, snapshot, visible_beat, window))| Wants {
            sessions: sessions.into_iter().map(session).collect(),
            filter,
            format: if json { Format::Json } else { Format::Raw },
            overflow,
            conflate,
            snapshot: snapshot.is_some(),
            from: None,
            visible_beat,
            intake: if window.is_some() { Intake::Window } else { Intake::Queue },
        },
    )
}
