//! What whoever operates an instance is told besides what Redis or the network says.

use fred::error::{Error, ErrorKind};

/// Words of a refusal or a failed connection, and what can be done about it. The first one found counts.
const ADVICE: [(&str, &str); 22] = [
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
    ("unknown command 'EVAL'", "scripts are needed and switched off here"),
];

/// What can be done about it, where that is known.
pub(super) fn on(text: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(word, _)| text.contains(word)).map(|(_, advice)| *advice)
}

/// Why there is no connection, for people. The client library writes its sources as they debug.
pub(super) fn no_connection(error: &Error, tls: bool) -> String {
    let (details, timed_out) = (error.details(), *error.kind() == ErrorKind::Timeout);
    let text = plain(details);
    let text = if tls && details.starts_with("Custom {") { format!("TLS: {text}") } else { text };
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
}
