//! How many files this process may open, and how many clients that allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that weir needs besides its clients: listeners, Redis, the runtime, admin connections and what is just being
/// accepted. Without them a full instance could not even say that it is full.
const RESERVE: u64 = 128;

/// Most clients that are let in unasked, so that a machine without a limit is not taken for one with endless memory.
const MOST_CONNECTIONS: u64 = 1_000_000;

/// The limit of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FdLimit {
    /// How many.
    pub(crate) files: u64,
}

impl FdLimit {
    /// What it is after [`raise`].
    pub(crate) fn reachable() -> Self {
        Self { files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX) }
    }

    /// How many clients it allows.
    pub(crate) fn connections(self) -> usize {
        let rest = self.files - RESERVE.min(self.files / 2);
        usize::try_from(rest.clamp(1, MOST_CONNECTIONS)).unwrap_or(usize::MAX)
    }
}

/// Raises the limit as far as it goes without privilege, and returns what it is then.
pub(crate) fn raise() -> FdLimit {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        return FdLimit::reachable();
    }
    FdLimit { files: current.unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_weir_does_not_need() {
        for (files, clients) in [(0, 1), (64, 32), (1024, 896), (20_000, 19_872), (u64::MAX, 1_000_000)] {
            assert_eq!(FdLimit { files }.connections(), clients, "{files}");
        }
    }

    #[test]
    fn raising_reaches_the_hard_limit() {
        assert_eq!(raise(), FdLimit::reachable());
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
