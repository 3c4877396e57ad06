//! Publishing by `XADD`, pipelined, as a producer without weir does.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Answers, Pipe, Publisher};
use crate::stamp::Stamp;

/// One connection to Redis.
#[derive(Debug)]
pub struct RedisPublisher {
    pipe: Pipe,
    stream: &'static str,
    maxlen: String,
    body: Vec<u8>,
    answers: Answers,
}

impl RedisPublisher {
    /// Connects; entries go into `stream`, which is held at about `maxlen` entries.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(server: SocketAddr, stream: &'static str, maxlen: u64) -> io::Result<Self> {
        let (pipe, answers) = (Pipe::connect(server)?, Answers::default());
        Ok(Self { pipe, stream, maxlen: maxlen.to_string(), body: Vec::new(), answers })
    }

    /// Takes one whole answer from the input, if there is one: an id as a bulk string, or an error.
    fn answer(input: &[u8], answers: &mut Answers) -> io::Result<Option<usize>> {
        let Some(line) = input.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        match input.first() {
            Some(b'-') => {
                answers.refuse(&input[..line]);
                Ok(Some(line + 2))
            }
            Some(b'$') => {
                let length =
                    std::str::from_utf8(&input[1..line]).ok().and_then(|text| text.parse::<usize>().ok());
                let length =
                    length.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "not a bulk string"))?;
                let end = line + 2 + length + 2;
                let whole = input.len() >= end;
                answers.accepted += u64::from(whole);
                Ok(whole.then_some(end))
            }
            _ => Err(io::Error::new(ErrorKind::InvalidData, "not an answer to XADD")),
        }
    }
}

impl Publisher for RedisPublisher {
    fn publish(&mut self, stamp: Stamp) {
        self.body.clear();
        stamp.put(&mut self.body);
        let session = format!("s{}", stamp.session);
        let words: [&[u8]; 9] = [
            b"XADD",
            self.stream.as_bytes(),
            b"MAXLEN",
            b"~",
            self.maxlen.as_bytes(),
            b"*",
            b"session",
            session.as_bytes(),
            b"data",
        ];
        put_command(&mut self.pipe.out, words.into_iter().chain([&*self.body]), words.len() + 1);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }

    fn collect(&mut self) -> io::Result<()> {
        self.pipe.fill()?;
        let mut used = 0;
        while let Some(end) = Self::answer(&self.pipe.input[used..], &mut self.answers)? {
            used += end;
        }
        self.pipe.input.drain(..used);
        Ok(())
    }

    fn socket(&self) -> &TcpStream {
        &self.pipe.stream
    }

    fn answers(&self) -> Answers {
        self.answers.clone()
    }
}

fn put_command<'a>(out: &mut Vec<u8>, words: impl Iterator<Item = &'a [u8]>, count: usize) {
    const GROWS: &str = "a growing buffer takes every byte";
    write!(out, "*{count}\r\n").expect(GROWS);
    for word in words {
        write!(out, "${}\r\n", word.len()).expect(GROWS);
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_when_they_are_whole() {
        let input = b"$15\r\n1526919030474-0\r\n-OOM no\r\n$3\r\n1-";
        let (mut answers, mut used) = (Answers::default(), 0);
        while let Some(end) = RedisPublisher::answer(&input[used..], &mut answers).unwrap() {
            used += end;
        }
        assert_eq!((answers.accepted, answers.refused), (1, 1));
        assert_eq!(&input[used..], b"$3\r\n1-");
    }
}
