//! Fetching what the entries alone would not tell: revocations whose entries were trimmed before they were read, or came
//! before the window.

use weir_core::log::Feed;

use super::super::fault::Fault;
use super::super::resp::Walk;
use super::super::revoke;
use super::super::wire::Wire;
use super::Reader;
use weir_metrics::Operation;

impl Reader {
    /// Fetches the revocations that hold. What is made after this has an entry that will be read.
    pub(super) async fn fetch_revoked(&mut self, wire: &mut Wire) -> Result<(), Fault> {
        let key = self.context.keys.revoked.clone();
        let stored = match wire.call(Operation::Revoke, &["GET", &key]).await {
            Ok(reply) => Walk::new(reply).text()?.unwrap_or_default(),
            Err(Fault::Refused(reason)) => {
                // To deliver nothing would help nobody; what is missing is told here and in the facts.
                tracing::error!(
                    reason,
                    key,
                    "revocations of before cannot be read: tokens are not refused for them"
                );
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        let revoked = revoke::parse(stored);
        if !revoked.is_empty() {
            self.due.push_back(Feed::Revoked(revoked));
        }
        Ok(())
    }

    /// The same after a loss, on the connection there is.
    pub(super) async fn recheck_revoked(&mut self) -> Result<(), Fault> {
        let Some(mut seat) = self.seat.take() else { return Ok(()) };
        self.recheck = false;
        self.fetch_revoked(&mut seat.wire).await?;
        self.seat = Some(seat);
        Ok(())
    }
}
