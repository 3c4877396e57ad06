//! Whether this user may do all that weir does.

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
/// bound that nothing reaches. Redis looks at rights before anything else. `XADD` is not among them: the probe tries it.
const TRIES: [(&str, &str); 18] = [
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
];

/// The right of the one try that leaves something behind for a moment.
const SET: &str = "set";

/// A group and a member that do not exist.
const NOBODY: &str = "weir-nobody";

impl Inspector {
    /// Tries each command that weir needs, without effect.
    ///
    /// # Errors
    /// [`InspectError`]
    pub async fn rights(&self) -> Result<Rights, InspectError> {
        let scratch = self.keys.scratch();
        let mut rights = Rights::default();
        for (right, call) in TRIES {
            let (command, rest) = call.split_once(' ').unwrap_or((call, ""));
            let put_in = |word| match word {
                "{stream}" => self.keys.stream.as_str(),
                "{scratch}" => scratch.as_str(),
                "{nobody}" => NOBODY,
                plain => plain,
            };
            let args: Vec<&str> = rest.split_ascii_whitespace().map(put_in).collect();
            rights.note(right, self.ask(command, &args).await)?;
        }
        rights.note(SET, self.ask("SET", &[&scratch, "1", "NX", "PX", "1"]).await)?;
        let user = if_allowed(self.ask("ACL", &["WHOAMI"]).await)?;
        rights.user = user.as_ref().and_then(frame::text).map(str::to_owned);
        Ok(rights)
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
