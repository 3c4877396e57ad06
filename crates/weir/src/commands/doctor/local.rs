//! This machine, and settings that do not go together.

use std::path::Path;

use weir_http::server::BACKLOG;

use super::super::amount;
use super::{Finding, Patient};
use crate::config::cgroup;
use crate::config::warning::Warning;

/// Where Linux tells and takes its settings.
const PROC_SYS: &str = "/proc/sys";

/// All that can be told without a log.
pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let mut findings = vec![files(patient), drain(patient)];
    findings.extend(memory(patient.config.limits.memory, cgroup::memory_limit()));
    findings.extend(addresses(patient));
    findings.extend(patient.unknown_variables.iter().map(variable));
    findings.extend(backlog(number("net/core/somaxconn")));
    let [used, most] = ["count", "max"].map(|end| number(&format!("net/netfilter/nf_conntrack_{end}")));
    findings.extend(used.zip(most).map(|(used, most)| conntrack(used, most)));
    findings
}

fn files(patient: &Patient) -> Finding {
    let (config, files) = (&patient.config, patient.files);
    let finding = format!(
        "a process started here may open {} files, and --max-connections is {}",
        files.files, config.limits.clients
    );
    let is_beyond = |warning: &Warning| matches!(warning, Warning::ConnectionsBeyondFiles { .. });
    if config.warnings(files).iter().any(is_beyond) {
        let advice = "raise the limit (ulimit -n, LimitNOFILE=) or lower the flag";
        return Finding::warn("files", finding).advise(advice);
    }
    Finding::ok("files", finding)
}

fn drain(patient: &Patient) -> Finding {
    let config = &patient.config;
    let (timeout, drain) =
        (amount::time(config.shutdown_timeout), amount::time(config.drain_delay + config.drain_window));
    let is_beyond = |warning: &Warning| matches!(warning, Warning::DrainBeyondTimeout { .. });
    if config.warnings(patient.files).iter().any(is_beyond) {
        let finding = format!("draining takes {drain}, and --shutdown-timeout cuts it after {timeout}");
        return Finding::warn("drain", finding)
            .advise("shorten --drain-delay or --drain-window, or allow more");
    }
    let finding =
        format!("draining takes {drain}, and the end comes {timeout} after the signal at the latest");
    let advice = "whoever stops weir must wait longer (terminationGracePeriodSeconds, TimeoutStopSec=, docker stop -t)";
    Finding::ok("drain", finding).advise(advice)
}

fn memory(limit: Option<u64>, cgroup: Option<u64>) -> Option<Finding> {
    let shown = |bytes| amount::bytes(bytes);
    Some(match (limit, cgroup) {
        (None, None) => return None,
        (None, Some(most)) => Finding::ok(
            "memory-limit",
            format!("a process started here may have {}", shown(most)),
        )
        .advise(
            "with --memory-limit at about four fifths of that, weir turns clients away before it is ended",
        ),
        (Some(limit), Some(most)) if limit >= most => {
            let finding = format!(
                "a process started here may have {}, and --memory-limit is {}",
                shown(most),
                shown(limit)
            );
            Finding::warn("memory-limit", finding).advise("lower the flag to about four fifths of that")
        }
        (Some(limit), Some(_) | None) => {
            Finding::ok("memory-limit", format!("beyond {} clients are turned away", shown(limit)))
        }
    })
}

/// Whether weir stands behind a proxy cannot be seen from here.
fn addresses(patient: &Patient) -> Option<Finding> {
    let limits = &patient.config.limits;
    let counted =
        limits.clients_per_ip.is_some() || limits.connect_rate.is_some() || limits.publish_rate.is_some();
    if !counted || !patient.config.proxies.trusted.is_empty() {
        return None;
    }
    let finding = "limits are set for each address, and nobody is a --trusted-proxy";
    let advice = "behind a load balancer name it, or all clients share its address";
    Some(Finding::ok("addresses", finding).advise(advice))
}

fn variable((name, nearest): &(String, String)) -> Finding {
    Finding::warn("variables", format!("{name} is set, and weir knows no such variable"))
        .advise(format!("the nearest is {nearest}"))
}

fn backlog(most: Option<u64>) -> Option<Finding> {
    let (most, wanted) = (most?, u64::from(BACKLOG.unsigned_abs()));
    let finding = format!("the kernel lets {most} new connections wait, and weir asks for {wanted}");
    Some(if most < wanted {
        Finding::warn("backlog", finding).advise(format!("sysctl -w net.core.somaxconn={wanted}"))
    } else {
        Finding::ok("backlog", finding)
    })
}

/// A full table shows as connections that time out, and nowhere else.
fn conntrack(used: u64, most: u64) -> Finding {
    let finding = format!("the kernel tracks {used} connections of {most} at most");
    if used.saturating_mul(10) > most.saturating_mul(8) {
        return Finding::warn("conntrack", finding).advise("raise net.netfilter.nf_conntrack_max");
    }
    Finding::ok("conntrack", finding)
}

fn number(name: &str) -> Option<u64> {
    std::fs::read_to_string(Path::new(PROC_SYS).join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn memory_limits() {
        let level = |limit, cgroup| memory(limit, cgroup).map(|finding| finding.level);
        assert_eq!(level(None, None), None);
        assert_eq!(level(None, Some(100)), Some(Level::Ok));
        assert_eq!(level(Some(99), Some(100)), Some(Level::Ok));
        assert_eq!(level(Some(100), Some(100)), Some(Level::Warn));
        assert_eq!(level(Some(100), None), Some(Level::Ok));
    }

    #[test]
    fn kernel_settings() {
        assert_eq!(backlog(None), None);
        assert_eq!(backlog(Some(4096)).unwrap().level, Level::Ok);
        assert_eq!(backlog(Some(128)).unwrap().level, Level::Warn);
        assert_eq!(conntrack(80, 100).level, Level::Ok);
        assert_eq!(conntrack(81, 100).level, Level::Warn);
    }
}
