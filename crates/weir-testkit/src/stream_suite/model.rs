//! Whatever is done to streams, in whatever order: they do as a model does that is too simple to be wrong.

use std::collections::HashMap;

use weir_core::durable::{
    Append, AppendError, Appended, Create, CreateError, DeleteError, From, Offset, ReadError, StreamStore,
};

use super::ask::{append, by, close, fork_at, name, payload, stream, text};
use super::{Backend, Limits};

/// How many sequences of operations, and how long each is.
const ROUNDS: u64 = 8;
const STEPS: usize = 120;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A stream: all its chunks, whoever appended them, with the offsets they were given out with.
#[derive(Clone, Debug, Default)]
struct Model {
    chunks: Vec<(String, Option<Offset>)>,
    closed: bool,
    deleted: bool,
    source: Option<&'static str>,
    producers: HashMap<&'static str, (u64, u64)>,
}

#[derive(Debug, Default)]
struct Models(HashMap<&'static str, Model>);

impl Models {
    fn forks(&self, of: &str) -> usize {
        self.0.values().filter(|model| model.source == Some(of)).count()
    }

    /// Removes it, and what nobody needs any more.
    fn remove(&mut self, its: &'static str) {
        let mut next = Some(its);
        while let Some(its) = next.take() {
            let source = self.0.remove(its).and_then(|model| model.source);
            next =
                source.filter(|of| self.forks(of) == 0 && self.0.get(of).is_some_and(|model| model.deleted));
        }
    }
}

/// A seed that failed is in the panic's text; put it in the place of the range to see it again.
pub async fn whatever_is_done_they_do_as_the_model_does<B: Backend>() {
    for seed in 0..ROUNDS {
        let backend = B::start(Limits::default()).await;
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut models = Models::default();
        for step in 0..STEPS {
            let store = backend.store();
            let its = NAMES[dice.usize(..NAMES.len())];
            let what = format!("seed {seed}, step {step}, stream {its}");
            match dice.u8(..12) {
                0 | 1 => make(&*store, &mut models, its, &what).await,
                2 => {
                    fork(&*store, &mut models, (its, NAMES[dice.usize(..NAMES.len())]), (&mut dice, &what))
                        .await
                }
                3 => delete(&*store, &mut models, its, &what).await,
                4 => end(&*store, &mut models, its, &what).await,
                5..8 => produce(&*store, &mut models, its, (&mut dice, &what)).await,
                _ => add(&*store, &mut models, its, &what).await,
            }
            for its in NAMES {
                check(&*store, &mut models, its, &mut dice, &what).await;
            }
        }
    }
}

async fn make(store: &dyn StreamStore, models: &mut Models, its: &'static str, what: &str) {
    let create = Create { payload: Some(payload(what)), ..text() };
    let made = stream(store, its).create(&create).await;
    match models.0.get(its) {
        None => {
            assert!(made.unwrap().is_new, "{what}");
            models.0.insert(its, Model { chunks: vec![(what.to_owned(), None)], ..Model::default() });
        }
        Some(model) if model.deleted => assert_eq!(made.unwrap_err(), CreateError::Taken, "{what}"),
        Some(model) if model.closed || model.source.is_some() => {
            assert_eq!(made.unwrap_err(), CreateError::Exists, "{what}");
        }
        Some(_) => assert!(!made.unwrap().is_new, "{what}"),
    }
}

async fn fork(
    store: &dyn StreamStore,
    models: &mut Models,
    (its, of): (&'static str, &'static str),
    (dice, what): (&mut fastrand::Rng, &str),
) {
    if models.0.contains_key(its) {
        return;
    }
    let source = models.0.get(of).cloned().unwrap_or_default();
    let at = dice.usize(..=source.chunks.len());
    let offset = at.checked_sub(1).map_or(Some(Offset::BEGIN), |last| source.chunks[last].1);
    let next = source.chunks.get(at).map_or(0, |(text, _)| text.len());
    let units = dice.usize(..=next + 1);
    let made = stream(store, its).create(&fork_at(of, offset, units as u64)).await;
    let why = match models.0.get(of) {
        None => Some(CreateError::NoSource),
        Some(source) if source.deleted => Some(CreateError::SourceDeleted),
        Some(_) if units > next => Some(CreateError::NoSuchUnits),
        Some(_) => None,
    };
    let Some(why) = why else {
        assert!(made.unwrap().is_new, "{what}");
        let mut chunks = source.chunks[..at].to_vec();
        if units > 0 {
            chunks.push((source.chunks[at].0[..units].to_owned(), None));
        }
        models.0.insert(its, Model { chunks, source: Some(of), ..Model::default() });
        return;
    };
    assert_eq!(made.unwrap_err(), why, "{what}");
}

async fn delete(store: &dyn StreamStore, models: &mut Models, its: &'static str, what: &str) {
    let done = store.delete(&name(its)).await;
    let forks = models.forks(its);
    match models.0.get_mut(its) {
        None => assert_eq!(done, Err(DeleteError::Missing), "{what}"),
        Some(model) if model.deleted => assert_eq!(done, Err(DeleteError::Deleted), "{what}"),
        Some(model) if forks > 0 => {
            assert_eq!(done, Ok(()), "{what}");
            model.deleted = true;
        }
        Some(_) => {
            assert_eq!(done, Ok(()), "{what}");
            models.remove(its);
        }
    }
}

/// What every append hears of a stream that takes none. `None` where it takes it.
fn refusal(models: &Models, its: &str, tail: Option<Offset>) -> Option<AppendError> {
    match models.0.get(its) {
        None => Some(AppendError::Missing),
        Some(model) if model.deleted => Some(AppendError::Deleted),
        Some(model) if model.closed => tail.map(|tail| AppendError::Closed { tail }),
        Some(_) => None,
    }
}

async fn tail(store: &dyn StreamStore, its: &str) -> Option<Offset> {
    store.head(&name(its)).await.ok().map(|head| head.tail)
}

async fn end(store: &dyn StreamStore, models: &mut Models, its: &'static str, what: &str) {
    let tail = tail(store, its).await;
    let done = stream(store, its).append(&close()).await;
    match (refusal(models, its, None), tail) {
        (Some(refusal), _) => assert_eq!(done, Err(refusal), "{what}"),
        (None, Some(tail)) => {
            assert_eq!(done, Ok(Appended::Written { tail, closed: true }), "{what}");
            models.0.get_mut(its).unwrap().closed = true;
        }
        (None, None) => panic!("{what}: it is not there"),
    }
}

async fn add(store: &dyn StreamStore, models: &mut Models, its: &'static str, what: &str) {
    let tail = tail(store, its).await;
    let done = stream(store, its).append(&append(what)).await;
    match refusal(models, its, tail) {
        Some(refusal) => assert_eq!(done, Err(refusal), "{what}"),
        None => took(models, its, what, &done),
    }
}

/// By one of two producers, who repeat, forget and begin anew.
async fn produce(
    store: &dyn StreamStore,
    models: &mut Models,
    its: &'static str,
    (dice, what): (&mut fastrand::Rng, &str),
) {
    let tail = tail(store, its).await;
    let id = if dice.bool() { "p" } else { "q" };
    let known = models.0.get(its).and_then(|model| model.producers.get(id)).copied();
    let (epoch, seq) = known.map_or((0, 0), |(epoch, seq)| match dice.u8(..8) {
        0 => (epoch, seq + 2),
        1 => (epoch, seq),
        2 => (epoch + 1, 0),
        3 => (epoch + 1, 1),
        4 if epoch > 0 => (epoch - 1, seq + 1),
        _ => (epoch, seq + 1),
    });
    let done = stream(store, its).append(&by(Append { close: false, ..append(what) }, id, epoch, seq)).await;
    let is_stale = known.is_some_and(|(newest, _)| epoch < newest);
    let is_refused = refusal(models, its, tail);
    match (is_refused, known) {
        (Some(AppendError::Closed { .. }) | None, Some((current, _))) if is_stale => {
            assert_eq!(done, Err(AppendError::StaleEpoch { current }), "{what}");
        }
        (Some(refusal), _) => assert_eq!(done, Err(refusal), "{what}"),
        (None, Some((current, newest))) if epoch == current && seq <= newest => {
            assert!(matches!(done, Ok(Appended::Duplicate { seq, .. }) if seq == newest), "{what}: {done:?}");
        }
        (None, Some((current, newest))) if epoch == current && seq > newest + 1 => {
            assert_eq!(done, Err(AppendError::Gap { expected: newest + 1, received: seq }), "{what}");
        }
        (None, Some((current, _))) if epoch > current && seq > 0 => {
            assert_eq!(done, Err(AppendError::EpochBegins), "{what}");
        }
        (None, _) => {
            took(models, its, what, &done);
            models.0.get_mut(its).unwrap().producers.insert(id, (epoch, seq));
        }
    }
}

fn took(models: &mut Models, its: &str, what: &str, done: &Result<Appended, AppendError>) {
    let Ok(Appended::Written { tail, closed }) = done else { panic!("{what}: {done:?}") };
    assert!(!closed, "{what}");
    models.0.get_mut(its).unwrap().chunks.push((what.to_owned(), Some(*tail)));
}

/// All that can be read of it is what the model has, from wherever it is read.
async fn check(
    store: &dyn StreamStore,
    models: &mut Models,
    its: &str,
    dice: &mut fastrand::Rng,
    what: &str,
) {
    let read = stream(store, its).read(From::Begin).await;
    let Some(model) = models.0.get_mut(its) else {
        assert_eq!(read.unwrap_err(), ReadError::Missing, "{what}: {its}");
        return;
    };
    if model.deleted {
        assert_eq!(read.unwrap_err(), ReadError::Deleted, "{what}: {its}");
        return;
    }
    let page = read.unwrap();
    assert_eq!(page.head.closed, model.closed, "{what}: {its}");
    assert_eq!(page.chunks.len(), model.chunks.len(), "{what}: {its}");
    for (chunk, (text, end)) in page.chunks.iter().zip(&mut model.chunks) {
        assert_eq!(
            (&*chunk.bytes, chunk.end),
            (text.as_bytes(), *end.get_or_insert(chunk.end)),
            "{what}: {its}"
        );
    }
    let after = dice.usize(..=model.chunks.len());
    let from = after.checked_sub(1).map_or(Offset::BEGIN, |last| page.chunks[last].end);
    let rest = store.read(&name(its), From::After(from), dice.usize(..200)).await.unwrap();
    let is_there = page.chunks[after..].starts_with(&rest.chunks);
    assert!(
        is_there && (!rest.chunks.is_empty() || after == model.chunks.len()),
        "{what}: {its} after {from}"
    );
}
