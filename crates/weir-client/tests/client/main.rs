//! The client against a server that follows a script.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod publish;
mod publisher;
mod server;
mod tail;
