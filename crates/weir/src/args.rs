//! The command line, the environment and the file, in this order of precedence.
//!
//! - [`serve`]: the flags of an instance
//! - [`redis`]: where the shared log is
//! - [`token`]: the flags of the commands about tokens; [`tokens`]: what tokens are checked with
//! - [`inspect`]: the flags of the commands that look at its log and its surroundings
//! - [`client`]: the flags of the commands that talk to one
//! - [`value`]: typed values and what is wrong with a text that is none
//! - [`mod@file`]: the optional TOML file
//! - [`layers`]: the one precedence, and which layer each value came from
//! - [`usage`]: mistakes, in one line each
//! - [`nearest`]: what a misspelt name may have meant

pub(crate) mod client;
pub(crate) mod file;
pub(crate) mod inspect;
pub(crate) mod layers;
pub(crate) mod nearest;
pub(crate) mod redis;
pub(crate) mod serve;
pub(crate) mod token;
pub(crate) mod tokens;
pub(crate) mod usage;
pub(crate) mod value;

use clap::{CommandFactory, Parser, Subcommand};

use crate::version;

/// Fans the events of one capped stream out to many clients over Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "weir", version = version::LONG.as_str(), disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an instance
    Serve(Box<serve::ServeArgs>),
    /// Publish DATA, or standard input line by line, and print the ids
    Publish(client::PublishArgs),
    /// Follow sessions; reconnects and resumes by itself, gaps go to standard error
    Tail(client::TailArgs),
    /// List the reader groups of the stream, and remove those of dead instances
    Groups(Box<inspect::GroupsArgs>),
    /// Check Redis, the stream and this machine, and say what to do
    Doctor(Box<inspect::DoctorArgs>),
    /// Make tokens for development, and see what is right and wrong with one
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Print the effective configuration with the source of each value
    Config(Box<serve::ServeArgs>),
    /// Have an instance release its clients as on SIGTERM, without exiting
    Drain(client::DrainArgs),
    /// Exit 0 when the instance is ready
    Healthcheck(client::HealthcheckArgs),
    /// Print the completions of a shell
    Completions(client::CompletionsArgs),
}

/// The commands as clap sees them. A variable that is set to nothing counts as not set, because that is what
/// `WEIR_REDIS=${REDIS:-}` means in a compose file; and help never prints what a variable holds.
pub(crate) fn command() -> clap::Command {
    let mut cli = Cli::command();
    for name in names(&cli) {
        cli = cli.mut_subcommand(name, settled);
    }
    cli
}

/// A command, and those below it.
fn settled(mut command: clap::Command) -> clap::Command {
    for name in names(&command) {
        command = command.mut_subcommand(name, settled);
    }
    command.mut_args(|arg| without_empty_env(arg.hide_env_values(true)))
}

fn names(command: &clap::Command) -> Vec<String> {
    command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect()
}

fn without_empty_env(arg: clap::Arg) -> clap::Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(clap::builder::Resettable::Reset) } else { arg }
}

/// The environment variables that some command knows.
pub(crate) fn known_variables() -> Vec<String> {
    let cli = Cli::command();
    let args = cli.get_subcommands().flat_map(clap::Command::get_arguments);
    args.filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)).collect()
}
