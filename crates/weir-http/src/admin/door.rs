//! Who may make admin calls.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::local::is_local;
use crate::problem::Problem;

/// Shortest admin token: what can be guessed is no lock, and nothing slows a guess down.
const SHORTEST: usize = 32;

/// Longest, by far more than anybody needs, so that a wrong file is noticed.
const LONGEST: usize = 1024;

/// The token of admin calls. Only its digest is kept, and it shows in no text. Clones are one token, whose text can change.
#[derive(Clone)]
pub struct AdminToken(Arc<RwLock<[u8; 32]>>);

/// The text cannot be an admin token. It is not repeated, because it may be one with a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an admin token is one line of {SHORTEST} to {LONGEST} visible ASCII characters without spaces: make one with \
     openssl rand -hex 32"
)]
pub struct BadAdminToken;

impl AdminToken {
    /// Checks and takes a token; white space around it, such as the line end of a file, is not part of it.
    ///
    /// # Errors
    /// [`BadAdminToken`].
    pub fn parse(text: &str) -> Result<Self, BadAdminToken> {
        let text = text.trim();
        let fits = (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(Arc::new(RwLock::new(digest(text.as_bytes()))))) } else { Err(BadAdminToken) }
    }

    /// From now on the other one counts in the place of this.
    pub fn replace(&self, other: &Self) {
        let new = *other.0.read();
        *self.0.write() = new;
    }

    /// Digests are compared, and those to the end, so that the time it takes tells neither length nor content.
    fn is(&self, given: &[u8]) -> bool {
        self.0.read().ct_eq(&digest(given)).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(redacted)")
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Lets the call pass, or says how to go on. Where there is a token it is needed; where there is none, the listener is on
/// loopback, and no web page and no proxy on this machine may pass for its operator: a page can set neither the `Host` of
/// a request that reaches us nor, without being asked first, a header of its own.
pub(super) fn check(token: Option<&AdminToken>, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = token else { return check_local(headers) };
    match bearer(headers) {
        Some(given) if token.is(given) => Ok(()),
        Some(_) => Err(Problem::denied(
            StatusCode::UNAUTHORIZED,
            "admin_token_invalid",
            "this is not the admin token: it stands in the file of --admin-token-file",
        )),
        None => Err(Problem::denied(
            StatusCode::UNAUTHORIZED,
            "admin_token_missing",
            "admin calls need the token of --admin-token-file in the header Authorization: Bearer",
        )),
    }
}

fn check_local(headers: &HeaderMap) -> Result<(), Problem> {
    if !is_local(headers) {
        return Err(Problem::denied(
            StatusCode::FORBIDDEN,
            "admin_not_local",
            "call from this machine by a loopback name and not through a proxy, or have the operator set \
             --admin-token-file",
        ));
    }
    if headers.get("weir-admin").is_none_or(|value| value != "1") {
        return Err(Problem::denied(
            StatusCode::FORBIDDEN,
            "admin_header_missing",
            "admin calls need the header Weir-Admin: 1, which no web page can send here",
        ));
    }
    Ok(())
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, given) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(given.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = AdminToken::parse(&format!(" {SECRET}\n")).unwrap();
        assert!(token.is(SECRET.as_bytes()));
        for wrong in ["", &SECRET[..31], &format!("{SECRET}0"), &SECRET.to_uppercase()] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(&SECRET[..4]));
    }

    #[test]
    fn what_could_be_guessed_is_no_token() {
        for bad in ["", " ", &SECRET[..31], &"x".repeat(1025), &format!("{SECRET} b"), &format!("{SECRET}é")]
        {
            assert_eq!(AdminToken::parse(bad).err(), Some(BadAdminToken), "{bad:?}");
        }
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let header = |text: &'static str| HeaderMap::from_iter([(AUTHORIZATION, text.parse().unwrap())]);
        assert_eq!(bearer(&header("bEARER  x")), Some(b"x".as_slice()));
        for other in ["Basic abcdef", "Bearer", "Bear", ""] {
            assert_eq!(bearer(&header(other)), None, "{other}");
        }
    }
}
