//! Subjects whose streams are ended, and whose tokens of before are refused for a while.
//!
//! The log carries it to every instance, as an entry that is never delivered.

use std::collections::HashMap;

/// Longest subject in bytes, as of a token.
pub const MAX_SUBJECT: usize = 256;

/// Most subjects whose tokens are refused at once. It bounds memory, and what the log keeps beside its entries.
pub const MOST_REVOKED: usize = 10_000;

/// How far the clock of whoever makes tokens may be ahead of the one here: without it a token would be refused in the moment
/// it was made.
pub const AHEAD_SECS: u64 = 60;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    // Invariant: 1 to `MAX_SUBJECT` bytes without control characters.
    subject: Box<str>,
    /// When it was made, in ms since the epoch: tokens from before are meant.
    pub at_ms: u64,
    /// Until when these are refused. `None` ends the streams that are open, and no more.
    pub until_ms: Option<u64>,
}

/// The text is nobody's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is 1 to {MAX_SUBJECT} bytes without control characters")]
pub struct BadSubject;

/// As many subjects are refused as there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tokens of {MOST_REVOKED} subjects are refused already")]
pub struct Full;

impl Revocation {
    /// Checks the subject.
    ///
    /// # Errors
    /// [`BadSubject`].
    pub fn new(subject: &str, at_ms: u64, until_ms: Option<u64>) -> Result<Self, BadSubject> {
        let fits = (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control);
        if fits { Ok(Self { subject: subject.into(), at_ms, until_ms }) } else { Err(BadSubject) }
    }

    /// The fields of its entry in the log, but for the one that marks it. What is none is nobody's.
    pub(crate) fn decode<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let (mut subject, mut at_ms, mut until_ms) = (None, None, None);
        for (name, value) in fields {
            let slot = match name {
                b"subject" => &mut subject,
                b"at" => &mut at_ms,
                b"until" => &mut until_ms,
                _ => continue,
            };
            slot.get_or_insert(std::str::from_utf8(value).ok()?);
        }
        let number = |text: &str| text.parse::<u64>().ok();
        let until_ms = match until_ms {
            Some(text) => Some(number(text)?),
            None => None,
        };
        Self::new(subject?, number(at_ms?)?, until_ms).ok()
    }

    /// Whose streams.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether a token that was issued then is refused, as long as the revocation holds. Tokens tell whole seconds, by a clock
    /// that may be ahead, so one of the minute after counts as from before, and so does one that does not tell.
    pub fn covers(&self, issued_secs: Option<u64>) -> bool {
        covers(self.at_ms, issued_secs)
    }
}

fn covers(at_ms: u64, issued_secs: Option<u64>) -> bool {
    issued_secs.is_none_or(|issued| issued <= at_ms / 1000 + AHEAD_SECS)
}

/// Those that hold. Two of one subject are one: the later time of both counts, and the later end.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    by_subject: HashMap<Box<str>, Term>,
    /// No end is earlier, so that a full list need not be searched in vain.
    earliest_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    at_ms: u64,
    until_ms: u64,
}

impl Revocations {
    /// Takes one. What is over, or only ended streams, is not kept.
    ///
    /// # Errors
    /// [`Full`]: those that are there hold on.
    pub fn add(&mut self, revocation: &Revocation, now_ms: u64) -> Result<(), Full> {
        let Some(until_ms) = revocation.until_ms.filter(|until| *until > now_ms) else { return Ok(()) };
        let at_ms = revocation.at_ms;
        if let Some(known) = self.by_subject.get_mut(revocation.subject()) {
            known.at_ms = known.at_ms.max(at_ms);
            known.until_ms = known.until_ms.max(until_ms);
            return Ok(());
        }
        if self.by_subject.len() >= MOST_REVOKED && now_ms >= self.earliest_ms {
            self.forget(now_ms);
        }
        if self.by_subject.len() >= MOST_REVOKED {
            return Err(Full);
        }
        let empty = self.by_subject.is_empty();
        self.earliest_ms = if empty { until_ms } else { self.earliest_ms.min(until_ms) };
        self.by_subject.insert(revocation.subject.clone(), Term { at_ms, until_ms });
        Ok(())
    }

    /// Whether a token of the subject that was issued then is refused now.
    pub fn refuse(&self, subject: &str, issued_secs: Option<u64>, now_ms: u64) -> bool {
        let term = self.by_subject.get(subject).filter(|term| now_ms < term.until_ms);
        term.is_some_and(|term| covers(term.at_ms, issued_secs))
    }

    /// Those that hold now.
    pub fn in_force(&self, now_ms: u64) -> Vec<Revocation> {
        let held = self.by_subject.iter().filter(|(_, term)| now_ms < term.until_ms);
        held.map(|(subject, term)| Revocation {
            subject: subject.clone(),
            at_ms: term.at_ms,
            until_ms: Some(term.until_ms),
        })
        .collect()
    }

    /// How many hold now.
    pub fn count(&self, now_ms: u64) -> usize {
        self.by_subject.values().filter(|term| now_ms < term.until_ms).count()
    }

    /// How many are kept, some of which may be over.
    pub fn len(&self) -> usize {
        self.by_subject.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    fn forget(&mut self, now_ms: u64) {
        self.by_subject.retain(|_, term| now_ms < term.until_ms);
        self.earliest_ms = self.by_subject.values().map(|term| term.until_ms).min().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(subject: &str, at_ms: u64, until_ms: u64) -> Revocation {
        Revocation::new(subject, at_ms, Some(until_ms)).unwrap()
    }

    #[test]
    fn tokens_from_before_are_refused_until_it_is_over() {
        let mut list = Revocations::default();
        list.add(&revocation("ann", 5500, 9000), 5500).unwrap();
        for (subject, issued, now, refused) in [
            ("ann", Some(4), 5500, true),
            ("ann", Some(5), 8999, true),
            ("ann", None, 8999, true),
            // Made before by a clock that is ahead, or after: nothing tells one from the other.
            ("ann", Some(65), 6000, true),
            ("ann", Some(66), 6000, false),
            ("ann", Some(4), 9000, false),
            ("Ann", Some(4), 6000, false),
        ] {
            assert_eq!(list.refuse(subject, issued, now), refused, "{subject} {issued:?} {now}");
        }
        assert_eq!(list.in_force(8999), [revocation("ann", 5500, 9000)]);
        assert_eq!(list.in_force(9000), []);
        assert_eq!((list.count(8999), list.count(9000)), (1, 0));
    }

    #[test]
    fn of_two_the_later_counts_in_both_respects() {
        let mut list = Revocations::default();
        for (at, until) in [(1000, 9000), (3000, 5000), (2000, 4000)] {
            list.add(&revocation("ann", at, until), 3000).unwrap();
        }
        assert_eq!(list.in_force(3000), [revocation("ann", 3000, 9000)]);
        // Over already, or for streams alone.
        list.add(&revocation("bob", 1000, 3000), 3000).unwrap();
        list.add(&Revocation::new("bob", 1000, None).unwrap(), 3000).unwrap();
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn a_full_list_keeps_what_holds_and_forgets_what_is_over() {
        let mut list = Revocations::default();
        for nth in 0..MOST_REVOKED {
            list.add(&revocation(&nth.to_string(), 1, 100 + nth as u64), 1).unwrap();
        }
        assert_eq!(list.add(&revocation("one more", 1, 1_000_000), 99), Err(Full));
        assert!(list.refuse("0", None, 99) && !list.refuse("one more", None, 99));
        // One that is there can be renewed, and there is room when one is over.
        list.add(&revocation("7", 50, 1_000_000), 99).unwrap();
        list.add(&revocation("one more", 1, 1_000_000), 100).unwrap();
        assert!(list.refuse("one more", None, 100) && list.len() == MOST_REVOKED);
        assert_eq!(list.add(&revocation("and one", 1, 1_000_000), 100), Err(Full));
    }

    #[test]
    fn subjects_are_bounded() {
        assert!(Revocation::new(&"x".repeat(256), 0, None).is_ok());
        for bad in ["", "a\nb", &"x".repeat(257)] {
            assert_eq!(Revocation::new(bad, 0, None), Err(BadSubject));
        }
    }
}
