//! Asking streams for something, in few words.

use bytes::Bytes;
use weir_core::durable::{
    Append, AppendError, Appended, Create, CreateError, Created, Fork, From, Lifetime, MediaType, Offset,
    Page, Payload, Producer, ReadError, StreamName, StreamStore,
};

/// A name.
pub fn name(text: &str) -> StreamName {
    StreamName::parse(text).expect("the test's name is one")
}

/// A content type.
pub fn media(text: &str) -> MediaType {
    MediaType::parse(text).expect("the test's content type is one")
}

/// Bytes to append.
pub fn payload(text: &str) -> Payload {
    Payload { bytes: Bytes::copy_from_slice(text.as_bytes()), units: text.len() as u64 }
}

/// A stream of text that is kept for ever.
pub fn text() -> Create {
    Create { media: Some(media("text/plain")), ..Create::default() }
}

/// A stream of JSON that is kept for ever.
pub fn json() -> Create {
    Create { media: Some(media("application/json")), ..Create::default() }
}

/// A stream of text that expires so many seconds after it was last used.
pub fn idle(secs: u64) -> Create {
    Create { lifetime: Some(Lifetime::Idle(secs)), ..text() }
}

/// A fork of all that a stream has.
pub fn fork(source: &str) -> Create {
    fork_at(source, None, 0)
}

/// A fork of a stream up to a place, and so many units beyond it.
pub fn fork_at(source: &str, offset: Option<Offset>, units: u64) -> Create {
    Create { fork: Some(Fork { source: name(source), offset, units }), ..Create::default() }
}

/// Text that is appended.
pub fn append(text: &str) -> Append {
    Append {
        media: Some(media("text/plain")),
        payload: Some(payload(text)),
        close: false,
        seq: None,
        producer: None,
    }
}

/// Nothing is appended any more.
pub fn close() -> Append {
    Append { media: None, payload: None, close: true, seq: None, producer: None }
}

/// The same by a producer.
pub fn by(append: Append, id: &str, epoch: u64, seq: u64) -> Append {
    Append { producer: Some(Producer { id: id.into(), epoch, seq }), ..append }
}

/// One stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    store: &'a dyn StreamStore,
    its: &'a str,
}

/// The stream of that name.
pub fn stream<'a>(store: &'a dyn StreamStore, name: &'a str) -> Stream<'a> {
    Stream { store, its: name }
}

impl Stream<'_> {
    /// Makes it.
    pub async fn create(self, create: &Create) -> Result<Created, CreateError> {
        self.store.create(&name(self.its), create).await
    }

    /// Makes it, which is new.
    pub async fn make(self, create: &Create) -> Offset {
        let created = self.create(create).await.expect("the stream can be made");
        assert!(created.is_new, "{} was there", self.its);
        created.head.tail
    }

    /// Appends to it.
    pub async fn append(self, append: &Append) -> Result<Appended, AppendError> {
        self.store.append(&name(self.its), append).await
    }

    /// Appends text, and tells where it ends.
    pub async fn add(self, text: &str) -> Offset {
        match self.append(&append(text)).await.expect("the stream takes it") {
            Appended::Written { tail, .. } => tail,
            Appended::Duplicate { .. } => panic!("it was said once"),
        }
    }

    /// Reads from a place.
    pub async fn read(self, from: From) -> Result<Page, ReadError> {
        self.store.read(&name(self.its), from, 1 << 20).await
    }

    /// All its chunks as text.
    pub async fn texts(self) -> Vec<String> {
        self.texts_from(From::Begin).await
    }

    /// Its chunks from a place on, as text.
    pub async fn texts_from(self, from: From) -> Vec<String> {
        let page = self.read(from).await.expect("the stream can be read");
        assert!(page.is_up_to_date());
        page.chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.bytes).into_owned()).collect()
    }

    /// Why it cannot be read.
    pub async fn lack(self) -> Option<ReadError> {
        self.read(From::Begin).await.err()
    }
}
