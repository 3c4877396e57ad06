//! Listeners: they accept connections until they are told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_core::notice::Refusal;
use weir_metrics::Held;

use crate::admin;
use crate::admission::Connected;
use crate::app::{App, Peer, Way};
use crate::client::rejected;
use crate::connection::{self, Context};
use crate::tls::Tls;

/// Connections the kernel may hold for us: a reconnect storm that finds less room shows as seconds of SYN retries.
pub const BACKLOG: i32 = 4096;

/// Bytes not yet sent that the kernel takes for a client that does not read, so that what weir counts as queued is true.
const NOT_SENT_BYTES: u32 = 16 * 1024;

/// How long the kernel tries to get data to a peer that does not answer. Never below 30 s: it also cuts peers that are
/// there but have closed their window.
const USER_TIMEOUT: Duration = Duration::from_secs(45);

/// Connections accepted before all that is open gets a turn. Each brings a request with it, and many clients that come back
/// at once are many requests: live events would wait for all of them.
const ACCEPT_TURN: usize = 4;

/// How long accepting rests where no file descriptor is left. Jittered.
const ACCEPT_REST: Duration = Duration::from_millis(75);

/// Files kept back from public connections, so that Redis, operators and the listeners themselves get through when the
/// public takes all it can have.
const SPARE_FILES: u64 = 64;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients and publishers.
    Public,
    /// Operators.
    Admin,
}

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    role: Role,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Binds an address. The options are set before listening, because accepted sockets inherit them.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(address: SocketAddr, role: Role) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { tcp: TcpListener::from_std(socket.into())?, role, tls: None })
    }

    /// Speaks TLS, with this certificate.
    pub fn with_tls(self, tls: &Arc<Tls>) -> Self {
        Self { tls: Some(Arc::clone(tls)), ..self }
    }

    /// The address bound, with the port that was chosen where 0 was given.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The connections of an instance.
#[derive(Clone, Debug)]
pub struct Server {
    app: Arc<App>,
    /// Every connection and every stream of HTTP/2.
    tasks: TaskTracker,
    /// No more connections are accepted, and those that are open end as soon as nothing runs on them.
    closing: CancellationToken,
    /// What still runs is dropped. Never before `closing`.
    cut: CancellationToken,
    /// Public connections that may still be accepted.
    room: Arc<Semaphore>,
    /// Admin connections, which have room of their own.
    admin: Arc<admin::room::Room>,
}

/// What a connection holds while it is open.
enum Place {
    Public { _room: OwnedSemaphorePermit, _of_ip: Connected, _open: Held },
    Admin(admin::room::Place),
}

impl Server {
    /// A server without listeners.
    pub fn new(app: Arc<App>) -> Self {
        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let room = usize::try_from(files - SPARE_FILES.min(files / 2)).unwrap_or(usize::MAX);
        let room = room.min(Semaphore::MAX_PERMITS);
        app.metrics.clients.sockets_max.set(i64::try_from(room).unwrap_or(i64::MAX));
        let room = Arc::new(Semaphore::new(room));
        Self { app, tasks: TaskTracker::new(), closing, cut, room, admin: Arc::default() }
    }

    /// The instance served.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Accepts until the server closes.
    pub async fn accept(self, listener: Listener) {
        for nth in 1_usize.. {
            if nth.is_multiple_of(ACCEPT_TURN) {
                tokio::task::yield_now().await;
            }
            let accepted = tokio::select! {
                accepted = listener.tcp.accept() => accepted,
                () = self.closing.cancelled() => return,
            };
            match accepted {
                Ok((tcp, from)) => self.take(tcp, from, &listener),
                Err(error) if is_exhaustion(&error) => self.rest(&error).await,
                Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
            }
        }
    }

    fn take(&self, tcp: TcpStream, from: SocketAddr, listener: &Listener) {
        let peer = Peer { address: from.ip().to_canonical(), way: Way::Direct };
        let place = match listener.role {
            Role::Admin => Place::Admin(self.admin.enter()),
            Role::Public => match self.place(peer) {
                Ok(place) => place,
                Err(why) => {
                    // A close and nothing said: a browser comes back after that, and never after an error.
                    self.app.metrics.clients.rejected.inc(rejected(why));
                    return;
                }
            },
        };
        // Not inherited everywhere; without it a small event may wait for the acknowledgement of the one before.
        if let Err(error) = SockRef::from(&tcp).set_tcp_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
            return;
        }
        let context = Context {
            app: Arc::clone(&self.app),
            role: listener.role,
            tls: listener.tls.clone(),
            peer,
            tasks: self.tasks.clone(),
            closing: self.closing.clone(),
            cut: self.cut.clone(),
        };
        // What is awaited is made where it is awaited: a future that is handed over takes its room twice, for as long as the
        // connection lasts.
        match place {
            Place::Admin(place) => {
                self.tasks.spawn(place.hold(Box::pin(connection::serve(context, tcp))));
            }
            Place::Public { .. } => {
                self.tasks.spawn(async move {
                    connection::serve(context, tcp).await;
                    drop(place);
                });
            }
        }
    }

    /// The place of a public connection.
    fn place(&self, peer: Peer) -> Result<Place, Refusal> {
        let of_ip = self.app.admission.connection(&self.app.config.proxies, peer.address)?;
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::Limit)?;
        Ok(Place::Public { _room: room, _of_ip: of_ip, _open: self.app.metrics.clients.socket() })
    }

    /// The listener stays readable while no descriptor is left, so accepting on would spin.
    async fn rest(&self, error: &io::Error) {
        if let Some(times) = self.app.exhausted.due(Instant::now()) {
            tracing::warn!(%error, times, "cannot accept: raise the limit of open files or lower --max-connections");
        }
        let rest = ACCEPT_REST.mul_f64(fastrand::f64() + 0.5);
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = self.closing.cancelled() => {}
        }
    }

    /// Accepts no more; what is idle ends.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
    }

    /// Resolves when every connection has ended. Call [`Server::close`] first.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Drops what still runs.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    rustix::io::Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}
