//! The storm against a server that does wrong on purpose, and a Redis that is asked something meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use weir_benches::audience::{self, Audience};
use weir_benches::child::Running;
use weir_benches::load::Beside;
use weir_benches::poller::Poller;
use weir_benches::process::Cores;
use weir_benches::stamp::Stamp;
use weir_benches::storm::{Outcome, Plan, Servers, Storm};

const CLIENTS: usize = 40;
const EVENTS: u64 = 5;

/// The events that client `nth` is replayed.
type Replay = fn(nth: usize) -> &'static [u64];

/// Answers each client in turn, the position checked, and keeps the streams open.
fn serve(listener: &TcpListener, redis: SocketAddr, replay: Replay) -> Vec<TcpStream> {
    let answer = |nth: usize| {
        let (mut stream, _) = listener.accept().expect("a client comes");
        let mut head = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        let lines: Vec<_> =
            head.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        assert!(lines.iter().any(|line| line == "Last-Event-ID: 7-0"), "{lines:?}");
        let session =
            lines[0].split(['s', '/']).filter_map(|word| word.parse().ok()).next().expect("a session");
        let mut body = b"event: weir.connected\nid: 7-0\ndata: {}\n\n".to_vec();
        for number in replay(nth) {
            body.extend_from_slice(format!("id: 7-{}\ndata: ", number + 1).as_bytes());
            Stamp { session, number: *number, sent_ns: 0 }.put(&mut body);
            body.extend_from_slice(b"\n\n");
        }
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body, b"\r\n"].concat()).expect("it reads");
        if nth == 0 {
            let mut redis = TcpStream::connect(redis).expect("redis listens");
            redis.write_all(b"XRANGE s - +\r\n").expect("redis reads");
            redis.read_exact(&mut [0; 4]).expect("redis answers");
        }
        stream
    };
    (0..CLIENTS).map(answer).collect()
}

fn storm(replay: Replay) -> anyhow::Result<Outcome> {
    let redis = Running::redis(Cores::choose()?, &std::env::temp_dir())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let servers = Servers { weir: listener.local_addr()?, redis: Some(redis.address) };
    let asked = redis.address;
    let server = thread::spawn(move || serve(&listener, asked, replay));
    let plan = Plan { clients: CLIENTS, first_session: 3, sessions: 2, events: EVENTS, after_ns: 0 };
    let mut storm = Storm::new(plan, servers, Some("7-0".to_owned()))?;
    let poller = Poller::new()?;
    let mut nobody =
        Audience::connect(&poller, servers.weir, audience::Plan { connections: 0, sessions: 1 })?;
    let mut ready = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !storm.is_over() {
        assert!(Instant::now() < deadline, "neither over nor at an end");
        let all_said = server.is_finished();
        storm.step(&poller, &mut nobody)?;
        poller.wait(Duration::from_millis(2), &mut ready)?;
        if all_said && ready.is_empty() {
            // Nothing more will come.
            break;
        }
        for token in ready.drain(..) {
            storm.read(token)?;
        }
    }
    assert_eq!(server.join().expect("the server holds").len(), CLIENTS);
    storm.outcome()
}

#[test]
fn what_is_right_is_seen_as_right() {
    let outcome = storm(|_| &[0, 1, 2, 3, 4]).expect("all are replayed all");
    assert_eq!((outcome.wrong, outcome.missing), (0, 0));
    assert_eq!(outcome.rough.commands.beyond(&outcome.calm.commands).to_string(), "1 xrange");
}

#[test]
fn one_fault_is_seen() {
    let outcome = storm(|nth| if nth == 7 { &[0, 2, 1, 3, 4] } else { &[0, 1, 2, 3, 4] });
    assert_eq!(outcome.expect("all came").wrong, 1, "out of order");
    let outcome =
        storm(|nth| if nth == 7 { &[0, 1, 2, 3, 3] } else { &[0, 1, 2, 3, 4] }).expect("enough came");
    assert_eq!((outcome.wrong, outcome.missing), (1, 1), "one came twice, one never");
    let error = storm(|nth| if nth == 7 { &[0, 1, 2, 3] } else { &[0, 1, 2, 3, 4] }).expect_err("one waits");
    assert_eq!(error.to_string(), "of 40 clients 40 came, 40 were answered and 39 got what they had missed");
}
