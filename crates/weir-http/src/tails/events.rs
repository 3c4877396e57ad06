//! What one follower is given as Server-Sent Events.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use smallvec::smallvec;
use weir_core::durable::{Page, ReadError};
use weir_core::subscription::{End, Out, Part, Pulled};

use super::follow::Follow;
use super::read::Found;
use super::{cursor, sse};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Events {
    follow: Follow,
    /// What it begins with.
    first: Option<Arc<Found>>,
    /// Which life of the name it follows.
    born: u64,
    /// The least that it is told as a cursor.
    cursor: u64,
}

impl Events {
    /// Begins with what was found, and goes on behind it.
    pub(crate) fn new(follow: Follow, (first, page): (&Arc<Found>, &Page), cursor: u64) -> Self {
        Self { follow, first: Some(Arc::clone(first)), born: page.head.born, cursor }
    }

    /// What is to be written next. The next read begins when this has left.
    pub(crate) fn poll_pulled(&mut self, cx: &mut Context<'_>, now_ms: u64) -> Poll<Pulled> {
        loop {
            let (found, is_first) = match self.first.take() {
                Some(found) => (found, true),
                None => (ready!(self.follow.poll_found(cx)), false),
            };
            match &found.page {
                Ok(page) if page.head.born != self.born => return Poll::Ready(over()),
                Ok(page) if is_first || sse::is_news(page) => {
                    return Poll::Ready(self.pulled(&found, page, now_ms));
                }
                // It was woken for nothing.
                Ok(_) => {}
                // Whoever comes back is told which of them it is.
                Err(ReadError::Missing | ReadError::Deleted | ReadError::OffsetGone) => {
                    return Poll::Ready(over());
                }
                Err(ReadError::Unavailable(_)) => self.follow.rest(),
            }
        }
    }

    fn pulled(&self, found: &Found, page: &Page, now_ms: u64) -> Pulled {
        let cursor = cursor::next(None, now_ms).max(self.cursor);
        let part = Part { shared: found.event(), own: sse::control(page, cursor) };
        let end = sse::is_last(page).then_some(End::Over);
        Pulled { items: smallvec![Out::Part(part)], end, ..Pulled::default() }
    }
}

/// Its stream is no more, or has lost what comes next.
fn over() -> Pulled {
    Pulled { end: Some(End::Over), ..Pulled::default() }
}
