//! How a server is set up, where it tells.

use super::super::frame;
use super::{InspectError, Inspector, if_allowed};

/// Settings that decide whether weir can rely on a server. Managed servers hide them: then each is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// When snapshots are saved; nothing for never.
    pub save: Option<String>,
    /// Whether a failed save makes it refuse writes.
    pub stop_writes_on_failed_save: Option<bool>,
    /// Replicas that must keep up for writes to be taken.
    pub min_replicas: Option<u64>,
    /// How much of a reply may wait for its reader.
    pub output_limit: Option<OutputLimit>,
    /// Most entries of one node of a stream, 0 for no bound.
    pub node_entries: Option<u64>,
    /// Most bytes of one node of a stream, 0 for no bound.
    pub node_bytes: Option<u64>,
}

/// `client-output-buffer-limit normal`, in bytes; 0 for no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// A connection with more is cut at once.
    pub hard: u64,
    /// One that has more for `soft_secs` is cut.
    pub soft: u64,
    /// How long.
    pub soft_secs: u64,
}

impl Inspector {
    /// How the server is set up.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn settings(&self) -> Result<Settings, InspectError> {
        let Some(save) = self.setting("save").await? else { return Ok(Settings::default()) };
        let number = |text: Option<String>| text?.parse().ok();
        Ok(Settings {
            save: Some(save),
            stop_writes_on_failed_save: self
                .setting("stop-writes-on-bgsave-error")
                .await?
                .map(|text| text == "yes"),
            min_replicas: number(self.setting("min-replicas-to-write").await?),
            output_limit: self
                .setting("client-output-buffer-limit")
                .await?
                .and_then(|text| OutputLimit::parse(&text)),
            node_entries: number(self.setting("stream-node-max-entries").await?),
            node_bytes: number(self.setting("stream-node-max-bytes").await?),
        })
    }

    /// Asked one by one: all together would bring the server's passwords along.
    async fn setting(&self, name: &'static str) -> Result<Option<String>, InspectError> {
        let reply = if_allowed(self.ask("CONFIG", &["GET", name]).await)?;
        let value =
            reply.and_then(|reply| frame::field(&reply, name).and_then(frame::text).map(str::to_owned));
        Ok(value)
    }
}

impl OutputLimit {
    /// `normal 0 0 0 slave … pubsub …`
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').skip_while(|word| *word != "normal").skip(1);
        let mut next = || words.next()?.parse().ok();
        Some(Self { hard: next()?, soft: next()?, soft_secs: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_normal_clients() {
        let limit = OutputLimit::parse("slave 1 2 3 normal 4 5 6 pubsub 7 8 9");
        assert_eq!(limit, Some(OutputLimit { hard: 4, soft: 5, soft_secs: 6 }));
        assert_eq!(OutputLimit::parse("slave 1 2 3"), None);
    }
}
