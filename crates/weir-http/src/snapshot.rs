//! The newest snapshot of a session, by itself.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use http::{Response, StatusCode};
use weir_core::Session;
use weir_metrics::Refused;

use crate::body::Body;
use crate::call::Call;
use crate::etag;
use crate::problem::Problem;
use crate::subscribe::starting;

/// Answers with the snapshot's bytes.
pub(crate) async fn get(call: Call<'_>, session: Session) -> Result<Response<Body>, Problem> {
    let Call { app, parts, .. } = call;
    let reader = call.reader(std::slice::from_ref(&session)).await;
    let reader = reader.map_err(|problem| match problem.status {
        StatusCode::SERVICE_UNAVAILABLE => app.refuse(Refused::Unavailable, problem),
        _ => app.refuse(Refused::Auth, problem),
    })?;
    if reader.token.is_some() && !app.broker.is_loaded() {
        return Err(app.refuse(Refused::Unavailable, starting()));
    }
    let event = match app.broker.snapshot(&session, app.time().ms) {
        Some(event) => event,
        None => {
            let found = app.log.snapshot(&session).await;
            let found = found.map_err(|away| app.refuse(Refused::Unavailable, away.into()))?;
            found.ok_or_else(|| Problem::not_found("no_snapshot", "this session has no snapshot"))?
        }
    };
    let id = event.id.to_string();
    let tag = format!("\"{id}\"");
    let mut response = Response::new(Body::empty());
    if etag::matches(&parts.headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::full(event.data_bytes().clone());
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(event.data()).is_ok();
        let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let ascii = |text: String| HeaderValue::try_from(text).expect("an id is ASCII");
    let headers = response.headers_mut();
    headers.insert(ETAG, ascii(tag));
    headers.insert("weir-event-id", ascii(id));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}
