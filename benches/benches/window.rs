//! What the window costs per event, and what a resume costs.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_core::event::{Event, EventParts};
use weir_core::filter::Filter;
use weir_core::window::{Resume, Scope, Window, WindowBounds};
use weir_core::{EventId, Session};

const SESSIONS: u64 = 2_000;
const EVENTS: usize = 200_000;

/// A position, so many events before the head, that a client comes back from.
const AWAY: u64 = 20_000;

fn bounds() -> WindowBounds {
    WindowBounds { events: EVENTS, bytes: usize::MAX, age: None, remembered_sessions: 100_000 }
}

fn event(n: u64, sessions: &[Session]) -> Arc<Event> {
    let session = sessions[usize::try_from(n % SESSIONS).expect("small")].clone();
    let id = EventId::new(1 + n, 0);
    let data = "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"}}";
    Arc::new(Event::new(EventParts { id, session, kind: None, key: None, ts: None, snapshot: None, data }))
}

fn sessions() -> Vec<Session> {
    (0..SESSIONS).map(|n| Session::parse(&format!("session:{n}")).expect("valid")).collect()
}

/// At its bound, so that each event that enters evicts one.
fn full(sessions: &[Session]) -> Window {
    let mut window = Window::new(bounds());
    for n in 0..EVENTS as u64 {
        window.push(event(n, sessions));
        window.trim(0);
    }
    window
}

fn push(c: &mut Criterion) {
    let sessions = sessions();
    let mut window = full(&sessions);
    let mut n = EVENTS as u64;
    c.bench_function("window/push into a full one, making the event included", |b| {
        b.iter(|| {
            n += 1;
            window.trim(0);
            window.push(event(n, &sessions))
        });
    });
}

fn resume(c: &mut Criterion) {
    let sessions = sessions();
    let window = full(&sessions);
    let scope = Scope { sessions: &sessions[7..8], starts: &[], filter: &Filter::default() };
    let from = EventId::new(EVENTS as u64 - AWAY, 0);
    c.bench_function("window/resume of one of 2,000 sessions, 10 events of its own in 20,000", |b| {
        b.iter(|| {
            let Resume::Complete { cursor } = window.resume(scope.sessions, black_box(from)) else {
                panic!("the window holds all of it");
            };
            let count = window.after(scope, cursor).count();
            assert_eq!(count as u64, AWAY / SESSIONS);
        });
    });
}

/// What most clients of a storm ask: nothing of theirs has come since.
fn resume_in_vain(c: &mut Criterion) {
    let sessions = sessions();
    let window = full(&sessions);
    let quiet = [Session::parse("quiet").expect("valid")];
    let from = EventId::new(EVENTS as u64 - AWAY, 0);
    c.bench_function("window/resume of a session without events", |b| {
        b.iter(|| {
            let Resume::Complete { cursor } = window.resume(&quiet, black_box(from)) else {
                panic!("the window holds all of it");
            };
            let scope = Scope { sessions: &quiet, starts: &[], filter: &Filter::default() };
            assert_eq!(window.after(scope, cursor).count(), 0);
        });
    });
}

criterion_group!(benches, push, resume, resume_in_vain);
criterion_main!(benches);
