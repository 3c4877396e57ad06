//! What one request is called, and who was found to make it: what its answer and the audit log tell of it.

use std::sync::{Arc, OnceLock};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::token::Token;

/// The header that carries the id, in requests and in answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over.
const LONGEST: usize = 64;

/// See the [module](self). One for each request.
#[derive(Debug)]
pub(crate) struct Trace {
    // Invariant: 1 to `LONGEST` letters, digits and `-_.:`.
    id: HeaderValue,
    token: OnceLock<Arc<Token>>,
}

impl Trace {
    /// A request is called what its caller calls it, where that is short and harmless, so that it can be followed from one
    /// service to the next. It is a name and no proof: whoever calls can say what others say.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).filter(|id| is_harmless(id.as_bytes()));
        Self { id: given.cloned().unwrap_or_else(make), token: OnceLock::new() }
    }

    /// The id, to put into a text.
    pub(crate) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// Puts the id into the answer.
    pub(crate) fn name(&self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.id.clone());
    }

    /// The call has shown this token, which is good.
    pub(crate) fn is_by(&self, token: &Arc<Token>) {
        // A call has one.
        let _ = self.token.set(Arc::clone(token));
    }

    /// Who made the call, and proved it.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.token.get()?.subject.as_deref()
    }
}

fn make() -> HeaderValue {
    HeaderValue::try_from(format!("{:016x}", fastrand::u64(..))).expect("digits are a header's value")
}

fn is_harmless(id: &[u8]) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(given: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(given).unwrap());
        Trace::of(&headers).id().to_owned()
    }

    #[test]
    fn a_harmless_id_is_taken_over_and_any_other_replaced() {
        for harmless in ["a", "7d444840-9dc0-11d1-b245-5ffdce74fad2", "Root:1.2_3", &"x".repeat(64)] {
            assert_eq!(id(harmless.as_bytes()), harmless);
        }
        for other in [b"" as &[u8], b"a b", b"a\"b", b"a\tb", b"<b>", b"\xff", b"a/b", b"{}", &[b'x'; 65]] {
            let made = id(other);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
        assert_ne!(Trace::of(&HeaderMap::new()).id(), Trace::of(&HeaderMap::new()).id());
    }
}
