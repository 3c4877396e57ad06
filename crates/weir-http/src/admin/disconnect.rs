//! Taking a subject off.

use http::Response;
use http::request::Parts;
use serde_json::json;
use weir_core::log::RevokeError;
use weir_core::revocation::Revocation;

use super::json;
use crate::app::App;
use crate::body::Body;
use crate::problem::Problem;
use crate::query::Query;

/// Longest time for which tokens are refused: longer than any token should last.
const LONGEST_SECS: u64 = 366 * 24 * 3600;

/// Ends every stream and long-poll of a subject on every instance, and has its tokens of before refused for as long as asked.
pub(super) async fn disconnect(app: &App, parts: &Parts) -> Result<Response<Body>, Problem> {
    let revocation = parse(Query(parts.uri.query().unwrap_or_default()), app.time().ms)?;
    // Counted before, since the reader may be faster than the answer of the log.
    let ended = app.streams_of(revocation.subject());
    match app.log.revoke(&revocation).await {
        Ok(id) => app.revoke_written(id, &revocation),
        Err(RevokeError::Full(full)) => {
            let detail = format!("{full}, and this one is not: end streams alone, without revoke=, or wait");
            return Err(Problem::unavailable("too_many_revoked", detail));
        }
        // Better here alone than nowhere.
        Err(RevokeError::Unavailable(_)) => return Err(only_here(app, &revocation, "log_unavailable")),
        Err(RevokeError::OutcomeUnknown(_)) => return Err(only_here(app, &revocation, "outcome_unknown")),
    }
    Ok(json(&json!({
        "subject": revocation.subject(),
        "ended": ended,
        "revokedUntil": revocation.until_ms,
        // Where the log is this process alone, its end is that of the revocation.
        "survivesRestart": revocation.until_ms.map(|_| app.log.lasts()),
    })))
}

fn only_here(app: &App, revocation: &Revocation, code: &'static str) -> Problem {
    let ended = app.streams_of(revocation.subject());
    app.revoke_here(revocation);
    let others = match code {
        "log_unavailable" => "the other instances were not told",
        _ => "the other instances may not have been told",
    };
    let detail = format!("done on this instance alone, where it ended {ended} streams; {others}: call again");
    Problem::unavailable(code, detail)
}

fn parse(query: Query<'_>, now_ms: u64) -> Result<Revocation, Problem> {
    let malformed = |detail: String| Problem::malformed("invalid_parameter", detail);
    let subject = query.first("subject")?;
    let subject =
        subject.ok_or_else(|| malformed("subject= says whose streams are to be ended".to_owned()))?;
    let secs = match query.first("revoke")?.map(|secs| secs.parse::<u64>()) {
        None => None,
        Some(Ok(secs)) if (1..=LONGEST_SECS).contains(&secs) => Some(secs),
        Some(_) => {
            return Err(malformed(format!("revoke= is a number of seconds from 1 to {LONGEST_SECS}")));
        }
    };
    let until_ms = secs.map(|secs| now_ms.saturating_add(secs * 1000));
    Revocation::new(&subject, now_ms, until_ms).map_err(|bad| malformed(bad.to_string()))
}
