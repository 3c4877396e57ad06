//! A hundred thousand hostile requests of all kinds while a thousand clients listen: what those notice of it, and what is left
//! of it afterwards.

use std::future::Future;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use hdrhistogram::Histogram;
use rustix::process::setpriority_process;
use serde_json::json;
use tokio::runtime;
use weir_testkit::assault::Report;
use weir_testkit::{Assault, Client, Metrics, Refusals};

use crate::audience::{Arrivals, Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::clock::{MS_NS, SECOND_NS, now_ns};
use crate::load::{self, Beside, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{allow_connections, pss_kib};
use crate::publisher::HttpPublisher;
use crate::report::{Case, Figure, Goal, Round, median};
use crate::stamp::Stamp;

/// Clients that behave.
const HONEST: usize = 1_000;

const RATE: u64 = 50;

/// Hostile requests.
const REQUESTS: u64 = 100_000;

/// Hostile connections at a time, and those that are slow beside them.
const AT_ONCE: u64 = 100;
const SLOW: u64 = 300;

/// How long it is quiet, and over how long the hostile requests are spread.
const QUIET: Duration = Duration::from_secs(10);
const ASSAULT: Duration = Duration::from_secs(25);

/// Events in all: some more than for the time of the assault, which may take longer where the machine is slow.
const EVENTS: u64 = RATE * 50;

/// Events before all that, in batches of so many: as many as the window holds, so that it does not grow any more.
const EARLIER: usize = 5_000;
const BATCH: usize = 1_000;

/// How long memory may take to be what it was.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much more than before it may be then.
const SLACK: f64 = 1.05;

/// How much more willingly the attackers give up the core that they share with the generator.
const NICE: i32 = 10;

const WEIR: &str = "weir";
const BEFORE: &str = "p99 ms before";
const DURING: &str = "p99 ms during";
const MISSING: &str = "missing";
const UNCOUNTED: &str = "refusals counted too rarely or too often";
const SURPRISES: &str = "answers of another kind";
const GROWTH: &str = "memory afterwards, times before";

/// Runs weir with its embedded log.
///
/// # Errors
/// The server does not start, ends, or breaks the protocol to those who behave.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(HONEST as u64 + 4 * (AT_ONCE + SLOW))?;
    let (mut rounds, mut seeds, mut surprises) = (Vec::new(), Vec::new(), Vec::new());
    for nth in 0..bench.rounds {
        // The time chooses, the report tells.
        let seed = now_ns().wrapping_add(nth as u64);
        seeds.push(seed.to_string());
        rounds.push(measure(bench, seed, &mut surprises)?);
    }
    let what = format!(
        "{HONEST} subscribers of one session, {RATE} events/s over HTTP; after {} s of quiet, {REQUESTS} hostile requests spread over \
         {} s, on {AT_ONCE} connections at a time and {SLOW} slow ones beside them; one weir with its embedded log. Seeds: {}.{}",
        QUIET.as_secs(),
        ASSAULT.as_secs(),
        seeds.join(", "),
        surprises
            .first()
            .map_or_else(String::new, |first| format!(" The first answer of another kind: {first}."))
    );
    let mut case = Case { name: "hostile", what, rounds, goals: Vec::new() };
    case.goals = goals(&case);
    Ok(case)
}

fn goals(case: &Case) -> Vec<Goal> {
    let ratios = case.values(WEIR, DURING).into_iter().zip(case.values(WEIR, BEFORE));
    let ratio = median(ratios.map(|(during, before)| during / before).collect());
    let sum = |names: &[&str]| case.sum(&[WEIR], names);
    let growth = case.values(WEIR, GROWTH).into_iter().fold(f64::NAN, f64::max);
    vec![
        Goal { what: "p99 of the honest during it, times that before", measured: ratio, at_most: 1.5 },
        Goal {
            what: "deliveries that they lost, got twice or out of order",
            measured: sum(&[MISSING, Arrivals::WRONG]),
            at_most: 0.0,
        },
        Goal { what: UNCOUNTED, measured: sum(&[UNCOUNTED]), at_most: 0.0 },
        Goal {
            what: "hostile requests answered otherwise than they have to be",
            measured: sum(&[SURPRISES]),
            at_most: 0.0,
        },
        Goal { what: GROWTH, measured: growth, at_most: SLACK },
    ]
}

fn measure(bench: &Bench, seed: u64, surprises: &mut Vec<String>) -> anyhow::Result<Round> {
    let weir = Running::weir(&bench.binaries, bench.cores, &[])?;
    let admin = weir.admin.context("weir does not say where operators ask")?;
    fill(weir.address)?;
    let before = refusals(admin)?;
    let poller = Poller::new()?;
    let mut audience = Audience::connect(&poller, weir.address, Plan { connections: HONEST, sessions: 1 })?;
    let mut publisher = HttpPublisher::connect(weir.address)?;
    let schedule = Schedule { rate: RATE, total: EVENTS, sessions: 1 };
    let assault = Assault {
        target: weir.address,
        requests: REQUESTS,
        at_once: AT_ONCE,
        slow: SLOW,
        over: ASSAULT,
        seed,
    };
    let mut storm = Storm::new(assault, weir.pid());
    let honest = load::run_beside(&poller, &mut audience, &mut publisher, (schedule, &mut storm))?;
    let end = storm.end(&mut audience)?;
    surprises.extend(end.report.surprises.iter().cloned());
    let settled = settle(weir.pid(), end.pss_kib)?;
    // What the slow ones do is counted when they are closed, which was before they knew.
    let counted = refusals(admin)?.since(&before);
    Ok(Round { server: WEIR, figures: figures(&honest, &end, (settled, &counted)) })
}

/// Publishes to a session that nobody listens to.
fn fill(server: SocketAddr) -> anyhow::Result<()> {
    let mut data = Vec::new();
    Stamp { session: 1, number: 0, sent_ns: now_ns() }.put(&mut data);
    let event = json!({ "session": "earlier", "data": String::from_utf8_lossy(&data) });
    let body = format!("{event}\n").repeat(BATCH);
    for _ in 0..EARLIER / BATCH {
        let publish = Client::new(server).post("/v1/events").header("content-type", "application/x-ndjson");
        let answer = waited_for(publish.body(body.clone()).send())?;
        ensure!(answer.status() == 201, "{answer:?}");
    }
    Ok(())
}

fn refusals(admin: SocketAddr) -> anyhow::Result<Refusals> {
    let page = waited_for(Client::new(admin).get("/metrics").send())?;
    Ok(Refusals::of(&Metrics::parse(page.text()?)?))
}

fn waited_for<T>(what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(what)
}

/// Waits until memory is what it was, and says how much it is and after how long.
fn settle(pid: u32, before_kib: u64) -> anyhow::Result<(u64, Duration)> {
    let since = Instant::now();
    loop {
        let now = pss_kib(pid)?;
        if now as f64 <= before_kib as f64 * SLACK || since.elapsed() > PATIENCE {
            return Ok((now, since.elapsed()));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Begins when it has been quiet long enough.
#[derive(Debug)]
struct Storm {
    assault: Assault,
    pid: u32,
    begin_ns: u64,
    running: Option<JoinHandle<anyhow::Result<Report>>>,
    end: Option<End>,
    quiet: Option<(Histogram<u64>, u64)>,
}

/// What was seen of it.
#[derive(Debug)]
struct End {
    quiet: Histogram<u64>,
    rough: Histogram<u64>,
    seconds: f64,
    /// Before it began.
    pss_kib: u64,
    report: Report,
}

impl Storm {
    fn new(assault: Assault, pid: u32) -> Self {
        let begin_ns = now_ns() + u64::try_from(QUIET.as_nanos()).unwrap_or(u64::MAX);
        Self { assault, pid, begin_ns, running: None, end: None, quiet: None }
    }

    fn begin(&mut self, audience: &mut Audience) -> anyhow::Result<()> {
        self.quiet = Some((audience.take_latency()?, pss_kib(self.pid)?));
        let assault = self.assault;
        self.running = Some(thread::spawn(move || {
            // Of this thread alone, by which the kernel means it.
            setpriority_process(None, NICE)?;
            waited_for(assault.run())
        }));
        Ok(())
    }

    fn finish(&mut self, audience: &mut Audience) -> anyhow::Result<()> {
        let Some(running) = self.running.take() else { bail!("it was over before it began") };
        let report = running.join().map_err(|_| anyhow!("the assault panicked"))??;
        let (quiet, pss_kib) = self.quiet.take().context("it began")?;
        let (rough, seconds) =
            (audience.take_latency()?, (now_ns() - self.begin_ns) as f64 / SECOND_NS as f64);
        self.end = Some(End { quiet, rough, seconds, pss_kib, report });
        Ok(())
    }

    fn end(mut self, audience: &mut Audience) -> anyhow::Result<End> {
        if self.end.is_none() {
            self.finish(audience)?;
        }
        self.end.context("it has ended")
    }
}

impl Beside for Storm {
    fn step(&mut self, _: &Poller, audience: &mut Audience) -> anyhow::Result<bool> {
        if self.quiet.is_none() && self.end.is_none() && now_ns() >= self.begin_ns {
            self.begin(audience)?;
        }
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish(audience)?;
        }
        Ok(false)
    }

    fn read(&mut self, token: u64) -> anyhow::Result<()> {
        bail!("nobody has the token {token}")
    }
}

fn figures(honest: &Outcome, end: &End, (settled, counted): ((u64, Duration), &Refusals)) -> Vec<Figure> {
    let End { quiet, rough, report, .. } = end;
    let ms = |latency: &Histogram<u64>, q: f64| latency.value_at_quantile(q) as f64 / MS_NS as f64;
    let (too_many, too_few) = (counted.since(&report.counted), report.counted.since(counted));
    vec![
        Figure::new(DURING, ms(rough, 0.99)),
        Figure::new(BEFORE, ms(quiet, 0.99)),
        Figure::new("p50 ms before", ms(quiet, 0.5)),
        Figure::new("p50 ms during", ms(rough, 0.5)),
        Figure::new("max ms during", ms(rough, 1.0)),
        Figure::new("hostile requests", report.requests as f64),
        Figure::new("hostile connections", report.connections as f64),
        Figure::new("seconds of it", end.seconds),
        Figure::new("refusals counted", counted.total() as f64),
        Figure::new(UNCOUNTED, (too_many.total() + too_few.total()) as f64),
        Figure::new(SURPRISES, report.surprises.len() as f64),
        Figure::new(MISSING, honest.missing as f64),
        Figure::new(Arrivals::WRONG, honest.arrivals.wrong() as f64),
        Figure::new(GROWTH, settled.0 as f64 / end.pss_kib as f64),
        Figure::new("PSS KiB before", end.pss_kib as f64),
        Figure::new("PSS KiB afterwards", settled.0 as f64),
        Figure::new("seconds until it was back", settled.1.as_secs_f64()),
        Figure::new("publisher late ms", honest.late_ms),
        Figure::new("read late p99 ms", honest.read_late_ms),
    ]
}
