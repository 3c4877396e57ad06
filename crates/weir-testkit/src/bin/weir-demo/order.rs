//! What the demo can be told to do.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};

/// One line that somebody typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ends a process without a chance to say anything.
    Kill(Part),
    /// Ends it as a deploy does.
    Stop(Part),
    /// Stops it where it stands.
    Freeze(Part),
    /// Takes back what was done to it.
    Start(Part),
    /// Has an instance release its clients.
    Drain(usize),
    /// Replaces one instance after the other.
    Restart,
    /// A client comes that cannot keep up.
    Stall,
    /// It goes.
    Unstall,
    Status,
    /// What an instance logged last.
    Log(usize),
    Help,
    Quit,
}

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// By its number, from 1 on.
    Instance(usize),
    Redis,
}

/// Instances of a demo.
pub(crate) const INSTANCES: usize = 3;

/// What to try, and what is seen then.
pub(crate) const MENU: [(&str, &str); 11] = [
    ("kill 2", "an instance is gone at once; its clients come back elsewhere: WeirInstanceDown"),
    ("freeze 2", "it stands still, with all its connections (SIGSTOP): WeirInstanceDown"),
    ("stop redis", "clients stay and are told weir.degraded; publishes are refused: WeirRedisDown"),
    ("stall", "a client reads less than is published for it, and loses events: WeirEventsDropped"),
    ("restart", "the instances are replaced one after the other, as by a deploy: no alert"),
    ("drain 2", "an instance releases its clients and stays: no alert at first"),
    ("start 2, start redis", "takes back what was done to it"),
    ("unstall", "the slow client goes"),
    ("status", "what runs, what the load does, and which alerts there are"),
    ("log 2", "what an instance logged last"),
    ("quit", "ends all of it, as Ctrl-C does"),
];

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(number) => write!(f, "weir-{number}"),
            Self::Redis => f.write_str("redis"),
        }
    }
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        match word {
            "redis" => Ok(Self::Redis),
            _ => instance(word).map(Self::Instance),
        }
    }
}

/// `2`, or `weir-2` as it is named everywhere.
fn instance(word: &str) -> anyhow::Result<usize> {
    let number = word.strip_prefix("weir-").unwrap_or(word).parse().ok();
    let number = number.filter(|number| (1..=INSTANCES).contains(number));
    number.with_context(|| format!("there is no {word:?}: say 1 to {INSTANCES}, or redis"))
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (&verb, rest) = words.split_first().context("say what to do; help lists it")?;
        ensure!(rest.len() <= 1, "{verb} takes one thing at a time");
        let what =
            || rest.first().copied().with_context(|| format!("{verb} what? 1 to {INSTANCES}, or redis"));
        let order = match verb {
            "kill" => Self::Kill(what()?.parse()?),
            "stop" => Self::Stop(what()?.parse()?),
            "freeze" => Self::Freeze(what()?.parse()?),
            "start" => Self::Start(what()?.parse()?),
            "drain" => Self::Drain(instance(what()?)?),
            "log" => Self::Log(instance(what()?)?),
            "restart" => Self::Restart,
            "stall" => Self::Stall,
            "unstall" => Self::Unstall,
            "status" => Self::Status,
            "help" => Self::Help,
            "quit" => Self::Quit,
            other => bail!("unknown: {other:?}; help lists what there is"),
        };
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_can_be_typed() {
        for line in MENU.iter().flat_map(|(lines, _)| lines.split(", ")) {
            line.parse::<Order>().unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn what_is_meant_is_known_and_else_explained() {
        assert_eq!("kill weir-3".parse::<Order>().unwrap(), Order::Kill(Part::Instance(3)));
        assert_eq!(" start  redis ".parse::<Order>().unwrap(), Order::Start(Part::Redis));
        for (line, said) in [
            ("", "help lists it"),
            ("kill", "kill what?"),
            ("kill 0", "say 1 to 3"),
            ("kill 1 2", "one thing at a time"),
            ("drain redis", "there is no \"redis\""),
            ("boom", "help lists"),
        ] {
            let error = line.parse::<Order>().unwrap_err().to_string();
            assert!(error.contains(said), "{line:?}: {error}");
        }
    }
}
