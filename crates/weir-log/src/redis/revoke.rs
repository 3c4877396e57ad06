//! Revocations: as entries for the instances that run, and beside them for those that come later.

use fred::types::Value;
use weir_core::id::EventId;
use weir_core::log::RevokeError;
use weir_core::revocation::{Full, MOST_REVOKED, Revocation};

use super::append::Target;
use super::fault::Fault;
use super::frame;
use super::link::{Link, text};
use super::scripts;
use weir_metrics::Operation;

/// Adds the entry, and to the list where it has an end, in one step.
pub(super) async fn revoke(
    link: &Link,
    target: &Target<'_>,
    revocation: &Revocation,
) -> Result<EventId, RevokeError> {
    let number = |number: u64| Value::from(number.to_string());
    let args = vec![
        number(target.maxlen as u64),
        text(revocation.subject()),
        number(revocation.at_ms),
        revocation.until_ms.map_or_else(|| Value::from_static_str(""), number),
        number(target.now_ms),
        number(MOST_REVOKED as u64),
    ];
    let keys = [&*target.keys.stream, &*target.keys.revoked];
    let reply = link.run(Operation::Revoke, scripts::REVOKE, &keys, args).await;
    let reply = reply.map_err(|fault| error(&fault))?;
    match frame::at(&reply, 0, frame::text).map_err(|fault| error(&fault))? {
        "full" => Err(Full.into()),
        _ => frame::at(&reply, 1, frame::id).map_err(|fault| error(&fault)),
    }
}

fn error(fault: &Fault) -> RevokeError {
    match fault {
        Fault::Away(_) | Fault::Refused(_) => RevokeError::Unavailable(fault.to_string()),
        Fault::Late | Fault::Broken(_) | Fault::Garbled(_) => RevokeError::OutcomeUnknown(fault.to_string()),
    }
}

/// The list as it stands in Redis. What cannot be read is nobody's.
pub(super) fn parse(stored: &[u8]) -> Vec<Revocation> {
    let text = String::from_utf8_lossy(stored);
    let lines = text.split('\n').filter_map(|line| {
        let mut words = line.splitn(3, ' ');
        let (at_ms, until_ms) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Revocation::new(words.next()?, at_ms, Some(until_ms)).ok()
    });
    lines.take(MOST_REVOKED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_it_was_ever_written() {
        let list = parse("5 9 ann\n6 10 b o b\nx\n7 x c\n8 12 \n9 13 Ä".as_bytes());
        let of = |subject, at, until| Revocation::new(subject, at, Some(until)).unwrap();
        assert_eq!(list, [of("ann", 5, 9), of("b o b", 6, 10), of("Ä", 9, 13)]);
        assert_eq!(parse(b""), []);
    }
}
