//! One who looks: a stream of events that all viewers share, at their own pace.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use tokio::sync::{OwnedSemaphorePermit, watch};
use weir_core::frame;

use super::super::door;
use crate::app::App;
use crate::body::Body;
use crate::problem::Problem;

/// What a viewer is sent.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// When a page should come back: at once counts for an operator, and there are few of them.
const RETRY_MS: u64 = 2_000;

/// Lets one more look, where there is room.
pub(in crate::admin) fn open(app: &Arc<App>, parts: &Parts) -> Result<Response<Body>, Problem> {
    let full = || {
        let detail = "as many look at this instance as may at once: close the console in another window";
        Problem::unavailable("too_many_viewers", detail)
    };
    let place = Arc::clone(&app.console.places).try_acquire_owned().map_err(|_| full())?;
    let mut response = Response::new(if parts.method == Method::HEAD {
        Body::empty()
    } else {
        Body::frames(frames(Viewer::new(app, parts, place)))
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

struct Viewer {
    app: Arc<App>,
    news: watch::Receiver<Bytes>,
    /// By which the door let it in.
    shown: HeaderMap,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    fn new(app: &Arc<App>, parts: &Parts, place: OwnedSemaphorePermit) -> Self {
        let mut news = app.console.news.subscribe();
        // Those who look already have something that is new to this one.
        news.mark_changed();
        app.console.came.notify_one();
        Self { app: Arc::clone(app), news, shown: parts.headers.clone(), greeted: false, _place: place }
    }

    /// The next news. Whoever is slow misses what is old by then.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            let mut out = BytesMut::new();
            frame::put_retry(&mut out, RETRY_MS);
            out.extend_from_slice(frame::COMMENT);
            return Some(out.freeze());
        }
        loop {
            let closed = Arc::clone(&self.app);
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = closed.console.closed.cancelled() => return None,
            }
            // The token may have been replaced since.
            door::check(self.app.config.admin_token.as_ref(), &self.shown).ok()?;
            let news = self.news.borrow_and_update().clone();
            if !news.is_empty() {
                return Some(news);
            }
        }
    }
}

fn frames(viewer: Viewer) -> Frames {
    Box::pin(futures_util::stream::unfold(viewer, async |mut viewer| {
        let news = viewer.next().await?;
        Some((news, viewer))
    }))
}
