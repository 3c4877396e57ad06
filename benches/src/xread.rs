//! The floor of reading: `XREAD` by a thread that blocks, walks over the reply once and keeps nothing of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::process::{Cpu, pin, this_thread};

/// Most entries of a reply, as weir asks for.
const COUNT: usize = 200;

/// How long a read waits on a quiet stream, and so how long stopping takes.
const BLOCK_MS: usize = 200;

/// How long Redis may take beyond it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Room for a whole reply, so that it seldom comes in pieces.
const READ_BYTES: usize = 1 << 20;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the oldest entry.
    Oldest,
    /// After the newest.
    Newest,
}

/// A reader that runs until it is dropped.
#[derive(Debug)]
pub struct PlainReader {
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    thread_id: u32,
    count: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl PlainReader {
    /// Reads `stream` on this core.
    ///
    /// # Errors
    /// Redis is not there.
    pub fn start(redis: SocketAddr, stream: &'static str, begin: Begin, core: usize) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(redis)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (sender, receiver) = mpsc::channel();
        let shared = (Arc::clone(&count), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            begin_on(core, &sender)?;
            // The first question names the newest entry as such, and later ones by its id.
            let mut last = match begin {
                Begin::Oldest => b"0-0".to_vec(),
                Begin::Newest => b"$".to_vec(),
            };
            let mut buffer = vec![0; READ_BYTES];
            while !shared.1.load(Ordering::Relaxed) {
                let entries = read(&mut socket, stream, &mut last, &mut buffer)?;
                shared.0.fetch_add(entries, Ordering::Relaxed);
            }
            Ok(())
        });
        let thread_id = receiver.recv_timeout(TIMEOUT).context("the reader does not start")?;
        Ok(Self { thread: Some(thread), thread_id, count, stop })
    }

    /// Entries read so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// What its thread has used so far.
    ///
    /// # Errors
    /// The thread ended, which it does where Redis answers nonsense.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of_thread(self.thread_id)
    }
}

impl Drop for PlainReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // What went wrong shows in the entries that were not read.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn begin_on(core: usize, sender: &Sender<u32>) -> anyhow::Result<()> {
    pin(core)?;
    Ok(sender.send(this_thread())?)
}

/// One read. Says how many entries came, and puts the id of the newest into `last`.
fn read(
    socket: &mut TcpStream,
    stream: &str,
    last: &mut Vec<u8>,
    buffer: &mut Vec<u8>,
) -> anyhow::Result<u64> {
    let after = std::str::from_utf8(last).context("an id is text")?;
    write!(socket, "XREAD COUNT {COUNT} BLOCK {BLOCK_MS} STREAMS {stream} {after}\r\n")?;
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        match socket.read(&mut buffer[filled..])? {
            0 => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
            more => filled += more,
        }
        if let Some((entries, newest)) = parse(&buffer[..filled])? {
            if entries > 0 {
                last.clear();
                last.extend_from_slice(newest);
            }
            return Ok(entries);
        }
    }
}

/// How many entries a reply has, and the id of the newest, empty where there is none; `None` where it has not all come.
fn parse(reply: &[u8]) -> anyhow::Result<Option<(u64, &[u8])>> {
    let mut rest = Rest(reply);
    let Some(streams) = rest.number(b'*')? else { return Ok(None) };
    if streams < 0 {
        return Ok(Some((0, &[])));
    }
    // The one stream: a pair of its key and its entries.
    let Some(_) = rest.number(b'*')? else { return Ok(None) };
    let Some(_) = rest.text()? else { return Ok(None) };
    let Some(entries) = rest.number(b'*')? else { return Ok(None) };
    let mut newest: &[u8] = &[];
    for _ in 0..entries {
        let Some(_) = rest.number(b'*')? else { return Ok(None) };
        let Some(id) = rest.text()? else { return Ok(None) };
        newest = id;
        let Some(parts) = rest.number(b'*')? else { return Ok(None) };
        for _ in 0..parts {
            let Some(_) = rest.text()? else { return Ok(None) };
        }
    }
    Ok(Some((entries.unsigned_abs(), newest)))
}

/// What has not been walked over.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The number of a line that begins with `kind`.
    fn number(&mut self, kind: u8) -> anyhow::Result<Option<i64>> {
        let Some(end) = self.0.iter().position(|byte| *byte == b'\r') else { return Ok(None) };
        if self.0[0] != kind {
            bail!("not what was asked for: {}", String::from_utf8_lossy(&self.0[..end]));
        }
        let Some(rest) = self.0.get(end + 2..) else { return Ok(None) };
        let number = std::str::from_utf8(&self.0[1..end])?.parse()?;
        self.0 = rest;
        Ok(Some(number))
    }

    fn text(&mut self) -> anyhow::Result<Option<&'a [u8]>> {
        let Some(length) = self.number(b'$')? else { return Ok(None) };
        let length = usize::try_from(length)?;
        let text = self.0.get(..length);
        let Some(rest) = self.0.get(length + 2..) else { return Ok(None) };
        self.0 = rest;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$2\r\n\r\n\r\n\
        *2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n";

    #[test]
    fn a_reply_counts_when_it_is_whole() {
        assert_eq!(parse(REPLY).unwrap(), Some((2, &b"2-0"[..])));
        for cut in 1..REPLY.len() {
            assert_eq!(parse(&REPLY[..cut]).unwrap(), None, "{cut} bytes");
        }
        assert_eq!(parse(b"*-1\r\n").unwrap(), Some((0, &b""[..])));
        assert!(parse(b"-ERR no\r\n").is_err());
    }
}
