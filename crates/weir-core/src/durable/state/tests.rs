//! What is taken, what is refused, and what is answered again.

use super::*;
use crate::durable::request::Payload;
use crate::durable::{From, ReadError};

const NOW: u64 = 1_795_297_239_091;

fn stream() -> State {
    let create = Create { media: MediaType::parse("text/plain"), ..Create::default() };
    State::new(&create, None, NOW, NOW)
}

fn payload() -> Payload {
    Payload { bytes: "abc".into(), units: 3 }
}

fn text() -> Append {
    let media = MediaType::parse("text/plain; charset=utf-8");
    Append { media, payload: Some(payload()), close: false, seq: None, producer: None }
}

fn close() -> Append {
    Append { media: None, payload: None, close: true, seq: None, producer: None }
}

fn by(append: Append, epoch: u64, seq: u64) -> Append {
    Append { producer: Some(Producer { id: "p".into(), epoch, seq }), ..append }
}

fn seen(epoch: u64, seq: u64) -> Option<Seen> {
    Some(Seen { epoch, seq, at_ms: NOW })
}

fn at(n: u64) -> Offset {
    Offset::new(NOW, n)
}

#[test]
fn an_append_moves_the_tail_and_a_close_does_not() {
    let mut state = stream();
    assert_eq!(state.judge(&text(), None), Ok(Verdict::Write));
    assert_eq!(state.append(&text(), NOW, NOW), Appended::Written { tail: at(1), closed: false });
    let last = Append { close: true, ..text() };
    assert_eq!(state.append(&last, NOW, NOW + 5), Appended::Written { tail: at(2), closed: true });
    assert_eq!((state.head().tail, state.used_ms), (at(2), NOW + 5));

    let mut state = stream();
    assert_eq!(state.judge(&close(), None), Ok(Verdict::Write));
    assert_eq!(state.append(&close(), NOW, NOW), Appended::Written { tail: Offset::BEGIN, closed: true });
}

#[test]
fn another_content_type_is_refused_before_its_producer_is_asked() {
    let other = Append { media: MediaType::parse("text/html"), ..text() };
    assert_eq!(stream().judge(&by(other, 0, 9), None), Err(AppendError::Media));
}

#[test]
fn a_repeat_is_one_before_its_sequence_is_looked_at() {
    let mut state = stream();
    state.append(&Append { seq: Some("b".into()), ..text() }, NOW, NOW);
    let again = by(Append { seq: Some("b".into()), ..text() }, 0, 3);
    let repeat = Appended::Duplicate { seq: 3, tail: at(1), closed: false };
    assert_eq!(state.judge(&again, seen(0, 3)), Ok(Verdict::Answer(repeat)));
    assert_eq!(state.judge(&again, seen(0, 2)), Err(AppendError::Seq));
}

#[test]
fn sequences_rise_byte_by_byte() {
    let mut state = stream();
    let with = |seq: &str| Append { seq: Some(seq.into()), ..text() };
    state.append(&with("9"), NOW, NOW);
    for refused in ["10", "9", ""] {
        assert_eq!(state.judge(&with(refused), None), Err(AppendError::Seq), "{refused}");
    }
    assert_eq!(state.judge(&with("90"), None), Ok(Verdict::Write));
    assert_eq!(state.judge(&text(), None), Ok(Verdict::Write), "without one, it does not count");
    state.append(&text(), NOW, NOW);
    assert_eq!(state.judge(&with("9"), None), Err(AppendError::Seq), "nor is the newest forgotten");
}

#[test]
fn a_closed_stream_is_closed_again_but_takes_nothing() {
    let mut state = stream();
    state.append(&by(close(), 1, 0), NOW, NOW);
    let closed = AppendError::Closed { tail: Offset::BEGIN };
    let repeat = Appended::Duplicate { seq: 0, tail: Offset::BEGIN, closed: true };
    let written = Appended::Written { tail: Offset::BEGIN, closed: true };
    assert_eq!(state.judge(&close(), None), Ok(Verdict::Answer(written)));
    assert_eq!(state.judge(&text(), None), Err(closed.clone()));
    assert_eq!(state.judge(&Append { media: None, ..text() }, None), Err(closed.clone()));
    assert_eq!(
        state.judge(&by(text(), 1, 0), seen(1, 0)),
        Ok(Verdict::Answer(repeat)),
        "whatever it appends"
    );
    assert_eq!(state.judge(&by(close(), 1, 1), seen(1, 0)), Err(closed.clone()));
    assert_eq!(state.judge(&by(text(), 0, 1), seen(1, 0)), Err(AppendError::StaleEpoch { current: 1 }));
    assert_eq!(state.judge(&by(text(), 0, 0), None), Err(closed));
}

#[test]
fn an_idle_lifetime_ends_unless_the_stream_is_used() {
    let create = Create { lifetime: Some(Lifetime::Idle(100)), ..Create::default() };
    let mut state = State::new(&create, None, NOW, NOW);
    assert_eq!(state.standing(NOW + 99_999), Standing::Here);
    assert_eq!(state.standing(NOW + 100_000), Standing::Expired);
    assert!(!state.is_renewal_due(NOW + 999));
    assert!(state.is_renewal_due(NOW + 1000));
    state.append(&Append { media: Some(MediaType::octets()), ..text() }, NOW, NOW + 50_000);
    assert_eq!(state.standing(NOW + 149_999), Standing::Here);
    state.forks = 1;
    assert_eq!(state.standing(NOW + 150_000), Standing::Deleted, "its forks need it");

    let short = Create { lifetime: Some(Lifetime::Idle(1)), ..Create::default() };
    assert!(State::new(&short, None, NOW, NOW).is_renewal_due(NOW + 50));
    assert!(!stream().is_renewal_due(u64::MAX));
}

#[test]
fn a_lifetime_with_an_end_is_not_prolonged() {
    let until = Lifetime::Until { at_ms: NOW + 10, text: "soon".into() };
    let state = State::new(&Create { lifetime: Some(until), ..Create::default() }, None, NOW, NOW);
    assert_eq!(state.standing(NOW + 9), Standing::Here);
    assert_eq!(state.standing(NOW + 10), Standing::Expired);
    assert!(!state.is_renewal_due(u64::MAX));
}

#[test]
fn a_stream_answers_what_made_it() {
    let create = Create { media: MediaType::parse("text/plain"), ..Create::default() };
    let idle = Some(Lifetime::Idle(5));
    assert_eq!(stream().answers(&create), Ok(()));
    for other in [
        Create::default(),
        Create { closed: true, ..create.clone() },
        Create { lifetime: idle, ..create.clone() },
        Create { fork: Some(of_source(None, 0)), ..create.clone() },
    ] {
        assert_eq!(stream().answers(&other), Err(CreateError::Exists), "{other:?}");
    }
    let octets = State::new(&Create::default(), None, NOW, NOW);
    let said = Create { media: MediaType::parse("APPLICATION/octet-stream"), ..Create::default() };
    assert_eq!(octets.answers(&said), Ok(()));
}

fn of_source(offset: Option<Offset>, units: u64) -> Fork {
    Fork { source: StreamName::parse("source").unwrap(), offset, units }
}

fn forking(fork: Fork) -> Create {
    Create { fork: Some(fork), ..Create::default() }
}

fn source() -> State {
    let mut source = stream();
    source.lifetime = Lifetime::Idle(60);
    for _ in 0..3 {
        source.append(&text(), NOW, NOW);
    }
    source
}

#[test]
fn a_fork_is_what_its_source_is_unless_told_otherwise() {
    let source = source();
    let create = forking(of_source(Some(at(2)), 0));
    let forked = source.forked(create.fork.as_ref().unwrap(), &create).unwrap();
    let fork = State::new(&create, Some((&source, forked)), NOW + 9, NOW + 9);
    assert_eq!((fork.head().tail, fork.born, fork.closed), (at(2), NOW + 9, false));
    assert_eq!(fork.lifetime, Lifetime::Idle(60));
    assert!(fork.media.is_like(&source.media));

    assert_eq!(fork.answers(&create), Ok(()));
    assert_eq!(fork.answers(&forking(of_source(None, 0))), Ok(()), "wherever it began");
    let same =
        Create { media: Some(source.media.clone()), lifetime: Some(Lifetime::Idle(60)), ..create.clone() };
    assert_eq!(fork.answers(&same), Ok(()));
    for other in [
        Create { lifetime: Some(Lifetime::Forever), ..create.clone() },
        Create { media: Some(MediaType::octets()), ..create.clone() },
        forking(of_source(Some(at(1)), 0)),
        forking(of_source(Some(at(2)), 1)),
        Create::default(),
    ] {
        assert_eq!(fork.answers(&other), Err(CreateError::Exists), "{other:?}");
    }
    let given = Create { lifetime: Some(Lifetime::Idle(60)), ..create.clone() };
    let forked = source.forked(given.fork.as_ref().unwrap(), &given).unwrap();
    let fork = State::new(&given, Some((&source, forked)), NOW + 9, NOW + 9);
    assert_eq!(fork.answers(&create), Err(CreateError::Exists), "its lifetime was given, not inherited");
}

#[test]
fn what_cannot_be_forked() {
    let mut source = source();
    source.trimmed = 1;
    let refuse = |source: &State, create: &Create| source.forked(create.fork.as_ref().unwrap(), create);
    for (fork, why) in [
        (of_source(Some(at(4)), 0), CreateError::NoSuchOffset),
        (of_source(Some(Offset::BEGIN), 0), CreateError::OffsetGone),
        (of_source(Some(Offset::new(NOW - 1, 2)), 0), CreateError::OffsetGone),
        (of_source(Some(at(3)), 1), CreateError::NoSuchUnits),
        (of_source(None, 1), CreateError::NoSuchUnits),
    ] {
        assert_eq!(refuse(&source, &forking(fork.clone())), Err(why), "{fork:?}");
    }
    let other = Create { media: Some(MediaType::octets()), ..forking(of_source(None, 0)) };
    assert_eq!(refuse(&source, &other), Err(CreateError::Media));

    for depth in 1..=DEEPEST_FORK {
        let create = forking(of_source(None, 0));
        let forked = refuse(&source, &create).unwrap();
        assert_eq!(forked.depth, depth);
        source = State::new(&create, Some((&source, forked)), NOW, NOW);
    }
    assert_eq!(refuse(&source, &forking(of_source(None, 0))), Err(CreateError::TooDeep(DEEPEST_FORK)));
    assert_eq!(source.branches.begin(From::After(at(4)), 0), Err(ReadError::OffsetGone));
}
