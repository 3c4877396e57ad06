//! Why a stream is not read, as an answer.

use http::StatusCode;
use weir_core::durable::ReadError;

use crate::problem::Problem;

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing => {
                Self::not_found("unknown_stream", "there is no such stream: create it with PUT")
            }
            ReadError::Deleted => {
                let detail = "the stream was deleted, and only forks of it exist";
                Self::denied(StatusCode::GONE, "stream_deleted", detail)
            }
            ReadError::OffsetGone => {
                let detail = "the stream no longer has what was behind this offset: go on with offset=now, and get what it \
                              told before in another way";
                Self::denied(StatusCode::GONE, "offset_gone", detail)
            }
            ReadError::Unavailable(_) => {
                Self::unavailable("log_unavailable", "the streams cannot be read at the moment: try again")
            }
        }
    }
}
