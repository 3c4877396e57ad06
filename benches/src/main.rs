//! `weir-bench`: measures weir end to end and compares it with its peers and with what the kernel alone costs.

#![expect(clippy::print_stdout, reason = "a command that tells people what it measured")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use weir_benches::cases::{ALL, Bench, Entry};
use weir_benches::child::Binaries;
use weir_benches::process::{Cores, pin};
use weir_benches::report::{self, Machine, Report};
use weir_benches::{selftest, summary};

/// Measures weir end to end. The exit status is 1 where a goal is missed.
#[derive(Debug, Parser)]
#[command(name = "weir-bench", version)]
struct Args {
    /// What to measure: cases, `all` of them, or none: `selftest` runs the generator against a floor that does wrong,
    /// `summary` writes the table of all goals again.
    #[arg(required = true, value_name = "CASE", value_parser = names())]
    cases: Vec<String>,
    /// The weir to measure, a release build. Where none is given, the one beside this program.
    #[arg(long, env = "WEIR_BIN")]
    weir: Option<PathBuf>,
    /// How often each case that measures time is repeated.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long clients come and go in the case `churn`.
    #[arg(long, env = "CHURN_SECONDS", default_value_t = 60)]
    churn_seconds: u64,
    /// Where the reports are written.
    #[arg(long, default_value = "docs/benchmarks")]
    out: PathBuf,
}

fn names() -> PossibleValuesParser {
    ALL.iter().map(|entry| entry.name).chain(["all", "selftest", "summary"]).into()
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // As it is before this thread is bound to a core.
    let machine = Machine::this()?;
    let wanted = |entry: &&Entry| args.cases.iter().any(|name| name == entry.name || name == "all");
    let entries: Vec<_> = ALL.iter().filter(wanted).collect();
    if !entries.is_empty() || args.cases.iter().any(|name| name == "selftest") {
        selftest::run().context("the generator is wrong, so it measures nothing")?;
        println!("the generator sees every fault of the floor");
    }
    let bench = bench(&args)?;
    let mut good = true;
    for entry in entries {
        // A peer that breaks must not cost what the other cases measure.
        good &= measure(entry, &bench, (&machine, &args.out)).unwrap_or_else(|error| {
            println!("\n{}: FAILED: {error:#}", entry.name);
            false
        });
    }
    summary::write(&args.out, ALL.iter().map(|entry| entry.name))?;
    println!("all goals: {}/summary.md", args.out.display());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bench(args: &Args) -> anyhow::Result<Bench> {
    let scratch = std::env::temp_dir();
    let this = std::env::current_exe()?;
    let weir = args.weir.clone().unwrap_or_else(|| this.with_file_name("weir"));
    let cores = Cores::choose()?;
    pin(cores.generator)?;
    // Beside the directory of this profile, whatever that is called: peers are always measured as released.
    let peers = this.parent().and_then(Path::parent).map_or_else(PathBuf::new, |target| target.join("peers"));
    let binaries = Binaries { weir, floor: this.with_file_name("weir-floor"), peers };
    Ok(Bench { binaries, cores, rounds: args.rounds, scratch, churn_seconds: args.churn_seconds })
}

/// Runs one case, writes its report and says whether its goals were reached.
fn measure(entry: &Entry, bench: &Bench, (machine, out): (&Machine, &Path)) -> anyhow::Result<bool> {
    report::forget(out, entry.name)?;
    let mut report = Report { machine: machine.clone(), cases: Vec::new() };
    for run in entry.runs {
        let case = run(bench)?;
        println!("\n{}", case.to_markdown());
        report.cases.push(case);
    }
    report.write(out, entry.name)?;
    println!("written to {}/{}.md", out.display(), entry.name);
    Ok(report.met())
}
