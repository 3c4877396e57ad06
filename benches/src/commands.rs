//! How often Redis ran each of its commands.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;

/// How long Redis may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls of each command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands(BTreeMap<String, u64>);

impl Commands {
    /// As Redis has counted so far. Asking counts, too.
    ///
    /// # Errors
    /// No answer, or one that is none.
    pub fn of(redis: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self::parse(&info(redis, "commandstats")?))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let (name, facts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), facts.split(',').next()?.parse().ok()?))
        });
        Self(lines.collect())
    }

    /// What was called since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let calls = self.0.iter().map(|(name, calls)| (name.clone(), calls - earlier.calls(name)));
        Self(calls.filter(|(_, calls)| *calls > 0).collect())
    }

    /// Those that `usual` does not know.
    pub fn beyond(&self, usual: &Self) -> Self {
        let calls = self.0.iter().filter(|(name, _)| usual.calls(name) == 0);
        Self(calls.map(|(name, calls)| (name.clone(), *calls)).collect())
    }

    /// How often any was called.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// All but one of them.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// How often this one was called.
    pub fn calls(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: Vec<_> = self.0.iter().map(|(name, calls)| format!("{calls} {name}")).collect();
        f.write_str(&calls.join(", "))
    }
}

/// Bytes that Redis has sent to all of its clients so far.
///
/// # Errors
/// No answer, or one that is none.
pub fn sent_bytes(redis: SocketAddr) -> anyhow::Result<u64> {
    let stats = info(redis, "stats")?;
    let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    Ok(line.context("Redis counts what it sends")?.parse()?)
}

fn info(redis: SocketAddr, section: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(redis)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "INFO {section}\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut length = String::new();
    reader.read_line(&mut length)?;
    let length = length.trim().strip_prefix('$').context("the answer is a bulk string")?.parse()?;
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    Ok(String::from_utf8(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_from_what_is_usual() {
        let earlier = Commands::parse(
            "# Commandstats\r\ncmdstat_xadd:calls=3,usec=9\r\ncmdstat_get:calls=1,usec=1\r\n",
        );
        let later = Commands::parse(
            "cmdstat_xadd:calls=5,usec=9\r\ncmdstat_get:calls=1,usec=1\r\ncmdstat_xrange:calls=2\r\n",
        );
        let since = later.since(&earlier);
        assert_eq!(since, Commands::parse("cmdstat_xadd:calls=2,\r\ncmdstat_xrange:calls=2,"));
        assert_eq!((since.beyond(&earlier).total(), since.beyond(&since).total()), (2, 0));
        assert_eq!(since.beyond(&earlier).to_string(), "2 xrange");
        assert_eq!((since.calls("xrange"), since.without("xrange").beyond(&earlier).total()), (2, 0));
    }
}
