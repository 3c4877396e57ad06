//! The public suite of Durable Streams against the real binary, in four set-ups that people run: one instance with its
//! embedded log, one on Redis, three on Redis behind a load balancer, and the same while instances are killed. `make
//! conformance` runs it.
//!
//! - [`setup`]: what runs
//! - [`suite`]: runs the suite, and [`outcome`]: what came of it
//! - [`killer`]: ends instances and starts them again

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it says is its purpose")]

mod killer;
mod outcome;
mod setup;
mod suite;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use outcome::Outcome;
use setup::{Kind, Setup};
use suite::Suite;

/// What it is told.
#[derive(Debug)]
struct Args {
    weir: String,
    kinds: Vec<Kind>,
    /// A server that runs already, instead of all set-ups.
    against: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!(
                "error: {error:#}; usage: weir-conformance [--weir PATH] [--against URL] [embedded|redis|three|killed]..."
            );
            return ExitCode::from(2);
        }
    };
    // Whoever stops it must not be left with its processes.
    let ended = tokio::select! {
        ended = run(&args) => ended,
        stopped = stopped() => stopped,
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("conformance: FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn stopped() -> anyhow::Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    bail!("it was stopped")
}

/// Whether everything passed everywhere. One set-up that fails does not hide what the others do.
async fn run(args: &Args) -> anyhow::Result<bool> {
    let suite = Suite::installed()?;
    println!("conformance: {}", suite.name()?);
    if let Some(url) = &args.against {
        let outcome = suite.run(url, None).await?;
        tell(&outcome);
        println!("{url}: {outcome}");
        return Ok(outcome.is_complete());
    }
    let mut results = Vec::new();
    for kind in &args.kinds {
        let outcome = one(&suite, *kind, &args.weir).await;
        outcome.iter().for_each(tell);
        results.push((kind, outcome));
    }
    println!("conformance:");
    let mut good = true;
    for (kind, outcome) in results {
        match outcome {
            Ok(outcome) => {
                good &= outcome.is_complete();
                println!("  {kind}: {outcome}");
            }
            Err(error) => {
                good = false;
                println!("  {kind}: FAILED: {error:#}");
            }
        }
    }
    Ok(good)
}

fn tell(outcome: &Outcome) {
    for line in outcome.details() {
        println!("  {line}");
    }
}

async fn one(suite: &Suite, kind: Kind, weir: &str) -> anyhow::Result<Outcome> {
    println!("{kind} ...");
    let setup = Setup::start(kind, weir).await.context("start it")?;
    suite.run(&setup.url(), setup.killer()).await
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Args> {
    let beside = std::env::current_exe()?.with_file_name("weir");
    let weir = beside.into_os_string().into_string().ok().context("the path of this program is not UTF-8")?;
    let mut parsed = Args { weir, kinds: Vec::new(), against: None };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--weir" => parsed.weir = args.next().context("--weir needs a path")?,
            "--against" => parsed.against = Some(args.next().context("--against needs a URL")?),
            name => parsed.kinds.push(name.parse()?),
        }
    }
    if parsed.kinds.is_empty() {
        parsed.kinds = Kind::ALL.to_vec();
    }
    Ok(parsed)
}
