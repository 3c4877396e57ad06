//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_metrics::Disconnect;

use crate::app::{App, Peer};
use crate::body::Body;
use crate::link::{Link, Supervisor};
use crate::server::Role;
use crate::sniff::{Protocol, Sniffed, sniff};
use crate::socket::Socket;
use crate::{admin, router};

/// How long a client may take for its first bytes, and for the head of each request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of a request's head, and of what hyper buffers for a client that does not read.
const BUFFER_BYTES: usize = 16 * 1024;

/// Most streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 200;

/// An HTTP/2 connection is asked for a sign of life this often, and closed where none comes in as long.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What a connection needs of its server.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) app: Arc<App>,
    pub(crate) role: Role,
    pub(crate) peer: Peer,
    /// The streams of HTTP/2 run as tasks of their own.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when connections are to end as soon as nothing runs on them.
    pub(crate) closing: CancellationToken,
    /// Cancelled, after that, when they are to end whatever runs on them.
    pub(crate) cut: CancellationToken,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(context: Context, mut tcp: TcpStream) {
    let first = async {
        tokio::select! {
            first = tokio::time::timeout(HEAD_TIMEOUT, sniff(&mut tcp)) => first.ok()?.ok(),
            () = context.closing.cancelled() => None,
        }
    };
    let Some((protocol, sniffed)) = first.await else { return };
    let end = match protocol {
        Protocol::Http1 => {
            Box::pin(serve_http1(context, tcp, sniffed)) as Pin<Box<dyn Future<Output = End> + Send>>
        }
        Protocol::Http2 => Box::pin(serve_http2(context, tcp, sniffed)),
    };
    match end.await {
        End::Peer => {}
        End::Error(error) => tracing::trace!(%error, "connection failed"),
        End::Cut(reason) => tracing::debug!(reason = reason.as_str(), "connection cut"),
    }
}

/// How a connection ended.
enum End {
    Peer,
    Error(hyper::Error),
    Cut(Disconnect),
}

async fn serve_http1(context: Context, tcp: TcpStream, sniffed: Sniffed) -> End {
    let link = Arc::new(Link::new(Protocol::Http1));
    let socket = Socket::new(tcp, sniffed, Arc::clone(&link.flight));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        // One copy of a small frame costs less than a write of three parts. Bodies keep their chunks small, so that the buffer
        // this copies into stays small too.
        .writev(false)
        .serve_connection(socket, service(&context, &link));
    let connection = std::pin::pin!(connection);
    drive(connection, &context, &link, http1::Connection::graceful_shutdown).await
}

async fn serve_http2(context: Context, tcp: TcpStream, sniffed: Sniffed) -> End {
    let link = Arc::new(Link::new(Protocol::Http2));
    let socket = Socket::new(tcp, sniffed, Arc::clone(&link.flight));
    let connection = http2::Builder::new(Tasks(context.tasks.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(BUFFER_BYTES)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(H2_KEEP_ALIVE)
        .keep_alive_timeout(H2_KEEP_ALIVE)
        .serve_connection(socket, service(&context, &link));
    let connection = std::pin::pin!(connection);
    drive(connection, &context, &link, http2::Connection::graceful_shutdown).await
}

/// hyper keeps the future of a request within the connection for as long as that lives, and ours is as large as the largest
/// handler: boxed, it is given back when the stream begins.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

fn service(
    context: &Context,
    link: &Arc<Link>,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future = Answer> + use<> {
    let (app, link, peer, role) = (Arc::clone(&context.app), Arc::clone(link), context.peer, context.role);
    service_fn(move |request: Request<Incoming>| -> Answer {
        let (app, link) = (Arc::clone(&app), Arc::clone(&link));
        match role {
            Role::Public => Box::pin(router::answer(app, link, peer, request)),
            Role::Admin => Box::pin(std::future::ready(admin::answer(&app, request))),
        }
    })
}

/// Runs the connection beside its supervisor. The connection comes first, so that the supervisor sees what it has done.
async fn drive<C>(
    mut connection: Pin<&mut C>,
    context: &Context,
    link: &Arc<Link>,
    close: impl Fn(Pin<&mut C>),
) -> End
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut supervisor = Supervisor::new(&context.app, link);
    let mut closing = std::pin::pin!(context.closing.cancelled());
    let mut cut = std::pin::pin!(context.cut.cancelled());
    let mut asked_to_close = false;
    loop {
        tokio::select! {
            biased;
            result = &mut connection => return end(link, result),
            reason = &mut supervisor => return End::Cut(reason),
            () = &mut closing, if !asked_to_close => {
                asked_to_close = true;
                close(connection.as_mut());
            }
            () = &mut cut, if asked_to_close => return End::Cut(Disconnect::Shutdown),
        }
    }
}

/// What is dropped with the connection is counted by how it ended.
fn end(link: &Link, result: hyper::Result<()>) -> End {
    let Err(error) = result else { return End::Peer };
    if !peer_left(&error) {
        link.failed();
    }
    End::Error(error)
}

/// Whether the peer just went, as a closed tab does.
fn peer_left(error: &hyper::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let gone = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof];
    error.is_incomplete_message() || io.is_some_and(|kind| gone.contains(&kind))
}

/// Runs the streams of HTTP/2 as tasks that the server waits for.
#[derive(Clone, Debug)]
struct Tasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
