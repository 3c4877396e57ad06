//! Makes connections to whoever has the stream now.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Resp3Frame;
use fred::types::config::Server;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{BadRedisAccess, RedisAccess};
use super::fault::Fault;
use super::frame;
use super::home::sentinel::Word;
use super::home::{Home, sentinel};
use super::link::{Dialer, Link, Terms};
use super::resp::Walk;
use super::wire::Wire;
use weir_metrics::Metrics;

/// How often the Sentinels are asked whether the master is still the same. It bounds how long connections stay with one
/// that was replaced without closing them: a machine that stands still, or that nobody reaches any more.
const LOOK: Duration = Duration::from_secs(1);

/// For how long after a change of the master an older word is not believed: Sentinels learn of a failover one after the
/// other. Later it is, because somebody may have set them up anew.
const SETTLE: Duration = Duration::from_secs(10);

/// Makes connections. A Sentinel or a cluster is asked anew for each of them, so that a connection that is made again is
/// one to the server that counts now.
#[derive(Debug)]
pub(super) struct Connector {
    dialer: Dialer,
    home: Home,
    /// Where the connections are, while that may change under them.
    stay: Mutex<Option<Stay>>,
}

/// The server the connections are at. They end with the token.
#[derive(Debug)]
struct Stay {
    server: Server,
    /// Of the word that named it.
    epoch: i64,
    since: Instant,
    over: CancellationToken,
}

impl Connector {
    pub(super) fn new(
        access: &RedisAccess,
        stream: &str,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
    ) -> Result<Self, BadRedisAccess> {
        let config = access.client()?;
        let home = Home::of(&config);
        let dialer = Dialer::new((config, access.password_file.clone()), stream, metrics, tasks);
        Ok(Self { dialer, home, stay: Mutex::new(None) })
    }

    /// Makes a connection, or says why there is none. Dropping the future leaves nothing behind.
    pub(super) async fn connect(&self) -> Result<Arc<Link>, Fault> {
        self.reach().await
    }

    /// Makes a connection for entries to come over.
    pub(super) async fn connect_wire(&self) -> Result<Wire, Fault> {
        self.reach().await
    }

    async fn reach<C: Connection>(&self) -> Result<C, Fault> {
        let terms = self.home.terms();
        match &self.home {
            Home::Fixed => C::dial(&self.dialer, None, terms, CancellationToken::new()).await,
            Home::Sharded(shards) => {
                let owner = shards.owner(&self.dialer).await?;
                let dialed = C::dial(&self.dialer, Some(&owner), terms, CancellationToken::new()).await;
                dialed.map_err(|fault| fault.away(format_args!("the node {owner}")))
            }
            Home::Watched(sentinels) => {
                let word = sentinels.master(&self.dialer).await?;
                let (master, over) = (word.master.clone(), self.token_of(&word.master));
                tokio::select! {
                    link = C::dial(&self.dialer, Some(&master), terms, over.clone()) => {
                        let mut link = link.map_err(|fault| fault.away(format_args!("the master {master}")))?;
                        must_be_master(link.role().await, &master)?;
                        // Only now: a word alone ends no good connection.
                        self.stay_at(word, &over);
                        if over.is_cancelled() {
                            return Err(Fault::Away("the Sentinels tell of a master of before".to_owned()));
                        }
                        Ok(link)
                    }
                    () = over.cancelled() => Err(Fault::Away("the master has just changed".to_owned())),
                }
            }
        }
    }

    /// Ends the connections to a master that was replaced. It never returns; its owner cancels it.
    pub(super) async fn watch(&self) {
        let Home::Watched(sentinels) = &self.home else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK.mul_f64(0.8 + fastrand::f64() * 0.4)).await;
            if let Some(word) = sentinels.agreed_master(&self.dialer).await {
                let over = self.token_of(&word.master);
                self.stay_at(word, &over);
            }
        }
    }

    /// What ends connections to this server.
    fn token_of(&self, server: &Server) -> CancellationToken {
        let stay = self.stay.lock();
        let there = stay.as_ref().filter(|stay| stay.server == *server);
        there.map_or_else(CancellationToken::new, |stay| stay.over.clone())
    }

    /// Says where connections belong from now on, and ends those that are elsewhere; those to the server of an older word
    /// end themselves.
    fn stay_at(&self, word: Word, over: &CancellationToken) {
        let mut stay = self.stay.lock();
        if let Some(old) = stay.as_mut() {
            if old.server == word.master {
                old.epoch = old.epoch.max(word.epoch);
                return;
            }
            if word.epoch < old.epoch && old.since.elapsed() < SETTLE {
                over.cancel();
                return;
            }
            tracing::warn!(from = %old.server, to = %word.master, "the master of redis has changed");
            old.over.cancel();
        }
        let Word { master, epoch } = word;
        *stay = Some(Stay { server: master, epoch, since: Instant::now(), over: over.clone() });
    }
}

/// What is connected.
trait Connection: Sized {
    /// Connects to the server, or to the one of the URL; it ends with the token.
    async fn dial(
        dialer: &Dialer,
        server: Option<&Server>,
        terms: Terms,
        over: CancellationToken,
    ) -> Result<Self, Fault>;

    /// What the server says of itself.
    async fn role(&mut self) -> Result<Resp3Frame, Fault>;
}

impl Connection for Arc<Link> {
    async fn dial(
        dialer: &Dialer,
        server: Option<&Server>,
        terms: Terms,
        over: CancellationToken,
    ) -> Result<Self, Fault> {
        dialer.dial(server, terms, over).await
    }

    async fn role(&mut self) -> Result<Resp3Frame, Fault> {
        self.ask("ROLE", Vec::new(), sentinel::PATIENCE).await
    }
}

impl Connection for Wire {
    async fn dial(
        dialer: &Dialer,
        server: Option<&Server>,
        terms: Terms,
        over: CancellationToken,
    ) -> Result<Self, Fault> {
        dialer.dial_wire(server, terms, over).await
    }

    async fn role(&mut self) -> Result<Resp3Frame, Fault> {
        let deadline = Instant::now() + sentinel::PATIENCE;
        self.ask(&["ROLE"]);
        self.send(deadline).await?;
        Walk::new(self.reply(deadline).await?).frame()
    }
}

/// A Sentinel may name a server that is not or no longer a master. One whose users may not ask is believed.
fn must_be_master(role: Result<Resp3Frame, Fault>, server: &Server) -> Result<(), Fault> {
    match role {
        Ok(role) if frame::at(&role, 0, frame::text)? != "master" => {
            Err(Fault::Away(format!("{server}, which the Sentinels name, is no master")))
        }
        Ok(_) | Err(Fault::Refused(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}
