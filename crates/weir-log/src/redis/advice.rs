//! What whoever operates an instance is told besides what Redis or the network says.

use fred::error::{Error, ErrorKind};

/// Words of a refusal or a failed connection, and what can be done about it. The first one found counts.
const ADVICE: [(&str, &str); 23] = [
    ("READONLY", "this server is a replica: point --redis at the master, or at the Sentinels"),
    ("NOREPLICAS", "too few replicas follow: bring them back or lower min-replicas-to-write"),
    ("MISCONF", "the last snapshot to disk failed: look at the disk and the log of Redis"),
    ("OOM", "its memory is full: raise maxmemory or remove what fills it"),
    ("WRONGPASS", "check the user and the password of --redis or --redis-password-file"),
    ("NOAUTH", "it asks for a password: --redis-password-file"),
    ("NOPERM", "give the user the rights that docs/redis.md lists"),
    ("LOADING", "it reads its data into memory and is waited for"),
    ("max number of clients", "raise maxclients, or find who holds its connections: CLIENT LIST"),
    ("MOVED", "this is a node of a cluster: the URL begins with redis-cluster://"),
    ("CROSSSLOT", "this is a node of a cluster: the URL begins with redis-cluster://"),
    ("CLUSTERDOWN", "slots of the cluster have no node: CLUSTER INFO on one of them tells more"),
    ("cluster support disabled", "this is no cluster: the URL begins with redis://"),
    ("TRYAGAIN", "the slot of the stream is being moved and is waited for"),
    ("ASK", "the slot of the stream is being moved and is waited for"),
    ("WRONGTYPE", "something else has the name of the stream: choose another with --stream, or delete it"),
    ("NotValidForName", "its certificate is for another host name: use that name in --redis"),
    ("UnknownIssuer", "name the authority that signed its certificate with --redis-ca-file"),
    ("BadSignature", "name the authority that signed its certificate with --redis-ca-file"),
    ("AlertReceived", "it does not take this client's certificate: --redis-cert-file and --redis-key-file"),
    ("Expired", "its certificate has expired"),
    (
        "unknown command 'HELLO'",
        "its greeting is needed: Redis 6 or later, without rename-command, and no proxy in between",
    ),
    ("unknown command 'EVAL'", "scripts are needed and switched off here"),
];

/// What can be done about it, where that is known.
pub(super) fn on(text: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(word, _)| text.contains(word)).map(|(_, advice)| *advice)
}

/// Begins what a server repeats of a command that it does not know. Of a greeting that is the password.
const REPEATED: &str = ", with args beginning with";

/// Why there is no connection, for people. The client library writes its sources as they debug.
pub(super) fn no_connection(error: &Error, tls: bool) -> String {
    let (details, timed_out) = (error.details(), *error.kind() == ErrorKind::Timeout);
    let text = plain(details);
    let text = text.split_once(REPEATED).map_or(&*text, |(text, _)| text);
    let text = if tls && details.starts_with("Custom {") { format!("TLS: {text}") } else { text.to_owned() };
    match (tls, timed_out) {
        (true, true) => format!("{text} It may not speak TLS on this port: redis:// is without."),
        (false, _) if text.contains("reset by peer") || text.contains("unexpected end") => {
            format!("{text}; if it speaks TLS, the URL begins with rediss://")
        }
        (true | false, _) => text,
    }
}

/// The message within `Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`, or what stands in the place
/// of it in `Custom { kind: InvalidData, error: … }`.
fn plain(details: &str) -> String {
    let inner = ["message: ", "error: "].iter().find_map(|name| {
        let (head, rest) = details.split_once(name)?;
        (head.starts_with("Os {") || head.starts_with("Custom {")).then(|| rest.strip_suffix(" }"))?
    });
    inner.unwrap_or(details).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_written_for_people() {
        let told = |details: &'static str, tls| no_connection(&Error::new(ErrorKind::IO, details), tls);
        let refused = r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#;
        assert_eq!(told(refused, false), "Connection refused");
        assert_eq!(
            told("Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }", true),
            "TLS: InvalidCertificate(UnknownIssuer)"
        );
        let lookup = r#"Custom { kind: Uncategorized, error: "failed to lookup address information" }"#;
        assert_eq!(told(lookup, false), "failed to lookup address information");
        assert_eq!(
            told("WRONGPASS invalid username-password pair", true),
            "WRONGPASS invalid username-password pair"
        );
    }

    #[test]
    fn a_greeting_that_is_not_known_is_not_repeated() {
        let details =
            "ERR unknown command 'HELLO', with args beginning with: '2' 'AUTH' 'default' 'hunter2' ";
        for kind in [ErrorKind::Unknown, ErrorKind::Protocol, ErrorKind::Timeout] {
            for tls in [false, true] {
                let told = no_connection(&Error::new(kind.clone(), details), tls);
                assert!(told.starts_with("ERR unknown command 'HELLO'"), "{told}");
                assert!(!told.contains("hunter2") && !told.contains("AUTH"), "{told}");
            }
        }
    }
}
