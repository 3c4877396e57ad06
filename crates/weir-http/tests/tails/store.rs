//! Streams in memory that misbehave on demand.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use weir_core::durable::{
    Append, AppendError, Appended, Chunk, Create, CreateError, Created, DeleteError, From, Head, Lifetime,
    Look, MediaType, Offset, Page, ReadError, StreamName, StreamStore,
};
use weir_core::log::BoxFuture;

#[derive(Debug)]
struct Stream {
    media: MediaType,
    born: u64,
    chunks: Vec<Bytes>,
    closed: bool,
    error: Option<ReadError>,
}

#[derive(Debug)]
pub(crate) struct Store {
    streams: Mutex<HashMap<String, Stream>>,
    reads: AtomicUsize,
    held: watch::Sender<bool>,
}

/// Answers of reads are not given as long as it lives.
pub(crate) struct Gate<'a>(&'a Store);

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.0.held.send_replace(false);
    }
}

impl Store {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            streams: Mutex::default(),
            reads: AtomicUsize::new(0),
            held: watch::Sender::new(false),
        })
    }

    /// Reads so far, each counted when what it finds is settled.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn hold_answers(&self) -> Gate<'_> {
        self.held.send_replace(true);
        Gate(self)
    }

    pub(crate) fn create(&self, name: &str, media: &str) {
        let mut streams = self.streams.lock();
        let born = streams.get(name).map_or(7, |before| before.born + 1);
        let media = MediaType::parse(media).expect("a media type");
        let stream = Stream { media, born, chunks: Vec::new(), closed: false, error: None };
        streams.insert(name.to_owned(), stream);
    }

    pub(crate) fn append(&self, name: &str, text: &str) -> Offset {
        let mut streams = self.streams.lock();
        let stream = streams.get_mut(name).expect("a stream");
        stream.chunks.push(Bytes::from(text.to_owned()));
        stream.tail()
    }

    pub(crate) fn append_and_close(&self, name: &str, text: &str) -> Offset {
        let mut streams = self.streams.lock();
        let stream = streams.get_mut(name).expect("a stream");
        stream.chunks.push(Bytes::from(text.to_owned()));
        stream.closed = true;
        stream.tail()
    }

    pub(crate) fn fail(&self, name: &str, error: Option<ReadError>) {
        self.streams.lock().get_mut(name).expect("a stream").error = error;
    }
}

impl Stream {
    fn tail(&self) -> Offset {
        Offset::new(self.born, self.chunks.len() as u64)
    }

    fn page(&self, from: From, max_bytes: usize) -> Result<Page, ReadError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let begin = match from {
            From::Begin => 0,
            From::After(offset) => usize::try_from(offset.n()).expect("an index"),
            From::End => self.chunks.len(),
        };
        let head = Head {
            media: self.media.clone(),
            lifetime: Lifetime::Forever,
            tail: self.tail(),
            closed: self.closed,
            born: self.born,
        };
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        for (nth, chunk) in self.chunks.iter().enumerate().skip(begin) {
            bytes += chunk.len();
            if bytes > max_bytes && !chunks.is_empty() {
                break;
            }
            chunks.push(Chunk { end: Offset::new(self.born, nth as u64 + 1), bytes: chunk.clone() });
        }
        let next = chunks.last().map_or(Offset::new(self.born, begin as u64), |chunk| chunk.end);
        Ok(Page { head, chunks, next })
    }
}

impl StreamStore for Store {
    fn create<'a>(&'a self, _: &'a StreamName, _: &'a Create) -> BoxFuture<'a, Result<Created, CreateError>> {
        unimplemented!("the test makes its streams itself")
    }

    fn append<'a>(
        &'a self,
        _: &'a StreamName,
        _: &'a Append,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        unimplemented!("the test appends itself")
    }

    fn read<'a>(
        &'a self,
        name: &'a StreamName,
        from: From,
        max_bytes: usize,
    ) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(async move {
            let page = match self.streams.lock().get(name.as_str()) {
                Some(stream) => stream.page(from, max_bytes),
                None => Err(ReadError::Missing),
            };
            self.reads.fetch_add(1, Ordering::SeqCst);
            let _ = self.held.subscribe().wait_for(|held| !held).await;
            page
        })
    }

    fn head<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<Head, ReadError>> {
        unimplemented!("nobody asks")
    }

    fn look<'a>(&'a self, names: &'a [StreamName]) -> BoxFuture<'a, Result<Vec<Look>, ReadError>> {
        let streams = self.streams.lock();
        let look = |name: &StreamName| match streams.get(name.as_str()) {
            Some(stream) => Look::At { tail: stream.tail(), closed: stream.closed },
            None => Look::Missing,
        };
        let found = names.iter().map(look).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn delete<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<(), DeleteError>> {
        unimplemented!("nobody deletes")
    }

    fn lasts(&self) -> bool {
        false
    }
}
