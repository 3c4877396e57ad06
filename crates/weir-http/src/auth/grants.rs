//! Which sessions and streams a token is good for.

use std::fmt;

use weir_core::Session;
use weir_core::durable::StreamName;

use crate::access::Action;

/// What stands for the subject in a pattern.
const SUBJECT: &str = "{sub}";

/// What the holder of a token may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    pub(super) subscribe: Box<[Pattern]>,
    pub(super) publish: Box<[Pattern]>,
    /// Most tokens say nothing of streams.
    pub(super) streams: Option<Box<StreamGrants>>,
}

/// What the holder of a token may do with durable streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamGrants {
    pub(super) read: Box<[Pattern]>,
    pub(super) append: Box<[Pattern]>,
    pub(super) manage: Box<[Pattern]>,
}

impl Grants {
    /// Whether they allow this.
    pub(crate) fn allow(&self, action: Action, session: &Session) -> bool {
        self.patterns(action).iter().any(|pattern| pattern.matches(session.as_str()))
    }

    /// Whether they allow this with a stream.
    pub(crate) fn allow_with(&self, action: Action, stream: &StreamName) -> bool {
        self.patterns(action).iter().any(|pattern| pattern.matches(stream.as_str()))
    }

    /// Whether there is anything to which they allow this.
    pub(crate) fn allow_some(&self, action: Action) -> bool {
        !self.patterns(action).is_empty()
    }

    /// What may be subscribed to, as patterns with the subject put in.
    pub fn subscribe(&self) -> Vec<String> {
        texts(&self.subscribe)
    }

    /// What may be published to, as patterns with the subject put in.
    pub fn publish(&self) -> Vec<String> {
        texts(&self.publish)
    }

    /// Which streams may be read, appended to, and made and deleted, as patterns with the subject put in.
    pub fn streams(&self) -> [Vec<String>; 3] {
        [Action::Read, Action::Append, Action::Manage].map(|action| texts(self.patterns(action)))
    }

    /// Whether they allow nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        let nothing = [Action::Subscribe, Action::Publish, Action::Read, Action::Append, Action::Manage];
        !nothing.into_iter().any(|action| self.allow_some(action))
    }

    fn patterns(&self, action: Action) -> &[Pattern] {
        let streams = self.streams.as_deref();
        match action {
            Action::Subscribe => &self.subscribe,
            Action::Publish => &self.publish,
            Action::Read => streams.map_or(&[], |streams| &streams.read),
            Action::Append => streams.map_or(&[], |streams| &streams.append),
            Action::Manage => streams.map_or(&[], |streams| &streams.manage),
        }
    }
}

fn texts(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}

/// A name, or all that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    prefix: bool,
}

impl Pattern {
    /// Reads a pattern for a subject. `None` where it stands for nothing: it asks for a subject, and there is none, or it is
    /// longer than a name can be.
    ///
    /// What is a wildcard is decided before the subject is put in, and the subject is put in once: whoever may choose a
    /// subject can choose no wildcard, and nobody else's subject.
    pub(super) fn new(template: &str, subject: Option<&str>, longest: usize) -> Option<Self> {
        let (text, prefix) = match template.strip_suffix('*') {
            Some(start) => (start, true),
            None => (template, false),
        };
        let text = match subject {
            Some(subject) => text.replace(SUBJECT, subject),
            None if text.contains(SUBJECT) => return None,
            None => text.to_owned(),
        };
        // What is longer than any name is no name's beginning either.
        (text.len() <= longest).then(|| Self { text: text.into(), prefix })
    }

    fn matches(&self, name: &str) -> bool {
        if self.prefix { name.starts_with(&*self.text) } else { *self.text == *name }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::{collection, prelude::*, sample};

    fn matches(template: &str, subject: Option<&str>, session: &str) -> bool {
        Pattern::new(template, subject, Session::MAX_BYTES).is_some_and(|pattern| pattern.matches(session))
    }

    #[test]
    fn a_name_or_a_prefix() {
        assert!(matches("a", None, "a"));
        assert!(!matches("a", None, "ab") && !matches("a", None, "A") && !matches("ab", None, "a"));
        assert!(matches("a*", None, "a") && matches("a*", None, "ab") && matches("*", None, "anything"));
        assert!(!matches("a*", None, "b"));
        // Only the last asterisk is one.
        assert!(matches("a*b", None, "a*b") && !matches("a*b", None, "axb"));
        assert!(matches("a**", None, "a*x") && !matches("a**", None, "ax"));
        assert!(!matches("", None, "a"));
    }

    #[test]
    fn the_subject_is_literal_text() {
        assert!(matches("user:{sub}", Some("7"), "user:7"));
        assert!(
            !matches("user:{sub}", Some("7"), "user:{sub}") && !matches("user:{sub}", Some("7"), "user:78")
        );
        assert!(matches("{sub}/{sub}*", Some("7"), "7/7/x"));
        assert!(matches("user:{sub}", Some("*"), "user:*") && !matches("user:{sub}", Some("*"), "user:7"));
        assert!(
            matches("user:{sub}:*", Some("a*"), "user:a*:x")
                && !matches("user:{sub}:*", Some("a*"), "user:ab:x")
        );
        assert!(matches("{sub}", Some("{sub}"), "{sub}"));
        assert!(matches("{sub}x", Some("{su"), "{sux") && !matches("{sub}b}", Some("{su"), "{su"));
        // A subject that completes another placeholder is not read again.
        assert!(matches("{{sub}}", Some("sub"), "{sub}") && !matches("{{sub}}", Some("sub"), "sub"));
    }

    #[test]
    fn what_no_name_can_match_takes_no_room() {
        let long = "x".repeat(Session::MAX_BYTES);
        assert!(matches(&long, None, &long) && matches(&format!("{long}*"), None, &long));
        assert_eq!(Pattern::new(&format!("{long}x"), None, Session::MAX_BYTES), None);
        assert_eq!(Pattern::new("{sub}:{sub}*", Some(&long), Session::MAX_BYTES), None);
    }

    #[test]
    fn what_is_granted_of_streams_is_granted_of_nothing_else() {
        let some = |text| Pattern::new(text, None, StreamName::MAX_BYTES).into_iter().collect();
        let streams = StreamGrants { read: some("a/*"), append: some("a/b"), manage: some("c") };
        let grants = Grants { streams: Some(Box::new(streams)), ..Grants::default() };
        let stream = |name| StreamName::parse(name).unwrap();
        assert!(
            grants.allow_with(Action::Read, &stream("a/b"))
                && grants.allow_with(Action::Append, &stream("a/b"))
        );
        assert!(
            !grants.allow_with(Action::Manage, &stream("a/b"))
                && !grants.allow_with(Action::Read, &stream("c"))
        );
        assert!(!grants.allow_with(Action::Append, &stream("a/c")));
        for action in [Action::Subscribe, Action::Publish] {
            assert!(!grants.allow_some(action) && !grants.allow(action, &Session::parse("a/b").unwrap()));
        }
        assert!(!grants.is_empty());
        let sessions = Grants { subscribe: some("*"), publish: some("*"), streams: None };
        for action in [Action::Read, Action::Append, Action::Manage] {
            assert!(!sessions.allow_with(action, &stream("a")) && !sessions.allow_some(action));
        }
        let long = "x".repeat(StreamName::MAX_BYTES);
        assert!(
            Pattern::new(&long, None, StreamName::MAX_BYTES).is_some_and(|pattern| pattern.matches(&long))
        );
    }

    #[test]
    fn without_a_subject_its_patterns_are_nobodys() {
        for session in ["user:", "user:{sub}", "user:7", "user:x"] {
            assert!(!matches("user:{sub}", None, session) && !matches("user:{sub}*", None, session));
        }
    }

    /// What the contract says, letter by letter and not as above.
    fn by_letters(template: &str, subject: &str, session: &str) -> bool {
        if template == "*" {
            return true;
        }
        let (literal, rest) = match template.strip_prefix(SUBJECT) {
            Some(rest) => (subject, rest),
            None => match template.chars().next() {
                Some(letter) => template.split_at(letter.len_utf8()),
                None => return session.is_empty(),
            },
        };
        session.strip_prefix(literal).is_some_and(|left| by_letters(rest, subject, left))
    }

    fn text(atoms: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        let atom =
            sample::select(vec!["a", "b", "A", "*", "{sub}", "{", "}", "sub", "/", "%2F", "é", "e\u{301}"]);
        collection::vec(atom, atoms).prop_map(|atoms| atoms.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Names are made of the same few letters as patterns and subjects, so that many match and more nearly do.
        #[test]
        fn patterns_are_read_as_the_contract_says(
            template in text(0..5),
            subject in text(1..4),
            (session, like) in (text(1..5), 0_u8..3),
        ) {
            let session = match like {
                0 => session,
                1 => template.replace(SUBJECT, &subject).replacen('*', &session, 1),
                _ => template.replace(SUBJECT, "").replacen('*', &session, 1),
            };
            let expected = by_letters(&template, &subject, &session);
            prop_assert_eq!(matches(&template, Some(&subject), &session), expected);
            // Who has no subject gets nothing that was meant for one.
            let without = !template.contains(SUBJECT) && by_letters(&template, "", &session);
            prop_assert_eq!(matches(&template, None, &session), without);
        }
    }
}
