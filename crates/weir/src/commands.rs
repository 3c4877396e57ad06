//! What each command does, but `serve`.

mod advice;
mod amount;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod groups;
pub(crate) mod healthcheck;
pub(crate) mod output;
pub(crate) mod publish;
mod table;
pub(crate) mod tail;
mod terminal;
pub(crate) mod token;

use std::future::Future;
use std::io;
use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use weir_client::{Client, ServerUrl, Token};

use crate::args::client::Server;

/// Runs a command that talks to an instance.
fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let result = runtime.block_on(command);
    // A pipe that nobody reads, or an input that nobody writes, must not hold up the end.
    runtime.shutdown_background();
    unless_closed(result)
}

/// The end of a command that only prints.
fn finish(printed: io::Result<()>) -> anyhow::Result<()> {
    unless_closed(printed.map_err(Into::into))
}

/// Whoever read our output has seen enough, such as `head`: a clean end.
fn unless_closed(result: anyhow::Result<()>) -> anyhow::Result<()> {
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    match result {
        Err(error) if error.downcast_ref().is_some_and(is_closed) => Ok(()),
        other => other,
    }
}

fn client(server: &Server) -> anyhow::Result<Client> {
    Ok(Client::new(&server.url, token(server)?.as_ref())?)
}

/// What is given by name wins over what is in a file.
fn token(server: &Server) -> anyhow::Result<Option<Token>> {
    match (&server.token, &server.token_file) {
        (None, Some(file)) => token_in(file).map(Some),
        (token, _) => Ok(token.clone()),
    }
}

/// A client of whatever is at an address, with the token in a file.
pub(crate) fn client_of(url: &ServerUrl, token_file: Option<&Path>) -> anyhow::Result<Client> {
    Ok(Client::new(url, token_file.map(token_in).transpose()?.as_ref())?)
}

fn token_in(file: &Path) -> anyhow::Result<Token> {
    let name = || format!("--token-file {}", file.display());
    let text = std::fs::read_to_string(file).with_context(name)?;
    Token::parse(&text).with_context(name)
}

/// Resolves with the first SIGINT or SIGTERM.
///
/// # Errors
/// Signals cannot be listened to.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
