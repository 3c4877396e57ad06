//! What a stream is, and what is done to it: the rules, without where it is stored.

use super::branches::Branches;
use super::media::MediaType;
use super::name::StreamName;
use super::offset::Offset;
use super::producers::{Seen, Turn, turn};
use super::request::{Append, Create, Fork, Lifetime, Producer};
use super::store::{AppendError, Appended, CreateError, Head};

/// Deepest fork of a fork of a fork. It bounds where one read has to look.
pub const DEEPEST_FORK: usize = 32;

/// Everything that is known of a stream besides its chunks and its producers.
#[derive(Clone, Debug)]
pub struct State {
    /// What it is made of.
    pub media: MediaType,
    /// How long it is kept.
    pub lifetime: Lifetime,
    /// When it was made, or more where several were made at once.
    pub born: u64,
    /// Its chunks' numbers.
    pub branches: Branches,
    /// So many of the first chunks are gone.
    pub trimmed: u64,
    /// Nothing is appended any more.
    pub closed: bool,
    /// Which append closed it, where a producer did.
    pub closed_by: Option<Producer>,
    /// The newest Stream-Seq.
    pub seq: Option<Box<str>>,
    /// What it began as.
    pub fork: Option<Forked>,
    /// How many forks it has.
    pub forks: u64,
    /// It was deleted or has expired, and stays for its forks.
    pub deleted: bool,
    /// When it was last known to be in use, in milliseconds since the Unix epoch.
    pub used_ms: u64,
}

/// What a fork keeps of how it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forked {
    /// Of which stream.
    pub source: StreamName,
    /// Behind which place.
    pub offset: Offset,
    /// And so many units of the chunk behind that.
    pub units: u64,
    /// How often it is a fork of a fork.
    pub depth: usize,
    /// Whether its lifetime is that of its source because none was given.
    pub inherits: bool,
}

/// How a stream stands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there.
    Here,
    /// Only its forks have a part of it.
    Deleted,
    /// It has expired, and nobody needs it.
    Expired,
}

/// What an append does to a stream that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out by [`State::append`].
    Write,
    /// This is the answer, and nothing is done.
    Answer(Appended),
}

impl State {
    /// What is known of it.
    pub fn head(&self) -> Head {
        Head {
            media: self.media.clone(),
            lifetime: self.lifetime.clone(),
            tail: self.branches.tail(),
            closed: self.closed,
            born: self.born,
        }
    }

    /// How it stands.
    pub fn standing(&self, now_ms: u64) -> Standing {
        let expired = self.expires_ms().is_some_and(|at_ms| at_ms <= now_ms);
        match (self.deleted || expired, self.forks) {
            (false, _) => Standing::Here,
            (true, 1..) => Standing::Deleted,
            (true, 0) => Standing::Expired,
        }
    }

    /// When it expires if nobody uses it any more.
    pub fn expires_ms(&self) -> Option<u64> {
        match &self.lifetime {
            Lifetime::Forever => None,
            Lifetime::Idle(secs) => Some(self.used_ms.saturating_add(secs.saturating_mul(1000))),
            Lifetime::Until { at_ms, .. } => Some(*at_ms),
        }
    }

    /// Whether use of it at `now` is to be written down. Only after a twentieth of its lifetime, or a second, so that not
    /// every read is a write.
    pub fn is_renewal_due(&self, now_ms: u64) -> bool {
        match &self.lifetime {
            Lifetime::Forever | Lifetime::Until { .. } => false,
            Lifetime::Idle(secs) => {
                let step = (secs.saturating_mul(1000) / 20).clamp(10, 1000);
                now_ms >= self.used_ms.saturating_add(step)
            }
        }
    }

    /// Whether a stream that exists is as it is asked for.
    ///
    /// # Errors
    /// It is not.
    pub fn answers(&self, create: &Create) -> Result<(), CreateError> {
        let is_alike = self.closed == create.closed
            && match (&self.fork, &create.fork) {
                (None, None) => {
                    self.media.is_like(create.media.as_ref().unwrap_or(&MediaType::octets()))
                        && self.lifetime == create.lifetime.clone().unwrap_or_default()
                }
                (Some(forked), Some(fork)) => {
                    forked.answers(fork)
                        && create.media.as_ref().is_none_or(|media| self.media.is_like(media))
                        && create
                            .lifetime
                            .as_ref()
                            .map_or(forked.inherits, |lifetime| self.lifetime == *lifetime)
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
        if is_alike { Ok(()) } else { Err(CreateError::Exists) }
    }

    /// Whether an append is taken, where so much is known of its producer. The stream is there.
    ///
    /// # Errors
    /// It is not.
    pub fn judge(&self, append: &Append, seen: Option<Seen>) -> Result<Verdict, AppendError> {
        if self.closed {
            return self.judge_closed(append, seen);
        }
        if append.payload.is_some() && !append.media.as_ref().is_some_and(|media| self.media.is_like(media)) {
            return Err(AppendError::Media);
        }
        if let Some(producer) = &append.producer
            && let Turn::Repeat { seq } = turn(seen, producer)?
        {
            return Ok(Verdict::Answer(self.repeat(seq)));
        }
        let rises = |seq: &str| self.seq.as_deref().is_none_or(|newest| seq.as_bytes() > newest.as_bytes());
        match &append.seq {
            Some(seq) if append.payload.is_some() && !rises(seq) => Err(AppendError::Seq),
            Some(_) | None => Ok(Verdict::Write),
        }
    }

    /// Closing twice is fine, and so is the repeat of the append that closed it. An older life of a producer hears that it is
    /// one, so that it does not take the stream's end for its own.
    fn judge_closed(&self, append: &Append, seen: Option<Seen>) -> Result<Verdict, AppendError> {
        let tail = self.branches.tail();
        let Some(producer) = &append.producer else {
            return match append.payload {
                None => Ok(Verdict::Answer(Appended::Written { tail, closed: true })),
                Some(_) => Err(AppendError::Closed { tail }),
            };
        };
        if self.closed_by.as_ref() == Some(producer) {
            return Ok(Verdict::Answer(self.repeat(producer.seq)));
        }
        match seen {
            Some(seen) if producer.epoch < seen.epoch => Err(AppendError::StaleEpoch { current: seen.epoch }),
            Some(_) | None => Err(AppendError::Closed { tail }),
        }
    }

    fn repeat(&self, seq: u64) -> Appended {
        Appended::Duplicate { seq, tail: self.branches.tail(), closed: self.closed }
    }

    /// Carries out an append that is taken, in this life of the log. Chunk and producer are the backend's to store.
    pub fn append(&mut self, append: &Append, life: u64, now_ms: u64) -> Appended {
        if append.payload.is_some() {
            self.branches.push(life);
            if let Some(seq) = &append.seq {
                self.seq = Some(seq.clone());
            }
        }
        if append.close {
            self.closed = true;
            self.closed_by.clone_from(&append.producer);
        }
        self.used_ms = now_ms;
        Appended::Written { tail: self.branches.tail(), closed: self.closed }
    }

    /// A new stream without chunks of its own. `source` is what it forks, and from where on.
    pub fn new(create: &Create, source: Option<(&Self, Forked)>, life: u64, now_ms: u64) -> Self {
        let (media, lifetime, branches, trimmed) = match &source {
            Some((source, forked)) => (
                source.media.clone(),
                source.lifetime.clone(),
                source.branches.fork(forked.offset.n(), life),
                source.trimmed,
            ),
            None => (MediaType::octets(), Lifetime::Forever, Branches::new(life), 0),
        };
        Self {
            media: create.media.clone().unwrap_or(media),
            lifetime: create.lifetime.clone().unwrap_or(lifetime),
            born: life,
            branches,
            trimmed,
            closed: create.closed,
            closed_by: None,
            seq: None,
            fork: source.map(|(_, forked)| forked),
            forks: 0,
            deleted: false,
            used_ms: now_ms,
        }
    }

    /// Where a fork of this stream begins. The stream is there.
    ///
    /// # Errors
    /// It cannot be forked so.
    pub fn forked(&self, fork: &Fork, create: &Create) -> Result<Forked, CreateError> {
        if create.media.as_ref().is_some_and(|media| !self.media.is_like(media)) {
            return Err(CreateError::Media);
        }
        let depth = self.fork.as_ref().map_or(0, |forked| forked.depth) + 1;
        if depth > DEEPEST_FORK {
            return Err(CreateError::TooDeep(DEEPEST_FORK));
        }
        let tail = self.branches.tail();
        let offset = fork.offset.unwrap_or(tail);
        if offset.n() > tail.n() {
            return Err(CreateError::NoSuchOffset);
        }
        if offset.n() < self.trimmed || !self.branches.has(offset) {
            return Err(CreateError::OffsetGone);
        }
        if fork.units > 0 && offset == tail {
            return Err(CreateError::NoSuchUnits);
        }
        let inherits = create.lifetime.is_none();
        Ok(Forked { source: fork.source.clone(), offset, units: fork.units, depth, inherits })
    }
}

impl Forked {
    fn answers(&self, fork: &Fork) -> bool {
        self.source == fork.source
            && self.units == fork.units
            && fork.offset.is_none_or(|offset| offset == self.offset)
    }
}

#[cfg(test)]
mod tests;
