//! Who listens and who publishes while instances come and go, and whether each got what was published.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_core::EventId;
use weir_testkit::event_source::History;
use weir_testkit::{Client, DEADLINE, EventSource, eventually, files};

/// Clients that connect at once, so that no queue of the kernel overflows.
const CONNECT_BATCH: usize = 100;

/// Between two events of a session.
const PACE: Duration = Duration::from_millis(400);

/// Before a publisher tries again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a publisher tries again.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(20);

/// How long clients may take to get what was published when all is over.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Each of these numbers is published again with the same key.
const REPEATED: usize = 10;

/// So many clients as the test asks for, or as the environment does.
pub(crate) fn clients(count: usize) -> usize {
    files::raise_limit();
    let given = std::env::var_os("WEIR_TEST_CLIENTS").and_then(|given| given.to_str()?.parse().ok());
    given.unwrap_or(count)
}

/// The listeners: client `i` listens to session `i % sessions`.
pub(crate) struct Audience {
    sessions: usize,
    sources: Vec<EventSource>,
}

impl Audience {
    /// Connects all, and waits until each is served.
    pub(crate) async fn connect(client: Client, (count, sessions): (usize, usize)) -> anyhow::Result<Self> {
        let mut audience = Self { sessions, sources: Vec::with_capacity(count) };
        while audience.sources.len() < count {
            let to = count.min(audience.sources.len() + CONNECT_BATCH);
            audience.sources.extend(
                (audience.sources.len()..to).map(|nth| EventSource::open(client, &name(nth % sessions))),
            );
            eventually(DEADLINE * 3, async || {
                let open = audience.count(|history| usize::from(!history.connected.is_empty()));
                ensure!(open == to, "{open} of {to} streams are open");
                Ok(())
            })
            .await?;
        }
        Ok(audience)
    }

    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    /// The sum of something over all.
    pub(crate) fn count(&self, of: impl Fn(&History) -> usize) -> usize {
        self.sources.iter().map(|source| of(&source.history())).sum()
    }

    /// Something of each.
    pub(crate) fn collect<T>(&self, of: impl Fn(&History) -> Vec<T>) -> Vec<T> {
        self.sources.iter().flat_map(|source| of(&source.history())).collect()
    }

    /// Each has exactly what was published to its session, in order, was never told of a loss and never saw an answer
    /// after which a browser stays away.
    pub(crate) async fn has_all(&self, published: &[usize]) -> anyhow::Result<()> {
        eventually(CATCH_UP, async || {
            for (nth, source) in self.sources.iter().enumerate() {
                let history = source.history();
                ensure!(
                    history.gave_up.is_some() || history.events.len() >= published[nth % self.sessions],
                    "client {nth} waits: {history:?}"
                );
            }
            Ok(())
        })
        .await?;
        for (nth, source) in self.sources.iter().enumerate() {
            let history = source.history();
            ensure!(history.gave_up.is_none(), "client {nth} gave up: {:?}", history.gave_up);
            ensure!(history.gaps.is_empty(), "client {nth} lost something: {:?}", history.gaps);
            ensure!(history.after_goodbye == 0, "client {nth} got events after the goodbye");
            let numbers = history.events.iter().map(|(_, data)| data.parse().ok());
            let want = (0..published[nth % self.sessions]).map(Some);
            ensure!(
                numbers.eq(want),
                "client {nth} of {}: {:?}",
                published[nth % self.sessions],
                history.events
            );
        }
        Ok(())
    }
}

/// Publishes to every session, numbered from 0, until the work is done; says how many were published to each.
pub(crate) async fn publish_during<T>(
    client: Client,
    sessions: usize,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, Vec<usize>)> {
    let done = CancellationToken::new();
    let mut publishers = JoinSet::new();
    for nth in 0..sessions {
        let done = done.clone();
        publishers.spawn(async move { anyhow::Ok((nth, publish(client, &name(nth), &done).await?)) });
    }
    let result = work.await?;
    done.cancel();
    let mut published = vec![0; sessions];
    while let Some(publisher) = publishers.join_next().await {
        let (nth, count) = publisher??;
        published[nth] = count;
    }
    Ok((result, published))
}

async fn publish(client: Client, session: &str, done: &CancellationToken) -> anyhow::Result<usize> {
    let mut number = 0;
    while !done.is_cancelled() {
        once(client, session, number).await.with_context(|| format!("publish {number} to {session}"))?;
        number += 1;
        tokio::time::sleep(PACE).await;
    }
    Ok(number)
}

/// Whatever the first answer was, a repeat under the same key publishes nothing more.
async fn once(client: Client, session: &str, number: usize) -> anyhow::Result<()> {
    let (id, _) = published(client, session, number).await?;
    if number.is_multiple_of(REPEATED) {
        let again = published(client, session, number).await?;
        ensure!(again == (id, true), "{again:?} after {id}");
    }
    Ok(())
}

/// Tries again until it is published, and says whether it had been before.
async fn published(client: Client, session: &str, number: usize) -> anyhow::Result<(EventId, bool)> {
    let give_up = Instant::now() + PUBLISH_PATIENCE;
    loop {
        let key = format!("{session} {number}");
        let request = client.event(session).header("idempotency-key", key).body(number.to_string());
        let answer = request.send().await;
        match answer
            .and_then(|answer| Ok((answer.event_id()?, answer.head.header("weir-duplicate").is_some())))
        {
            Ok(published) => return Ok(published),
            Err(error) if Instant::now() > give_up => return Err(error),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

fn name(session: usize) -> String {
    format!("session {session}")
}
