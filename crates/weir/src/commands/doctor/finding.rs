//! What a check says.

use serde_json::json;

use super::super::terminal::{printable, wrap};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, but it may hurt.
    Warn,
    /// It does not work, or will lose something.
    Fail,
    /// It cannot be told from here.
    Unknown,
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The check, by a name that does not change.
    pub(super) what: &'static str,
    /// What is.
    pub(super) finding: String,
    /// What to do.
    pub(super) advice: Option<String>,
}

/// Room of the level and of the name in a line.
const COLUMNS: (usize, usize) = (7, 13);

impl Finding {
    pub(super) fn ok(what: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Ok, what, finding: finding.into(), advice: None }
    }

    pub(super) fn warn(what: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Warn, ..Self::ok(what, finding) }
    }

    pub(super) fn fail(what: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::ok(what, finding) }
    }

    pub(super) fn unknown(what: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Unknown, ..Self::ok(what, finding) }
    }

    /// Says what to do.
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// As lines: one, or where there is a width, as many as it takes.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let advice = self.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
        let text = printable(&format!("{}{advice}", self.finding));
        let head = format!("{:w$}  {:v$}  ", self.level.as_str(), self.what, w = COLUMNS.0, v = COLUMNS.1);
        let indent = head.chars().count();
        let Some(width) = width else { return vec![head + &text] };
        let lines = wrap(&text, width - indent).into_iter().enumerate();
        lines
            .map(|(i, line)| if i == 0 { format!("{head}{line}") } else { format!("{:indent$}{line}", "") })
            .collect()
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({
            "level": self.level.as_str(),
            "check": self.what,
            "finding": self.finding,
            "advice": self.advice,
        })
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_or_as_many_as_fit() {
        let finding = Finding::warn("memory", "words ".repeat(20).trim_end()).advise("do it");
        let [line] = &finding.lines(None)[..] else { panic!("one line") };
        assert!(
            line.starts_with("warn     memory         words words ") && line.ends_with(" words; do it"),
            "{line}"
        );
        let lines = finding.lines(Some(60));
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= 60), "{lines:?}");
        assert!(lines[1].starts_with(&" ".repeat(24)), "{lines:?}");
        assert_eq!(
            lines.join(" ").split_whitespace().collect::<Vec<_>>(),
            line.split_whitespace().collect::<Vec<_>>()
        );
    }
}
