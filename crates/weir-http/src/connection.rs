//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_metrics::{Disconnect, Refused};

use crate::admission::Connected;
use crate::announced;
use crate::app::{App, Peer, Way};
use crate::body::Body;
use crate::client::rejected;
use crate::handover::Handover;
use crate::handshake::{self, Begun, HEAD_TIMEOUT};
use crate::line::Line;
use crate::link::{Busy, Link};
use crate::server::Role;
use crate::sniff::{Protocol, Sniffed};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::supervisor::{Supervisor, Watched as _};
use crate::tls::Tls;
use crate::writer::{Framing, Writer};
use crate::{admin, breach, router};

/// Most bytes of a request's head, and of what hyper buffers for a client that does not read.
const BUFFER_BYTES: usize = 16 * 1024;

/// Most bytes of a request's headers over HTTP/2, as HTTP/2 counts them.
const HEAD_BYTES: u32 = 16 * 1024;

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// Most streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 200;

/// Requests of one HTTP/2 connection that may be taken back before they were looked at. One that takes back more makes work
/// and asks for nothing (rapid reset, CVE-2023-44487), and is closed.
const MAX_TAKEN_BACK: usize = 20;

/// Streams that weir may have to end in the life of an HTTP/2 connection because they break a rule. Not few, because a load
/// balancer may send those of all its clients over one connection.
const MAX_BROKEN_STREAMS: usize = 1024;

/// Bytes of bodies that an HTTP/2 connection may send before weir has taken them: a large event in each stream, four of them
/// in all streams together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// An HTTP/2 connection is asked for a sign of life this often, and closed where none comes in as long.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// An HTTP/2 connection on which nothing goes on for so long is asked to end, and closed where it has not done so in as long
/// as a head has. One of HTTP/1.1, and one of HTTP/2 that never asked for anything, has as long as a head has.
const H2_IDLE: Duration = Duration::from_secs(30);

/// What a connection needs of its server.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) app: Arc<App>,
    pub(crate) role: Role,
    pub(crate) peer: Peer,
    /// What the listener shows its clients.
    pub(crate) tls: Option<Arc<Tls>>,
    /// The streams of HTTP/2 run as tasks of their own.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when connections are to end as soon as nothing runs on them.
    pub(crate) closing: CancellationToken,
    /// Cancelled, after that, when they are to end whatever runs on them.
    pub(crate) cut: CancellationToken,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(mut context: Context, tcp: TcpStream) {
    // Boxed, so that a connection does not keep the room that its beginning needed.
    let first = tokio::select! {
        first = Box::pin(first(&context, tcp)) => first,
        () = context.closing.cancelled() => None,
    };
    let Some(First { peer, begun: (line, protocol, sniffed), _place }) = first else { return };
    context.peer = peer;
    let link = Arc::new(Link::new(protocol, line.is_tls()));
    let end = match protocol {
        // Boxed, so that a stream does not keep the room that hyper needed before it.
        Protocol::Http1 => match Box::pin(serve_http1(&context, line, sniffed, &link)).await {
            Http1::End(end) => end,
            Http1::Stream(writer) => {
                drop(link);
                stream(&context.app, writer).await
            }
        },
        Protocol::Http2 => Box::pin(serve_http2(&context, line, sniffed, &link)).await,
    };
    match end {
        End::Peer => {}
        End::Http(error) => tracing::trace!(%error, "connection failed"),
        End::Socket(error) => tracing::trace!(%error, "connection failed"),
        End::Cut(reason) => tracing::debug!(reason = reason.as_str(), "connection cut"),
    }
}

/// What a connection begins with.
struct First {
    peer: Peer,
    begun: Begun,
    _place: Connected,
}

async fn first(context: &Context, mut tcp: TcpStream) -> Option<First> {
    let metrics = &context.app.metrics;
    let until = Instant::now() + HEAD_TIMEOUT;
    let identified = tokio::time::timeout_at(until, identify(context, &mut tcp)).await;
    if identified.is_err() {
        metrics.requests.rejected.inc(Refused::Silent);
    }
    let (peer, place) = identified.ok()?.ok()?;
    let begun = handshake::begin(tcp, context.tls.as_ref(), until, metrics).await?;
    Some(First { peer, begun, _place: place })
}

/// Whom a connection is made for, and the place of one that a proxy made for somebody else. Others have theirs since they
/// were accepted.
async fn identify(context: &Context, tcp: &mut TcpStream) -> io::Result<(Peer, Connected)> {
    let (app, peer) = (&context.app, context.peer);
    if context.role == Role::Admin || !app.config.proxies.announces(peer.address) {
        return Ok((peer, None));
    }
    let is_none = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
    let client = announced::read(tcp).await.inspect_err(|error| {
        if is_none(error) {
            app.metrics.requests.rejected.inc(Refused::Head);
        }
    })?;
    let peer = Peer { address: client.unwrap_or(peer.address), way: Way::Proxied };
    match app.admission.connection(&app.config.proxies, peer.address) {
        Ok(place) => Ok((peer, place)),
        Err(why) => {
            app.metrics.clients.rejected.inc(rejected(why));
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }
}

/// How a connection ended.
enum End {
    Peer,
    Http(hyper::Error),
    Socket(io::Error),
    Cut(Disconnect),
}

/// What became of an HTTP/1.1 connection that hyper had.
enum Http1 {
    End(End),
    Stream(Writer),
}

async fn serve_http1(context: &Context, line: Line, sniffed: Sniffed, link: &Arc<Link>) -> Http1 {
    let handover = Arc::new(Handover::default());
    let socket = Socket::new(line, sniffed, Arc::clone(&handover));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(socket, service(context, link, &handover));
    let mut until_stream = UntilStream { connection, handover };
    let close = |until_stream: Pin<&mut UntilStream<_>>| {
        Pin::new(&mut until_stream.get_mut().connection).graceful_shutdown();
    };
    match drive(Pin::new(&mut until_stream), context, link, close).await {
        Ok(None) => Http1::End(End::Peer),
        Ok(Some((stream, framing))) => {
            let (line, head) = until_stream.connection.into_parts().io.into_parts();
            Http1::Stream(Writer::new(line, head, framing, stream))
        }
        Err(end) => {
            if let End::Http(error) = &end {
                let has_begun = !until_stream.connection.into_parts().read_buf.is_empty();
                count(context, breach::of_http1(error, has_begun));
            }
            Http1::End(end)
        }
    }
}

fn count(context: &Context, refused: Option<Refused>) {
    if let Some(refused) = refused {
        context.app.metrics.requests.rejected.inc(refused);
    }
}

/// A connection of hyper's until its end, or until it has a stream.
struct UntilStream<S: HttpService<Incoming>> {
    connection: http1::Connection<Socket, S>,
    handover: Arc<Handover>,
}

impl<S> Future for UntilStream<S>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible, Future = Answer> + Unpin,
{
    type Output = hyper::Result<Option<(Stream, Framing)>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let ended = Pin::new(&mut self.connection).poll(cx);
        match self.handover.take() {
            None => ended.map_ok(|()| None),
            stream @ Some(_) => Poll::Ready(Ok(stream)),
        }
    }
}

/// Writes a stream beside its supervisor. The writer comes first, so that the supervisor sees what it has done; and where
/// there is nothing else than events, which is most of the time, nothing else is looked at.
async fn stream(app: &App, mut writer: Writer) -> End {
    let client = writer.client();
    let mut supervisor = Supervisor::new(app, &client);
    let caller = client.caller();
    let written = poll_fn(|cx| {
        if let Poll::Ready(written) = writer.poll_write(cx) {
            return Poll::Ready(Ok(written));
        }
        while supervisor.called(cx) {
            if let Poll::Ready(heard) = writer.poll_hear(&mut task::Context::from_waker(&caller)) {
                return Poll::Ready(Ok(heard));
            }
            if let Poll::Ready(reason) = supervisor.look() {
                return Poll::Ready(Err(reason));
            }
        }
        Poll::Pending
    });
    match written.await {
        Ok(Ok(())) => End::Peer,
        Ok(Err(error)) => {
            if !has_left(error.kind()) {
                client.failed();
            }
            End::Socket(error)
        }
        Err(reason) => End::Cut(reason),
    }
}

async fn serve_http2(context: &Context, line: Line, sniffed: Sniffed, link: &Arc<Link>) -> End {
    let handover = Arc::new(Handover::default());
    let socket = Socket::new(line, sniffed, Arc::clone(&handover));
    let connection = http2::Builder::new(Tasks(context.tasks.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(BUFFER_BYTES)
        .max_header_list_size(HEAD_BYTES)
        .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
        .max_local_error_reset_streams(MAX_BROKEN_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(H2_KEEP_ALIVE)
        .keep_alive_timeout(H2_KEEP_ALIVE)
        .serve_connection(socket, service(context, link, &handover));
    let connection = std::pin::pin!(connection);
    match drive(connection, context, link, http2::Connection::graceful_shutdown).await {
        Ok(()) => End::Peer,
        Err(end) => {
            if let End::Http(error) = &end {
                count(context, breach::of_http2(error));
            }
            end
        }
    }
}

/// hyper keeps the future of a request within the connection for as long as that lives, and ours is as large as the largest
/// handler: boxed, it is given back when the stream begins.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

fn service(
    context: &Context,
    link: &Arc<Link>,
    handover: &Arc<Handover>,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future = Answer> + Unpin + use<> {
    let (app, link, peer, role) = (Arc::clone(&context.app), Arc::clone(link), context.peer, context.role);
    let handover = Arc::clone(handover);
    service_fn(move |request: Request<Incoming>| -> Answer {
        let (app, connection) = (Arc::clone(&app), (Arc::clone(&link), Arc::clone(&handover)));
        let busy = link.busy();
        match role {
            Role::Public => Box::pin(while_busy(busy, router::answer(app, connection, peer, request))),
            Role::Admin => Box::pin(while_busy(busy, admin::answer(app, peer, request))),
        }
    })
}

async fn while_busy(
    busy: Busy,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Result<Response<Body>, Infallible> {
    Ok(answer.await?.map(|body| busy.watched(body)))
}

/// Runs a connection of hyper's beside its supervisor. The connection comes first, so that the supervisor sees what it has
/// done.
async fn drive<C, T>(
    mut connection: Pin<&mut C>,
    context: &Context,
    link: &Arc<Link>,
    close: impl Fn(Pin<&mut C>),
) -> Result<T, End>
where
    C: Future<Output = hyper::Result<T>>,
{
    let mut supervisor = Supervisor::new(&context.app, link);
    let mut closing = std::pin::pin!(context.closing.cancelled());
    let mut cut = std::pin::pin!(context.cut.cancelled());
    let mut idle = std::pin::pin!(link.idle(H2_IDLE));
    let mut unread = std::pin::pin!(link.unread(context.app.config.stall_timeout));
    let (mut asked_to_close, mut was_idle) = (false, false);
    loop {
        tokio::select! {
            biased;
            result = &mut connection => {
                return result.map_err(|error| failed(link, error));
            }
            reason = &mut supervisor => return Err(End::Cut(reason)),
            () = &mut closing, if !asked_to_close => {
                asked_to_close = true;
                close(connection.as_mut());
            }
            () = &mut idle => {
                if was_idle {
                    return Err(End::Cut(Disconnect::Stalled));
                }
                (asked_to_close, was_idle) = (true, true);
                close(connection.as_mut());
                idle.set(link.idle(HEAD_TIMEOUT));
            }
            () = &mut unread => {
                // A client whose answer it is has its own reason.
                let cut = supervisor.look();
                link.failed();
                return Err(End::Cut(if let Poll::Ready(reason) = cut { reason } else { Disconnect::Stalled }));
            }
            () = &mut cut, if asked_to_close => return Err(End::Cut(Disconnect::Shutdown)),
        }
    }
}

/// What is dropped with the connection is counted by how it ended.
fn failed(link: &Link, error: hyper::Error) -> End {
    if !peer_left(&error) {
        link.failed();
    }
    End::Http(error)
}

/// Whether the peer just went, as a closed tab does.
fn peer_left(error: &hyper::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    error.is_incomplete_message() || io.is_some_and(has_left)
}

fn has_left(kind: io::ErrorKind) -> bool {
    [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof].contains(&kind)
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
