//! The flags of the commands that look at the log of an instance, and at what it stands on.
//!
//! They take all of an instance's own, so that one file serves all.

use clap::Args;

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
    /// Print each finding as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}
