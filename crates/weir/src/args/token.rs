//! The flags of `weir token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::tokens::TokenArgs;
use super::value;

/// `weir token`
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum TokenCommand {
    /// Make a token, for development and tests, and print it
    Mint(Box<MintArgs>),
    /// Show what a token says, and what is right and wrong with it for an instance with these settings
    Inspect(Box<InspectArgs>),
}

/// `weir token mint`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("key").required(true))]
pub(crate) struct MintArgs {
    /// File with the secret that the token is signed with, for HS256
    #[arg(long, value_name = "FILE", group = "key")]
    pub(crate) jwt_secret_file: Option<PathBuf>,
    /// PEM file with the private key that it is signed with, for RS256, ES256 or EdDSA
    #[arg(long, value_name = "FILE", group = "key")]
    pub(crate) private_key_file: Option<PathBuf>,
    /// Whose it is
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) sub: Option<String>,
    /// Session, or beginning of sessions with a * behind it, that it may subscribe to (repeatable); {sub} is the subject
    #[arg(long, value_name = "PATTERN")]
    pub(crate) subscribe: Vec<String>,
    /// The same for publishing (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub(crate) publish: Vec<String>,
    /// Stream, or beginning of streams with a * behind it, that it may read (repeatable); {sub} is the subject
    #[arg(long, value_name = "PATTERN")]
    pub(crate) stream_read: Vec<String>,
    /// The same for appending (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub(crate) stream_append: Vec<String>,
    /// The same for making and deleting (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub(crate) stream_manage: Vec<String>,
    /// For how long it is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = value::positive)]
    pub(crate) expires_in: Duration,
    /// Whom it is made for (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Vec<String>,
    /// Who makes it
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: Option<String>,
    /// Name of the key
    #[arg(long, value_name = "NAME")]
    pub(crate) kid: Option<String>,
}

/// `weir token inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The token; without it standard input is read, where no other user of this machine can see it
    #[arg(value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// What tokens are checked with
    #[command(flatten)]
    pub(crate) tokens: TokenArgs,
}
