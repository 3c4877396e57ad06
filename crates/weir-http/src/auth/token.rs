//! A token that was checked.

use super::grants::Grants;

/// See the [module](self). An open stream keeps it, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub subject: Option<Box<str>>,
    /// When it was made, as Unix time.
    pub issued_secs: Option<u64>,
    /// From when on it is good for nothing, as Unix time.
    pub expires_secs: u64,
    /// What it is good for until then.
    pub grants: Grants,
}
