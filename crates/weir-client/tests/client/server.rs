//! A server that answers each request by the next piece of a script and tells what it was asked.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_client::{Client, ServerUrl};

/// How long a test waits for something that must come.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// One thing to do on a connection.
pub(crate) enum Step {
    /// Sends these bytes.
    Send(String),
    /// Keeps the connection open and says nothing.
    Hang,
}

/// What the client sent.
#[derive(Debug)]
pub(crate) struct Request {
    /// Method and target.
    pub(crate) line: String,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<String>,
    /// The body.
    pub(crate) body: String,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

/// The server. It is gone when the test is.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<Request>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers the requests, each on a connection of its own, in the order of the script; more are not accepted.
    pub(crate) async fn start(script: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    /// The same on a listener that was bound before.
    pub(crate) fn on(listener: TcpListener, script: Vec<Vec<Step>>) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, requests) = mpsc::unbounded_channel();
        #[expect(clippy::disallowed_methods, reason = "the task is aborted when the server is dropped")]
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            for steps in script {
                let (mut socket, _) = listener.accept().await.unwrap();
                tell.send(read_request(&mut socket).await).unwrap();
                for step in steps {
                    match step {
                        Step::Send(text) => socket.write_all(text.as_bytes()).await.unwrap(),
                        Step::Hang => {
                            held.push(socket);
                            break;
                        }
                    }
                }
            }
            std::future::pending::<()>().await;
        });
        Self { url, requests, task }
    }

    /// The next request that came.
    pub(crate) async fn request(&mut self) -> Request {
        tokio::time::timeout(SOON, self.requests.recv()).await.expect("no request came").unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client of a server.
pub(crate) fn client(url: &str) -> Client {
    Client::new(&ServerUrl::parse(url).unwrap(), None).unwrap()
}

/// An address on which nobody listens, and nobody else can as long as this is held.
pub(crate) struct Nobody(TcpSocket);

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Somebody is there from now on.
    pub(crate) fn listen(self) -> TcpListener {
        self.0.listen(16).unwrap()
    }
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    vec![Step::Send(text)]
}

/// The head of a stream and its first bytes; the stream ends with the connection.
pub(crate) fn stream(text: &str) -> Step {
    Step::Send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{text}"
    ))
}

async fn read_request(socket: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "the request broke off");
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n").map(str::to_owned);
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<String> = lines.collect();
    let length =
        headers.iter().find_map(|h| h.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    while bytes.len() < head + 4 + length {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "the body broke off");
    }
    Request { line, headers, body: String::from_utf8(bytes[head + 4..].to_vec()).unwrap() }
}
