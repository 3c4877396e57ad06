//! hyper and nothing else: each event is encoded once into the queue of its session, and the body of every subscriber
//! drains that queue from its own place. What this stack can reach.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::{LocalSet, spawn_local};
use weir_peers::{Ids, at_once, heartbeat, listen};

/// Frames that a session keeps. A subscriber that falls behind them is let go.
const KEPT: usize = 1_024;

/// The frames of a session, and who waits for the next one.
#[derive(Default)]
struct Session {
    frames: Vec<Bytes>,
    /// The place of the first of them.
    first: usize,
    waiting: Vec<Waker>,
}

impl Session {
    fn push(&mut self, frame: Bytes) {
        if self.frames.len() == 2 * KEPT {
            self.frames.drain(..KEPT);
            self.first += KEPT;
        }
        self.frames.push(frame);
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

#[derive(Default)]
struct Server {
    ids: Ids,
    sessions: HashMap<String, Rc<RefCell<Session>>>,
}

impl Server {
    fn session(&mut self, path: &str) -> Rc<RefCell<Session>> {
        Rc::clone(self.sessions.entry(path.to_owned()).or_default())
    }
}

type Shared = Rc<RefCell<Server>>;

/// What one subscriber is sent.
struct Stream {
    session: Rc<RefCell<Session>>,
    next: usize,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let session = Rc::clone(&self.session);
        let mut session = session.borrow_mut();
        let Some(place) = self.next.checked_sub(session.first) else { return Poll::Ready(None) };
        match session.frames.get(place) {
            Some(frame) => {
                self.next += 1;
                Poll::Ready(Some(Ok(Frame::data(frame.clone()))))
            }
            None => {
                session.waiting.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

async fn answer(
    server: Shared,
    request: Request<Incoming>,
) -> Result<Response<Either<Stream, Full<Bytes>>>, hyper::Error> {
    let session = server.borrow_mut().session(request.uri().path());
    if request.method() == Method::GET {
        let next = session.borrow().first + session.borrow().frames.len();
        let mut response = Response::new(Either::Left(Stream { session, next }));
        let headers = response.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("text/event-stream"));
        headers.insert("cache-control", http::HeaderValue::from_static("no-cache"));
        return Ok(response);
    }
    let data = request.into_body().collect().await?.to_bytes();
    let id = server.borrow_mut().ids.assign();
    session.borrow_mut().push([b"id: ", id.as_bytes(), b"\ndata: ", &data, b"\n\n"].concat().into());
    let mut response = Response::new(Either::Right(Full::from(id)));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Comments on every stream, all at once: a timer for each would be something of ours.
async fn keep_alive(server: Shared) {
    loop {
        tokio::time::sleep(heartbeat()).await;
        let sessions: Vec<_> = server.borrow().sessions.values().cloned().collect();
        for session in sessions {
            session.borrow_mut().push(Bytes::from_static(b":\n\n"));
        }
    }
}

async fn serve() -> std::io::Result<()> {
    let (listener, server) = (listen().await?, Shared::default());
    spawn_local(keep_alive(Rc::clone(&server)));
    loop {
        let (stream, _) = listener.accept().await?;
        at_once(&stream);
        let server = Rc::clone(&server);
        let service = service_fn(move |request| answer(Rc::clone(&server), request));
        // A client that leaves ends its connection with an error, which is nothing to tell.
        spawn_local(
            async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await },
        );
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    LocalSet::new().run_until(serve()).await
}
