//! Why the database did not do what it was asked.

use std::io::ErrorKind;

/// Why something was not written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no room. Nothing was done.
    #[error("there is no room for more: {0}")]
    Full(String),
    /// It could not be done now. Nothing was done.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// It may or may not be done.
    #[error("it may or may not be done: {0}")]
    OutcomeUnknown(String),
}

impl Refusal {
    pub(super) const CLOSED: Self = Self::Unavailable(String::new());

    /// Too much waits for the disk already.
    pub(crate) fn behind() -> Self {
        Self::Unavailable("the disk does not keep up".to_owned())
    }

    /// What a failure means that left nothing behind.
    pub(super) fn of(error: &redb::Error) -> Self {
        if is_full(error) { Self::Full(error.to_string()) } else { Self::Unavailable(error.to_string()) }
    }
}

/// Whether it failed for want of room.
fn is_full(error: &redb::Error) -> bool {
    let redb::Error::Io(error) = error else { return false };
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}
