//! The flags of the commands that look at the log of an instance, and at what it stands on.
//!
//! They take all of an instance's own, so that one file serves all.

use std::path::PathBuf;

use clap::Args;
use weir_client::ServerUrl;

use super::serve::ServeArgs;

/// `weir groups`
#[derive(Debug, Args)]
pub(crate) struct GroupsArgs {
    /// Destroy the groups of instances that gave no sign of life for a minute
    #[arg(long)]
    pub(crate) reap: bool,
    /// Print each group as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// `weir doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also take the way of a client: through the load balancer at this address
    #[arg(long, value_name = "URL", value_parser = ServerUrl::parse)]
    pub(crate) through: Option<ServerUrl>,
    /// File with a token that may subscribe and publish there, to weir-doctor-*
    #[arg(long, value_name = "FILE", requires = "through")]
    pub(crate) token_file: Option<PathBuf>,
    /// Print each finding as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}
