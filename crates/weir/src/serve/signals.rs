//! The signals that stop an instance, and the one that has it read its files anew.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
    terminal: Terminal,
    /// Never waited for: heard of, it is an error of the write that went too far, and not the end of the process.
    _too_large: Signal,
}

/// SIGXFSZ: a file may not become larger. It has this number on every Linux but MIPS.
const TOO_LARGE: i32 = 25;

/// The terminal that the instance was started at. Its end comes as SIGHUP, too, and leaves nobody who could stop the instance.
#[derive(Debug)]
struct Terminal {
    hangup: Signal,
    was_there: bool,
}

impl Terminal {
    fn new() -> io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, was_there: io::stdin().is_terminal() })
    }

    /// Resolves when it is gone.
    async fn gone(&mut self) {
        loop {
            let heard = self.hangup.recv().await;
            if heard.is_some() && self.was_there && !io::stdin().is_terminal() {
                return;
            }
        }
    }
}

impl Signals {
    /// Listens from now on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: Some(signal(SignalKind::hangup())?),
            terminal: Terminal::new()?,
            _too_large: signal(SignalKind::from_raw(TOO_LARGE))?,
        })
    }

    /// SIGHUP, once: it is heard from the start on, so that none comes too early and ends the instance.
    pub(super) fn hangup(&mut self) -> Option<Signal> {
        self.hangup.take()
    }

    /// Resolves with the first signal, and says whether somebody at a terminal is waiting.
    pub(super) async fn stop(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => io::stdin().is_terminal(),
            () = self.terminal.gone() => true,
        }
    }

    /// Resolves with the next signal.
    pub(super) async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
