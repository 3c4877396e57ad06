//! Producers and clients that write down what they do, for the [checker](crate::checker).
//!
//! - [`ledger`]: what was published, and when everything happened
//! - [`producer`]: publishes, with and without a key that makes a repeat harmless
//! - [`follower`]: one logical client that comes back wherever it can

pub mod follower;
pub mod ledger;
pub mod producer;

pub use follower::{Follower, Followers, Habit, How, PROXIED, Places};
pub use ledger::Ledger;
pub use producer::Producer;

/// The name of a session on the wire.
pub fn session_name(session: crate::checker::Session) -> String {
    format!("session/{}", session.0)
}
