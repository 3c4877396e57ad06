//! What a process uses and does, as the system sees it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::{DEADLINE, eventually};

/// Processor time that a process has used.
///
/// # Errors
/// It is gone.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything, so fields are counted from its end: user and system time are the 12th and 13th.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields.get(11..13).context("short stat")?.iter().map(|field| field.parse::<u64>());
    // Linux shows a hundred ticks a second, whatever it counts by itself.
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}

/// Memory of a process that is not swapped out, in bytes.
///
/// # Errors
/// It is gone.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>().context("VmRSS")? * 1024)
}

/// Files that a process holds open.
///
/// # Errors
/// It is gone.
pub fn open_files(pid: u32) -> anyhow::Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

/// Stops a process where it stands (`SIGSTOP`) and waits until none of its threads runs any more, which is a moment later.
///
/// # Errors
/// It is gone, or still runs after [`DEADLINE`].
pub async fn stop(pid: u32) -> anyhow::Result<()> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).context("process id")?;
    kill_process(process, Signal::STOP)?;
    eventually(DEADLINE, async || {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = fs::read_to_string(thread?.path().join("stat"))?;
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            ensure!(state == Some('T'), "a thread of {pid} is {state:?}");
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let pid = std::process::id();
        // Other tests may run in this process, too.
        let cpu_before = cpu(pid).unwrap();
        let held = (fs::File::open("/dev/null").unwrap(), vec![1_u8; 64 << 20]);
        assert!(resident(pid).unwrap() >= 60 << 20);
        assert!(open_files(pid).unwrap() > 3);
        drop(held);
        let mut sum = 0_u64;
        while cpu(pid).unwrap() < cpu_before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu(u32::MAX).is_err());
    }
    #[tokio::test]
    async fn a_process_that_is_stopped_does_nothing() {
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let stopped = stop(child.id()).await;
        let then = cpu(child.id());
        std::thread::sleep(Duration::from_millis(50));
        let later = cpu(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        stopped.unwrap();
        assert_eq!(later.unwrap(), then.unwrap());
        assert!(stop(u32::MAX).await.is_err());
    }
}
