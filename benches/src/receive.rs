//! Reads a socket together with the time at which the kernel had the bytes.
//!
//! The generator holds thousands of sockets on one core. When it reads is its own affair; when the server's bytes were there is
//! the server's, and that is what a latency ends with. On loopback the kernel takes this time while the server sends.

use std::io::{self, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rustix::time::ClockId;

use crate::clock::{now_ns, time_ns};

/// Room for what one read takes from a socket.
const READ_BYTES: usize = 64 * 1024;

/// What one read brought.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Nothing at the end of the stream.
    pub bytes: &'a [u8],
    /// When they came, by [`now_ns`].
    pub at_ns: u64,
    /// When they were read.
    pub read_ns: u64,
}

/// Buffers for any number of sockets.
#[derive(Debug)]
pub struct Receiver {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Receiver {
    /// Empty buffers.
    pub fn new() -> Self {
        Self { bytes: vec![0; READ_BYTES], control: nix::cmsg_space!(TimeSpec) }
    }

    /// Has the kernel keep the time of what comes from now on.
    ///
    /// # Errors
    /// The kernel does not know how.
    pub fn watch(stream: &TcpStream) -> io::Result<()> {
        Ok(setsockopt(stream, sockopt::ReceiveTimestampns, &true)?)
    }

    /// Reads once. Of what came at different times the last counts for all, which flatters nobody. Without [`Receiver::watch`], and
    /// for what came before it, the time of reading stands for that of coming.
    ///
    /// # Errors
    /// Those of `recvmsg`.
    pub fn read(&mut self, stream: &TcpStream) -> io::Result<Received<'_>> {
        let mut room = [IoSliceMut::new(&mut self.bytes)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut room, Some(&mut self.control), MsgFlags::empty())?;
        // The kernel stamps with the clock of the day. The age of the stamp by that clock places it on ours, which is read after it:
        // whatever comes between the two makes an arrival later, never earlier.
        let today_ns = time_ns(ClockId::Realtime);
        let (count, read_ns) = (message.bytes, now_ns());
        let came = message.cmsgs()?.find_map(|message| {
            let ControlMessageOwned::ScmTimestampns(time) = message else { return None };
            Some(time)
        });
        let age = came.map_or(0, |came| today_ns.saturating_sub(parts_ns(came.tv_sec(), came.tv_nsec())));
        Ok(Received { bytes: &self.bytes[..count], at_ns: read_ns.saturating_sub(age), read_ns })
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

fn parts_ns(seconds: i64, ns: i64) -> u64 {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(seconds) * crate::clock::SECOND_NS + part(ns)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::clock::MS_NS;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    /// The kernel begins to keep times a moment after the first socket asks for them.
    fn await_times(near: &mut TcpStream, far: &TcpStream, receiver: &mut Receiver) {
        for _ in 0..1_000 {
            near.write_all(b"?").unwrap();
            thread::sleep(Duration::from_millis(1));
            let received = receiver.read(far).unwrap();
            if received.at_ns < received.read_ns {
                return;
            }
        }
        panic!("the kernel keeps no times");
    }

    #[test]
    fn what_waits_to_be_read_has_come_when_it_was_sent() {
        let ((mut near, far), mut receiver) = (pair(), Receiver::new());
        Receiver::watch(&far).unwrap();
        await_times(&mut near, &far, &mut receiver);
        let mut send = |text: &[u8]| {
            let before = now_ns();
            near.write_all(text).unwrap();
            // On a busy machine a moment may pass between the write and the look at the clock, and before the stamp.
            let sent = before..=now_ns() + 20 * MS_NS;
            thread::sleep(Duration::from_millis(60));
            sent
        };
        let one = send(b"one");
        let Received { bytes, at_ns, read_ns } = receiver.read(&far).unwrap();
        assert_eq!(bytes, b"one");
        assert!(one.contains(&at_ns) && read_ns >= at_ns + 39 * MS_NS, "{one:?}: {at_ns}, read at {read_ns}");
        send(b"two");
        let three = send(b"three");
        let Received { bytes, at_ns, .. } = receiver.read(&far).unwrap();
        assert_eq!(bytes, b"twothree");
        assert!(three.contains(&at_ns), "the last: {three:?}: {at_ns}");
    }

    #[test]
    fn without_times_and_at_the_end_the_time_of_reading_stands() {
        let ((mut near, far), mut receiver) = (pair(), Receiver::new());
        near.write_all(b"x").unwrap();
        let received = receiver.read(&far).unwrap();
        assert_eq!((received.bytes, received.at_ns), (&b"x"[..], received.read_ns));
        drop(near);
        assert_eq!(receiver.read(&far).unwrap().bytes, b"");
    }
}
