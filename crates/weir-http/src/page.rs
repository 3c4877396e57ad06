//! Pages with their style and script in them, and what a browser is told of them.

use http::Response;
use http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use http::request::Parts;
use weir_web::Imports;

use crate::asset::{ASKED_FOR, Asset, digest};
use crate::body::Body;

/// A page as it is sent.
#[derive(Debug)]
pub(crate) struct Page {
    asset: Asset,
    policy: HeaderValue,
}

impl Page {
    pub(crate) fn new(page: &weir_web::Page) -> Self {
        let policy = HeaderValue::from_str(&policy(page)).expect("a policy is visible ASCII");
        Self { asset: Asset::new(page.html(), "text/html; charset=utf-8", ASKED_FOR), policy }
    }

    /// Answers with it.
    pub(crate) fn get(&self, parts: &Parts) -> Response<Body> {
        let mut response = self.asset.get(parts);
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        let opener = HeaderName::from_static("cross-origin-opener-policy");
        headers.insert(opener, HeaderValue::from_static("same-origin"));
        response
    }
}

/// This very style and script and nothing else, calls to this origin alone, and no text that becomes markup: names that
/// clients chose stand on pages.
fn policy(page: &weir_web::Page) -> String {
    // A policy knows no path without a host, and by `strict-dynamic` Chromium loads no module of a script that stands in a page.
    let imports = match page.imports {
        Imports::Nothing => "",
        Imports::OwnOrigin => " 'self'",
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'{imports}; connect-src 'self'; img-src data:; \
         require-trusted-types-for 'script'; trusted-types 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        digest(page.style),
        digest(page.script),
    )
}
