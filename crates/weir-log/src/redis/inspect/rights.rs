//! Whether this user may do all that weir does.

use fred::types::Resp3Frame;

use super::super::frame;
use super::{InspectError, Inspector, if_allowed};

/// What a user may not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Who is asking, where Redis tells.
    pub user: Option<String>,
    /// Commands that weir needs and this user may not run, as `ACL SETUSER` names them.
    pub commands: Vec<&'static str>,
    /// Whether keys of weir are out of reach.
    pub keys: bool,
}

/// Each command of weir by its right, called so that it does nothing: on groups and keys that do not exist, or with a
/// bound that nothing reaches. Redis looks at rights before anything else. `XADD` is not among them: the probe tries it; nor is
/// `INFO`: whether it is answered is a finding of its own.
const TRIES: [(&str, &str); 24] = [
    ("time", "TIME"),
    ("eval", "EVAL return 0"),
    ("xinfo|stream", "XINFO STREAM {stream}"),
    ("xinfo|groups", "XINFO GROUPS {stream}"),
    ("xrange", "XRANGE {stream} 0-0 0-0 COUNT 1"),
    ("xrevrange", "XREVRANGE {stream} 0-0 0-0 COUNT 1"),
    ("xreadgroup", "XREADGROUP GROUP {nobody} reader COUNT 1 STREAMS {stream} >"),
    ("xread", "XREAD COUNT 1 STREAMS {stream} $"),
    ("xack", "XACK {stream} {nobody} 0-1"),
    ("xpending", "XPENDING {stream} {nobody}"),
    ("xgroup|create", "XGROUP CREATE {scratch} {nobody} $"),
    ("xgroup|destroy", "XGROUP DESTROY {stream} {nobody}"),
    ("xtrim", "XTRIM {stream} MAXLEN ~ 9223372036854775807"),
    ("get", "GET {scratch}"),
    ("zadd", "ZADD {scratch} XX 1 {nobody}"),
    ("zscore", "ZSCORE {scratch} {nobody}"),
    ("zrem", "ZREM {scratch} {nobody}"),
    ("zremrangebyscore", "ZREMRANGEBYSCORE {scratch} -inf -1"),
    ("zrangebyscore", "ZRANGEBYSCORE {scratch} -inf -1"),
    ("evalsha", "EVALSHA 0000000000000000000000000000000000000000 0"),
    ("hmget", "HMGET {scratch} n"),
    ("hlen", "HLEN {scratch}"),
    ("hrandfield", "HRANDFIELD {scratch} 1"),
    ("hdel", "HDEL {scratch} n"),
];

/// The rights of the tries that need something for a moment, of another kind than the second one writes; the third removes it.
const SET: [(&str, &str); 3] =
    [("set", "SET {scratch} 1 NX PX 1000"), ("hset", "HSET {scratch} n 1"), ("unlink", "UNLINK {scratch}")];

/// A group and a member that do not exist.
const NOBODY: &str = "weir-nobody";

impl Inspector {
    /// Tries each command that weir needs, without effect.
    ///
    /// With a hash of totals its fields are there afterwards, as an instance would leave them.
    ///
    /// # Errors
    /// [`InspectError`]
    pub async fn rights(&self, stats: Option<&str>) -> Result<Rights, InspectError> {
        let scratch = self.keys.scratch();
        let mut rights = Rights::default();
        for (right, call) in TRIES {
            rights.note(right, self.attempt(call, &scratch).await)?;
        }
        for (right, call) in SET {
            let tried = self.attempt(call, &scratch).await;
            let is_denied = tried.is_err();
            rights.note(right, tried)?;
            // Without what it collides with, the next one would write.
            if right == "set" && is_denied {
                break;
            }
        }
        if let Some(key) = stats {
            rights.note("hincrby", self.ask("HINCRBY", &[key, "connections", "0"]).await)?;
        }
        let user = if_allowed(self.ask("ACL", &["WHOAMI"]).await)?;
        rights.user = user.as_ref().and_then(frame::text).map(str::to_owned);
        Ok(rights)
    }

    async fn attempt(&self, call: &'static str, scratch: &str) -> Result<Resp3Frame, InspectError> {
        let (command, rest) = call.split_once(' ').unwrap_or((call, ""));
        let put_in = |word| match word {
            "{stream}" => self.keys.stream.as_str(),
            "{scratch}" => scratch,
            "{nobody}" => NOBODY,
            plain => plain,
        };
        let args: Vec<&str> = rest.split_ascii_whitespace().map(put_in).collect();
        self.ask(command, &args).await
    }
}

impl Rights {
    /// Whether nothing is missing.
    pub fn suffice(&self) -> bool {
        self.commands.is_empty() && !self.keys
    }

    /// Any other refusal is one of what was tried, and was meant.
    fn note<T>(&mut self, right: &'static str, tried: Result<T, InspectError>) -> Result<(), InspectError> {
        match tried {
            Err(InspectError::Refused(text)) if text.starts_with("NOPERM") => {
                if text.contains("to access") {
                    self.keys = true;
                } else {
                    self.commands.push(right);
                }
                Ok(())
            }
            Ok(_) | Err(InspectError::Refused(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }
}
