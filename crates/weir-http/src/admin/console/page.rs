//! The page itself. It holds no data, so whoever reaches the listener may have it.

use std::sync::LazyLock;

use http::Response;
use http::request::Parts;
use weir_web::CONSOLE;

use crate::body::Body;
use crate::page::Page;

static PAGE: LazyLock<Page> = LazyLock::new(|| Page::new(&CONSOLE));

/// Answers with it.
pub(in crate::admin) fn get(parts: &Parts) -> Response<Body> {
    PAGE.get(parts)
}
