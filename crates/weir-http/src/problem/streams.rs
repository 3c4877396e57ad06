//! What goes wrong with durable streams.

use http::StatusCode;
use weir_core::durable::{AppendError, CreateError, DeleteError, ReadError};

use super::Problem;
use crate::path::BadStream;

impl From<BadStream> for Problem {
    fn from(bad: BadStream) -> Self {
        Self::malformed("invalid_stream", bad.to_string())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing => missing(),
            ReadError::Deleted => deleted(),
            ReadError::OffsetGone => offset_gone("read on from offset=-1, which is the oldest that is there"),
            ReadError::Unavailable(_) => unavailable(),
        }
    }
}

impl From<DeleteError> for Problem {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Missing => missing(),
            DeleteError::Deleted => deleted(),
            DeleteError::Unavailable(_) => unavailable(),
            DeleteError::OutcomeUnknown(_) => unknown("try again: where it is deleted, the answer is 404"),
        }
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        let conflict = |code, detail: &str| Self::new(StatusCode::CONFLICT, code, detail);
        match error {
            CreateError::Exists => Self::new(
                StatusCode::CONFLICT,
                "stream_exists",
                "there is a stream of this name with another content type, lifetime, closure or source: use another name, or \
                 ask for it as it is",
            ),
            CreateError::Taken => Self::new(
                StatusCode::CONFLICT,
                "stream_taken",
                "the stream of this name was deleted, and forks of it live on: the name is free when they are deleted",
            ),
            CreateError::NoSource => Self::not_found(
                "no_source",
                "there is no stream to fork: Stream-Forked-From is the path of one",
            ),
            CreateError::SourceDeleted => Self::new(
                StatusCode::CONFLICT,
                "source_deleted",
                "the stream to fork was deleted, and only forks of it live on: fork one of them, or another stream",
            ),
            CreateError::NoSuchOffset => Self::malformed(
                "no_such_offset",
                "the stream to fork has no such offset: Stream-Fork-Offset is one that it told",
            ),
            CreateError::NoSuchUnits => Self::malformed(
                "no_such_sub_offset",
                "the stream to fork has not so much behind that offset: Stream-Fork-Sub-Offset counts bytes, or values of \
                 JSON, of what was appended there at once",
            ),
            CreateError::OffsetGone => offset_gone("fork at an offset of what is there"),
            CreateError::TooDeep(most) => {
                let detail = format!(
                    "forks of forks go {most} levels deep at most: fork one that is less deep, or copy what it has"
                );
                conflict("fork_depth", &detail)
            }
            CreateError::Media => {
                content_type("a fork is made of what its source is made of: leave out Content-Type")
            }
            CreateError::Full(_) => full(),
            CreateError::Unavailable(_) => unavailable(),
            CreateError::OutcomeUnknown(_) => unknown("try again: what is there already is answered 200"),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Missing => missing(),
            AppendError::Deleted => deleted(),
            AppendError::Closed { tail } => Self::new(
                StatusCode::CONFLICT,
                "stream_closed",
                "the stream is closed: nothing is appended any more",
            )
            .telling("stream-closed", &"true")
            .telling("stream-next-offset", &tail),
            AppendError::Media => {
                content_type("the stream is made of something else: HEAD tells its Content-Type")
            }
            AppendError::Seq => Self::new(
                StatusCode::CONFLICT,
                "sequence",
                "Stream-Seq must be above that of the append before, compared byte by byte",
            ),
            AppendError::StaleEpoch { current } => Self::new(
                StatusCode::FORBIDDEN,
                "stale_epoch",
                "a newer epoch of this producer, which Producer-Epoch tells, has appended: stop, or go on with a higher one \
                 from Producer-Seq 0",
            )
            .telling("producer-epoch", &current),
            AppendError::EpochBegins => {
                Self::malformed("epoch_begins", "a new epoch of a producer begins with Producer-Seq 0")
            }
            AppendError::Gap { expected, received } => Self::new(
                StatusCode::CONFLICT,
                "producer_gap",
                "appends of this producer are missing before this one: send them first",
            )
            .telling("producer-expected-seq", &expected)
            .telling("producer-received-seq", &received),
            AppendError::Full(_) => full(),
            AppendError::Unavailable(_) => unavailable(),
            AppendError::OutcomeUnknown(_) => unknown(
                "a producer, by Producer-Id, may try again without harm; others read what is there first",
            ),
        }
    }
}

fn missing() -> Problem {
    Problem::not_found("no_stream", "there is no such stream: make it with PUT")
}

fn deleted() -> Problem {
    let detail =
        "the stream was deleted, and only forks of it live on: use another name until these are deleted, too";
    Problem::new(StatusCode::GONE, "stream_deleted", detail)
}

fn offset_gone(what_next: &str) -> Problem {
    let detail = format!("the stream no longer has what was behind that offset: {what_next}");
    Problem::new(StatusCode::GONE, "offset_gone", detail)
}

fn content_type(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "content_type", detail)
}

fn full() -> Problem {
    let detail = "the streams have taken all the room there is, and nothing was done: delete some, or ask the operator";
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", detail)
}

fn unavailable() -> Problem {
    let detail = "the streams cannot be reached at the moment and nothing was done: try again";
    Problem::unavailable("streams_unavailable", detail)
}

fn unknown(what_next: &str) -> Problem {
    let detail = format!("the streams did not answer, so it may or may not be done: {what_next}");
    Problem::unavailable("outcome_unknown", detail)
}
