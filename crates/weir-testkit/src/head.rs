//! The head of a response.

use anyhow::Context as _;
use bytes::BytesMut;

/// Status line and headers, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Names in lower case and values, in the order they came, repeated ones included.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of the header `name` (lower case), the first one if it is repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Cuts a head off the front of `received`; `None` while it is not whole.
    ///
    /// # Errors
    /// What was received is no head of HTTP/1.1.
    pub(crate) fn take(received: &mut BytesMut) -> anyhow::Result<Option<Self>> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = received.windows(END.len()).position(|window| window == END) else {
            return Ok(None);
        };
        let head = received.split_to(end + END.len());
        Self::parse(&head).with_context(|| format!("not a response head: {head:?}")).map(Some)
    }

    fn parse(head: &[u8]) -> anyhow::Result<Self> {
        let mut lines = std::str::from_utf8(head)?.trim_end().split("\r\n");
        let status_line = lines.next().context("no status line")?;
        let status = status_line.strip_prefix("HTTP/1.1 ").context("not HTTP/1.1")?;
        let status = status.get(..3).context("no status")?.parse()?;
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').context("a header line without colon")?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Ok(Self { status, headers: headers.collect::<anyhow::Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_cut_off_what_follows() {
        let mut received = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Type: a\r\nx: 1\r\nX: 2\r\n\r\nbody");
        let head = Head::take(&mut received).unwrap().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("a"));
        assert_eq!(head.headers[1..], [("x".into(), "1".into()), ("x".into(), "2".into())]);
        assert_eq!(received, "body");
    }

    #[test]
    fn half_a_head_is_none_and_anything_else_an_error() {
        assert_eq!(Head::take(&mut BytesMut::from("HTTP/1.1 200 OK\r\na: b\r\n")).unwrap(), None);
        assert!(Head::take(&mut BytesMut::from("HTTP/1.0 200 OK\r\n\r\n")).is_err());
        assert!(Head::take(&mut BytesMut::from("HTTP/1.1 200 OK\r\nab\r\n\r\n")).is_err());
    }
}
