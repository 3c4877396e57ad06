//! What browsers get: the client, and the page that shows what weir does.

use std::sync::LazyLock;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Response};
use weir_web::{CLIENT, DEMO};

use crate::access::Action;
use crate::app::App;
use crate::asset::{Asset, FOR_A_WHILE};
use crate::body::Body;
use crate::page::Page;

static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(CLIENT, "text/javascript; charset=utf-8", FOR_A_WHILE));
static PAGE: LazyLock<Page> = LazyLock::new(|| Page::new(&DEMO));

/// The client, for pages of any origin: it says nothing of this instance, and asks with what its page has.
pub(crate) fn client(parts: &Parts) -> Response<Body> {
    let mut response = SCRIPT.get(parts);
    open_to_all(response.headers_mut());
    response
}

/// Modules are loaded as calls of scripts are made, so both have to be said.
fn open_to_all(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("cross-origin"));
}

/// Whether the demo page is there for whoever asks: only where it would work, which is where the same caller may subscribe and
/// publish without a token.
pub(crate) fn shows_demo(app: &App, parts: &Parts) -> bool {
    [Action::Subscribe, Action::Publish].into_iter().all(|action| app.gate.is_open(action, parts))
}

/// The demo page.
pub(crate) fn demo(parts: &Parts) -> Response<Body> {
    PAGE.get(parts)
}
