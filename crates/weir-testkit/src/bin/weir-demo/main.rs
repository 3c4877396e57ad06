//! A whole cluster on this machine to look at and to break: `make demo`. Its first call starts everything and stays; further
//! calls, from other terminals, tell it what to do.
//!
//! - [`order`]: what it can be told, and [`control`]: how
//! - [`cluster`]: what runs, at which [`ports`]: instances in their places ([`slot`]), and what looks at them ([`monitoring`])
//! - [`load`]: what goes on in it: [`publishers`], clients ([`listener`]), one that is too [`slow`], and the [`tally`] of them
//! - [`watch`]: which alerts come and go; [`poster`]: what is printed first

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it says is its purpose")]

mod cluster;
mod control;
mod listener;
mod load;
mod monitoring;
mod order;
mod ports;
mod poster;
mod publishers;
mod slot;
mod slow;
mod tally;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;
use weir_testkit::leash;

use cluster::Cluster;
use control::Line;
use load::{Amount, Load};
use order::Order;
use tally::Tally;

const USAGE: &str = "usage: weir-demo [--clients N] [--rate EVENTS_PER_SECOND] [--dir DIR] [--prometheus DIR] [--weir PATH]\n\
                     \x20      weir-demo [--dir DIR] ORDER...   tells the demo that runs what to do; `help` lists the orders";

/// What it is told.
struct Args {
    weir: String,
    /// Holds the socket for orders, and [`FACTS`].
    dir: PathBuf,
    /// The configuration of Prometheus and the rules.
    prometheus: PathBuf,
    amount: Amount,
    /// What to tell the demo that runs already; nothing where it is to be started.
    order: String,
}

/// Where everything is, for programs; it is there as soon as all is ready.
const FACTS: &str = "demo.json";

/// How often a process that ended by itself is looked for.
const LOOK: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("error: {error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = if args.order.is_empty() { demo(&args).await } else { tell(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tells the demo that runs.
fn tell(args: &Args) -> anyhow::Result<()> {
    // What nobody understands is said here, without asking.
    args.order.parse::<Order>()?;
    let said = control::send(&args.dir, &args.order)?;
    match said.strip_prefix("error: ") {
        Some(error) => bail!("{}", error.trim_end()),
        None => print!("{said}"),
    }
    Ok(())
}

/// From the first process to the last.
async fn demo(args: &Args) -> anyhow::Result<()> {
    ensure!(
        control::send(&args.dir, "status").is_err(),
        "a demo runs already; end it with: {} quit",
        poster::own_name()
    );
    // What a demo left that was killed.
    tidy(&args.dir);
    fs::create_dir_all(&args.dir).with_context(|| format!("make {}", args.dir.display()))?;
    // Whatever ends it, no process may be left. All are started by this thread, which is the first and the last.
    leash::hold();
    let ended = tokio::select! {
        ended = run(args) => ended,
        stopped = stopped() => stopped,
    };
    tidy(&args.dir);
    println!("demo: it has ended, and nothing is left of it");
    ended
}

/// Removes what a demo puts into its directory, and that where nothing else is in it: it may be anybody's.
fn tidy(dir: &Path) {
    for name in [control::SOCKET, FACTS] {
        let _ = fs::remove_file(dir.join(name));
    }
    let _ = fs::remove_dir(dir);
}

async fn stopped() -> anyhow::Result<()> {
    let [mut terminated, mut closed] = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    tokio::select! {
        _ = terminated.recv() => {}
        _ = closed.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    println!();
    Ok(())
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let began = Instant::now();
    println!("demo: starting Redis, three instances, HAProxy, Prometheus and Alertmanager ...");
    let mut cluster = Cluster::start(&args.weir, &args.prometheus).await?;
    let tally = Arc::new(Tally::default());
    let load = Load::start(args.amount, &cluster.publisher(&tally), &cluster.public());
    let mut tasks = JoinSet::new();
    let orders = control::open(&args.dir, &mut tasks)?;
    tasks.spawn(watch::watch(cluster.monitoring.prometheus(), move |line| say(began, line)));
    fs::write(args.dir.join(FACTS), cluster.facts().to_string()).context("say where everything is")?;
    println!("{}", poster::poster(&cluster, args.amount, began.elapsed()));
    obey(&mut cluster, &load, orders, began).await
}

/// One order after the other, until it is to end.
async fn obey(
    cluster: &mut Cluster,
    load: &Load,
    mut orders: mpsc::Receiver<Line>,
    began: Instant,
) -> anyhow::Result<()> {
    let mut look = interval(LOOK);
    loop {
        let line = tokio::select! {
            line = orders.recv() => line.context("nobody can say anything any more")?,
            _ = look.tick() => {
                cluster.casualties().await.iter().for_each(|line| say(began, line));
                continue;
            }
        };
        let order = line.text.parse();
        if matches!(order, Ok(Order::Quit)) {
            return Ok(());
        }
        let said = match order {
            Ok(order) => execute(cluster, load, order).await,
            Err(error) => Err(error),
        };
        let said = said.unwrap_or_else(|error| format!("error: {error:#}"));
        say(began, &format!("{}: {said}", line.text.trim()));
        // Whoever asked may be gone.
        let _ = line.answer.send(format!("{said}\n"));
    }
}

async fn execute(cluster: &mut Cluster, load: &Load, order: Order) -> anyhow::Result<String> {
    match order {
        Order::Kill(part) => cluster.kill(part),
        Order::Stop(part) => cluster.stop(part).await,
        Order::Freeze(part) => cluster.freeze(part),
        Order::Start(part) => cluster.run_again(part).await,
        Order::Drain(number) => cluster.drain(number).await,
        Order::Restart => cluster.restart().await,
        Order::Stall => Ok(cluster.stall()),
        Order::Unstall => Ok(cluster.unstall()),
        Order::Status => status(cluster, load).await,
        Order::Log(number) => cluster.log(number),
        Order::Help => Ok(poster::menu()),
        Order::Quit => Ok(String::new()),
    }
}

async fn status(cluster: &Cluster, load: &Load) -> anyhow::Result<String> {
    let alerts = watch::alerts(cluster.monitoring.prometheus()).await?;
    let alerts: Vec<String> = alerts.iter().map(|(alert, state)| format!("{alert}: {state}")).collect();
    let alerts = if alerts.is_empty() { "none".to_owned() } else { alerts.join("\n         ") };
    Ok(format!("\n{}\nload     {}\nalerts   {alerts}", cluster.parts(), load.tally))
}

/// With the time since it began.
fn say(began: Instant, line: &str) {
    println!("{:>5} s  {}", began.elapsed().as_secs(), line.replace('\n', "\n         "));
}

fn parse(args: impl Iterator<Item = String>) -> anyhow::Result<Args> {
    let mut args = args.peekable();
    let own = std::env::current_exe()?;
    let path = |path: PathBuf| path.into_os_string().into_string().ok().context("a path is not UTF-8");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut parsed = Args {
        weir: path(own.with_file_name("weir"))?,
        dir: own.with_file_name("demo"),
        prometheus: checkout.join("deploy/prometheus"),
        amount: Amount { clients: 300, rate: 40 },
        order: String::new(),
    };
    while let Some(flag) = args.next_if(|arg| arg.starts_with("--")) {
        let value = args.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--weir" => parsed.weir = value,
            "--dir" => parsed.dir = value.into(),
            "--prometheus" => parsed.prometheus = value.into(),
            "--clients" => parsed.amount.clients = value.parse().context("clients")?,
            "--rate" => parsed.amount.rate = value.parse().context("events a second")?,
            other => bail!("unknown flag {other}"),
        }
    }
    ensure!(parsed.amount.clients <= MOST_CLIENTS, "at most {MOST_CLIENTS} clients");
    ensure!(parsed.amount.rate <= MOST_EVENTS, "at most {MOST_EVENTS} events a second");
    parsed.order = args.collect::<Vec<_>>().join(" ");
    Ok(parsed)
}

/// All run in this one process, and each has a port of this machine's, twice.
const MOST_CLIENTS: u32 = 5000;

/// Each is a call of its own.
const MOST_EVENTS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_in_the_directory_stays() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("demo");
        fs::create_dir(&dir).unwrap();
        for name in [FACTS, control::SOCKET, "letter"] {
            fs::write(dir.join(name), "").unwrap();
        }
        tidy(&dir);
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["letter"]);
        fs::remove_file(dir.join("letter")).unwrap();
        tidy(&dir);
        assert!(!dir.exists());
    }
}
