//! What a process costs, and where it runs.

use std::fs;
use std::io;
use std::ops::AddAssign;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Descriptors that a measurement may need beside its connections.
const SPARE_FDS: u64 = 200;

/// CPU time that the living threads of a process have used, in ns, and how long they waited for a core meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// On a core.
    pub used_ns: u64,
    /// Ready to run, but another had the core. Where this is much, figures of the run mean little.
    pub waited_ns: u64,
}

impl Cpu {
    /// Reads the scheduler's books of a process.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
        for task in tasks {
            // A thread may end between the two looks at it.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            sum += Self::parse(&text);
        }
        Ok(sum)
    }

    /// Reads the books of one thread of this process.
    ///
    /// # Errors
    /// The thread is gone.
    pub fn of_thread(thread: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"));
        Ok(Self::parse(&text.context("the thread is gone")?))
    }

    fn parse(schedstat: &str) -> Self {
        let mut numbers = schedstat.split_whitespace().map_while(|word| word.parse().ok());
        Self { used_ns: numbers.next().unwrap_or(0), waited_ns: numbers.next().unwrap_or(0) }
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            used_ns: self.used_ns.saturating_sub(earlier.used_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }
}

impl AddAssign for Cpu {
    fn add_assign(&mut self, other: Self) {
        self.used_ns += other.used_ns;
        self.waited_ns += other.waited_ns;
    }
}

/// The number of this thread, by which the kernel keeps its books.
pub fn this_thread() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Memory that belongs to a process, shared pages by their share, in KiB.
///
/// # Errors
/// The process is gone.
pub fn pss_kib(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the process is gone")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
    line.trim().trim_end_matches(" kB").parse().context("Pss is a number")
}

/// Descriptors that a process has open.
///
/// # Errors
/// The process is gone.
pub fn descriptors(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd")).context("the process is gone")?.count())
}

/// How often the machine has sent the first packet of a connection again. It waits a second before it does, so where this rises
/// during a storm, how long that took is the kernel's doing and not the server's.
///
/// # Errors
/// The kernel does not tell.
pub fn connects_retried() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = lines.next().zip(lines.next()).context("no TcpExt in netstat")?;
    let (_, value) =
        names.zip(values).find(|(name, _)| *name == "TCPSynRetrans").context("no TCPSynRetrans")?;
    Ok(value.parse()?)
}

/// The cores of a measurement: the server has one for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Of the server under test.
    pub server: usize,
    /// Of the generator and of Redis.
    pub generator: usize,
}

impl Cores {
    /// The first two cores that this process may use; the same one twice on a machine with one.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn choose() -> io::Result<Self> {
        let set = sched_getaffinity(None)?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu));
        let server = allowed.next().unwrap_or(0);
        Ok(Self { server, generator: allowed.next().unwrap_or(server) })
    }
}

/// Runs this thread, and processes that it starts from now on, on this core only.
///
/// # Errors
/// The core is not there.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Runs this thread, and processes that it starts from now on, on all cores of a measurement.
///
/// # Errors
/// A core is not there.
pub fn roam(cores: Cores) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cores.server);
    set.set(cores.generator);
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the limit of descriptors as far as this process may, which children inherit.
///
/// # Errors
/// It stays too low for so many connections.
pub fn allow_connections(connections: u64) -> anyhow::Result<()> {
    let wanted = connections + SPARE_FDS;
    let hard = getrlimit(Resource::Nofile).maximum;
    let maximum = hard.map(|hard| hard.max(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    raised.or_else(|_| setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }))?;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    anyhow::ensure!(limit >= wanted, "{wanted} descriptors are needed, {limit} allowed: raise `ulimit -Hn`");
    Ok(())
}
