//! `weir-floor`: one `send()` per event and socket, and nothing else.

#![expect(clippy::print_stderr, reason = "it says where it listens in the way weir does")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::AtomicBool;

use socket2::{Domain, Socket, Type};
use weir_benches::floor::{Fault, Voice, serve};

/// Connections that may wait to be accepted, where the system allows as many.
const BACKLOG: i32 = 4_096;

fn main() -> std::io::Result<()> {
    // The standard library's queue of 128 is too short for a storm: what overflows it tries again after a second or longer.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    eprintln!(r#"{{"message":"listening","public":"{}"}}"#, listener.local_addr()?);
    serve(&listener, (Voice::Weir, Fault::None), &AtomicBool::new(false))
}
