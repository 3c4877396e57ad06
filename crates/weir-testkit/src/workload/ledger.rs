//! What was published, and when everything happened.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_core::EventId;

use crate::checker::{Balance, ClientLog, History, Marker, Millis, Outcome, Publish, Session, Value};

/// The part of a history that everybody writes to.
#[derive(Debug)]
pub struct Ledger {
    began: Instant,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    published: Vec<Publish>,
    resets: Vec<EventId>,
    markers: Vec<Marker>,
    balances: Vec<Balance>,
    /// How many clients got each marker; nobody counts the others.
    arrived: HashMap<Value, usize>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { began: Instant::now(), book: Mutex::default() }
    }
}

impl Ledger {
    /// The time, as it is written down.
    pub fn now(&self) -> Millis {
        Millis::try_from(self.began.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    /// Begins a publish: until [`Self::finish`] nobody knows what became of it.
    pub fn begin(&self, session: Session, key: Option<u32>) -> Value {
        let mut book = self.book();
        book.published.push(Publish { session, key, copies: 1, outcome: Outcome::Unknown });
        Value::try_from(book.published.len() - 1).unwrap_or(Value::MAX)
    }

    /// Writes down what the producer was told, and how often the event may stand in the log.
    pub fn finish(&self, value: Value, outcome: Outcome, copies: u32) {
        let publish = &mut self.book().published[value as usize];
        (publish.outcome, publish.copies) = (outcome, copies);
    }

    /// The log was emptied or replaced; its newest id was this.
    pub fn reset(&self, newest: EventId) {
        self.book().resets.push(newest);
    }

    /// How often the log was emptied or replaced.
    pub fn resets(&self) -> u32 {
        u32::try_from(self.book().resets.len()).unwrap_or(u32::MAX)
    }

    /// From here on every client of its session has so long to get this.
    pub fn mark(&self, value: Value, within: Duration) {
        let sent = self.now();
        let within = Millis::try_from(within.as_millis()).unwrap_or(Millis::MAX);
        self.book().markers.push(Marker { value, sent, within });
    }

    /// Counts how many clients get an event from now on.
    pub(super) fn await_arrivals(&self, value: Value) {
        self.book().arrived.insert(value, 0);
    }

    /// A client got an event.
    pub(super) fn arrived(&self, value: Value) {
        if let Some(count) = self.book().arrived.get_mut(&value) {
            *count += 1;
        }
    }

    /// How many clients got a marker.
    pub fn arrivals(&self, value: Value) -> usize {
        self.book().arrived.get(&value).copied().unwrap_or_default()
    }

    /// Adds a sum to be judged.
    pub fn balance(&self, balance: Balance) {
        self.book().balances.push(balance);
    }

    /// How many publishes were begun.
    pub fn published(&self) -> usize {
        self.book().published.len()
    }

    /// The history, with what the clients got.
    pub fn history(&self, clients: Vec<ClientLog>) -> History {
        let book = self.book();
        History {
            published: book.published.clone(),
            resets: book.resets.clone(),
            markers: book.markers.clone(),
            balances: book.balances.clone(),
            clients,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
