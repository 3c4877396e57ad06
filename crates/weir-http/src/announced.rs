//! The header of the PROXY protocol, by which a load balancer says whom it connects for.

use std::io;
use std::net::IpAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of version 2 up to where it has said how long it is.
const FIXED: usize = 16;

/// Most bytes of either. Version 1 has 107 at most; version 2 with what balancers add about certificates has some hundreds.
const MOST: usize = 2048;

/// Reads the header, and not one byte beyond it: whom the connection is made for, or `None` where the balancer speaks for
/// itself, as in a health check.
///
/// # Errors
/// There is none, or it is none.
pub(crate) async fn read(tcp: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut header = Vec::with_capacity(128);
    grow(tcp, &mut header, SIGNATURE.len()).await?;
    if header == SIGNATURE {
        grow(tcp, &mut header, FIXED).await?;
        let rest = u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]);
        grow(tcp, &mut header, FIXED + usize::from(rest)).await?;
    } else if header.starts_with(b"PROXY ") {
        read_line(tcp, &mut header).await?;
    } else {
        return Err(io::ErrorKind::InvalidData.into());
    }
    source(&header)
}

/// Reads up to so many bytes in all.
async fn grow(tcp: &mut TcpStream, header: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
    if bytes > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let have = header.len();
    header.resize(bytes, 0);
    tcp.read_exact(&mut header[have..]).await?;
    Ok(())
}

/// Reads up to the end of the line. What is there is looked at first: what follows the line is not ours to take.
async fn read_line(tcp: &mut TcpStream, header: &mut Vec<u8>) -> io::Result<()> {
    let mut seen = [0; 128];
    while !header.ends_with(b"\n") {
        let there = tcp.peek(&mut seen).await?;
        let line = seen[..there].iter().position(|byte| *byte == b'\n').map_or(there, |end| end + 1);
        if line == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        grow(tcp, header, header.len() + line).await?;
    }
    Ok(())
}

fn source(header: &[u8]) -> io::Result<Option<IpAddr>> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(header, config) {
        Ok((parsed, length)) if length == header.len() => {
            Ok(parsed.proxied_address().map(|address| address.source.ip().to_canonical()))
        }
        Ok(_) | Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;
    use proxy_header::ProxiedAddress;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// What is read of these parts, each sent by itself, and what is left.
    async fn said(parts: &[&[u8]]) -> (io::Result<Option<IpAddr>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let write = async {
            for part in parts {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (result, ()) = tokio::join!(read(&mut server), write);
        let mut rest = Vec::new();
        let _ = server.read_to_end(&mut rest).await;
        (result, rest)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test]
    async fn either_version_and_nothing_beyond_it() {
        let (client, rest) =
            said(&[b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\nGET / HTTP/1.1\r\n\r\n"]).await;
        assert_eq!(
            (client.unwrap(), rest.as_slice()),
            (address("192.0.2.1"), &b"GET / HTTP/1.1\r\n\r\n"[..])
        );
        let (client, rest) = said(&[b"PROXY TC", b"P6 2001:db8::1 ::1 1 2", b"\r", b"\n", b"x"]).await;
        assert_eq!((client.unwrap(), rest.as_slice()), (address("2001:db8::1"), &b"x"[..]));
        let (client, _) = said(&[b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"]).await;
        assert_eq!(client.unwrap(), address("192.0.2.1"));
        let v2 = [SIGNATURE.as_slice(), b"\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x12\x67\0\x50"].concat();
        let (client, rest) = said(&[&v2[..5], &v2[5..20], &v2[20..], b"GET"]).await;
        assert_eq!((client.unwrap(), rest.as_slice()), (address("192.0.2.1"), &b"GET"[..]));
    }

    #[tokio::test]
    async fn a_balancer_that_speaks_for_itself() {
        let local = [SIGNATURE.as_slice(), b"\x20\0\0\0"].concat();
        assert_eq!(said(&[&local]).await.0.unwrap(), None);
        // Whatever addresses it gives along with that are to be ignored.
        let local =
            [SIGNATURE.as_slice(), b"\x20\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x12\x67\0\x50"].concat();
        assert_eq!(said(&[&local]).await.0.unwrap(), None);
        assert_eq!(said(&[b"PROXY UNKNOWN\r\n"]).await.0.unwrap(), None);
        assert_eq!(said(&[b"PROXY UNKNOWN ::1 ::1 1 2\r\n"]).await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_none() {
        let long = [SIGNATURE.as_slice(), b"\x21\x11\xff\xff", &[0; 4096]].concat();
        let other_version = [SIGNATURE.as_slice(), b"\x31\x11\0\x0c", &[0; 12]].concat();
        let endless = ["PROXY TCP4 ", &"1".repeat(4096)].concat();
        for none in [
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.1",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 65536\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
            &SIGNATURE[..],
            &long,
            &other_version,
            endless.as_bytes(),
            b"",
        ] {
            let shown = String::from_utf8_lossy(&none[..none.len().min(40)]).into_owned();
            assert!(said(&[none]).await.0.is_err(), "{shown:?}");
        }
    }

    proptest! {
        /// Whatever bytes come, it is an answer and no panic; and what a balancer says is what is read.
        #[test]
        fn whatever_comes(bytes in proptest::collection::vec(any::<u8>(), 0..200), from: SocketAddr, to: SocketAddr) {
            let _ = source(&bytes);
            let _ = source(&[SIGNATURE.as_slice(), &bytes].concat());
            let _ = source(&[b"PROXY ".as_slice(), &bytes, b"\r\n"].concat());
            prop_assume!(from.is_ipv4() == to.is_ipv4());
            let header = ProxyHeader::with_address(ProxiedAddress::stream(from, to));
            let (mut v1, mut v2) = (Vec::new(), Vec::new());
            header.encode_v1(&mut v1).unwrap();
            header.encode_v2(&mut v2).unwrap();
            for encoded in [v1, v2] {
                prop_assert_eq!(source(&encoded).unwrap(), Some(from.ip().to_canonical()));
            }
        }
    }
}
