//! Lines that go out one by one, as they come. A reader that hangs holds up the command, but not its signals.

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Whom lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// People.
    Text,
    /// Programs: one object a line.
    Json,
}

impl Form {
    /// What `--json` asks for.
    pub(crate) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Writes one line and flushes it.
///
/// # Errors
/// The other end is gone, or the disk is full.
pub(super) async fn line(out: &mut (impl AsyncWrite + Unpin), text: &str) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'\n');
    out.write_all(&bytes).await?;
    out.flush().await
}
