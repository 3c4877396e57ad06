//! All goals in one table, from the files that the cases wrote: each case can be measured again alone.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::report::number;

/// What a case wrote, as far as it is told here.
#[derive(Debug, Deserialize)]
struct Saved {
    machine: SavedMachine,
    cases: Vec<SavedCase>,
}

#[derive(Debug, Deserialize)]
struct SavedMachine {
    cpu: String,
    kernel: String,
}

#[derive(Debug, Deserialize)]
struct SavedCase {
    name: String,
    goals: Vec<SavedGoal>,
}

#[derive(Debug, Deserialize)]
struct SavedGoal {
    what: String,
    /// Nothing where there was nothing to measure.
    measured: Option<f64>,
    at_most: f64,
}

/// Writes `summary.md` from the reports of these names, and says which are not there.
///
/// # Errors
/// A report cannot be read or the directory not be written.
pub fn write<'a>(directory: &Path, names: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let mut rows = String::new();
    let (mut reached, mut all) = (0, 0);
    for name in names {
        let path = directory.join(format!("{name}.json"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                writeln!(rows, "| {name} | | | | **not measured** | |").expect("a string grows");
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let saved: Saved = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        for case in &saved.cases {
            for goal in &case.goals {
                all += 1;
                reached += usize::from(goal.met());
                goal.row(&mut rows, (name, &case.name), &saved.machine);
            }
        }
    }
    let text = format!(
        "# All goals\n\nWritten by `make bench` from the newest run of each case; [how it is measured](README.md). {reached} of \
         {all} are reached.\n\n| case | goal | measured | at most | | machine |\n|---|---|---:|---:|---|---|\n{rows}"
    );
    Ok(fs::write(directory.join("summary.md"), text)?)
}

impl SavedGoal {
    fn met(&self) -> bool {
        self.measured.is_some_and(|measured| measured <= self.at_most)
    }

    fn row(&self, out: &mut String, (file, case): (&str, &str), machine: &SavedMachine) {
        let verdict = if self.met() { "reached" } else { "**MISSED**" };
        let (measured, at_most) = (number(self.measured.unwrap_or(f64::NAN)), number(self.at_most));
        let SavedMachine { cpu, kernel } = machine;
        writeln!(
            out,
            "| [{case}]({file}.md) | {} | {measured} | {at_most} | {verdict} | {cpu}, {kernel} |",
            self.what
        )
        .expect("a string grows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{self, Case, Goal, Machine, Report};

    #[test]
    fn every_goal_of_every_report_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let machine = Machine { cpu: "A".to_owned(), cores: 2, kernel: "6".to_owned() };
        let goal = |measured| Goal { what: "much", measured, at_most: 1.5 };
        for (name, measured) in [("one", 1.0), ("two", 2.0), ("three", f64::NAN), ("four", 1.0)] {
            let case = Case { name, what: String::new(), rounds: Vec::new(), goals: vec![goal(measured)] };
            Report { machine: machine.clone(), cases: vec![case] }.write(directory.path(), name).unwrap();
        }
        report::forget(directory.path(), "four").unwrap();
        report::forget(directory.path(), "never run").unwrap();
        write(directory.path(), ["two", "never run", "one", "three", "four"].into_iter()).unwrap();
        let text = fs::read_to_string(directory.path().join("summary.md")).unwrap();
        assert!(text.contains("1 of 3 are reached"), "{text}");
        let rows = "| [two](two.md) | much | 2.00 | 1.50 | **MISSED** | A, 6 |\n\
                    | never run | | | | **not measured** | |\n\
                    | [one](one.md) | much | 1.00 | 1.50 | reached | A, 6 |\n\
                    | [three](three.md) | much | – | 1.50 | **MISSED** | A, 6 |\n\
                    | four | | | | **not measured** | |\n";
        assert!(text.ends_with(rows), "{text}");
    }
}
