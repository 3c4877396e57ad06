//! A visit to a server that does wrong on purpose.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;
use weir_benches::visit::{Unavailable, Visitor};

/// What a server says to one who returns after `position`, of all the events of a session.
type Missed = fn(position: usize, events: &[String]) -> Vec<String>;

/// Whether a long-poll says that something was lost.
#[derive(Clone, Copy)]
enum Gap {
    None,
    Announced,
}

/// The events of each session, in order; the id of each is its place, from 1.
#[derive(Default)]
struct Log {
    sessions: Mutex<HashMap<String, Vec<String>>>,
    grown: Condvar,
}

impl Log {
    fn publish(&self, session: &str, data: String) -> usize {
        let mut sessions = self.sessions.lock().expect("nobody panics");
        let events = sessions.entry(session.to_owned()).or_default();
        events.push(data);
        self.grown.notify_all();
        events.len()
    }

    fn await_more_than(&self, session: &str, position: usize) -> Vec<String> {
        let shorter =
            |all: &mut HashMap<_, Vec<_>>| all.get(session).is_none_or(|events| events.len() <= position);
        let sessions = self.sessions.lock().expect("nobody panics");
        let (sessions, _) =
            self.grown.wait_timeout_while(sessions, Duration::from_secs(5), shorter).expect("nobody panics");
        sessions.get(session).cloned().unwrap_or_default()
    }
}

fn serve(mut socket: TcpStream, log: &Log, (missed, gap): (Missed, Gap)) -> Option<()> {
    let mut input = BufReader::new(socket.try_clone().expect("a socket can be shared"));
    loop {
        let head: Vec<_> =
            input.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let number =
            |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok());
        let request = head.first()?;
        let session = request.split('/').nth(3)?;
        let position = number("Last-Event-ID:");
        if request.starts_with("POST") {
            let mut body = vec![0; number("Content-Length:")?];
            input.read_exact(&mut body).ok()?;
            let id = log.publish(session, String::from_utf8(body).ok()?);
            respond(&mut socket, "201 Created", &json!({ "id": id.to_string() }))?;
        } else if request.contains("?wait=") {
            let events = log.await_more_than(session, position?);
            let told: Vec<_> =
                missed(position?, &events).into_iter().map(|data| json!({ "data": data })).collect();
            let gap = matches!(gap, Gap::Announced).then_some("trimmed");
            let after = events.len().to_string();
            respond(&mut socket, "200 OK", &json!({ "events": told, "lastEventId": after, "gap": gap }))?;
        } else {
            socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
            chunk(&mut socket, "event: weir.connected\ndata: {}\n\n")?;
            let mut told = 0;
            if let Some(position) = position {
                let events = log.await_more_than(session, position);
                told = events.len();
                missed(position, &events).into_iter().try_for_each(|data| event(&mut socket, &data))?;
            }
            loop {
                let events = log.await_more_than(session, told);
                events[told..].iter().try_for_each(|data| event(&mut socket, data))?;
                told = events.len();
            }
        }
    }
}

fn respond(socket: &mut TcpStream, status: &str, body: &serde_json::Value) -> Option<()> {
    let body = body.to_string();
    write!(socket, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
}

fn event(socket: &mut TcpStream, data: &str) -> Option<()> {
    chunk(socket, &format!("id: 7-0\ndata: {data}\n\n"))
}

fn chunk(socket: &mut TcpStream, text: &str) -> Option<()> {
    write!(socket, "{:x}\r\n{text}\r\n", text.len()).ok()
}

/// Four visits, which are all kinds of them.
fn visits(missed: Missed, gap: Gap) -> Vec<Result<(), String>> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let log = Arc::new(Log::default());
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let log = Arc::clone(&log);
            thread::spawn(move || serve(socket, &log, (missed, gap)));
        }
    });
    let mut visitor = Visitor::new(address, 0).expect("it listens");
    (0..4).map(|session| visitor.visit(session).map_err(|fault| format!("{fault:#}"))).collect()
}

fn all(position: usize, events: &[String]) -> Vec<String> {
    events[position..].to_vec()
}

#[test]
fn a_visit_that_misses_nothing_is_right() {
    assert_eq!(visits(all, Gap::None), [const { Ok(()) }; 4]);
}

#[test]
fn one_that_loses_doubles_or_mistakes_something_is_wrong() {
    let wrong: [Missed; 4] = [
        |position, events| all(position + 1, events),
        |position, events| all(position - 1, events),
        |position, events| all(position, events).into_iter().rev().collect(),
        |position, events| {
            all(position, events).into_iter().map(|data| data.replace("w1 ", "w1 9")).collect()
        },
    ];
    for missed in wrong {
        let seen = visits(missed, Gap::None);
        assert!(seen.iter().all(Result::is_err), "{seen:?}");
    }
    let seen = visits(all, Gap::Announced);
    assert_eq!(seen.iter().filter(|seen| seen.is_err()).count(), 2, "the long-polls: {seen:?}");
}

#[test]
fn a_server_that_says_that_it_has_no_log_is_told_from_one_that_loses() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            // A subscribe and a publish come on connections of their own; each is answered as such.
            thread::spawn(move || {
                let mut request = [0; 4];
                socket.read_exact(&mut request).expect("a request");
                match &request {
                    b"POST" => {
                        respond(&mut socket, "503 Service Unavailable", &json!({ "code": "log_unavailable" }))
                    }
                    _ => {
                        socket
                            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                            .expect("it reads");
                        chunk(&mut socket, "event: weir.connected\ndata: {}\n\n")
                    }
                };
                // The rest is read, so that closing resets nothing.
                let _ = socket.read_to_end(&mut Vec::new());
            });
        }
    });
    let fault = Visitor::new(address, 0).expect("it listens").visit(0).expect_err("nothing was published");
    assert!(fault.downcast_ref::<Unavailable>().is_some(), "{fault:#}");
    let lost = |position: usize, events: &[String]| all(position + 1, events);
    let seen = visits(lost, Gap::None);
    assert!(
        seen.iter().all(|seen| seen.as_ref().is_err_and(|fault| !fault.contains("cannot reach"))),
        "{seen:?}"
    );
}
