//! Publishing by `POST`, pipelined on one connection.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Answers, Pipe, Publisher};
use crate::stamp::{Size, Stamp};

/// One connection to an instance.
#[derive(Debug)]
pub struct HttpPublisher {
    pipe: Pipe,
    server: SocketAddr,
    size: Size,
    body: Vec<u8>,
    answers: Answers,
}

impl HttpPublisher {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            pipe: Pipe::connect(server)?,
            server,
            size: Size::Usual,
            body: Vec::new(),
            answers: Answers::default(),
        })
    }

    /// Publishes events of this size.
    #[must_use]
    pub fn of_size(self, size: Size) -> Self {
        Self { size, ..self }
    }

    /// Queues one batch of events as lines of JSON. [`Publisher::flush`] sends it.
    pub fn publish_batch(&mut self, stamps: impl Iterator<Item = Stamp>) {
        self.body.clear();
        for stamp in stamps {
            let mut text = Vec::new();
            stamp.put(&mut text);
            let text = String::from_utf8(text).expect("a stamp is text");
            let event = serde_json::json!({ "session": format!("s{}", stamp.session), "data": text });
            writeln!(self.body, "{event}").expect("a growing buffer takes every byte");
        }
        self.post("/v1/events", "application/x-ndjson");
    }

    fn post(&mut self, path: &str, content_type: &str) {
        let (server, length) = (self.server, self.body.len());
        write!(
            self.pipe.out,
            "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        )
        .expect("a growing buffer takes every byte");
        self.pipe.out.extend_from_slice(&self.body);
    }

    /// Takes one whole answer from the input, if there is one.
    fn answer(&mut self) -> io::Result<bool> {
        let Some(head) = self.pipe.input.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(false);
        };
        let length = content_length(&self.pipe.input[..head])
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "an answer without content-length"))?;
        let end = head + 4 + length;
        if self.pipe.input.len() < end {
            return Ok(false);
        }
        if self.pipe.input.starts_with(b"HTTP/1.1 201 ") {
            self.answers.accepted += 1;
        } else {
            self.answers.refuse(&self.pipe.input[..end]);
        }
        self.pipe.input.drain(..end);
        Ok(true)
    }
}

impl Publisher for HttpPublisher {
    fn publish(&mut self, stamp: Stamp) {
        self.body.clear();
        stamp.put_sized(&mut self.body, self.size);
        self.post(&format!("/v1/sessions/s{}/events", stamp.session), "text/plain");
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }

    fn collect(&mut self) -> io::Result<()> {
        self.pipe.fill()?;
        while self.answer()? {}
        Ok(())
    }

    fn socket(&self) -> &TcpStream {
        &self.pipe.stream
    }

    fn answers(&self) -> Answers {
        self.answers.clone()
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}
