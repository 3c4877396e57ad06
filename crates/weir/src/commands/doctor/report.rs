//! Where findings go.

use anyhow::bail;
use tokio::io::Stdout;

use super::super::output::{self, Form};
use super::super::terminal;
use super::finding::{Finding, Level};

/// Prints findings as they come, and remembers the verdict.
#[derive(Debug)]
pub(super) struct Report {
    out: Stdout,
    form: Form,
    width: Option<usize>,
    failed: usize,
}

impl Report {
    pub(super) fn new(form: Form) -> Self {
        Self { out: tokio::io::stdout(), form, width: terminal::width(), failed: 0 }
    }

    /// Prints a finding.
    ///
    /// # Errors
    /// Nobody reads it.
    pub(super) async fn tell(&mut self, finding: Finding) -> std::io::Result<()> {
        self.failed += usize::from(finding.level == Level::Fail);
        let lines = match self.form {
            Form::Text => finding.lines(self.width),
            Form::Json => vec![finding.to_json().to_string()],
        };
        for line in lines {
            output::line(&mut self.out, &line).await?;
        }
        Ok(())
    }

    /// Whether weir can run here.
    ///
    /// # Errors
    /// Something failed.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        match self.failed {
            0 => Ok(()),
            1 => bail!("one check failed"),
            failed => bail!("{failed} checks failed"),
        }
    }
}
