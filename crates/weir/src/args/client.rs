//! The flags of the commands that talk to an instance.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use weir_client::{ServerUrl, Token};

use super::value;

/// Which instance, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct Server {
    /// Address of the instance or its load balancer
    #[arg(long, env = "WEIR_URL", value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = ServerUrl::parse)]
    pub(crate) url: ServerUrl,
    /// Bearer token; other users of this machine can see a flag, so prefer the variable
    #[arg(long, env = "WEIR_TOKEN", value_name = "TOKEN", value_parser = Token::parse)]
    pub(crate) token: Option<Token>,
    /// File that holds the bearer token
    #[arg(long, env = "WEIR_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// `weir publish`
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Session to publish to
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
    /// The event's data; without it every line of standard input is one event
    #[arg(value_name = "DATA", allow_negative_numbers = true)]
    pub(crate) data: Option<String>,
    /// Event type, the SSE event name
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// What the event is about
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Keep it also as the session's snapshot for so many seconds
    #[arg(long, value_name = "SECS", value_parser = value::seconds)]
    pub(crate) snapshot: Option<u32>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `weir tail`
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Sessions to follow
    #[arg(value_name = "SESSION", required = true)]
    pub(crate) sessions: Vec<String>,
    /// Begin after this event id, at this time in ms, or with the earliest event that is held
    #[arg(long, value_name = "ID")]
    pub(crate) from: Option<String>,
    /// Only events of this type (repeatable)
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kinds: Vec<String>,
    /// Only events about this key (repeatable)
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// Print each event as a JSON object with its id, session, type, key, data and time
    #[arg(long)]
    pub(crate) json: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) count: Option<usize>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `weir drain`
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Take clients again
    #[arg(long)]
    pub(crate) undo: bool,
    /// Address of the instance's admin listener
    #[arg(long, env = "WEIR_ADMIN_URL", value_name = "URL", default_value = "http://127.0.0.1:8081", value_parser = ServerUrl::parse)]
    pub(crate) admin_url: ServerUrl,
    /// Token of its admin calls; other users of this machine can see a flag, so prefer the file
    #[arg(long, env = "WEIR_ADMIN_TOKEN", value_name = "TOKEN", value_parser = Token::parse)]
    pub(crate) admin_token: Option<Token>,
    /// File that holds that token
    #[arg(long, env = "WEIR_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

/// `weir healthcheck`
#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// Address of the instance's admin listener
    #[arg(long, env = "WEIR_ADMIN_URL", value_name = "URL", default_value = "http://127.0.0.1:8081", value_parser = ServerUrl::parse)]
    pub(crate) admin_url: ServerUrl,
}

/// `weir completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}
