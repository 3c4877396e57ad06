//! One command and its reply, by hand.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server is reached.
#[derive(Clone, Debug)]
pub(super) enum Door {
    Port(u16),
    Socket(PathBuf),
}

impl Door {
    /// Sends a command on a connection of its own, after a login if there is one; the inner error is the server's.
    pub(super) fn exchange(
        &self,
        login: Option<&[String; 2]>,
        request: &[u8],
        patience: Duration,
    ) -> io::Result<Result<String, String>> {
        match self {
            Self::Port(port) => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
                stream.set_read_timeout(Some(patience))?;
                talk(stream, login, request)
            }
            Self::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                talk(stream, login, request)
            }
        }
    }
}

fn talk(
    stream: impl Read + Write,
    login: Option<&[String; 2]>,
    request: &[u8],
) -> io::Result<Result<String, String>> {
    let mut stream = BufReader::new(stream);
    if let Some([user, password]) = login {
        stream.get_mut().write_all(&encode(&[b"AUTH", user.as_bytes(), password.as_bytes()]))?;
        if let Err(refused) = read_reply(&mut stream)? {
            return Ok(Err(refused));
        }
    }
    stream.get_mut().write_all(request)?;
    read_reply(&mut stream)
}

pub(super) fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn read_reply(from: &mut impl BufRead) -> io::Result<Result<String, String>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let Some((kind, rest)) = line.split_at_checked(1) else { return Err(io::ErrorKind::InvalidData.into()) };
    match kind {
        "-" => Ok(Err(rest.to_owned())),
        "$" | "*" if rest == "-1" => Ok(Ok("(nil)".to_owned())),
        "$" => read_bulk(from, length(rest)?).map(Ok),
        "*" => read_array(from, length(rest)?),
        _ => Ok(Ok(rest.to_owned())),
    }
}

fn read_bulk(from: &mut impl BufRead, len: usize) -> io::Result<String> {
    let mut bytes = vec![0; len + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(len);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_array(from: &mut impl BufRead, len: usize) -> io::Result<Result<String, String>> {
    let mut items = Vec::with_capacity(len);
    for _ in 0..len {
        match read_reply(from)? {
            Ok(item) => items.push(item),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(items.join("\n")))
}

fn length(digits: &str) -> io::Result<usize> {
    digits.parse().map_err(|_| io::ErrorKind::InvalidData.into())
}
