//! What a process uses, as the system sees it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let pid = std::process::id();
        let (cpu_before, memory, files) =
            (cpu(pid).unwrap(), resident(pid).unwrap(), open_files(pid).unwrap());
        let held = (fs::File::open("/dev/null").unwrap(), vec![1_u8; 64 << 20]);
        assert!(resident(pid).unwrap() >= memory + (60 << 20));
        assert_eq!(open_files(pid).unwrap(), files + 1);
        drop(held);
        let mut sum = 0_u64;
        while cpu(pid).unwrap() < cpu_before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu(u32::MAX).is_err());
    }
}
