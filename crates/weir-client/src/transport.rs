//! What failed below HTTP.

use std::error::Error;
use std::fmt;

/// A request that got no answer. It displays as its root cause, such as `Connection refused (os error 111)`, because
/// the layers above that only repeat that a request failed; it never names the URL.
#[derive(Debug)]
pub struct Transport(reqwest::Error);

impl Transport {
    /// Whether the request never left: no connection was made.
    pub(crate) fn is_unsent(&self) -> bool {
        self.0.is_connect()
    }
}

impl From<reqwest::Error> for Transport {
    fn from(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut root: &dyn Error = &self.0;
        while let Some(cause) = root.source() {
            root = cause;
        }
        write!(f, "{root}")
    }
}

impl Error for Transport {}
