//! Where the log is without Redis.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::statvfs;

use super::super::amount;
use super::finding::{Finding, Level};
use crate::config::{ServeConfig, data_dir};

/// How much of what memory bounds the file may hold at once: entries, snapshots, and what replaces them while it is written.
const COPIES: u64 = 4;

/// What has no bound of its own, and one fate with the log.
const STREAMS_GROW: &str = "durable streams take up room until they are deleted or expire, and without room publishes are refused \
    too: give --stream-maxlen to bound each";

/// What becomes of the log when the instance ends, and whether there is room for it.
pub(super) fn check(config: &ServeConfig) -> Finding {
    let Some(dir) = config.data_dir.as_deref() else {
        let finding = "the log is in the memory of one instance, and gone when that ends";
        return Finding::ok("log", finding)
            .advise("give --data-dir to keep it, or --redis to keep and to share it");
    };
    let Ok(found) = fs::metadata(dir) else {
        let finding = format!("--data-dir {} is not there, and is made at the start", dir.display());
        return Finding::ok("log", finding);
    };
    if let Err(error) = data_dir::prepare(dir) {
        return Finding::fail("log", error.to_string()).advise("let the user that weir runs as write there");
    }
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        let finding = format!(
            "--data-dir {} is open to other users of this machine (mode {:o})",
            dir.display(),
            mode & 0o777
        );
        return Finding::warn("log", finding).advise("chmod 700 it: what is published is in it");
    }
    let finding = room(dir, free(dir), (config.window_bytes as u64).saturating_mul(COPIES));
    if finding.level == Level::Ok && config.stream_maxlen.is_none() {
        return finding.advise(STREAMS_GROW);
    }
    finding
}

fn free(dir: &Path) -> Option<u64> {
    let room = statvfs(dir).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}

fn room(dir: &Path, free: Option<u64>, wanted: u64) -> Finding {
    let kept = format!("the log is kept in --data-dir {}", dir.display());
    match free {
        Some(free) if free < wanted => {
            let finding = format!(
                "{kept}, where {} are free, and {} may be needed",
                amount::bytes(free),
                amount::bytes(wanted)
            );
            Finding::warn("log", finding)
                .advise("make room, or lower --window-bytes: publishes are refused without it")
        }
        Some(free) => Finding::ok("log", format!("{kept}, where {} are free", amount::bytes(free))),
        None => Finding::ok("log", kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_enough_or_it_is_said() {
        let level = |free| room(Path::new("/d"), free, 100).level;
        assert_eq!([level(None), level(Some(100)), level(Some(99))], [Level::Ok, Level::Ok, Level::Warn]);
        assert!(free(Path::new("/")).is_some_and(|free| free > 0));
    }
}
