//! What an instance writes to its standard error, drained all the time so that it never waits for a reader.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;

/// Most lines kept; a test that logs at level trace must not fill the memory.
const MAX_LINES: usize = 10_000;
/// Lines of the end that an error shows.
const TAIL_LINES: usize = 20;

/// The newest lines of a log. Its thread ends with the pipe it reads.
#[derive(Debug)]
pub(crate) struct InstanceLog {
    lines: Arc<Mutex<VecDeque<String>>>,
    // A thread and not a task: a test that blocks its runtime must not block the instance.
    reader: Option<JoinHandle<()>>,
}

impl InstanceLog {
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
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The fields of the first line with this message.
    pub(crate) fn message(&self, message: &str) -> Option<Value> {
        self.lines().iter().filter_map(|line| fields(line)).find(|fields| fields["message"] == message)
    }

    /// Whether the pipe has ended, so that nothing can follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The end of the log, for an error.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("the log ends with:\n{}", lines[from..].join("\n"))
    }
}

impl Drop for InstanceLog {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic of the reader has been printed by its thread.
            let _ = reader.join();
        }
    }
}

/// The fields of a log line, whether the formatter nests them or not.
fn fields(line: &str) -> Option<Value> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    match line.get_mut("fields") {
        Some(nested) => Some(nested.take()),
        None => Some(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_nested_and_flat() {
        let text = concat!(
            "starting up\n",
            r#"{"level":"INFO","fields":{"message":"listening","public":"127.0.0.1:1"}}"#,
            "\n",
            r#"{"level":"INFO","message":"ready","after_ms":5}"#,
        );
        let mut log = InstanceLog::drain(text.as_bytes());
        log.reader.take().unwrap().join().unwrap();
        assert!(log.is_complete());
        assert_eq!(log.message("listening").unwrap()["public"], "127.0.0.1:1");
        assert_eq!(log.message("ready").unwrap()["after_ms"], 5);
        assert_eq!(log.message("gone"), None);
        assert!(log.tail().starts_with("the log ends with:\nstarting up\n"));
    }

    #[test]
    fn only_the_newest_lines_are_kept() {
        let text: String = (0..MAX_LINES + 5).map(|n| format!("{n}\n")).collect();
        let mut log = InstanceLog::drain(std::io::Cursor::new(text));
        log.reader.take().unwrap().join().unwrap();
        assert_eq!(log.lines().len(), MAX_LINES);
        assert_eq!(log.lines()[0], "5");
    }
}
