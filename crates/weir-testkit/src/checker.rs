//! Did every client get what it was owed? A history goes in, every broken promise comes out.
//!
//! It knows nothing of sockets, clocks and servers: what producers sent and clients received was written down before.
//! In reading order:
//! - [`history`]: what is written down, and [`record`]: how a stream becomes a part of it
//! - `truth`: what the log must have held
//! - `follow`: one client, connection by connection
//! - [`violation`]: what can be wrong, and [`report`]: all of it, with counts
//!
//! The invariants, by the names they have in a report:
//! - **I1** order: ids rise on every client, and positions never go back without a gap that says so
//! - **I2** no silent hole: between two things a client was told, also across connections, everything acknowledged for its
//!   sessions was received or stands in a gap at that place
//! - **I3** nothing twice
//! - **I4** an id has one value, everywhere, and the value is what was published
//! - **I5** nothing of a foreign session
//! - **I6** nothing that was not published, and nothing more often than it was sent
//! - **I7** after healing, a fresh event reaches every client in time
//! - **I8** a gap says how much is missing, exactly; gaps where nothing was missing are counted
//! - **I9**, **I10** the books balance, and resources come back to where they were: sums that the caller took
//!
//! Ids must rise across resets of the log: whoever resets it waits for the clock to pass the newest id.

pub mod history;
pub mod record;
pub mod report;
pub mod violation;

mod follow;
mod truth;

pub use history::{
    Balance, ClientLog, Connection, Ended, Fact, Gap, History, Invariant, Keeping, Marker, Millis, Outcome,
    Publish, Resume, Seen, Session, Value,
};
pub use report::Report;
pub use violation::Violation;

/// Judges a history.
pub fn check(history: &History) -> Report {
    let mut report = Report::of(history);
    let truth = truth::Truth::of(history, &mut report);
    for client in &history.clients {
        follow::follow(&truth, client, &mut report);
    }
    for balance in history.balances.iter().filter(|balance| !balance.holds()) {
        report.violations.push(Violation::OffBalance(balance.clone()));
    }
    report
}

#[cfg(test)]
mod tests;
