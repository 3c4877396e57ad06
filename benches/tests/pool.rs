//! Many publishing connections against a floor that answers each of them.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use weir_benches::audience::{Audience, Opening, Plan};
use weir_benches::floor::{self, Fault, Voice};
use weir_benches::load::{self, Outcome, Schedule};
use weir_benches::poller::Poller;
use weir_benches::publisher::{HttpPool, Publisher};
use weir_benches::stamp::Stamp;

const EVENTS: u64 = 1_000;

/// Runs a load on a floor that speaks as nchan does, with so many publishing connections.
fn publish(connections: usize, sessions: u32) -> anyhow::Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let floor = thread::spawn({
        let stop = Arc::clone(&stop);
        move || floor::serve(&listener, (Voice::Plain, Fault::None), &stop)
    });
    let poller = Poller::new()?;
    let plan = Plan { connections: 1, sessions };
    let mut audience = Audience::connect_to(&poller, (address, Opening::Head), plan)?;
    let mut publisher = HttpPool::connect(address, connections)?;
    let schedule = Schedule { rate: 10_000, total: EVENTS, sessions };
    let outcome = load::run(&poller, &mut audience, &mut publisher, schedule);
    stop.store(true, Ordering::Relaxed);
    floor.join().expect("the floor holds")?;
    outcome
}

#[test]
fn every_connection_publishes_and_is_answered() {
    let outcome = publish(7, 10).expect("all are accepted");
    assert_eq!(outcome.published, EVENTS);
    assert_eq!(outcome.arrivals.delivered, EVENTS / 10);
    // The floor sends every event to everybody, so what is not of the one session that is listened to is foreign. A run ends
    // with the last event of that session, when some of the others may still be on their way.
    assert!((1..=EVENTS * 9 / 10).contains(&outcome.arrivals.foreign), "{}", outcome.arrivals.foreign);
}

#[test]
fn the_order_within_a_session_is_kept() {
    let outcome = publish(7, 1).expect("all are accepted");
    assert_eq!((outcome.missing, outcome.arrivals.reordered), (0, 0));
}

#[test]
fn a_session_stays_on_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut pool = HttpPool::connect(listener.local_addr().expect("it is bound"), 3).expect("it listens");
    assert_eq!(pool.sockets().len(), 3);
    for number in 0..4 {
        pool.publish(Stamp { session: 5, number, sent_ns: 0 });
    }
    pool.flush().expect("the kernel takes it");
    let wrote: Vec<_> = (0..3)
        .map(|_| {
            let (stream, _) = listener.accept().expect("three came");
            stream.set_nonblocking(true).expect("a socket can be told not to wait");
            stream.peek(&mut [0; 16]).is_ok()
        })
        .collect();
    assert_eq!(wrote, [false, false, true], "session 5 is that of the third");
}
