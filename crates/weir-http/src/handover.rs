//! How the stream of an HTTP/1.1 connection leaves hyper.
//!
//! hyper reads the request and writes the head of the answer. From then on a stream needs neither of hyper's buffers nor
//! its state, only a socket: so whoever answers leaves the stream here, the socket keeps the head back, and the
//! connection takes hyper apart and goes on by itself.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Version;
use parking_lot::Mutex;

use crate::stream::Stream;
use crate::writer::Framing;

/// See the [module](self). One for each connection.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    stream: Mutex<Option<(Stream, Framing)>>,
    left: AtomicBool,
    headed: AtomicBool,
}

impl Handover {
    /// Leaves the stream that answers a request of this version.
    pub(crate) fn leave(&self, stream: Stream, version: Version) {
        let framing = if version == Version::HTTP_11 { Framing::Chunked } else { Framing::UntilClose };
        *self.stream.lock() = Some((stream, framing));
        self.left.store(true, Ordering::Release);
    }

    /// Whether a stream was left, so that what hyper writes now is its head.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// hyper has written all of the head.
    pub(crate) fn head_is_complete(&self) {
        self.headed.store(true, Ordering::Release);
    }

    /// The stream, once its head is complete.
    pub(crate) fn take(&self) -> Option<(Stream, Framing)> {
        if self.headed.load(Ordering::Acquire) { self.stream.lock().take() } else { None }
    }
}
