//! Times and sizes as people read them.

use std::time::Duration;

/// Such as `1.2ms`, `340ms`, `1.5s`, `12s`, `5m`, `3h`, `4d`.
pub(super) fn time(time: Duration) -> String {
    let (ms, secs) = (time.as_secs_f64() * 1000.0, time.as_secs());
    match secs {
        0 if ms < 10.0 => format!("{ms:.1}ms"),
        0 => format!("{ms:.0}ms"),
        1..10 => format!("{:.1}s", time.as_secs_f64()),
        10..120 => format!("{secs}s"),
        120..7200 => format!("{}m", secs / 60),
        7200..172_800 => format!("{}h", secs / 3600),
        172_800.. => format!("{}d", secs / 86_400),
    }
}

/// Such as `900 B`, `64 KiB`, `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((shift, unit)) => {
            let amount = bytes as f64 / (1_u64 << shift) as f64;
            if amount < 10.0 && amount.fract() > 0.05 {
                format!("{amount:.1} {unit}")
            } else {
                format!("{amount:.0} {unit}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (us, shown) in [
            (0, "0.0ms"),
            (1_234, "1.2ms"),
            (340_000, "340ms"),
            (1_500_000, "1.5s"),
            (59_900_000, "59s"),
            (301_000_000, "5m"),
            (7_200_000_000, "2h"),
            (4 * 86_400_000_000, "4d"),
        ] {
            assert_eq!(time(Duration::from_micros(us)), shown);
        }
    }

    #[test]
    fn sizes() {
        for (size, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1 << 16, "64 KiB"), (3 << 29, "1.5 GiB"), (1 << 20, "1 MiB")]
        {
            assert_eq!(bytes(size), shown);
        }
    }
}
