//! How the figures are told: a table for people, JSON for machines.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// All that was measured in one go.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub cases: Vec<Case>,
}

/// What the figures depend on beside the code.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that may be used.
    pub cores: usize,
    /// Kernel.
    pub kernel: String,
}

/// One case with all its rounds.
#[derive(Debug, Serialize)]
pub struct Case {
    /// Short name.
    pub name: &'static str,
    /// What is done.
    pub what: String,
    /// One per round and server.
    pub rounds: Vec<Round>,
    /// What was to be reached.
    pub goals: Vec<Goal>,
}

/// One server in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Which.
    pub server: &'static str,
    /// What was measured. All rounds of a case and server have the same, in the same order.
    pub figures: Vec<Figure>,
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What, with its unit.
    pub name: &'static str,
    /// The number.
    pub value: f64,
}

/// What was to be reached, and whether it was.
#[derive(Debug, Serialize)]
pub struct Goal {
    /// What, with its unit.
    pub what: &'static str,
    /// What was measured.
    pub measured: f64,
    /// The most that is good.
    pub at_most: f64,
}

impl Figure {
    /// Names a number.
    pub fn new(name: &'static str, value: f64) -> Self {
        Self { name, value }
    }
}

impl Goal {
    /// Whether it was reached.
    pub fn met(&self) -> bool {
        self.measured <= self.at_most
    }
}

impl Case {
    /// One figure of one server, in all rounds.
    pub fn values(&self, server: &str, name: &str) -> Vec<f64> {
        let rounds = self.rounds.iter().filter(|round| round.server == server);
        rounds
            .flat_map(|round| &round.figures)
            .filter(|figure| figure.name == name)
            .map(|figure| figure.value)
            .collect()
    }

    /// The case as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("## {}\n\n{}\n\n", self.name, self.what);
        let names: Vec<_> =
            self.rounds.first().map_or(&[][..], |round| &round.figures).iter().map(|f| f.name).collect();
        out += &format!("| server | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()));
        for Round { server, figures } in &self.rounds {
            out += &row(server, figures.iter().map(|figure| figure.value));
        }
        for server in self.servers() {
            let medians = names.iter().map(|name| median(self.values(server, name)));
            out += &row(&format!("**{server}, median**"), medians);
        }
        out.push('\n');
        for goal in &self.goals {
            let verdict = if goal.met() { "reached" } else { "MISSED" };
            let (measured, at_most) = (number(goal.measured), number(goal.at_most));
            writeln!(out, "- {}: {measured}, goal at most {at_most}: {verdict}", goal.what)
                .expect("a string grows");
        }
        out
    }

    fn servers(&self) -> Vec<&'static str> {
        let mut servers: Vec<_> = self.rounds.iter().map(|round| round.server).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }
}

impl Report {
    /// Writes `<name>.json` and `<name>.md`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> anyhow::Result<()> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        fs::write(directory.join(format!("{name}.json")), serde_json::to_string_pretty(self)? + "\n")?;
        Ok(fs::write(directory.join(format!("{name}.md")), self.to_markdown())?)
    }

    /// Whether every goal was reached.
    pub fn met(&self) -> bool {
        self.cases.iter().flat_map(|case| &case.goals).all(Goal::met)
    }

    fn to_markdown(&self) -> String {
        let Machine { cpu, cores, kernel } = &self.machine;
        let head = format!(
            "# End-to-end measurements\n\nWritten by `make bench`. {cores} cores of {cpu}, Linux {kernel}; the server \
             has one core for itself, the generator and Redis share another. Ratios count, absolute figures move with \
             the machine. `floor` writes each event to every socket with one `send()` and does nothing else: what the \
             kernel alone costs.\n"
        );
        self.cases.iter().fold(head, |out, case| out + "\n" + &case.to_markdown())
    }
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn this() -> anyhow::Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let model =
            info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        Ok(Self {
            cpu: model.map_or("an unknown processor", |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

/// The middle value; NaN of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

fn row(name: &str, values: impl Iterator<Item = f64>) -> String {
    let cells: Vec<_> = values.map(number).collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}

/// Three digits are all that a measurement of this kind can claim.
fn number(value: f64) -> String {
    match value.abs() {
        whole if whole >= 100.0 || whole == 0.0 => format!("{value:.0}"),
        whole if whole >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(measured: f64) -> Case {
        let round = |server, value| Round { server, figures: vec![Figure::new("p99 ms", value)] };
        Case {
            name: "fanout",
            what: "Much.".to_owned(),
            rounds: vec![round("weir", 3.0), round("floor", 1.0), round("weir", 1.0), round("weir", 2.0)],
            goals: vec![Goal { what: "ratio", measured, at_most: 1.5 }],
        }
    }

    #[test]
    fn the_table_shows_rounds_medians_and_verdicts() {
        let text = case(1.25).to_markdown();
        assert!(text.contains("| server | p99 ms |\n|---|---:|\n| weir | 3.00 |\n"), "{text}");
        assert!(text.contains("| **floor, median** | 1.00 |\n| **weir, median** | 2.00 |\n"), "{text}");
        assert!(text.ends_with("- ratio: 1.25, goal at most 1.50: reached\n"), "{text}");
        assert!(case(1.51).to_markdown().ends_with("MISSED\n"));
    }

    #[test]
    fn a_figure_that_nobody_knows_is_no_goal_reached() {
        assert!(!Goal { what: "x", measured: median(Vec::new()), at_most: 1.0 }.met());
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
    }
}
