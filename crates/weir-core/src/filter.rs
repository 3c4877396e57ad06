//! Which of a session's events a client wants.

use crate::event::Event;
use crate::name::{EventType, Key};

/// A choice by type and by key. An empty list takes all; both must match.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Types wanted. `message` also takes events without a type, as a client sees them.
    pub kinds: Box<[EventType]>,
    /// Keys wanted.
    pub keys: Box<[Key]>,
}

impl Filter {
    /// Whether the client wants every event.
    pub fn takes_all(&self) -> bool {
        self.kinds.is_empty() && self.keys.is_empty()
    }

    /// Whether the client wants this event.
    pub fn matches(&self, event: &Event) -> bool {
        let kind = event.kind.as_ref().map_or("message", EventType::as_str);
        (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted.as_str() == kind))
            && (self.keys.is_empty() || event.key.as_ref().is_some_and(|key| self.keys.contains(key)))
    }
}
