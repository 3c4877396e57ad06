//! A line in the log for each call that was denied, and for each that an operator made to change something.
//!
//! It names no session, no token and no query: a session's name may be as private as what is in it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{Method, StatusCode};
use parking_lot::Mutex;

use crate::problem::Problem;
use crate::trace::Trace;

/// Lines a second for denied calls of one crowd. It bounds what a flood of forged tokens writes to a disk; the rest is counted.
const MOST_LINES: u32 = 10;

/// What is told to somebody who has had what it may have.
const LIMITED: [&str; 3] = ["ip", "subject", "rate"];

const SECOND: Duration = Duration::from_secs(1);

/// See the [module](self). Each crowd has lines of its own, so that a flood of strangers hides no guess at the admin token.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Who made, or tried to make, an admin call.
    operators: Mutex<Flow>,
    /// Who proved to be somebody.
    subjects: Mutex<Flow>,
    /// Everybody else.
    strangers: Mutex<Flow>,
}

/// What was said in the present second.
#[derive(Debug, Default)]
struct Flow {
    since: Option<Instant>,
    lines: u32,
    untold: u64,
}

/// A call, as far as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) address: IpAddr,
    pub(crate) parts: &'a Parts,
    /// The path without what is in it.
    pub(crate) path: &'static str,
}

impl Audit {
    /// Tells of a call that was denied: for want of a right, or because its subject has had what it may have.
    pub(crate) fn denied(&self, told: Told<'_>, problem: &Problem, now: Instant) {
        let is_known = told.trace.subject().is_some();
        if problem.is_denial() || is_known && LIMITED.contains(&problem.code) {
            let (flow, who) = match is_known {
                true => (&self.subjects, "subjects"),
                false => (&self.strangers, "strangers"),
            };
            tell(flow, who, (told, problem), now);
        }
    }

    /// Tells of an admin call that was denied.
    pub(crate) fn denied_operator(&self, told: Told<'_>, problem: &Problem, now: Instant) {
        if problem.is_denial() {
            tell(&self.operators, "operators", (told, problem), now);
        }
    }

    /// Tells of what an operator did or tried. Whoever may do that may fill the log.
    pub(crate) fn acted(told: Told<'_>, status: StatusCode, subject: Option<&str>) {
        tracing::info!(
            target: "weir::audit",
            request_id = told.trace.id(),
            address = %told.address,
            path = told.path,
            status = status.as_u16(),
            subject = subject.map(escaped),
            "an operator's call"
        );
    }

    /// Tells how many lines of a second that is over were left out. Called now and then.
    pub(crate) fn settle(&self, now: Instant) {
        let flows =
            [(&self.operators, "operators"), (&self.subjects, "subjects"), (&self.strangers, "strangers")];
        for (flow, who) in flows {
            let untold = flow.lock().settle(now);
            tell_rest(untold, who);
        }
    }
}

fn tell(flow: &Mutex<Flow>, who: &'static str, (told, problem): (Told<'_>, &Problem), now: Instant) {
    let mut flow = flow.lock();
    let untold = flow.settle(now);
    let due = flow.is_due(now);
    drop(flow);
    tell_rest(untold, who);
    if due {
        tracing::info!(
            target: "weir::audit",
            request_id = told.trace.id(),
            address = %told.address,
            method = method(&told.parts.method),
            path = told.path,
            status = problem.status.as_u16(),
            code = problem.code,
            subject = told.trace.subject().map(escaped),
            "denied"
        );
    }
}

impl Flow {
    /// How many were left out in the second that is over, if it is.
    fn settle(&mut self, now: Instant) -> u64 {
        if self.since.is_none_or(|since| now < since + SECOND) {
            return 0;
        }
        std::mem::take(self).untold
    }

    fn is_due(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let due = self.lines < MOST_LINES;
        if due {
            self.lines += 1;
        } else {
            self.untold += 1;
        }
        due
    }
}

fn tell_rest(untold: u64, who: &'static str) {
    if untold > 0 {
        tracing::info!(target: "weir::audit", who, count = untold, "more calls were denied");
    }
}

/// A subject is short already, and without control characters; what else could disturb a reader of the log is escaped.
fn escaped(subject: &str) -> String {
    const LONGEST: usize = 256;
    subject.chars().take(LONGEST).flat_map(char::escape_debug).collect()
}

/// A method can be any word of a caller's.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_a_trickle_told() {
        let (start, mut flow) = (Instant::now(), Flow::default());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let said: Vec<_> = (0..1000).map(|nth| flow.is_due(at(nth / 2))).collect();
        assert_eq!(said.iter().filter(|said| **said).count(), 10);
        assert!(said[..10].iter().all(|said| *said), "the first are told");
        assert_eq!((flow.settle(at(999)), flow.settle(at(1000)), flow.settle(at(1001))), (0, 990, 0));
        assert!(flow.is_due(at(1001)));
    }

    #[test]
    fn subjects_disturb_no_reader_of_the_log() {
        assert_eq!(escaped("Änn \"b\"\\"), "Änn \\\"b\\\"\\\\");
        assert_eq!(escaped("a\u{202e}b\u{1b}"), "a\\u{202e}b\\u{1b}");
        assert!(escaped(&"x".repeat(999)).len() == 256);
    }
}
