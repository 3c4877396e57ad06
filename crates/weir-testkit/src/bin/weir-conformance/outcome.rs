//! What came of a run of the suite.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Context as _;
use serde_json::Value;

/// Tests of the pinned version that any server of the protocol must pass.
const EXPECTED: usize = 332;

/// Tests of its subscriptions, which are an extension that is off.
const SKIPPED: usize = 6;

/// Lines of a failure that are shown.
const SHOWN_LINES: usize = 4;

/// The result of one run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    passed: usize,
    skipped: usize,
    /// By name, with the beginning of what they say.
    failed: Vec<(String, String)>,
    broken: Option<Broken>,
}

/// What a run met whose instances were ended.
#[derive(Debug, Default)]
struct Broken {
    kills: usize,
    connections: usize,
    repeated_calls: usize,
    /// Tests that failed where a connection of theirs did, and passed when tried again, with what they said.
    excused: Vec<(String, String)>,
    /// Tests that failed while every connection of theirs held, whatever came later.
    unexcused: Vec<(String, String)>,
}

impl Outcome {
    /// Reads the report of the runner.
    pub(crate) fn of(report: &Value) -> anyhow::Result<Self> {
        let files = report["testResults"].as_array().context("a report has results")?;
        let tests = files.iter().flat_map(|file| file["assertionResults"].as_array().into_iter().flatten());
        let mut outcome = Self::default();
        for test in tests {
            let name = test["fullName"].as_str().context("a test has a name")?.to_owned();
            match test["status"].as_str().context("a test has a status")? {
                "passed" => outcome.passed += 1,
                "skipped" | "pending" | "todo" => outcome.skipped += 1,
                _ => outcome.failed.push((name, beginning(&test["failureMessages"][0]))),
            }
        }
        // A file that cannot be loaded fails without a test.
        for file in files.iter().filter(|file| file["assertionResults"].as_array().is_none_or(Vec::is_empty))
        {
            outcome.failed.push(("the suite".to_owned(), beginning(&file["message"])));
        }
        Ok(outcome)
    }

    /// Takes into account what each try of each test met.
    pub(crate) fn excuse(&mut self, tries: &str, kills: usize) -> anyhow::Result<()> {
        let mut broken = Broken { kills, ..Broken::default() };
        for line in tries.lines() {
            let attempt: Value = serde_json::from_str(line)?;
            let failures = attempt["failures"].as_array().map_or(0, Vec::len);
            let repeated = usize::try_from(attempt["repeated"].as_u64().unwrap_or(0))?;
            let hung = attempt["hung"].as_u64() != Some(0);
            broken.connections += failures;
            broken.repeated_calls += repeated;
            if attempt["passed"] == true && !hung {
                continue;
            }
            let name = attempt["test"].as_str().context("a test has a name")?.to_owned();
            let told = (name, if hung { "a call hung".to_owned() } else { beginning(&attempt["error"]) });
            // A call that was made again is none that the test has seen fail, and one that hangs has no connection that failed.
            if failures > repeated && !hung { broken.excused.push(told) } else { broken.unexcused.push(told) }
        }
        self.broken = Some(broken);
        Ok(())
    }

    /// Whether every test passed, and none failed without an excuse on its way.
    pub(crate) fn is_complete(&self) -> bool {
        let unexcused = self.broken.as_ref().is_some_and(|broken| !broken.unexcused.is_empty());
        let idle = self.broken.as_ref().is_some_and(|broken| broken.kills == 0);
        self.failed.is_empty() && (self.passed, self.skipped) == (EXPECTED, SKIPPED) && !unexcused && !idle
    }

    /// What failed, and what was tried again.
    pub(crate) fn details(&self) -> Vec<String> {
        let tell = |how: &str, list: &[(String, String)]| {
            list.iter().map(|(name, error)| format!("{how}: {name}: {error}")).collect::<Vec<_>>()
        };
        let mut lines = tell("failed", &self.failed);
        if let Some(broken) = &self.broken {
            lines.extend(tell("failed although its connections held", &broken.unexcused));
            lines.extend(tell("tried again, its connection failed", &broken.excused));
        }
        lines
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, skipped, seconds, failed, broken } = self;
        write!(
            f,
            "{passed} passed of {EXPECTED}, {} failed, {skipped} skipped, in {seconds:.0} s",
            failed.len()
        )?;
        if let Some(Broken { kills, connections, repeated_calls, excused, unexcused }) = broken {
            let tests: BTreeSet<_> = excused.iter().map(|(name, _)| name).collect();
            write!(
                f,
                "; {kills} kills, {connections} connection errors: {repeated_calls} calls without effect made again, {} tests \
                 tried again, {} failed without one",
                tests.len(),
                unexcused.len()
            )?;
        }
        Ok(())
    }
}

/// What a message says first: an assertion, not its stack.
fn beginning(message: &Value) -> String {
    let lines = message.as_str().unwrap_or("without a word").lines();
    let told = lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("at "));
    told.take(SHOWN_LINES).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(passed: usize, others: &[&str]) -> Outcome {
        let statuses = std::iter::repeat_n("passed", passed).chain(others.iter().copied());
        let tests: Vec<_> = statuses
            .map(|status| json!({ "fullName": "a test", "status": status, "failureMessages": ["Error: no\n  at x"] }))
            .collect();
        Outcome::of(&json!({ "testResults": [{ "assertionResults": tests }] })).unwrap()
    }

    fn attempt(passed: bool, failures: usize, repeated: usize, hung: usize) -> String {
        let failures = vec!["GET: ECONNRESET"; failures];
        json!({ "test": "a test", "passed": passed, "error": "no", "failures": failures, "repeated": repeated, "hung": hung })
            .to_string()
    }

    #[test]
    fn only_all_tests_are_enough() {
        let skipped = ["skipped"; SKIPPED];
        assert!(outcome(EXPECTED, &skipped).is_complete());
        assert!(!outcome(EXPECTED - 1, &skipped).is_complete(), "one is missing");
        assert!(!outcome(EXPECTED, &["skipped"; SKIPPED + 1]).is_complete(), "one more is skipped");
        let failed = outcome(EXPECTED, &["failed"]);
        assert!(!failed.is_complete());
        assert_eq!(failed.details(), ["failed: a test: Error: no"]);
        let empty = json!({ "testResults": [{ "assertionResults": [], "message": "no such module" }] });
        assert_eq!(Outcome::of(&empty).unwrap().details(), ["failed: the suite: no such module"]);
    }

    #[test]
    fn a_failure_is_excused_by_a_connection_that_its_test_saw_fail() {
        for (tries, kills, good) in [
            (vec![attempt(true, 0, 0, 0)], 1, true),
            (vec![attempt(true, 0, 0, 0)], 0, false),
            (vec![attempt(false, 1, 0, 0), attempt(true, 0, 0, 0)], 1, true),
            (vec![attempt(false, 0, 0, 0), attempt(true, 0, 0, 0)], 1, false),
            (vec![attempt(false, 2, 2, 0), attempt(true, 0, 0, 0)], 1, false),
            (vec![attempt(false, 2, 1, 0), attempt(true, 1, 1, 0)], 1, true),
            (vec![attempt(false, 1, 0, 1), attempt(true, 0, 0, 0)], 1, false),
            (vec![attempt(true, 0, 0, 1)], 1, false),
        ] {
            let mut outcome = outcome(EXPECTED, &["skipped"; SKIPPED]);
            outcome.excuse(&tries.join("\n"), kills).unwrap();
            assert_eq!(outcome.is_complete(), good, "{tries:?}: {outcome}");
        }
    }
}
