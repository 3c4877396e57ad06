//! Each fault on real sockets, with a server behind the proxy that says again what it is told.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::deadline::{DEADLINE, eventually, within};

/// Long enough that what comes later was held, short enough for a test.
const MOMENT: Duration = Duration::from_millis(150);

struct Echo {
    proxy: Proxy,
    _server: JoinSet<()>,
}

async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = socket.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    Echo { proxy: Proxy::start(addr).await.unwrap(), _server: server }
}

impl Echo {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy.addr()).await.unwrap()
    }
}

async fn say(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

/// Exactly this comes next.
async fn hear(socket: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    within(DEADLINE, format!("hear {text:?}"), async { Ok(socket.read_exact(&mut heard).await?) })
        .await
        .unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), text);
}

/// Nothing comes for a moment, neither bytes nor an end.
async fn silence(socket: &mut TcpStream) {
    let heard = tokio::time::timeout(MOMENT, socket.read_u8()).await;
    assert!(heard.is_err(), "{heard:?}");
}

async fn ended(socket: &mut TcpStream) -> Close {
    let mut rest = Vec::new();
    match tokio::time::timeout(DEADLINE, socket.read_to_end(&mut rest)).await.unwrap() {
        Ok(_) => {
            assert!(rest.is_empty(), "{rest:?} before the end");
            Close::Fin
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            Close::Reset
        }
    }
}

#[tokio::test]
async fn it_passes_and_counts() {
    let echo = echo().await;
    let mut one = echo.connect().await;
    say(&mut one, "hello").await;
    hear(&mut one, "hello").await;
    assert_eq!(
        (echo.proxy.accepted(), echo.proxy.passed(Way::ToServer), echo.proxy.passed(Way::ToClient)),
        (1, 5, 5)
    );
    // A half that is closed is closed at the other end, and the other half goes on.
    say(&mut one, "bye").await;
    one.shutdown().await.unwrap();
    hear(&mut one, "bye").await;
    assert_eq!(ended(&mut one).await, Close::Fin);
}

#[tokio::test]
async fn delay_and_throttle_take_their_time() {
    let echo = echo().await;
    let mut one = echo.connect().await;
    echo.proxy.set(Way::ToClient, Flow::Delay(MOMENT));
    let started = Instant::now();
    say(&mut one, "late").await;
    hear(&mut one, "late").await;
    assert!(started.elapsed() >= MOMENT);

    echo.proxy.heal();
    echo.proxy.set(Way::ToServer, Flow::Throttle(10_000));
    let started = Instant::now();
    let long = "x".repeat(3_000);
    say(&mut one, &long).await;
    hear(&mut one, &long).await;
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_stall_in_the_middle_goes_on_where_it_stood() {
    let echo = echo().await;
    let mut one = echo.connect().await;
    echo.proxy.set(Way::ToClient, Flow::Hold { after: 3 });
    say(&mut one, "abcdef").await;
    hear(&mut one, "abc").await;
    silence(&mut one).await;
    echo.proxy.heal();
    hear(&mut one, "def").await;
}

#[tokio::test]
async fn a_black_hole_takes_new_connections_too_and_gives_everything_back() {
    let echo = echo().await;
    let mut old = echo.connect().await;
    say(&mut old, "a").await;
    hear(&mut old, "a").await;
    echo.proxy.black_hole();
    let mut new = echo.connect().await;
    say(&mut old, "b").await;
    say(&mut new, "c").await;
    silence(&mut old).await;
    silence(&mut new).await;
    echo.proxy.heal();
    hear(&mut old, "b").await;
    hear(&mut new, "c").await;
}

#[tokio::test]
async fn a_reply_is_swallowed_and_the_connection_ends_when_that_is_over() {
    let echo = echo().await;
    let mut one = echo.connect().await;
    echo.proxy.set(Way::ToClient, Flow::Swallow);
    say(&mut one, "request").await;
    eventually(DEADLINE, async || {
        anyhow::ensure!(echo.proxy.passed(Way::ToServer) == 7, "the request has not passed");
        Ok(())
    })
    .await
    .unwrap();
    silence(&mut one).await;
    assert_eq!(echo.proxy.passed(Way::ToClient), 0);
    echo.proxy.heal();
    assert_eq!(ended(&mut one).await, Close::Reset);
}

#[tokio::test]
async fn a_connection_ends_after_so_many_bytes() {
    let echo = echo().await;
    for how in [Close::Fin, Close::Reset] {
        for way in [Way::ToClient, Way::ToServer] {
            echo.proxy.heal();
            echo.proxy.set(way, Flow::End { after: 4..=4, how });
            for _ in 0..2 {
                let mut one = echo.connect().await;
                say(&mut one, "abcdef").await;
                if way == Way::ToClient && how == Close::Fin {
                    hear(&mut one, "abcd").await;
                }
                let mut rest = Vec::new();
                let end = tokio::time::timeout(DEADLINE, one.read_to_end(&mut rest)).await.unwrap();
                assert!("abcd".as_bytes().starts_with(&rest), "{rest:?}");
                assert_eq!(end.is_ok(), how == Close::Fin, "{way:?} {how:?} {end:?}");
            }
        }
    }
}

#[tokio::test]
async fn where_it_ends_is_chosen_by_the_seed() {
    let echo = echo().await;
    let server = *echo.proxy.shared.target.lock().unwrap();
    let lengths = async |seed| {
        let proxy = Proxy::start_seeded(server.unwrap(), seed).await.unwrap();
        proxy.set(Way::ToClient, Flow::End { after: 1..=1000, how: Close::Fin });
        let mut lengths = Vec::new();
        for _ in 0..5 {
            let mut one = TcpStream::connect(proxy.addr()).await.unwrap();
            say(&mut one, &"x".repeat(1000)).await;
            let mut heard = Vec::new();
            tokio::time::timeout(DEADLINE, one.read_to_end(&mut heard)).await.unwrap().unwrap();
            lengths.push(heard.len());
        }
        lengths
    };
    let first = lengths(7).await;
    assert_eq!(first, lengths(7).await);
    assert_ne!(first, lengths(8).await);
}

#[tokio::test]
async fn open_connections_are_ended_and_new_ones_refused() {
    let echo = echo().await;
    for how in [Close::Fin, Close::Reset] {
        let mut one = echo.connect().await;
        say(&mut one, "a").await;
        hear(&mut one, "a").await;
        echo.proxy.close_all(how);
        assert_eq!(ended(&mut one).await, how);
    }
    let server = *echo.proxy.shared.target.lock().unwrap();
    echo.proxy.point_at(None);
    assert_eq!(ended(&mut echo.connect().await).await, Close::Reset);
    echo.proxy.point_at(server);
    let mut one = echo.connect().await;
    say(&mut one, "a").await;
    hear(&mut one, "a").await;
}
