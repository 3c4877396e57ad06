//! `weir-bench`: measures weir end to end and compares it with what the kernel alone costs.

#![expect(clippy::print_stdout, reason = "a command that tells people what it measured")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use weir_benches::cases::{self, Bench};
use weir_benches::child::Binaries;
use weir_benches::process::{Cores, pin};
use weir_benches::report::{Case, Machine, Report};
use weir_benches::selftest;

/// Measures weir end to end. The exit status is 1 where a goal is missed.
#[derive(Debug, Parser)]
#[command(name = "weir-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// The weir to measure, a release build. Where none is given, the one beside this program.
    #[arg(long, env = "WEIR_BIN", global = true)]
    weir: Option<PathBuf>,
    /// How often each case that measures time is repeated.
    #[arg(long, default_value_t = 3, global = true)]
    rounds: usize,
    /// Where the report is written.
    #[arg(long, default_value = "docs/benchmarks", global = true)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// All of the cases.
    All,
    /// 1,000 subscribers of one session: CPU per delivery, against the floor.
    Fanout,
    /// 20,000 entries/s from Redis to 2,000 sessions: loss and latency.
    Redis,
    /// 15,000 idle connections: memory.
    Idle,
    /// 10,000 clients that come back at once: what those who stayed notice of it.
    Storm,
    /// 1,000 subscribers without and with 10 that do not read: what those cost the others.
    Stalled,
    /// The generator against a floor that drops, doubles and swaps events.
    Selftest,
}

type RunCase = fn(&Bench) -> anyhow::Result<Case>;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let (name, cases): (_, &[RunCase]) = match args.command {
        Command::All => (
            "end-to-end",
            &[
                cases::fanout::run,
                cases::stalled::run,
                cases::redis::run,
                cases::idle::run,
                cases::storm::run,
            ],
        ),
        Command::Fanout => ("fanout", &[cases::fanout::run]),
        Command::Redis => ("redis", &[cases::redis::run]),
        Command::Idle => ("idle", &[cases::idle::run]),
        Command::Storm => ("storm", &[cases::storm::run]),
        Command::Stalled => ("stalled", &[cases::stalled::run]),
        Command::Selftest => ("selftest", &[]),
    };
    selftest::run().context("the generator is wrong, so it measures nothing")?;
    println!("the generator sees every fault of the floor");
    if cases.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    measure(&args, name, cases)
}

fn measure(args: &Args, name: &str, cases: &[RunCase]) -> anyhow::Result<ExitCode> {
    let machine = Machine::this()?;
    let scratch = std::env::temp_dir();
    let this = std::env::current_exe()?;
    let weir = args.weir.clone().unwrap_or_else(|| this.with_file_name("weir"));
    let cores = Cores::choose()?;
    pin(cores.generator)?;
    let binaries = Binaries { weir, floor: this.with_file_name("weir-floor") };
    let bench = Bench { binaries, cores, rounds: args.rounds, scratch };
    let mut report = Report { machine, cases: Vec::new() };
    for case in cases {
        let case = case(&bench)?;
        println!("\n{}", case.to_markdown());
        report.cases.push(case);
    }
    report.write(&args.out, name)?;
    println!("written to {}/{name}.md", args.out.display());
    Ok(if report.met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
