//! What a scrape of `/metrics` costs an instance with many clients, and how long Prometheus waits for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;

use crate::audience::{Arrivals, Plan};
use crate::cases::Bench;
use crate::load::{self, Schedule};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections};
use crate::publisher::HttpPublisher;
use crate::report::{Case, Figure, Goal, Round, greatest, number};
use crate::server::{Server, Settings};

const SCRAPES: u32 = 200;

/// Far more often than anybody scrapes, but never two at once.
const EVERY: Duration = Duration::from_millis(20);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Over so many sessions the clients are spread, so that an event goes to a few of them.
const SESSIONS: u32 = 1_000;

/// Events per second, where there are any.
const RATE: u64 = 100;

const MOST: usize = 15_000;

const P99: &str = "p99 ms";
const MISSING: &str = "missing";

/// How many clients there are, and whether something is published meanwhile.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    clients: usize,
    events: bool,
}

const LOADS: [Load; 5] = [
    Load { name: "weir, no clients", clients: 0, events: false },
    Load { name: "weir, 1,000 clients", clients: 1_000, events: false },
    Load { name: "weir, 1,000 that get events", clients: 1_000, events: true },
    Load { name: "weir, 15,000 clients", clients: MOST, events: false },
    Load { name: "weir, 15,000 that get events", clients: MOST, events: true },
];

/// Scrapes an instance without clients, with some and with many, in turn.
///
/// # Errors
/// The server does not start, breaks the protocol, or refuses a scrape.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(MOST as u64)?;
    let mut rounds = Vec::new();
    for load in (0..bench.rounds).flat_map(|_| LOADS) {
        rounds.push(load.measure(bench).context(load.name)?);
    }
    let what = format!(
        "{SCRAPES} scrapes on one connection, one each {} ms, from the request to the last byte of the page. Clients are idle, or spread over \
         {} sessions to which {RATE} events/s are published in turn.",
        EVERY.as_millis(),
        number(f64::from(SESSIONS)),
    );
    let mut case = Case { name: "scrape", what, rounds, goals: Vec::new() };
    let names = LOADS.map(|load| load.name);
    let many = names[3..].iter().flat_map(|name| case.values(name, P99));
    case.goals = vec![
        Goal { what: "p99 of a scrape with 15,000 clients, ms", measured: greatest(many), at_most: 50.0 },
        Goal {
            what: "deliveries lost, doubled or put out of order meanwhile",
            measured: case.sum(&names, &[MISSING, Arrivals::WRONG]),
            at_most: 0.0,
        },
    ];
    Ok(case)
}

impl Load {
    fn measure(self, bench: &Bench) -> anyhow::Result<Round> {
        let started = Server::Weir.start(bench, Settings::default())?;
        let (process, poller) = (&started.process, Poller::new()?);
        let admin = process.admin.context("weir does not say where operators ask")?;
        let plan = Plan { connections: self.clients, sessions: SESSIONS };
        let mut audience = started.audience(&poller, plan)?;
        let before = Cpu::of(process.pid())?;
        let scraper = thread::spawn(move || scrape(admin));
        let missing = if self.events {
            let mut publisher = HttpPublisher::connect(process.address)?;
            let seconds = EVERY.as_millis() as u64 * u64::from(SCRAPES) / 1_000;
            let schedule = Schedule { rate: RATE, total: RATE * seconds, sessions: SESSIONS };
            load::run(&poller, &mut audience, &mut publisher, schedule)?.missing
        } else {
            0
        };
        let (latency, bytes) = scraper.join().ok().context("the scraper ends")??;
        let cpu = Cpu::of(process.pid())?.since(before);
        let quantile = |q: f64| latency.value_at_quantile(q) as f64 / 1_000.0;
        Ok(Round {
            server: self.name,
            figures: vec![
                Figure::new("p50 ms", quantile(0.5)),
                Figure::new(P99, quantile(0.99)),
                Figure::new("max ms", quantile(1.0)),
                Figure::new("CPU ms/scrape, with all else", cpu.used_ns as f64 / 1e6 / f64::from(SCRAPES)),
                Figure::new("KiB of a page", bytes as f64 / 1_024.0),
                Figure::new("delivered", audience.arrivals().delivered as f64),
                Figure::new(MISSING, missing as f64),
                Figure::new(Arrivals::WRONG, audience.arrivals().wrong() as f64),
            ],
        })
    }
}

/// How long each scrape took, in µs, and how long the last page was.
fn scrape(admin: SocketAddr) -> anyhow::Result<(Histogram<u64>, usize)> {
    let stream = TcpStream::connect(admin)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut connection = BufReader::new(stream);
    let mut latency = Histogram::new_with_bounds(1, PATIENCE.as_micros() as u64, 3)?;
    let (begin, mut bytes) = (Instant::now(), 0);
    for nth in 0..SCRAPES {
        // By the clock and not after the last one: a scrape that is slow makes none after it late.
        thread::sleep((begin + EVERY * nth).saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        bytes = page(&mut connection, admin)?;
        latency.saturating_record(asked.elapsed().as_micros() as u64);
    }
    Ok((latency, bytes))
}

/// The length of a page, which is read to its end.
fn page(connection: &mut BufReader<TcpStream>, admin: SocketAddr) -> anyhow::Result<usize> {
    // In one piece, as a client of HTTP sends it.
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes())?;
    let (mut line, mut length) = (String::new(), None);
    connection.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        ensure!(connection.read_line(&mut line)? > 0, "the connection ended");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = Some(value.trim().parse()?);
        }
    }
    let mut body = vec![0; length.context("a page says how long it is")?];
    connection.read_exact(&mut body)?;
    ensure!(body.starts_with(b"# HELP "), "no page of metrics");
    Ok(body.len())
}
