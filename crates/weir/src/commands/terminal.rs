//! What a terminal can show.

use std::io::{IsTerminal, stdout};

/// Columns beyond which lines are hard to read, however wide the terminal.
const WIDEST: usize = 100;

/// Columns that are filled however narrow it is: below, nothing can be read anyway.
const NARROWEST: usize = 60;

/// The columns to fill, where standard output is a terminal.
pub(super) fn width() -> Option<usize> {
    if !stdout().is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_col));
    Some(if columns == 0 { WIDEST } else { columns.clamp(NARROWEST, WIDEST) })
}

/// Breaks a text into lines of at most so many characters, between words where that is possible.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + rest.len() > width {
            lines.push(String::new());
        } else if used > 0 {
            lines.last_mut().expect("there is a line").push(' ');
        }
        while rest.len() > width {
            lines.last_mut().expect("there is a line").extend(rest.drain(..width));
            lines.push(String::new());
        }
        lines.last_mut().expect("there is a line").extend(rest);
    }
    lines
}

/// A text from elsewhere without what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_within_long_ones() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a abcdefghij k", 4), ["a", "abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn a_terminal_is_told_nothing_by_others() {
        assert_eq!(printable("a\u{1b}[2Jé\n"), "a\\u{1b}[2Jé\\n");
    }
}
