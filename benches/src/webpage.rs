//! A page that notes when it sees an event, by each of three ways.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the page listens to.
pub const SESSION: &str = "page";

/// The ways, as the page calls them.
pub const BY: [&str; 3] = ["client", "source", "asked"];

const PAGE: &str = include_str!("webpage.html");

/// Serves the page, which listens at this address, to whoever connects.
pub async fn serve(listener: TcpListener, weir: SocketAddr) {
    let page = PAGE.replace("@WEIR@", &format!("http://{weir}")).replace("@SESSION@", SESSION);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
    let mut open = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let answer = answer.clone();
        open.spawn(async move {
            // A browser that goes away has what it wanted.
            let _ = reply(tcp, &answer).await;
        });
    }
}

/// What a browser asks for does not matter.
async fn reply(mut tcp: TcpStream, answer: &str) -> std::io::Result<()> {
    if tcp.read(&mut [0; 8_192]).await? == 0 {
        return Ok(());
    }
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await
}
