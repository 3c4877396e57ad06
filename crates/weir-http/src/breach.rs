//! Which rule a peer broke, where its connection ended for it.

use std::error::Error;

use weir_metrics::Refused;

/// Why hyper ended a connection of HTTP/1.1, where the peer is to blame. A head that was not begun is a peer that has nothing
/// more to ask.
pub(crate) fn of_http1(error: &hyper::Error, has_begun: bool) -> Option<Refused> {
    if error.is_parse_too_large() {
        return Some(Refused::HeadSize);
    }
    if error.is_parse() {
        return Some(Refused::Head);
    }
    (error.is_timeout() && has_begun).then_some(Refused::HeadTimeout)
}

/// Why a connection of HTTP/2 was ended, where this side found something to end it for.
pub(crate) fn of_http2(error: &hyper::Error) -> Option<Refused> {
    let found_here = error.source()?.downcast_ref::<h2::Error>()?.is_library();
    found_here.then_some(Refused::Http2)
}
