//! Hours of faults in minutes: three instances, one Redis, every kind of client, and a seeded schedule of everything that
//! goes wrong. What each client got is judged at the end. `make soak` runs it.
//!
//! - [`world`]: what runs
//! - [`load`]: what is published meanwhile, and [`crowd`]: who listens
//! - [`fault`]: what goes wrong
//! - [`judge`]: what must be true at the end

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it says is its purpose")]

mod crowd;
mod fault;
mod judge;
mod load;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use world::World;

/// What it is told.
struct Args {
    weir: String,
    time: Duration,
    seed: u64,
    clients: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!(
                "error: {error:#}; usage: weir-soak [--weir PATH] [--seconds N] [--seed N] [--clients N]"
            );
            return ExitCode::from(2);
        }
    };
    println!("soak: seed {}, {} s, {} clients", args.seed, args.time.as_secs(), args.clients);
    // Whoever stops it must not be left with its processes.
    let ended = tokio::select! {
        ended = run(&args) => ended,
        stopped = stopped() => stopped,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            println!(
                "soak: FAILED; to see it again: make soak SOAK_SEED={} SOAK_SECONDS={}",
                args.seed,
                args.time.as_secs()
            );
            ExitCode::FAILURE
        }
    }
}

/// Seconds that a cycle may take on average.
const LONGEST_CYCLE: u64 = 30;

async fn stopped() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    bail!("it was stopped")
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let mut rng = fastrand::Rng::with_seed(args.seed);
    let world = World::start(&args.weir, rng.u64(..)).await?;
    let mut crowd = crowd::gather(&world, args.clients, &mut rng);
    let load = load::Load::start(&world, &mut rng);
    let end = Instant::now() + args.time;
    let mut failed = crowd.is_attended(&world).await.context("before anything happened").err();
    let mut cycle = 0;
    while failed.is_none() && Instant::now() < end {
        cycle += 1;
        let faults = fault::choose(&mut rng);
        let names: Vec<String> = faults.iter().map(ToString::to_string).collect();
        println!("{:>7} ms, cycle {cycle}: {}", world.ledger.now(), names.join(", and "));
        failed = cycle_once(&world, &crowd, faults).await.with_context(|| format!("in cycle {cycle}")).err();
    }
    load.stop().await;
    // A run that was stuck in a few faults has tried too little to be believed.
    if failed.is_none() && cycle < args.time.as_secs() / LONGEST_CYCLE {
        failed = Some(anyhow::anyhow!("only {cycle} cycles in {} s", args.time.as_secs()));
    }
    judge::judge(world, crowd, failed)
        .await
        .inspect(|summary| println!("soak: {cycle} cycles; {summary}"))
        .map(drop)
}

/// Faults, healing, and a sign of life to every client.
async fn cycle_once(world: &World, crowd: &crowd::Crowd, faults: Vec<fault::Fault>) -> anyhow::Result<()> {
    fault::provoke(world, faults).await?;
    let healed = Instant::now();
    world.heal().await?;
    crowd.is_reached(world, crowd::Who::Attentive).await?;
    world.sample().await?;
    println!("{:>7} ms, everyone was reached after {} ms", world.ledger.now(), healed.elapsed().as_millis());
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Args> {
    let beside = std::env::current_exe()?.with_file_name("weir");
    let weir = beside.into_os_string().into_string().ok().context("the path of this program is not UTF-8")?;
    let mut parsed = Args { weir, time: Duration::from_secs(600), seed: fastrand::u64(..), clients: 96 };
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--weir" => parsed.weir = value,
            "--seconds" => parsed.time = Duration::from_secs(value.parse().context("seconds")?),
            "--seed" if value.is_empty() => {}
            "--seed" => parsed.seed = value.parse().context("seed")?,
            "--clients" => parsed.clients = value.parse().context("clients")?,
            other => bail!("unknown flag {other}"),
        }
    }
    Ok(parsed)
}
