//! What a program writes, drained all the time so that it never waits for a reader.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Most lines kept; a program that logs every event must not fill the memory.
const MAX_LINES: usize = 10_000;
/// Lines that an error shows.
const TAIL_LINES: usize = 20;

/// The newest lines written. The thread that reads them ends with the pipe it reads.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Arc<Mutex<VecDeque<String>>>,
    // A thread and not a task: a test that blocks its runtime must not block the program.
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    /// Reads `pipe` to its end.
    pub(crate) fn drain(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let mut lines = sink.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == MAX_LINES {
                    lines.pop_front();
                }
                lines.push_back(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Self { lines, reader: Some(reader) }
    }

    /// All lines kept.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Whether the pipe has ended, so that nothing can follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The newest of them, for an error.
    pub(crate) fn tail(&self) -> String {
        let all = self.all();
        let from = all.len().saturating_sub(TAIL_LINES);
        format!("it wrote last:\n{}", all[from..].join("\n"))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic of the reader has been printed by its thread.
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_lines_are_kept() {
        let text: String = (0..MAX_LINES + 5).map(|n| format!("{n}\n")).collect();
        let mut lines = Lines::drain(std::io::Cursor::new(text));
        lines.reader.take().unwrap().join().unwrap();
        assert_eq!(lines.all().len(), MAX_LINES);
        assert_eq!(lines.all()[0], "5");
        assert!(lines.is_complete());
        assert!(lines.tail().starts_with("it wrote last:\n9985\n"));
    }
}
