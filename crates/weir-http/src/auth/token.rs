//! A token that was checked.

use super::grants::Grants;

/// See the [module](self). It is without its text; an open stream keeps it without its grants.
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

impl Token {
    /// The same without what it is good for, which may be by far the largest part: a stream was let in, and is not asked again.
    pub(crate) fn without_grants(&self) -> Self {
        let Self { issued_secs, expires_secs, .. } = *self;
        Self { subject: self.subject.clone(), issued_secs, expires_secs, grants: Grants::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grants::Pattern;
    use super::*;

    #[test]
    fn what_a_stream_keeps_tells_who_and_until_when() {
        let grants =
            Grants { subscribe: Pattern::new("*", None, 1).into_iter().collect(), ..Grants::default() };
        let token = Token { subject: Some("ann".into()), issued_secs: Some(1), expires_secs: 2, grants };
        let kept = token.without_grants();
        assert_eq!((kept.subject.as_deref(), kept.issued_secs, kept.expires_secs), (Some("ann"), Some(1), 2));
        assert!(kept.grants.is_empty());
    }
}
