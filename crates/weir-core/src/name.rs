//! Names that users choose. Text becomes one of these types at the edge; the inside never sees it raw.

use std::fmt;
use std::sync::Arc;

/// Why a name is refused. The text says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Not 1 to 256 bytes, or with a control character.
    #[error("a session name is 1 to 256 bytes of UTF-8 without control characters")]
    Session,
    /// Not 1 to 128 visible ASCII characters.
    #[error("an event type is 1 to 128 visible ASCII characters")]
    Type,
    /// In the namespace of control events.
    #[error("event types that begin with \"weir.\" are reserved for control events: choose another name")]
    ReservedType,
    /// Not 1 to 256 bytes, or with CR, LF or NUL.
    #[error("a key is 1 to 256 bytes of UTF-8 without CR, LF and NUL")]
    Key,
}

/// The key by which events are addressed: a topic, room, user, list or job.
///
/// Invariant: 1 to 256 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(Arc<str>);

impl Session {
    /// Longest name in bytes. It bounds what one entry can put into the session index.
    pub const MAX_BYTES: usize = 256;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`BadName::Session`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if !fits || text.chars().any(char::is_control) {
            return Err(BadName::Session);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Session {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What kind of event it is; the SSE event name.
///
/// Invariant: 1 to 128 visible ASCII characters, not beginning with `weir.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Box<str>);

impl EventType {
    /// Longest type in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks and takes a type.
    ///
    /// # Errors
    /// [`BadName::Type`] or [`BadName::ReservedType`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if !fits || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadName::Type);
        }
        if text.starts_with("weir.") {
            return Err(BadName::ReservedType);
        }
        Ok(Self(text.into()))
    }

    /// The type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an event is about: an order, a player, a row. Filters, conflation and `latest` go by it.
///
/// Invariant: 1 to 256 bytes of UTF-8 without CR, LF and NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

impl Key {
    /// Longest key in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Checks and takes a key.
    ///
    /// # Errors
    /// [`BadName::Key`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if !fits || text.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(BadName::Key);
        }
        Ok(Self(text.into()))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_traits {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
text_traits!(Session, EventType, Key);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions() {
        for good in ["a", "room/1", "..", "{x}", "ünï", "e\u{301}", " ", &"x".repeat(256)] {
            assert_eq!(Session::parse(good).map(|s| s.as_str().to_owned()), Ok(good.to_owned()));
        }
        for bad in ["", "a\n", "a\0", "\u{7f}", "\u{85}", &"x".repeat(257)] {
            assert_eq!(Session::parse(bad), Err(BadName::Session), "{bad:?}");
        }
    }

    #[test]
    fn types() {
        assert!(EventType::parse("order.created").is_ok());
        assert!(EventType::parse("weir").is_ok());
        assert_eq!(EventType::parse("weir.gap"), Err(BadName::ReservedType));
        for bad in ["", "a b", "a\r", "é", &"x".repeat(129)] {
            assert_eq!(EventType::parse(bad), Err(BadName::Type), "{bad:?}");
        }
    }

    #[test]
    fn keys() {
        assert!(Key::parse("ord 42\té").is_ok());
        for bad in ["", "a\r", "a\n", "a\0", &"x".repeat(257)] {
            assert_eq!(Key::parse(bad), Err(BadName::Key), "{bad:?}");
        }
    }
}
