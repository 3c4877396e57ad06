//! What whoever types a command does about a refusal, beside what the server says to every client.

use weir_client::{Problem, PublishError, TailError};

pub(super) fn publish(error: PublishError) -> anyhow::Error {
    match &error {
        PublishError::Refused(problem) => advised(problem),
        PublishError::Unreachable { .. }
        | PublishError::OutcomeUnknown { .. }
        | PublishError::NotWeir { .. } => None,
    }
    .unwrap_or_else(|| error.into())
}

pub(super) fn tail(error: TailError) -> anyhow::Error {
    match &error {
        TailError::Refused(problem) => advised(problem),
        TailError::BadPosition => None,
    }
    .unwrap_or_else(|| error.into())
}

fn advised(problem: &Problem) -> Option<anyhow::Error> {
    let advice = match (problem.code.as_deref(), problem.status) {
        (Some("unauthorized"), _) => "give it in WEIR_TOKEN or by --token-file",
        (Some(code), _) if code.starts_with("admin_") => {
            "this is an admin listener: give the address of the public one by --url"
        }
        (None, 404 | 405) => "is it a weir? Give its address by --url",
        _ => return None,
    };
    Some(anyhow::anyhow!("{problem}; {advice}"))
}
