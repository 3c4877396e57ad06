//! Readers of one stream, weirs or plain ones, and what reading costs them and Redis.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::audience::{Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::commands::sent_bytes;
use crate::load::{self, Schedule};
use crate::poller::Poller;
use crate::process::Cpu;
use crate::publisher::{Publisher, RedisPublisher};
use crate::stamp::Stamp;
use crate::xread::{Begin, PlainReader};

const STREAM: &str = "weir:events";

/// Sessions of the entries. Nobody listens to them.
const SESSIONS: u32 = 2_000;

/// For how long entries come while readers keep up.
const SECONDS: u64 = 5;

/// Entries that wait for readers that catch up. They are written in less time than a read may take.
const BACKLOG: u64 = 300_000;

/// Entries that are on their way to Redis while the backlog is written.
const AHEAD: u64 = 2_000;

/// The session whose one event says that everything before it was read.
const END: &str = "end";

/// How long readers may take to the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at plain readers.
const LOOK: Duration = Duration::from_millis(1);

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Instances of weir.
    Weir,
    /// Threads that do nothing else.
    Plain,
}

/// How entries come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// So many a second, while they are read.
    Live(u64),
    /// They are there.
    Backlog,
}

/// What it cost, from before the first entry to after the last.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Entries.
    pub entries: u64,
    /// How long all of them took.
    pub seconds: f64,
    /// All readers.
    pub readers: Cpu,
    /// Redis, what writing the entries costs it included where they came meanwhile.
    pub redis: Cpu,
    /// What Redis sent, to everybody.
    pub sent_bytes: u64,
}

/// Has so many readers read all entries, on the server's core.
///
/// # Errors
/// Somebody does not start, or loses an entry.
pub fn measure(bench: &Bench, (kind, readers): (Kind, usize), supply: Supply) -> anyhow::Result<Cost> {
    let redis = Running::redis(bench.cores, &bench.scratch)?;
    match kind {
        Kind::Weir => Weirs::start(bench, redis.address, (readers, supply))?.measure(&redis, supply),
        Kind::Plain => measure_plain(&redis, (readers, bench.cores.server), supply),
    }
}

fn maxlen(supply: Supply) -> u64 {
    match supply {
        // Ten seconds of the rate, as in every case of a high rate.
        Supply::Live(rate) => 10 * rate,
        Supply::Backlog => 2 * BACKLOG,
    }
}

/// Writes the entries, at their rate or as fast as Redis takes them, and says how many.
fn write(redis: SocketAddr, supply: Supply) -> anyhow::Result<u64> {
    let mut publisher = RedisPublisher::connect(redis, STREAM, maxlen(supply))?;
    match supply {
        Supply::Live(rate) => {
            let (poller, schedule) =
                (Poller::new()?, Schedule { rate, total: rate * SECONDS, sessions: SESSIONS });
            let mut nobody = Audience::connect(&poller, redis, Plan { connections: 0, sessions: SESSIONS })?;
            Ok(load::run(&poller, &mut nobody, &mut publisher, schedule)?.published)
        }
        Supply::Backlog => pile_up(&mut publisher),
    }
}

fn pile_up(publisher: &mut RedisPublisher) -> anyhow::Result<u64> {
    let (poller, mut ready) = (Poller::new()?, Vec::new());
    poller.add(publisher.socket(), 0)?;
    let mut sent = 0;
    loop {
        let answers = publisher.answers();
        ensure!(answers.refused == 0, "{}", answers.first_refusal.unwrap_or_default());
        if answers.accepted == BACKLOG {
            return Ok(BACKLOG);
        }
        while sent < BACKLOG.min(answers.accepted + AHEAD) {
            let session = u32::try_from(sent % u64::from(SESSIONS)).context("a small number")?;
            publisher.publish(Stamp { session, number: sent / u64::from(SESSIONS), sent_ns: 0 });
            sent += 1;
        }
        publisher.flush()?;
        poller.wait(LOOK, &mut ready)?;
        publisher.collect()?;
    }
}

/// The books of Redis at a moment.
struct Books {
    cpu: Cpu,
    sent_bytes: u64,
    at: Instant,
}

impl Books {
    fn of(redis: &Running) -> anyhow::Result<Self> {
        Ok(Self { cpu: Cpu::of(redis.pid())?, sent_bytes: sent_bytes(redis.address)?, at: Instant::now() })
    }

    fn cost(self, redis: &Running, entries: u64, readers: Cpu) -> anyhow::Result<Cost> {
        let seconds = self.at.elapsed().as_secs_f64();
        let now = Self::of(redis)?;
        let sent_bytes = now.sent_bytes - self.sent_bytes;
        Ok(Cost { entries, seconds, readers, redis: now.cpu.since(self.cpu), sent_bytes })
    }
}

fn measure_plain(redis: &Running, (readers, core): (usize, usize), supply: Supply) -> anyhow::Result<Cost> {
    let start = |begin| -> anyhow::Result<Vec<_>> {
        (0..readers).map(|_| PlainReader::start(redis.address, STREAM, begin, core)).collect()
    };
    let (readers, books, entries) = match supply {
        Supply::Live(_) => {
            let readers = start(Begin::Newest)?;
            let books = Books::of(redis)?;
            (readers, books, write(redis.address, supply)?)
        }
        Supply::Backlog => {
            let entries = write(redis.address, supply)?;
            let books = Books::of(redis)?;
            (start(Begin::Oldest)?, books, entries)
        }
    };
    let deadline = Instant::now() + PATIENCE;
    while readers.iter().any(|reader| reader.count() < entries) {
        ensure!(Instant::now() < deadline, "a plain reader has not read all");
        std::thread::sleep(LOOK);
    }
    let mut cpu = Cpu::default();
    for reader in &readers {
        cpu += reader.cpu()?;
    }
    books.cost(redis, entries, cpu)
}

/// Instances, and for each a connection that hears of the end.
struct Weirs {
    all: Vec<(Running, TcpStream)>,
}

impl Weirs {
    fn start(bench: &Bench, redis: SocketAddr, (instances, supply): (usize, Supply)) -> anyhow::Result<Self> {
        let start = |n| -> anyhow::Result<_> {
            let (url, maxlen) = (format!("redis://{redis}"), maxlen(supply).to_string());
            let name = format!("instance-{n}");
            let args = ["--redis", &url, "--stream", STREAM, "--maxlen", &maxlen, "--instance", &name];
            let weir = Running::weir(&bench.binaries, bench.cores, &args.map(str::to_owned))?;
            let listener = listen(weir.address)?;
            Ok((weir, listener))
        };
        Ok(Self { all: (0..instances).map(start).collect::<anyhow::Result<_>>()? })
    }

    /// Instances that are to find a backlog stand still while it is written.
    fn measure(mut self, redis: &Running, supply: Supply) -> anyhow::Result<Cost> {
        let (books, before, entries) = match supply {
            Supply::Live(_) => {
                let (books, before) = (Books::of(redis)?, self.cpu()?);
                (books, before, write(redis.address, supply)?)
            }
            Supply::Backlog => {
                self.signal(Signal::STOP)?;
                let entries = write(redis.address, supply)?;
                say_the_end(redis.address)?;
                let (books, before) = (Books::of(redis)?, self.cpu()?);
                self.signal(Signal::CONT)?;
                (books, before, entries)
            }
        };
        if matches!(supply, Supply::Live(_)) {
            say_the_end(redis.address)?;
        }
        for (_, listener) in &mut self.all {
            await_end(listener)?;
        }
        let cpu = self.cpu()?.since(before);
        books.cost(redis, entries, cpu)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        for (weir, _) in &self.all {
            let pid =
                i32::try_from(weir.pid()).ok().and_then(Pid::from_raw).context("a process has an id")?;
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    fn cpu(&self) -> anyhow::Result<Cpu> {
        let mut sum = Cpu::default();
        for (weir, _) in &self.all {
            sum += Cpu::of(weir.pid())?;
        }
        Ok(sum)
    }
}

fn listen(weir: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(weir)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /v1/sessions/{END}/events HTTP/1.1\r\nHost: {weir}\r\n\r\n")?;
    read_until(&mut stream, "weir.connected")?;
    Ok(stream)
}

fn say_the_end(redis: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(redis)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "XADD {STREAM} * session {END} data {END}\r\n")?;
    read_until(&mut stream, "\r\n")
}

/// A loss would have been announced before.
fn await_end(listener: &mut TcpStream) -> anyhow::Result<()> {
    read_until(listener, &format!("data: {END}\n"))
}

fn read_until(stream: &mut TcpStream, text: &str) -> anyhow::Result<()> {
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        match stream.read(&mut buffer).context("nothing comes")? {
            0 => bail!("the connection ended"),
            count => seen += &String::from_utf8_lossy(&buffer[..count]),
        }
        ensure!(!seen.contains("weir.gap"), "entries were lost");
    }
    Ok(())
}
