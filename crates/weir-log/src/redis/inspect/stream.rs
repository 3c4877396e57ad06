//! The stream as a whole.

use std::time::Duration;

use weir_core::id::EventId;

use super::super::frame;
use super::super::scripts::{CHECK, StreamState};
use super::{InspectError, Inspector, if_allowed};

/// What holds for the stream at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// Entries in it.
    pub length: u64,
    /// The oldest of them.
    pub first: Option<EventId>,
    /// The newest id given out.
    pub last: EventId,
    /// How long until Redis deletes it, where somebody set that.
    pub expires: Option<Duration>,
}

impl Inspector {
    /// The stream; `None` where there is none. Another type at its key is refused with `WRONGTYPE`.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn stream(&self) -> Result<Option<StreamFacts>, InspectError> {
        let state = StreamState::parse(&self.run(CHECK, &[&self.keys.stream], Vec::new()).await?)?;
        if !state.exists {
            return Ok(None);
        }
        let left = if_allowed(self.ask("PTTL", &[&self.keys.stream]).await)?;
        let left = left.as_ref().and_then(frame::number).and_then(|ms| u64::try_from(ms).ok());
        let expires = left.map(Duration::from_millis);
        Ok(Some(StreamFacts { length: state.length, first: state.first, last: state.last, expires }))
    }
}
