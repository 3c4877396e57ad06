//! Programs that end with the one that started them, even where that is killed and can end nothing.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

static HELD: AtomicBool = AtomicBool::new(false);

/// Holds every program that is started from now on. As the kernel has it, each ends with the thread that started it: only one
/// that lives as long as the process may start them.
pub fn hold() {
    HELD.store(true, Ordering::Relaxed);
}

/// A command that runs `program`.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    if !HELD.load(Ordering::Relaxed) {
        return Command::new(program);
    }
    // It turns into the program, which so has the id that is known here.
    let mut held = Command::new("setpriv");
    held.args(["--pdeathsig", "KILL", "--"]).arg(program);
    held
}
