//! The description of the public calls, by OpenAPI. It says nothing of this instance, so whoever reaches it may read it.

use std::sync::LazyLock;

use http::Response;
use http::request::Parts;

use crate::asset::{Asset, FOR_A_WHILE};
use crate::body::Body;

/// Held against the routes, `docs/contract.md` and the source by `crates/weir/tests/openapi.rs`.
static DESCRIPTION: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_str!("openapi.json"), "application/json", FOR_A_WHILE));

/// Answers with it.
pub(crate) fn get(parts: &Parts) -> Response<Body> {
    DESCRIPTION.get(parts)
}
