//! What comes over an open stream, one after the other.

use std::collections::VecDeque;
use std::io::Read;

use anyhow::{Context, ensure};

use crate::scan::{Control, Found, Scanner};

/// See the [module](self).
#[derive(Debug)]
pub struct Heard<R> {
    pub(crate) wire: R,
    scanner: Scanner,
    found: VecDeque<Found>,
}

impl<R: Read> Heard<R> {
    /// A stream that was just asked for.
    ///
    /// # Errors
    /// It does not begin as a stream does, or not in time.
    pub fn begin(wire: R) -> anyhow::Result<Self> {
        let mut heard = Self { wire, scanner: Scanner::default(), found: VecDeque::new() };
        for first in [Found::Open, Found::Control(Control::Connected)] {
            let found = heard.hear()?;
            ensure!(found == first, "a stream begins with {found:?}");
        }
        Ok(heard)
    }

    /// What comes next and says something.
    ///
    /// # Errors
    /// Nothing comes in time, or the stream ends.
    pub fn hear(&mut self) -> anyhow::Result<Found> {
        let mut buffer = [0; 4096];
        loop {
            match self.found.pop_front() {
                Some(Found::Control(Control::Other)) => {}
                Some(found) => return Ok(found),
                None => {
                    let count = self.wire.read(&mut buffer).context("read a stream")?;
                    ensure!(count > 0, "the stream was closed");
                    let found = &mut self.found;
                    self.scanner.feed(&buffer[..count], &mut |next| found.push_back(next))?;
                }
            }
        }
    }
}
