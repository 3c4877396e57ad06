//! The newest entries, and what of them cannot be delivered.

use fred::types::Resp3Frame;
use weir_core::entry::{Content, DecodeRules, Malformed};
use weir_core::id::EventId;
use weir_core::name::Session;

use super::super::codec;
use super::super::fault::Fault;
use super::super::frame;
use super::super::pacing::PageSize;
use super::{InspectError, Inspector};

/// Entries of one page, and bytes that end the sample early: it must not be a burden.
const PAGE: usize = 100;
const MOST_BYTES: usize = 16 << 20;

/// Ids that are named for each reason.
const EXAMPLES: usize = 3;

/// What was found among the newest entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many were looked at.
    pub entries: usize,
    /// Messages between instances among them.
    pub internal: usize,
    /// The largest, in bytes of all its fields.
    pub largest: usize,
    /// The oldest id among them, and the newest.
    pub span: Option<(EventId, EventId)>,
    /// What cannot be delivered, by reason; only reasons that were found.
    pub unusable: Vec<Unusable>,
}

/// Entries that cannot be delivered for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Why.
    pub reason: Malformed,
    /// How many.
    pub count: usize,
    /// How many of them name no session at all, so that a default session would mend them.
    pub without_session: usize,
    /// The newest ids.
    pub examples: Vec<EventId>,
}

impl Inspector {
    /// Decodes the newest entries, at most so many.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn sample(&self, most: usize, rules: &DecodeRules) -> Result<Sample, InspectError> {
        let mut sample = Sample::default();
        let (mut end, mut bytes, mut page_size) = (EventId::MAX, 0, PageSize::default());
        while sample.entries < most && bytes < MOST_BYTES {
            let count = page_size.count(PAGE.min(most - sample.entries));
            let args = [&*self.keys.stream, &end.to_string(), "-", "COUNT", &count.to_string()];
            let reply = self.ask("XREVRANGE", &args).await?;
            let page = frame::items(&reply).ok_or(Fault::Garbled("entries are no array"))?;
            let sizes = || page.iter().map(size);
            bytes += sizes().sum::<usize>();
            page_size.note(page.len(), sizes().sum());
            sample.largest = sample.largest.max(sizes().max().unwrap_or_default());
            let mut oldest = None;
            for entry in page {
                let mended = codec::decode(entry, &with_session(rules))?;
                let entry = codec::decode(entry, rules)?;
                sample.note(entry.id, &entry.content, &mended.content);
                oldest = Some(entry.id);
            }
            match oldest {
                Some(oldest) if page.len() == count && oldest > EventId::ZERO => end = oldest.prev(),
                Some(_) | None => break,
            }
        }
        Ok(sample)
    }
}

impl Sample {
    /// How many cannot be delivered.
    pub fn unusable(&self) -> usize {
        self.unusable.iter().map(|unusable| unusable.count).sum()
    }

    fn note(&mut self, id: EventId, content: &Content, mended: &Content) {
        self.entries += 1;
        self.span = Some((id, self.span.map_or(id, |(_, newest)| newest)));
        let reason = match content {
            Content::Event(_) => return,
            Content::Internal | Content::Revoked(_) => {
                self.internal += 1;
                return;
            }
            Content::Malformed(reason, _) => *reason,
        };
        let known = self.unusable.iter().position(|unusable| unusable.reason == reason);
        let place = known.unwrap_or_else(|| {
            self.unusable.push(Unusable { reason, count: 0, without_session: 0, examples: Vec::new() });
            self.unusable.len() - 1
        });
        let unusable = &mut self.unusable[place];
        unusable.count += 1;
        let still = matches!(mended, Content::Malformed(Malformed::Session, _));
        unusable.without_session += usize::from(reason == Malformed::Session && !still);
        if unusable.examples.len() < EXAMPLES {
            unusable.examples.push(id);
        }
    }
}

/// Bytes of an entry.
fn size(entry: &Resp3Frame) -> usize {
    codec::fields(entry).map(|(name, value)| name.len() + value.len()).sum()
}

/// The same rules with some default session.
fn with_session(rules: &DecodeRules) -> DecodeRules {
    let stand_in = || Session::parse("stand-in").expect("it is a session's name");
    let default_session = rules.default_session.clone().unwrap_or_else(stand_in);
    DecodeRules { default_session: Some(default_session), ..rules.clone() }
}
