//! What Sentinels may say: nothing, something old, something that is not so yet. They are played here, the servers are
//! real.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weir_core::log::{EventLog, Feed, LogReader};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{event, events, eventually, loaded, next_news, numbers, write_numbers};
use weir_testkit::redis::{Options, RedisServer};

use crate::SOFTWARE;
use crate::server::{STREAM, config_of, open, ready};

/// What one answers to the question for the master.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// This port of the loopback, since so many failovers.
    Master(u16, u64),
    /// It watches no such service.
    Unknown,
    /// It stands still.
    Nothing,
}

struct Sentinel {
    port: u16,
    word: Arc<Mutex<Word>>,
    _task: JoinSet<()>,
}

impl Sentinel {
    async fn saying(word: Word) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let word = Arc::new(Mutex::new(word));
        let said = Arc::clone(&word);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(answer(client, Arc::clone(&said)));
            }
        });
        Self { port, word, _task: task }
    }

    fn says(&self, word: Word) {
        *self.word.lock() = word;
    }
}

/// Answers until the other side has enough; everything but the questions that matter is greeted.
async fn answer(client: TcpStream, word: Arc<Mutex<Word>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        let mut command = Vec::new();
        // A greeting is a line of its own.
        for _ in 0..count(&mut client).await?.unwrap_or_default() {
            let length = count(&mut client).await?.unwrap_or_default();
            let mut bytes = vec![0; length + 2];
            client.read_exact(&mut bytes).await?;
            command.push(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        }
        let now = *word.lock();
        let reply = match (command.last().map(String::as_str), command.get(1).map(String::as_str), now) {
            (_, _, Word::Nothing) => std::future::pending().await,
            (Some("events"), _, Word::Unknown) => "_\r\n".to_owned(),
            (Some("events"), Some("MASTER"), Word::Master(_, epoch)) => {
                format!("%1\r\n$12\r\nconfig-epoch\r\n$1\r\n{epoch}\r\n")
            }
            (Some("events"), _, Word::Master(port, _)) => {
                format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.to_string().len())
            }
            _ => "+OK\r\n".to_owned(),
        };
        client.get_mut().write_all(reply.as_bytes()).await?;
    }
}

/// The number of a line `*3` or `$5`; another line has none.
async fn count(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<usize>> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().strip_prefix(['*', '$']).and_then(|digits| digits.parse().ok()))
}

fn url(sentinels: &[&Sentinel]) -> String {
    let more: String = sentinels[1..].iter().map(|one| format!("&node=127.0.0.1:{}", one.port)).collect();
    format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=events{more}", sentinels[0].port)
}

/// One that stands still and one that missed a failover do not matter beside one that knows.
#[tokio::test]
async fn the_newest_word_counts() {
    let (old, new) =
        (RedisServer::start_with(SOFTWARE.into()).await, RedisServer::start_with(SOFTWARE.into()).await);
    let still = Sentinel::saying(Word::Nothing).await;
    let stale = Sentinel::saying(Word::Master(old.port(), 3)).await;
    let knows = Sentinel::saying(Word::Master(new.port(), 4)).await;
    let mut joined = open(config_of(url(&[&still, &stale, &knows]), Limits::default()));
    loaded(&mut *joined.reader).await;
    ready(&joined.log).await;
    write_numbers(&*joined.log, 0..2).await;
    assert_eq!(numbers(&events(&mut *joined.reader, 2).await), [0, 1]);
    assert_eq!(new.cli(&["XLEN", STREAM]).await, "2");
    assert_eq!(joined.metrics.redis().reconnects.get(), 0);
}

/// What they do not know, or what is not so, is said, and asked again until it is right: a name that is none, an address
/// where nobody listens yet, a server that is still a replica.
#[tokio::test]
async fn they_are_asked_until_it_is_right() {
    let master = RedisServer::start_with(SOFTWARE.into()).await;
    let replica = RedisServer::start_with(Options::from(SOFTWARE).replica_of(master.port())).await;
    let mut gone = RedisServer::start_with(SOFTWARE.into()).await;
    gone.stop();
    let (nothing, no_name) = (Word::Nothing, "knows no service named events");
    for (word, says) in [
        (nothing, "does not answer"),
        (Word::Unknown, no_name),
        (Word::Master(gone.port(), 1), "Connection refused"),
        (Word::Master(replica.port(), 1), "is no master"),
    ] {
        let sentinel = Sentinel::saying(word).await;
        let mut joined = open(config_of(url(&[&sentinel]), Limits::default()));
        let feed = next_news(&mut *joined.reader).await;
        assert!(matches!(&feed, Feed::Down(why) if why.contains(says)), "{word:?}: {feed:?}");
        sentinel.says(Word::Master(master.port(), 2));
        let feed = next_news(&mut *joined.reader).await;
        assert!(matches!(&feed, Feed::Restored), "{word:?}: {feed:?}");
        loaded(&mut *joined.reader).await;
    }
}

/// A master that hands over and closes nothing is left by both connections, without an outage or a loss.
#[tokio::test]
async fn a_master_that_hands_over_is_left() {
    let old = RedisServer::start_with(SOFTWARE.into()).await;
    let new = RedisServer::start_with(Options::from(SOFTWARE).replica_of(old.port())).await;
    let sentinel = Sentinel::saying(Word::Master(old.port(), 1)).await;
    let mut joined = open(config_of(url(&[&sentinel]), Limits::default()));
    loaded(&mut *joined.reader).await;
    ready(&joined.log).await;
    write_numbers(&*joined.log, 0..5).await;
    events(&mut *joined.reader, 5).await;
    eventually("a replica", async || {
        new.cli(&["INFO", "replication"]).await.contains("master_link_status:up")
    })
    .await;
    sentinel.says(Word::Master(new.port(), 2));
    old.cli(&["FAILOVER"]).await;
    eventually("the hand-over", async || new.cli(&["ROLE"]).await.starts_with("master")).await;
    new.cli(&["XADD", STREAM, "*", "session", "s", "data", "5"]).await;
    let mut got = Vec::new();
    while got.last() != Some(&5) {
        match next_news(&mut *joined.reader).await {
            Feed::Batch(batch) => got.extend(numbers(&batch.into_iter().map(event).collect::<Vec<_>>())),
            Feed::Down(_) | Feed::Restored => {}
            feed @ (Feed::Loaded(_) | Feed::Revoked(_) | Feed::Lost { .. } | Feed::Reset { .. }) => {
                panic!("{feed:?}")
            }
        }
    }
    assert_eq!(got, [5]);
    let publish =
        async || joined.log.append(&[weir_testkit::log_suite::follow::plain(6)], None).await.is_ok();
    eventually("publishing on the new one", publish).await;
    assert_eq!(numbers(&events(&mut *joined.reader, 1).await), [6]);
    tokio::time::timeout(Duration::from_secs(10), joined.reader.close()).await.expect("an end");
}
