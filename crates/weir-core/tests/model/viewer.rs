//! One client's side: it believes nothing but what is on its wire, and holds that against everything ever written.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use weir_core::id::{EventId, Position};
use weir_core::mailbox::Parcel;
use weir_core::name::{Key, Session};
use weir_core::notice::{Gap, GapReason, Notice, Refusal};
use weir_core::subscription::{End, Format, Intake, Out, Pulled, ResumeResult, Wants};

use crate::model::claims::Claims;
use crate::model::naive::{Expect, Naive, What};

/// What is true at the moment of a pull.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) ms: u64,
    pub(crate) loaded: bool,
    pub(crate) degraded: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) wants: Wants,
    /// The last id on its wire.
    pub(crate) position: Option<EventId>,
    pub(crate) beating: bool,
    pub(crate) warned: bool,
    closed: Option<End>,
    joined: Instant,
    /// Since when it is held because it is ahead.
    ahead: Option<Instant>,
    begun: bool,
    claims: Claims,
    given: HashMap<(Session, Option<Key>), Instant>,
    degraded: Option<u64>,
}

impl Viewer {
    pub(crate) fn new(wants: Wants, now: Instant) -> Self {
        let claims = Claims::new(&wants);
        Self {
            wants,
            position: None,
            beating: false,
            warned: false,
            closed: None,
            joined: now,
            ahead: None,
            begun: false,
            claims,
            given: HashMap::new(),
            degraded: None,
        }
    }

    /// It comes back with the last id it saw.
    pub(crate) fn reconnect(&mut self, now: Instant) -> Wants {
        if let Some(id) = self.position {
            self.wants.from = Some(Position::parse(id.to_string().as_bytes()));
        }
        (self.joined, self.ahead, self.begun, self.closed, self.beating) = (now, None, false, None, false);
        self.warned = false;
        self.degraded = None;
        self.given.clear();
        self.wants.clone()
    }

    /// What takes a right away counts whenever it comes, else the first.
    pub(crate) fn close(&mut self, end: End) {
        self.closed = match (self.closed, end) {
            (None, end) | (Some(_), end @ End::Revoked) => Some(end),
            (Some(before), End::Expired) if before != End::Revoked => Some(end),
            (before, _) => before,
        };
    }

    pub(crate) fn epoch(&self) -> Option<u32> {
        self.begun.then_some(self.claims.epoch)
    }

    /// Takes what was pulled.
    pub(crate) fn take(&mut self, pulled: &Pulled, naive: &Naive, at: Moment) {
        check_tally(pulled);
        let mut items = &pulled.items[..];
        if let Some((Out::Notice(Notice::Connected(id)), rest)) = items.split_first() {
            assert!(!self.begun && self.ahead.is_none(), "connected twice");
            self.position = Some(*id);
            items = self.greeted(*id, rest, (pulled, naive, at));
        } else if self.ahead.is_some() && !self.begun && self.closed.is_none() {
            items = self.resumed(items, (pulled, naive, at));
        } else {
            assert_eq!(pulled.resume, None);
        }
        let mut pings = 0;
        while let Some((item, rest)) = items.split_first() {
            items = rest;
            match item {
                Out::Event(parcel) => self.event(parcel, naive, at),
                Out::Notice(Notice::Gap(gap)) => {
                    items = positioned(gap, items);
                    self.claims.gap(gap, naive, at.ms);
                    self.position = Some(gap.then);
                }
                Out::Notice(Notice::Ping(id)) => {
                    assert!(self.beating, "a ping without a beat");
                    if self.begun {
                        self.claims.pinged(*id, naive);
                    } else {
                        assert_eq!(self.position, Some(*id), "it is only held");
                    }
                    self.position = Some(*id);
                    pings += 1;
                }
                Out::Notice(notice) => self.notice(notice, pulled, at),
                Out::Part(part) => panic!("{part:?}"),
            }
        }
        if std::mem::take(&mut self.beating) {
            assert!(!pulled.items.is_empty(), "a beat gave no sign of life");
            assert!(
                pings <= 1 && (pings == 1 || !self.begun || !self.wants.visible_beat),
                "the beat is not visible"
            );
        }
    }

    /// It has been given everything there is.
    pub(crate) fn settled(&self, naive: &Naive, at: Moment) {
        assert!(self.begun, "drained, but it never began");
        self.claims.settled(naive);
        assert_eq!(self.degraded, at.degraded, "the state of the log was not told");
    }

    fn greeted<'a>(&mut self, id: EventId, rest: &'a [Out], now: (&Pulled, &Naive, Moment)) -> &'a [Out] {
        let (pulled, naive, at) = now;
        assert!(at.loaded, "connected before the window was loaded");
        match self.wants.from {
            None => {
                assert_eq!(pulled.resume, None);
                self.begun = true;
                let position = self.claims.begin_live(naive, at.ms);
                assert_eq!(id, position);
                rest
            }
            Some(Position::Earliest) => {
                assert_eq!(id, EventId::ZERO);
                self.begun = true;
                let hole = naive.holes_above(naive.edge()).1;
                assert_eq!(
                    pulled.resume,
                    Some(if hole { ResumeResult::Gap } else { ResumeResult::Complete })
                );
                self.claims.begin_earliest(naive);
                rest
            }
            Some(Position::After(position)) => {
                assert_eq!(id, position);
                self.resumed(rest, now)
            }
            Some(Position::Unknown) => {
                assert_eq!(id, naive.head);
                self.broken(GapReason::UnknownId, None, rest, now)
            }
        }
    }

    /// The answer to a position, once there is one.
    fn resumed<'a>(&mut self, rest: &'a [Out], now: (&Pulled, &Naive, Moment)) -> &'a [Out] {
        let (pulled, naive, at) = now;
        let Some(Position::After(position)) = self.wants.from else { panic!("it gave no position") };
        let whole = |viewer: &mut Self, result| {
            assert_eq!(pulled.resume, Some(result), "after {position} with head {}", naive.head);
            viewer.begun = true;
            viewer.claims.begin(position, naive.epoch);
            rest
        };
        match naive.resume(&self.wants.sessions, position) {
            Expect::Complete => whole(self, ResumeResult::Complete),
            Expect::CompleteToHole => whole(self, ResumeResult::Gap),
            Expect::Trimmed => self.broken(GapReason::Trimmed, Some(position), rest, now),
            Expect::Reader => self.broken(GapReason::Reader, Some(position), rest, now),
            Expect::Reset => self.broken(GapReason::Reset, Some(position), rest, now),
            Expect::Ahead => {
                let since = *self.ahead.get_or_insert(at.now);
                if at.now < since + Duration::from_secs(5) {
                    assert_eq!(pulled.resume, None, "it is not held");
                    return rest;
                }
                self.broken(GapReason::UnknownId, Some(position), rest, now)
            }
        }
    }

    /// The resume has to begin with this gap.
    fn broken<'a>(
        &mut self,
        reason: GapReason,
        position: Option<EventId>,
        rest: &'a [Out],
        (pulled, naive, at): (&Pulled, &Naive, Moment),
    ) -> &'a [Out] {
        assert_eq!(pulled.resume, Some(ResumeResult::Gap), "{reason:?} after {position:?}");
        let Some((Out::Notice(Notice::Gap(gap)), rest)) = rest.split_first() else {
            panic!("{reason:?} after {position:?} is not announced: {rest:?}")
        };
        assert_eq!((gap.reason, gap.after, gap.missed), (reason, position, None));
        self.begun = true;
        self.claims.begin_broken(gap, naive, at.ms);
        self.position = Some(gap.then);
        positioned(gap, rest)
    }

    fn event(&mut self, parcel: &Parcel, naive: &Naive, at: Moment) {
        let event = &parcel.event;
        let item = naive.log(self.claims.epoch).find(|item| item.id == event.id);
        let item = item.unwrap_or_else(|| panic!("{event:?} is of another log"));
        let What::Event(written) = &item.what else { panic!("{item:?} is no event") };
        assert_eq!(written.data(), event.data(), "an event of another log");
        check_frame(parcel, &self.wants);
        self.claims.given(written, naive);
        self.position = Some(event.id);
        // What is queued at the end leaves at once.
        if let Some(every) = self.wants.conflate.filter(|_| self.closed.is_none()) {
            let before = self.given.insert((event.session.clone(), event.key.clone()), at.now);
            assert!(before.is_none_or(|before| at.now >= before + every), "two of one key within {every:?}");
        }
    }

    fn notice(&mut self, notice: &Notice, pulled: &Pulled, at: Moment) {
        match notice {
            Notice::Comment => {
                let alone = pulled.items.len() == 1 || pulled.end.is_some();
                assert!(self.beating && alone, "a comment beside something else");
            }
            Notice::Degraded(since) => {
                assert!(at.degraded == Some(*since) && self.degraded != at.degraded);
                self.degraded = at.degraded;
            }
            Notice::Restored => {
                assert!(at.degraded.is_none() && self.degraded.is_some());
                self.degraded = None;
            }
            Notice::Shutdown => {
                assert!(matches!(pulled.end, Some(End::Shutdown | End::MaxAge)) && self.closed == pulled.end);
            }
            Notice::Expiring(7000) => {
                assert!(std::mem::take(&mut self.warned) && self.closed.is_none(), "it was told already");
            }
            Notice::Expired => assert_eq!((pulled.end, self.closed), (Some(End::Expired), pulled.end)),
            Notice::Revoked => {
                assert_eq!((pulled.end, self.closed), (Some(End::Revoked), pulled.end));
                let events = pulled.items.iter().filter(|item| matches!(item, Out::Event(_)));
                assert_eq!(events.count(), 0, "events after it was revoked");
            }
            Notice::Refused(why) => {
                assert_eq!((*why, pulled.end), (Refusal::Starting, Some(End::Refused(Refusal::Starting))));
                assert!(!at.loaded && at.now >= self.joined + Duration::from_secs(10));
            }
            Notice::Connected(_) | Notice::Ping(_) | Notice::Gap(_) | Notice::Expiring(_) => {
                panic!("{notice:?} at a wrong place")
            }
        }
    }
}

/// A gap is followed at once by the position after it.
fn positioned<'a>(gap: &Gap, rest: &'a [Out]) -> &'a [Out] {
    let Some((Out::Notice(Notice::Ping(id)), rest)) = rest.split_first() else {
        panic!("no position after {gap:?}: {rest:?}")
    };
    assert_eq!(*id, gap.then);
    rest
}

fn check_tally(pulled: &Pulled) {
    let events = pulled.items.iter().filter(|item| matches!(item, Out::Event(_))).count() as u64;
    assert_eq!(events, pulled.tally.delivered + pulled.tally.replayed);
    let mut gaps = [0; GapReason::ALL.len()];
    for item in &pulled.items {
        if let Out::Notice(Notice::Gap(gap)) = item {
            gaps[gap.reason as usize] += 1;
        }
    }
    assert_eq!(gaps, pulled.tally.gaps);
}

/// The bytes, made in another way than the code does it.
fn check_frame(parcel: &Parcel, wants: &Wants) {
    let event = &parcel.event;
    let frame = std::str::from_utf8(parcel.frame()).expect("text");
    if wants.format == Format::Raw || wants.intake == Intake::Window {
        let kind = event.kind.as_ref().map(|kind| kind.as_str()).filter(|kind| *kind != "message");
        let kind = kind.map_or(String::new(), |kind| format!("event: {kind}\n"));
        let data = event.data().replace("\r\n", "\n").replace(['\r', '\n'], "\ndata: ");
        assert_eq!(frame, format!("id: {}\n{kind}data: {data}\n\n", event.id));
        return;
    }
    let body =
        frame.strip_prefix(&format!("id: {}\ndata: ", event.id)).and_then(|rest| rest.strip_suffix("\n\n"));
    let body: serde_json::Value = serde_json::from_str(body.expect("an unnamed event")).expect("JSON");
    let expected = serde_json::json!({
        "id": event.id.to_string(),
        "session": event.session.as_str(),
        "type": event.kind.as_ref().map(|kind| kind.as_str()),
        "key": event.key.as_ref().map(|key| key.as_str()),
        "data": event.data(),
        "ts": event.ts,
    });
    assert_eq!(body, expected);
}
