//! Appending to a durable stream by `POST`.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Answers, Pipe};

/// How an append is told from its repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not at all.
    Plain,
    /// By the headers of an idempotent producer.
    Producer,
}

/// One connection that appends to one stream.
#[derive(Debug)]
pub struct Appender {
    pipe: Pipe,
    server: SocketAddr,
    path: String,
    kind: Kind,
    sequence: u64,
    answers: Answers,
}

impl Appender {
    /// Connects, and asks for the stream of JSON at `path` to be there. That is answered first.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(server: SocketAddr, path: String, kind: Kind) -> io::Result<Self> {
        let mut pipe = Pipe::connect(server)?;
        write!(
            pipe.out,
            "PUT {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
        )?;
        pipe.flush()?;
        Ok(Self { pipe, server, path, kind, sequence: 0, answers: Answers::default() })
    }

    /// Sends one append.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn append(&mut self, body: &[u8]) -> io::Result<()> {
        let Self { server, path, sequence, .. } = self;
        let out = &mut self.pipe.out;
        write!(out, "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n")?;
        if self.kind == Kind::Producer {
            write!(out, "Producer-Id: bench\r\nProducer-Epoch: 0\r\nProducer-Seq: {sequence}\r\n")?;
        }
        write!(out, "Content-Length: {}\r\n\r\n", body.len())?;
        out.extend_from_slice(body);
        self.sequence += 1;
        self.flush()
    }

    /// Sends what is left, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }

    /// Reads answers, as far as there are any.
    ///
    /// # Errors
    /// The connection is lost or an answer cannot be read.
    pub fn collect(&mut self) -> io::Result<&Answers> {
        self.pipe.fill()?;
        while let Some(end) = end_of_answer(&self.pipe.input)? {
            let good = [b"HTTP/1.1 200 ", b"HTTP/1.1 201 ", b"HTTP/1.1 204 "];
            if good.iter().any(|status| self.pipe.input.starts_with(*status)) {
                self.answers.accepted += 1;
            } else {
                self.answers.refuse(&self.pipe.input[..end]);
            }
            self.pipe.input.drain(..end);
        }
        Ok(&self.answers)
    }

    /// What to wait for.
    pub fn socket(&self) -> &TcpStream {
        &self.pipe.stream
    }
}

/// Where the first answer ends, once it is whole. Bodies have a length, or are chunks that end with the first that is empty.
fn end_of_answer(input: &[u8]) -> io::Result<Option<usize>> {
    const NO_CHUNK: &[u8] = b"0\r\n\r\n";
    let Some(head) = input.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (&input[..head], head + 4);
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let chunked = text.contains("\ntransfer-encoding: chunked");
    if chunked {
        let end = input[body..].windows(NO_CHUNK.len()).position(|window| window == NO_CHUNK);
        return Ok(end.map(|end| body + end + NO_CHUNK.len()));
    }
    let length: usize = match length {
        Some(length) => length,
        None if text.starts_with("http/1.1 204") => 0,
        None => return Err(io::Error::new(ErrorKind::InvalidData, "an answer without a length")),
    };
    Ok(Some(body + length).filter(|end| input.len() >= *end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_their_framing_says() {
        let end = |text: &str| end_of_answer(text.as_bytes()).ok();
        assert_eq!(end("HTTP/1.1 204 No Content\r\nA: b\r\n\r\nHTTP"), Some(Some(33)));
        assert_eq!(end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Some(Some(40)));
        assert_eq!(end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"), Some(None));
        assert_eq!(end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), Some(Some(52)));
        assert_eq!(end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), Some(None));
        assert_eq!(end("HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(end("HTTP/1.1 200 OK\r\n"), Some(None));
    }
}
