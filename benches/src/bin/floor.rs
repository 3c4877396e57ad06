//! `weir-floor`: one `send()` per event and socket, and nothing else.

#![expect(clippy::print_stderr, reason = "it says where it listens in the way weir does")]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::AtomicBool;

use weir_benches::floor::{Fault, Voice, serve};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    eprintln!(r#"{{"message":"listening","public":"{}"}}"#, listener.local_addr()?);
    serve(&listener, (Voice::Weir, Fault::None), &AtomicBool::new(false))
}
