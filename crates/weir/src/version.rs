//! What was built.

use std::sync::LazyLock;

/// The version of the release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, where whoever built it said so.
pub(crate) const REVISION: &str = match option_env!("WEIR_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Both, for people.
pub(crate) static LONG: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({REVISION})"));
