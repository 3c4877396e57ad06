use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::raw::Closed;
use crate::stream::Next;

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const LIMIT: Duration = Duration::from_millis(200);

/// A server of one connection: it answers the first request with `answer` and returns the request and the socket.
async fn scripted(answer: &'static str) -> (Client, impl Future<Output = (String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let serve = async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        (String::from_utf8(request).unwrap(), socket)
    };
    (client, serve)
}

#[tokio::test]
async fn a_request_as_it_goes_out() {
    let (client, serve) =
        scripted("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno").await;
    let request =
        client.events("a/b ü").query("type", "x&y").query("wait", "0").header("last-event-id", "7-0");
    let (answer, (request, _socket)) = tokio::join!(request.send(), serve);

    let answer = answer.unwrap();
    assert_eq!((answer.status(), answer.text().unwrap(), answer.end), (404, "no", End::Clean));
    let addr = client.addr;
    let want = format!(
        "GET /v1/sessions/a%2Fb%20%C3%BC/events?type=x%26y&wait=0 HTTP/1.1\r\nhost: {addr}\r\nlast-event-id: 7-0\r\n\r\n"
    );
    assert_eq!(request, want);
}

#[tokio::test]
async fn a_body_that_ends_early_is_cut() {
    let (client, serve) = scripted("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let serve = async { drop(serve.await) };
    let (answer, ()) = tokio::join!(client.get("/").send(), serve);
    let answer = answer.unwrap();
    assert_eq!((answer.text().unwrap(), answer.end), ("half", End::Cut));
}

#[tokio::test]
async fn a_stream_tells_a_clean_end_from_a_cut() {
    for (rest, want) in [("0\r\n\r\n", End::Clean), ("", End::Cut), ("5\r\nid: ", End::Cut)] {
        let (client, serve) = scripted(STREAM).await;
        let (stream, (_, mut socket)) = tokio::join!(client.events("a").subscribe(), serve);
        let mut stream = stream.unwrap();

        socket.write_all(b"18\r\nretry: 5\nid: 1\ndata: a\n\n\r\n2\r\n:\n\r\n").await.unwrap();
        let event = stream.next_event().await.unwrap();
        assert_eq!((event.data.as_str(), stream.last_event_id(), stream.retry()), ("a", "1", Some(5)));

        socket.write_all(rest.as_bytes()).await.unwrap();
        drop(socket);
        assert_eq!(stream.read_to_end().await.unwrap(), (vec![], want), "{rest:?}");
        assert_eq!(stream.next().await.unwrap(), Next::End(want));
        assert_eq!(stream.comments(), 1);
        assert!(stream.transcript().starts_with(b"retry: 5\nid: 1\ndata: a\n\n:\n"));
    }
}

#[tokio::test]
async fn a_stream_that_is_not_clean_is_an_error() {
    for chunk in ["8\r\ndata:x\n\n\r\n", "8\r\nid: 1\n\n\n\r\n", "2\r\nid\r\n0\r\n\r\n", "oops\r\n"] {
        let (client, serve) = scripted(STREAM).await;
        let (stream, (_, mut socket)) = tokio::join!(client.events("a").subscribe(), serve);
        socket.write_all(chunk.as_bytes()).await.unwrap();
        assert!(stream.unwrap().next_event().await.is_err(), "{chunk:?}");
    }
}

#[tokio::test]
async fn silence_ends_with_an_error_that_says_where() {
    let (client, serve) = scripted(STREAM).await;
    let (stream, (_, _socket)) = tokio::join!(client.events("a").deadline(LIMIT).subscribe(), serve);
    let error = stream.unwrap().next_event().await.unwrap_err().to_string();
    assert_eq!(error, "GET /v1/sessions/a/events (after 0 events, last id \"\"): nothing within 200ms");
}

#[tokio::test]
async fn what_is_no_stream_is_shown() {
    let (client, serve) = scripted("HTTP/1.1 403 No\r\ncontent-length: 4\r\n\r\nwhy?").await;
    let (stream, _) = tokio::join!(client.events("a").subscribe(), serve);
    let error = format!("{:#}", stream.unwrap_err());
    assert!(error.contains("403") && error.contains("why?"), "{error}");
}

#[tokio::test]
async fn a_bare_connection_sees_eof_reset_and_silence() {
    let (client, serve) = scripted("hello").await;
    let mut conn = RawConn::open(client.addr).await.unwrap();
    conn.write(b"any\r\n\r\n").await.unwrap();
    let (_, socket) = serve.await;
    assert_eq!(conn.read_until_close(LIMIT).await.unwrap(), ("hello".into(), None));
    drop(socket);
    assert_eq!(conn.read_until_close(LIMIT).await.unwrap(), ("".into(), Some(Closed::Eof)));

    let (client, serve) = scripted("").await;
    let mut conn = RawConn::open_narrow(client.addr, 4096).await.unwrap();
    conn.write(b"any\r\n\r\n").await.unwrap();
    let (_, socket) = serve.await;
    socket.set_zero_linger().unwrap();
    drop(socket);
    assert_eq!(conn.read_until_close(LIMIT).await.unwrap(), ("".into(), Some(Closed::Reset)));
}
