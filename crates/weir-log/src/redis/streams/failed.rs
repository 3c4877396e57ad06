//! What a fault says about what was asked of a stream.

use weir_core::durable::{AppendError, CreateError, DeleteError, ReadError};

use super::super::fault::Fault;

/// In a refusal of `append.lua` that came behind its first write.
const PARTLY: &str = "PARTLY";

/// Why nothing is known to be done.
#[derive(Debug)]
pub(super) enum Failed {
    /// Redis has no room, or its disk has none. Nothing was done.
    Full(String),
    /// It was not asked, or said no. Nothing was done.
    Unavailable(String),
    /// It did not answer.
    Unknown(String),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        let why = fault.to_string();
        match fault {
            Fault::Refused(text) if text.contains(PARTLY) => Self::Unknown(why),
            Fault::Refused(text) if text.starts_with("OOM") || text.starts_with("MISCONF") => Self::Full(why),
            Fault::Away(_) | Fault::Refused(_) => Self::Unavailable(why),
            Fault::Late | Fault::Broken(_) | Fault::Garbled(_) => Self::Unknown(why),
        }
    }
}

impl From<Failed> for AppendError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Full(why) => Self::Full(why),
            Failed::Unavailable(why) => Self::Unavailable(why),
            Failed::Unknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

impl From<Failed> for CreateError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Full(why) => Self::Full(why),
            Failed::Unavailable(why) => Self::Unavailable(why),
            Failed::Unknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

impl From<Failed> for DeleteError {
    /// Deleting needs no room; who is refused all the same is refused for another reason.
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Full(why) | Failed::Unavailable(why) => Self::Unavailable(why),
            Failed::Unknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

impl From<Failed> for ReadError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Full(why) | Failed::Unavailable(why) | Failed::Unknown(why) => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_says_that_nothing_was_done() {
        let refused = |text: &str| AppendError::from(Failed::from(Fault::Refused(text.to_owned())));
        assert!(matches!(refused("OOM command not allowed"), AppendError::Full(_)));
        assert!(matches!(refused("MISCONF Errors writing to the AOF file"), AppendError::Full(_)));
        assert!(matches!(refused("READONLY You can't write"), AppendError::Unavailable(_)));
        assert!(matches!(Failed::from(Fault::Away(String::new())), Failed::Unavailable(_)));
        for unknown in [Fault::Late, Fault::Broken(String::new()), Fault::Garbled("x")] {
            assert!(matches!(AppendError::from(Failed::from(unknown)), AppendError::OutcomeUnknown(_)));
        }
    }
}
