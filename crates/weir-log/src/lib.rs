//! The backends of the event log: embedded and Redis.
