//! Typed values, and what is wrong with a text that is none.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use weir_http::rates::Rate;

/// Why a text is no value. It says what a right one looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadValue {
    /// Not a duration.
    #[error("a duration is a whole number with a unit, such as 250ms, 5s, 10m, 2h or 7d, and at most 365d")]
    Duration,
    /// A duration of nothing.
    #[error("it must be longer than 0, such as 250ms, 5s or 2h")]
    NoDuration,
    /// Neither a duration nor `off`.
    #[error("it is a duration such as 30s, 10m or 2h, or off")]
    DurationOrOff,
    /// Not a size.
    #[error(
        "a size is a whole number of bytes or with a unit, such as 65536, 256KiB, 64MiB or 1GiB, and at least 1"
    )]
    Size,
    /// Neither a size nor `off`.
    #[error("it is a size, such as 512MiB or 2GiB, or off")]
    SizeOrOff,
    /// Not a count.
    #[error("it is a whole number of at least 1")]
    Count,
    /// Neither a count nor `off`.
    #[error("it is a whole number of at least 1, or off")]
    CountOrOff,
    /// Neither a rate nor `off`.
    #[error("a rate is a whole number within a second or a minute, such as 20, 20/s or 100/m, or off")]
    RateOrOff,
    /// Not a number of seconds.
    #[error("it is a whole number of seconds from 1 to 4294967295")]
    Seconds,
    /// Not an address.
    #[error("an address is IP:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080")]
    Address,
    /// Not a range of addresses.
    #[error("a range of addresses is IP/BITS, such as 10.0.0.0/8 or fd00::/8, or one address")]
    Network,
    /// Neither on nor off.
    #[error("it is true or false")]
    Switch,
    /// Not a key of a stream.
    #[error("the key of a stream is 1 to 256 characters without control characters, such as weir:events")]
    Stream,
    /// Not a name of an instance.
    #[error("the name of an instance is 1 to 64 letters, digits, dots, dashes and underscores")]
    Instance,
    /// Not a name in a claim.
    #[error(
        "it is a name without spaces around it and without control characters, such as https://issuer.example"
    )]
    Name,
    /// Not the name of a cookie.
    #[error(
        "the name of a cookie is 1 to 64 letters, digits, dots, dashes and underscores, such as weir_token"
    )]
    Cookie,
}

/// A value, or the feature is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrOff<T>(pub(crate) Option<T>);

/// Longest duration that is believed. Timers add them to a clock that ends somewhere.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Longest name of an instance, the length of a host name on Linux.
const LONGEST_INSTANCE: usize = 64;

/// `250ms`, `5s`, `10m`, `2h`, `7d`, or `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, BadValue> {
    let (number, unit) = split(text).ok_or(BadValue::Duration)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        "" if number == 0 => 0,
        _ => return Err(BadValue::Duration),
    };
    let duration = number.checked_mul(ms).map(Duration::from_millis).ok_or(BadValue::Duration)?;
    if duration > LONGEST { Err(BadValue::Duration) } else { Ok(duration) }
}

/// A duration that is not 0.
pub(crate) fn positive(text: &str) -> Result<Duration, BadValue> {
    match duration(text)? {
        Duration::ZERO => Err(BadValue::NoDuration),
        longer => Ok(longer),
    }
}

/// A duration, or `off`, or `0` for the same.
pub(crate) fn positive_or_off(text: &str) -> Result<OrOff<Duration>, BadValue> {
    if text == "off" {
        return Ok(OrOff(None));
    }
    let duration = duration(text).map_err(|_| BadValue::DurationOrOff)?;
    Ok(OrOff(Some(duration).filter(|d| !d.is_zero())))
}

/// Bytes, or `KiB`, `MiB`, `GiB`.
pub(crate) fn size(text: &str) -> Result<usize, BadValue> {
    let (number, unit) = split(text).ok_or(BadValue::Size)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kib" => 10,
        "mib" => 20,
        "gib" => 30,
        _ => return Err(BadValue::Size),
    };
    let bytes = number.checked_mul(1 << shift).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.filter(|bytes| *bytes > 0).ok_or(BadValue::Size)
}

/// A whole number of at least 1.
pub(crate) fn count(text: &str) -> Result<usize, BadValue> {
    let (number, unit) = split(text).ok_or(BadValue::Count)?;
    let number = usize::try_from(number).ok().filter(|n| *n > 0 && unit.is_empty());
    number.ok_or(BadValue::Count)
}

/// A size, or `off`, or `0` for the same.
pub(crate) fn size_or_off(text: &str) -> Result<OrOff<usize>, BadValue> {
    if matches!(text, "off" | "0") {
        return Ok(OrOff(None));
    }
    size(text).map(|bytes| OrOff(Some(bytes))).map_err(|_| BadValue::SizeOrOff)
}

/// A whole number of at least 1, or `off`, or `0` for the same.
pub(crate) fn count_or_off(text: &str) -> Result<OrOff<usize>, BadValue> {
    if matches!(text, "off" | "0") {
        return Ok(OrOff(None));
    }
    count(text).map(|number| OrOff(Some(number))).map_err(|_| BadValue::CountOrOff)
}

/// `N`, `N/s` or `N/m`: so many within a second or a minute; or `off`, or `0` for the same.
pub(crate) fn rate_or_off(text: &str) -> Result<OrOff<Rate>, BadValue> {
    if matches!(text, "off" | "0") {
        return Ok(OrOff(None));
    }
    let (number, unit) = split(text).ok_or(BadValue::RateOrOff)?;
    let within = match unit {
        "" | "/s" => Duration::from_secs(1),
        "/m" => Duration::from_mins(1),
        _ => return Err(BadValue::RateOrOff),
    };
    let count = u32::try_from(number).ok().and_then(NonZeroU32::new).ok_or(BadValue::RateOrOff)?;
    Ok(OrOff(Some(Rate { count, within })))
}

/// A whole number of seconds, at least 1.
pub(crate) fn seconds(text: &str) -> Result<u32, BadValue> {
    count(text).ok().and_then(|n| n.try_into().ok()).ok_or(BadValue::Seconds)
}

/// `IP:PORT`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, BadValue> {
    text.parse().map_err(|_| BadValue::Address)
}

/// `IP/BITS`, or one address. Bits behind the range are of no account, and IPv4 written as IPv6 is IPv4, as it is in the
/// addresses that are compared.
pub(crate) fn network(text: &str) -> Result<IpNet, BadValue> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| BadValue::Network)?,
    };
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    let plain = mapped.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map(IpNet::V4);
    Ok(plain.unwrap_or(network).trunc())
}

/// `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, BadValue> {
    text.parse().map_err(|_| BadValue::Switch)
}

/// The key of a stream.
pub(crate) fn stream(text: &str) -> Result<String, BadValue> {
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(BadValue::Stream) }
}

/// The name of an instance. It stands in the names of reader groups, where a colon would part it.
pub(crate) fn instance(text: &str) -> Result<String, BadValue> {
    let fits = (1..=LONGEST_INSTANCE).contains(&text.len()) && text.chars().all(in_instance);
    if fits { Ok(text.to_owned()) } else { Err(BadValue::Instance) }
}

/// A name that stands in a claim, such as an audience.
pub(crate) fn name(text: &str) -> Result<String, BadValue> {
    let fits = !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(BadValue::Name) }
}

/// The name of a cookie.
pub(crate) fn cookie(text: &str) -> Result<String, BadValue> {
    instance(text).map_err(|_| BadValue::Cookie)
}

/// The nearest name of an instance to any text, such as a host name of which nobody was asked.
pub(crate) fn instance_from(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if in_instance(c) { c } else { '-' }).take(LONGEST_INSTANCE).collect();
    if name.is_empty() { "weir".to_owned() } else { name }
}

fn in_instance(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// Digits, then the rest.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("250ms", 250), ("5s", 5000), ("10m", 600_000), ("2h", 7_200_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(duration("365d"), Ok(LONGEST));
        for bad in ["", "5", "s", "5 s", "-5s", "+5s", "1.5s", "5sec", "366d", "99999999999999999999s", "off"]
        {
            assert_eq!(duration(bad), Err(BadValue::Duration), "{bad}");
        }
        assert_eq!(positive("0"), Err(BadValue::NoDuration));
        assert_eq!(positive("0ms"), Err(BadValue::NoDuration));
        assert_eq!(positive_or_off("off"), Ok(OrOff(None)));
        assert_eq!(positive_or_off("0"), Ok(OrOff(None)));
        assert_eq!(positive_or_off("1s"), Ok(OrOff(Some(Duration::from_secs(1)))));
        assert_eq!(positive_or_off("on"), Err(BadValue::DurationOrOff));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1", 1),
            ("17B", 17),
            ("256KiB", 262_144),
            ("64MiB", 67_108_864),
            ("1GiB", 1 << 30),
            ("1mib", 1 << 20),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "0MiB", "64MB", "64M", "-1", "1.5MiB", "MiB", "18446744073709551615GiB"] {
            assert_eq!(size(bad), Err(BadValue::Size), "{bad}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(size_or_off("1MiB"), Ok(OrOff(Some(1 << 20))));
        assert_eq!((size_or_off("off"), size_or_off("0")), (Ok(OrOff(None)), Ok(OrOff(None))));
        assert_eq!(size_or_off("1MB"), Err(BadValue::SizeOrOff));
        assert_eq!(count("200"), Ok(200));
        assert_eq!(seconds("60"), Ok(60));
        assert_eq!(count_or_off("200"), Ok(OrOff(Some(200))));
        assert_eq!((count_or_off("off"), count_or_off("0")), (Ok(OrOff(None)), Ok(OrOff(None))));
        assert_eq!(count_or_off("on"), Err(BadValue::CountOrOff));
        for bad in ["", "0", "-1", "+1", "1k", "1.0", "99999999999999999999"] {
            assert_eq!(count(bad), Err(BadValue::Count), "{bad}");
        }
        assert_eq!(seconds("4294967296"), Err(BadValue::Seconds));
    }

    #[test]
    fn rates() {
        for (text, count, secs) in
            [("20", 20, 1), ("20/s", 20, 1), ("100/m", 100, 60), ("4294967295", u32::MAX, 1)]
        {
            let rate = Rate { count: NonZeroU32::new(count).unwrap(), within: Duration::from_secs(secs) };
            assert_eq!(rate_or_off(text), Ok(OrOff(Some(rate))), "{text}");
        }
        assert_eq!((rate_or_off("off"), rate_or_off("0")), (Ok(OrOff(None)), Ok(OrOff(None))));
        for bad in ["", "0/s", "20/h", "20 /s", "-1", "1.5", "4294967296", "fast"] {
            assert_eq!(rate_or_off(bad), Err(BadValue::RateOrOff), "{bad}");
        }
    }

    #[test]
    fn networks() {
        for (text, means) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("fd00::1/8", "fd00::/8"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()), Ok(means.to_owned()), "{text}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.0/8/8", "::/129", "10.0.0.1:80"] {
            assert_eq!(network(bad), Err(BadValue::Network), "{bad}");
        }
        assert_eq!(
            (switch("true"), switch("false"), switch("yes")),
            (Ok(true), Ok(false), Err(BadValue::Switch))
        );
    }

    #[test]
    fn names() {
        assert_eq!(address("[::1]:8080"), Ok("[::1]:8080".parse().unwrap()));
        for bad in ["", "8080", ":8080", "localhost:8080", "127.0.0.1", "127.0.0.1:99999", "::1:8080x"] {
            assert_eq!(address(bad), Err(BadValue::Address), "{bad}");
        }
        assert_eq!(instance("web-1.a_b"), Ok("web-1.a_b".into()));
        for bad in ["", "a:b", "a b", "é", &"x".repeat(65)] {
            assert_eq!(instance(bad), Err(BadValue::Instance), "{bad}");
        }
        assert_eq!(instance_from("häuser:1"), "h-user-1");
        assert_eq!(instance_from(""), "weir");
        assert_eq!(cookie("__Host-weir"), Ok("__Host-weir".into()));
        assert_eq!(cookie("a=b"), Err(BadValue::Cookie));
        assert_eq!(name("https://a.example/ b"), Ok("https://a.example/ b".into()));
        for bad in ["", " a", "a\n", "a\0b"] {
            assert_eq!(name(bad), Err(BadValue::Name), "{bad:?}");
        }
        assert_eq!(stream("{a}:b c"), Ok("{a}:b c".into()));
        assert_eq!(stream("a\n"), Err(BadValue::Stream));
    }
}
