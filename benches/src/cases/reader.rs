//! Entries that concern nobody here: what it costs an instance to read them.

use crate::cases::Bench;
use crate::readers::{Cost, Kind, Supply, measure};
use crate::report::{Case, Figure, Goal, Round, median};

const CALM: Supply = Supply::Live(20_000);
const FAST: Supply = Supply::Live(80_000);

/// What is measured, each with what it is called for weir and for the floor.
const STAGES: [(Supply, &str, &str); 3] = [
    (CALM, WEIR_CALM, "XREAD, 20,000/s"),
    (FAST, WEIR_FAST, "XREAD, 80,000/s"),
    (Supply::Backlog, "weir, backlog", "XREAD, backlog"),
];
const WEIR_CALM: &str = "weir, 20,000/s";
const WEIR_FAST: &str = "weir, 80,000/s";

const CPU: &str = "CPU µs/entry";

/// Runs weir and a plain reader in turn, each on a Redis of its own.
///
/// # Errors
/// A server does not start, or loses an entry.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        for (supply, weir, plain) in STAGES {
            for (kind, server) in [(Kind::Weir, weir), (Kind::Plain, plain)] {
                rounds.push(Round { server, figures: figures(&measure(bench, (kind, 1), supply)?) });
            }
        }
    }
    let what = "Entries for 2,000 sessions that nobody listens to, at two rates and as a backlog that is there when reading \
         begins; beside weir a thread that does nothing but `XREAD` and walks over the replies: the floor of reading.";
    let mut case = Case { name: "reader", what: what.to_owned(), rounds, goals: Vec::new() };
    let cpu = |server| median(case.values(server, CPU));
    case.goals = vec![
        Goal { what: "CPU µs/entry at 20,000/s", measured: cpu(WEIR_CALM), at_most: 4.0 },
        Goal { what: "CPU µs/entry at 80,000/s", measured: cpu(WEIR_FAST), at_most: 3.0 },
    ];
    Ok(case)
}

fn figures(cost: &Cost) -> Vec<Figure> {
    let per_entry = |ns: u64| ns as f64 / 1_000.0 / cost.entries as f64;
    vec![
        Figure::new(CPU, per_entry(cost.readers.used_ns)),
        Figure::new("waited for its core, µs/entry", per_entry(cost.readers.waited_ns)),
        Figure::new("Redis CPU µs/entry, writing included", per_entry(cost.redis.used_ns)),
        Figure::new("entries/s", cost.entries as f64 / cost.seconds),
    ]
}
