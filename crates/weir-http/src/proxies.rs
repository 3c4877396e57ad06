//! Whose word is taken about where a request comes from.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// What names the client, and the proxies between, each added at the right by the one that was asked.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether connections of trusted proxies begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Every connection begins with what its client says.
    #[default]
    Off,
    /// Those of trusted proxies begin with it, and no others do.
    Required,
}

/// Proxies whose word is taken.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Where they are.
    pub trusted: Vec<IpNet>,
    /// Whether they say whom they ask for before anything else.
    pub protocol: ProxyProtocol,
}

impl Proxies {
    /// Whether the word of this address is taken. It is canonical: IPv4 is never written as IPv6.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Whether a connection from here begins with a header of the PROXY protocol.
    pub(crate) fn announces(&self, address: IpAddr) -> bool {
        self.protocol == ProxyProtocol::Required && self.trust(address)
    }

    /// Whom a request is made for: the last in the list that is no trusted proxy, because whatever stands to the left of it
    /// is hearsay. Where one of them passed on what is no address, it is made for that proxy.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if !self.trust(peer) {
            return client;
        }
        // Several lines are one list. The oldest line is the first.
        for line in headers.get_all(FORWARDED_FOR).iter().rev() {
            for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
                let Some(address) = address(entry) else { return client };
                client = address;
                if !self.trust(client) {
                    return client;
                }
            }
        }
        client
    }
}

/// An address as proxies write it, some of them with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let alone = match entry.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            is_port_or_none(port).then_some(name)?
        }
        // A colon alone parts a port from IPv4; more of them are IPv6.
        None => match entry.split_once(':') {
            Some((name, port)) if !port.contains(':') => is_port(port).then_some(name)?,
            Some(_) | None => entry,
        },
    };
    alone.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn is_port_or_none(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn proxies(trusted: &[&str]) -> Proxies {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Proxies { trusted, protocol: ProxyProtocol::Off }
    }

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap());
        lines.map(|line| (FORWARDED_FOR.parse().unwrap(), line)).collect()
    }

    fn client(lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        let proxies = proxies(&["10.0.0.0/8", "fd00::/8"]);
        proxies.client("10.0.0.1".parse().unwrap(), &headers(&lines)).to_string()
    }

    #[test]
    fn the_last_that_is_no_proxy_of_ours() {
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["203.0.113.9, 192.0.2.1 ,10.0.0.2"]), "192.0.2.1");
        assert_eq!(client(&["203.0.113.9", "192.0.2.1", "10.0.0.2, fd00::2"]), "192.0.2.1");
        // Nobody but proxies of ours: the one that was asked first.
        assert_eq!(client(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client(&["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(client(&["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client(&["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client(&["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client(&["::ffff:192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["192.0.2.1, ::ffff:10.0.0.2"]), "192.0.2.1");
    }

    #[test]
    fn what_is_no_address_is_the_word_of_whoever_passed_it_on() {
        for garbage in
            ["", "unknown", "192.0.2.1:", "192.0.2.1:x", "[2001:db8::1", "[2001:db8::1]x", "_hidden"]
        {
            assert_eq!(client(&[garbage]), "10.0.0.1", "{garbage}");
            assert_eq!(client(&[&format!("192.0.2.1, {garbage}, 10.0.0.7")]), "10.0.0.7", "{garbage}");
        }
        let proxies = proxies(&["10.0.0.1/32"]);
        let lines = headers(&[b"192.0.2.1", b"\xff\xfe"]);
        assert_eq!(proxies.client("10.0.0.1".parse().unwrap(), &lines).to_string(), "10.0.0.1");
    }

    fn any_entry() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<IpAddr>().prop_map(|address| address.to_string()),
            any::<[u8; 3]>().prop_map(|[a, b, c]| format!("10.{a}.{b}.{c}")),
            "[ -+\\--~]{0,20}",
        ]
    }

    proptest! {
        /// Whatever a stranger writes, and however it is split into lines: behind a trusted proxy that adds whom it saw,
        /// that one counts; and without a trusted proxy nothing of it does.
        #[test]
        fn a_stranger_is_never_believed(
            said in proptest::collection::vec(any_entry(), 0..6),
            lines in 1_usize..4,
            seen in any::<IpAddr>(),
            hops in 0_u8..4,
        ) {
            let seen = seen.to_canonical();
            let proxies = proxies(&["10.0.0.0/8"]);
            prop_assume!(!proxies.trust(seen));
            let proxied = (0..hops).map(|hop| format!("10.0.0.{hop}"));
            let all: Vec<String> = said.into_iter().chain([seen.to_string()]).chain(proxied).collect();
            let parts: Vec<String> =
                all.chunks(all.len().div_ceil(lines)).map(|part| part.join(", ")).collect();
            let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
            let headers = headers(&parts);
            prop_assert_eq!(proxies.client("10.9.9.9".parse().unwrap(), &headers), seen);
            prop_assert_eq!(proxies.client("192.0.2.7".parse().unwrap(), &headers), "192.0.2.7".parse::<IpAddr>().unwrap());
        }
    }
}
