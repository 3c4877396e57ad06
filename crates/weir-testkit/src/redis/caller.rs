//! Who has commands run without owning the server.

use std::io;
use std::time::Duration;

use super::wire::{Door, encode};

/// Runs commands, each on a connection of its own, for as long as it likes: the server may be stopped meanwhile.
#[derive(Clone, Debug)]
pub struct Caller {
    door: Door,
    login: Option<[String; 2]>,
    patience: Duration,
}

impl Caller {
    pub(super) fn new(door: Door, login: Option<[String; 2]>, patience: Duration) -> Self {
        Self { door, login, patience }
    }

    /// Runs one command; the inner error is the server's.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn command(&self, args: &[&[u8]]) -> io::Result<Result<String, String>> {
        let (caller, request) = (self.clone(), encode(args));
        let exchange = move || caller.door.exchange(caller.login.as_ref(), &request, caller.patience);
        tokio::task::spawn_blocking(exchange).await.expect("the exchange does not panic")
    }
}
