//! Several instances on one Redis: what each of them costs it.

use crate::cases::Bench;
use crate::readers::{Cost, Kind, Supply, measure};
use crate::report::{Case, Figure, Goal, Round, greatest};

const LIVE: Supply = Supply::Live(20_000);

/// How many, and what weirs and plain readers of that number are called, live and with a backlog.
const STAGES: [(usize, [[&str; 2]; 2]); 4] = [
    (1, [["1 weir, live", "1 XREAD, live"], ["1 weir, backlog", "1 XREAD, backlog"]]),
    (2, [["2 weirs, live", "2 XREADs, live"], ["2 weirs, backlog", "2 XREADs, backlog"]]),
    (4, [["4 weirs, live", "4 XREADs, live"], ["4 weirs, backlog", "4 XREADs, backlog"]]),
    (8, [["8 weirs, live", "8 XREADs, live"], ["8 weirs, backlog", "8 XREADs, backlog"]]),
];

const REDIS: &str = "Redis CPU µs/entry and reader";

/// Runs weirs and plain readers in turn, each on a Redis of their own.
///
/// # Errors
/// A server does not start, or loses an entry.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        // What writing alone costs; a backlog is written before.
        let writing = measure(bench, (Kind::Plain, 0), LIVE)?;
        for (readers, servers) in STAGES {
            for (supply, servers) in [LIVE, Supply::Backlog].into_iter().zip(servers) {
                for (kind, server) in [Kind::Weir, Kind::Plain].into_iter().zip(servers) {
                    let cost = measure(bench, (kind, readers), supply)?;
                    let besides = (supply == LIVE).then_some(&writing);
                    rounds.push(Round { server, figures: figures(&cost, besides, readers) });
                }
            }
        }
    }
    let what = "1, 2, 4 and 8 instances on one core, read 20,000 entries/s or a backlog from one Redis; beside them as many \
         threads that do nothing but `XREAD`. What writing costs Redis is taken off.";
    let mut case = Case { name: "instances", what: what.to_owned(), rounds, goals: Vec::new() };
    case.goals = vec![
        Goal {
            what: "Redis CPU of an instance, times XREAD's, live",
            measured: worst(&case, 0),
            at_most: 2.0,
        },
        Goal {
            what: "Redis CPU of an instance, times XREAD's, backlog",
            measured: worst(&case, 1),
            at_most: 3.0,
        },
    ];
    Ok(case)
}

/// The greatest of the ratios, over all numbers of readers.
fn worst(case: &Case, supply: usize) -> f64 {
    let ratio = |[weir, plain]: [&str; 2]| case.ratio(weir, plain, REDIS);
    greatest(STAGES.iter().map(|(_, servers)| ratio(servers[supply])))
}

fn figures(cost: &Cost, besides: Option<&Cost>, readers: usize) -> Vec<Figure> {
    let each = |total: u64| total as f64 / cost.entries as f64 / readers as f64;
    let without = |total: u64, of: fn(&Cost) -> u64| total.saturating_sub(besides.map_or(0, of));
    let redis = without(cost.redis.used_ns, |writing| writing.redis.used_ns);
    let sent = without(cost.sent_bytes, |writing| writing.sent_bytes);
    vec![
        Figure::new("CPU µs/entry and reader", each(cost.readers.used_ns) / 1_000.0),
        Figure::new(REDIS, each(redis) / 1_000.0),
        Figure::new("bytes/entry and reader", each(sent)),
        Figure::new("entries/s", cost.entries as f64 / cost.seconds),
    ]
}
