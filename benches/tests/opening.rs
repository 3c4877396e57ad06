//! When a stream counts as open.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use weir_benches::audience::{Audience, Opening, Plan};
use weir_benches::poller::Poller;

/// Asks a server that answers with a head and says no more, and ends the stream once it was asked.
fn connect(opening: Opening) -> anyhow::Result<Audience> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let _ = stream.read(&mut [0; 512])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    });
    // The end of the stream comes after its head was read or with it, which is the same to whoever waits for more.
    let audience =
        Audience::connect_to(&Poller::new()?, (address, opening), Plan { connections: 1, sessions: 1 });
    server.join().expect("the server holds")?;
    audience
}

#[test]
fn a_peer_opens_a_stream_by_its_head() {
    connect(Opening::Head).expect("the head came");
}

#[test]
fn a_head_alone_does_not_open_a_stream_of_weir() {
    let error = connect(Opening::Connected).expect_err("weir has not said that it is open");
    assert!(error.to_string().starts_with("0 of 1 streams opened"), "{error:#}");
}
