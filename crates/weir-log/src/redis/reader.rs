//! The reader as its owner sees it.

use std::sync::Arc;

use weir_core::log::{BoxFuture, Feed, LogReader};

use super::context::Context;
use super::cursor::Reader;
use super::fault::Fault;
use super::link::text;
use super::scripts::LEAVE;
use weir_metrics::Operation;

/// The reader of one instance on a Redis stream.
pub struct RedisReader {
    context: Arc<Context>,
    step: Step,
}

/// A read that was begun goes on in the next call, so that dropping a call loses nothing of it.
enum Step {
    Idle(Box<Reader>),
    Running(BoxFuture<'static, (Box<Reader>, Feed)>),
}

impl RedisReader {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let reader = Box::new(Reader::new(Arc::clone(&context)));
        Self { context, step: Step::Idle(reader) }
    }

    async fn finish(&mut self) -> Feed {
        loop {
            match &mut self.step {
                Step::Idle(_) => self.begin(),
                Step::Running(running) => {
                    let (reader, feed) = running.await;
                    self.step = Step::Idle(reader);
                    return feed;
                }
            }
        }
    }

    fn begin(&mut self) {
        let placeholder: Step = Step::Running(Box::pin(std::future::pending()));
        if let Step::Idle(mut reader) = std::mem::replace(&mut self.step, placeholder) {
            self.step = Step::Running(Box::pin(async move {
                let feed = reader.step().await;
                (reader, feed)
            }));
        }
    }
}

impl LogReader for RedisReader {
    fn next(&mut self) -> BoxFuture<'_, Feed> {
        Box::pin(self.finish())
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self { context, step } = *self;
        // Closes the connection that may still be blocked in a read.
        drop(step);
        Box::pin(async move {
            if let Err(fault) = leave(&context).await {
                tracing::warn!(%fault, "the reader's group could not be destroyed; another instance will reap it");
            }
        })
    }
}

async fn leave(context: &Context) -> Result<(), Fault> {
    let groups = {
        let mut reading = context.reading.lock();
        reading.group = None;
        std::mem::take(&mut reading.groups)
    };
    if groups.is_empty() {
        return Ok(());
    }
    let link = match context.link() {
        Some(link) => link,
        None => context.connector.connect().await?,
    };
    let args = groups.iter().map(|group| text(group)).collect();
    link.run(Operation::Leave, LEAVE, &[&context.keys.stream, &context.keys.leases], args).await?;
    Ok(())
}

impl std::fmt::Debug for RedisReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisReader").field("reading", &self.context.reading).finish_non_exhaustive()
    }
}
