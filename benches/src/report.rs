//! How the figures are told: a table for people, JSON for machines, plots beside them.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::plot;

/// All that was measured in one go. Each has files of its own, so that it can be measured again alone.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub cases: Vec<Case>,
}

/// What the figures depend on beside the code.
#[derive(Clone, Debug, Serialize)]
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
    /// One per round and server, the servers in the same order in each.
    pub rounds: Vec<Round>,
    /// What was to be reached.
    pub goals: Vec<Goal>,
}

/// One server in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Which. One that shares the log of `weir + Redis` ends in `+ Redis`, too, and is compared with that.
    pub server: &'static str,
    /// What was measured. All rounds of a case have the same, in the same order: first the one that the case is about,
    /// which is plotted, and latencies as `p50`, `p99` and so on, each with its unit.
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

    /// The median over the rounds of one server's figure as a multiple of another's in the same round; NaN where one is
    /// not there.
    pub fn ratio(&self, server: &str, other: &str, name: &str) -> f64 {
        let others = self.values(other, name).into_iter();
        median(self.values(server, name).into_iter().zip(others).map(|(this, other)| this / other).collect())
    }

    /// The sum of these figures of these servers over all rounds; NaN where one of them is nowhere, so that what was not measured
    /// is no goal reached.
    pub fn sum(&self, servers: &[&str], names: &[&str]) -> f64 {
        let pairs = servers.iter().flat_map(|server| names.iter().map(move |name| self.values(server, name)));
        pairs.map(|values| if values.is_empty() { f64::NAN } else { values.iter().sum() }).sum()
    }

    /// The servers in the order of the first round.
    pub fn servers(&self) -> Vec<&'static str> {
        let mut servers = Vec::new();
        for round in &self.rounds {
            if !servers.contains(&round.server) {
                servers.push(round.server);
            }
        }
        servers
    }

    /// The names of the figures.
    pub fn figures(&self) -> Vec<&'static str> {
        let first = self.rounds.first().map_or(&[][..], |round| &round.figures);
        first.iter().map(|figure| figure.name).collect()
    }

    /// The figures that are plotted and compared: the one that the case is about, and the latencies.
    pub fn compared(&self) -> Vec<&'static str> {
        let names = self.figures().into_iter().enumerate();
        names.filter(|(place, name)| *place == 0 || is_quantile(name)).map(|(_, name)| name).collect()
    }

    /// The case as Markdown: goals, medians and ratios, and the single rounds.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("## {}\n\n{}\n\n", self.name, self.what);
        for goal in &self.goals {
            let verdict = if goal.met() { "reached" } else { "MISSED" };
            let (measured, at_most) = (number(goal.measured), number(goal.at_most));
            writeln!(out, "- {}: {measured}, goal at most {at_most}: {verdict}", goal.what)
                .expect("a string grows");
        }
        let names = self.figures();
        out += &format!("\n{}", header("median", &names));
        for server in self.servers() {
            out += &row(server, names.iter().map(|name| median(self.values(server, name))));
        }
        out += &self.ratios();
        if self.rounds.len() > self.servers().len() {
            out += &format!("\n{}", header("round by round", &names));
            for Round { server, figures } in &self.rounds {
                out += &row(server, figures.iter().map(|figure| figure.value));
            }
        }
        out
    }

    /// weir's figures as multiples of the others', where there are others.
    fn ratios(&self) -> String {
        let (names, servers) = (self.compared(), self.servers());
        let peers: Vec<_> = servers.iter().filter(|server| !server.starts_with("weir")).collect();
        if peers.is_empty() || peers.len() == servers.len() {
            return String::new();
        }
        let mut out = format!("\n{}", header("weir, times this one in the same round", &names));
        for peer in peers {
            let own = if peer.ends_with("+ Redis") && servers.contains(&"weir + Redis") {
                "weir + Redis"
            } else {
                "weir"
            };
            out += &row(peer, names.iter().map(|name| self.ratio(own, peer, name)));
        }
        out
    }
}

impl Report {
    /// Writes `<name>.json` and `<name>.md`, and the plots of each case.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> anyhow::Result<()> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        fs::write(directory.join(format!("{name}.json")), serde_json::to_string_pretty(self)? + "\n")?;
        for (file, svg) in self.cases.iter().flat_map(plot::of) {
            fs::write(directory.join(file), svg)?;
        }
        Ok(fs::write(directory.join(format!("{name}.md")), self.to_markdown(name))?)
    }

    /// Whether every goal was reached.
    pub fn met(&self) -> bool {
        self.cases.iter().flat_map(|case| &case.goals).all(Goal::met)
    }

    fn to_markdown(&self, name: &str) -> String {
        let Machine { cpu, cores, kernel } = &self.machine;
        let mut out = format!(
            "# Benchmark: {name}\n\nWritten by `make bench BENCH={name}`; [how it is measured](README.md). {cores} cores of \
             {cpu}, Linux {kernel}; the server has one core for itself, the generator and Redis share another. Ratios \
             count, absolute figures move with the machine.\n"
        );
        for case in &self.cases {
            out += &format!("\n{}", case.to_markdown());
            for (file, _) in plot::of(case) {
                out += &format!("\n![{}]({file})\n", file.trim_end_matches(".svg").replace('-', " "));
            }
        }
        out
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

/// The greatest; NaN where one is, and of nothing.
pub fn greatest(values: impl Iterator<Item = f64>) -> f64 {
    // What compares with nothing counts as greater, and stays.
    let greater = |one: f64, other: f64| if one.is_nan() || one > other { one } else { other };
    values.reduce(greater).unwrap_or(f64::NAN)
}

/// Removes the figures of an earlier run, so that those of a case that fails are not taken for new.
///
/// # Errors
/// The file cannot be removed.
pub fn forget(directory: &Path, name: &str) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.json"));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
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

/// Whether a figure is a quantile of a latency: `p50 ms`, `p99.9 µs` and the like.
pub(crate) fn is_quantile(name: &str) -> bool {
    let mut words = name.split(' ');
    let quantile = words.next().and_then(|word| word.strip_prefix('p')).map(str::parse::<f64>);
    matches!((quantile, words.next(), words.next()), (Some(Ok(_)), Some("ms" | "µs"), None))
}

fn header(first: &str, names: &[&str]) -> String {
    format!("| {first} | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()))
}

fn row(name: &str, values: impl Iterator<Item = f64>) -> String {
    let cells: Vec<_> = values.map(number).collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}

/// Three digits are all that a measurement of this kind can claim; a count is told whole, its thousands apart.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        none if none.is_nan() => "–".to_owned(),
        whole if whole >= 1_000.0 => thousands(value),
        whole if whole >= 100.0 || whole == 0.0 => format!("{value:.0}"),
        whole if whole >= 10.0 => format!("{value:.1}"),
        little if little < 0.01 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    sign.to_owned() + &out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(measured: f64) -> Case {
        let round = |server, value| Round { server, figures: vec![Figure::new("p99 ms", value)] };
        Case {
            name: "fanout",
            what: "Much.".to_owned(),
            rounds: vec![
                round("weir", 3.0),
                round("floor", 1.0),
                round("weir", 1.0),
                round("floor", 4.0),
                round("weir", 2.0),
                round("floor", 1.0),
            ],
            goals: vec![Goal { what: "ratio", measured, at_most: 1.5 }],
        }
    }

    #[test]
    fn the_tables_show_verdicts_medians_ratios_and_rounds() {
        let text = case(1.25).to_markdown();
        assert!(text.contains("- ratio: 1.25, goal at most 1.50: reached\n"), "{text}");
        assert!(
            text.contains("| median | p99 ms |\n|---|---:|\n| weir | 2.00 |\n| floor | 1.00 |\n"),
            "{text}"
        );
        let ratios = "| weir, times this one in the same round | p99 ms |\n|---|---:|\n| floor | 2.00 |\n";
        assert!(text.contains(ratios), "{text}");
        assert!(
            text.contains("| round by round | p99 ms |\n|---|---:|\n| weir | 3.00 |\n| floor | 1.00 |\n"),
            "{text}"
        );
        assert!(case(1.51).to_markdown().contains("MISSED\n"));
    }

    #[test]
    fn what_shares_redis_is_compared_with_weir_on_redis() {
        let round = |server, value| Round { server, figures: vec![Figure::new("CPU", value)] };
        let rounds = vec![
            round("weir", 1.0),
            round("weir + Redis", 8.0),
            round("axum", 2.0),
            round("axum + Redis", 4.0),
        ];
        let text = Case { rounds, ..case(1.0) }.to_markdown();
        assert!(text.contains("| axum | 0.50 |\n| axum + Redis | 2.00 |\n"), "{text}");
        assert!(!text.contains("round by round"), "there is one round only: {text}");
    }

    #[test]
    fn a_figure_that_nobody_knows_is_no_goal_reached() {
        assert!(!Goal { what: "x", measured: median(Vec::new()), at_most: 1.0 }.met());
        assert!(
            !Goal { what: "x", measured: case(1.0).ratio("weir", "nobody", "p99 ms"), at_most: 1.0 }.met()
        );
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        let sum = |servers: &[&str], names: &[&str]| case(1.0).sum(servers, names);
        assert_eq!(sum(&["weir", "floor"], &["p99 ms"]), 12.0);
        assert!(sum(&["weir", "nobody"], &["p99 ms"]).is_nan());
        assert!(sum(&["weir"], &["p99 ms", "missing"]).is_nan());
        assert_eq!(greatest([1.0, 3.0, 2.0].into_iter()), 3.0);
        for unknown in [vec![f64::NAN, 1.0], vec![1.0, f64::NAN, 2.0], vec![1.0, -f64::NAN], Vec::new()] {
            assert!(greatest(unknown.into_iter()).is_nan());
        }
    }

    #[test]
    fn numbers_are_told_for_people() {
        let told: Vec<_> =
            [0.0, 0.0014, 0.123, 12.34, 123.4, 1_234.5, 400_000.0, -1_000.0, f64::NAN].map(number).into();
        assert_eq!(told, ["0", "0.0014", "0.12", "12.3", "123", "1,234", "400,000", "-1,000", "–"]);
    }

    #[test]
    fn latencies_are_known_by_their_names() {
        assert!(["p50 ms", "p99.9 µs"].into_iter().all(is_quantile));
        assert!(
            !["p99 ms before", "CPU µs/delivery", "published", "max ms", "p99 KiB"]
                .into_iter()
                .any(is_quantile)
        );
    }
}
