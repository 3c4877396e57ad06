//! What is measured.

use std::path::PathBuf;

use crate::child::Binaries;
use crate::process::Cores;

pub mod fanout;
pub mod idle;
pub mod redis;
pub mod stalled;
pub mod storm;

/// What all cases share.
#[derive(Clone, Debug)]
pub struct Bench {
    /// What is measured.
    pub binaries: Binaries,
    /// Where it runs.
    pub cores: Cores,
    /// How often each case is repeated.
    pub rounds: usize,
    /// Where Redis may put its files.
    pub scratch: PathBuf,
}
