//! What a `GET` of a stream asks for.

use http::request::Parts;
use weir_core::durable::From;
use weir_core::durable::offset::BadOffset;

use crate::problem::Problem;
use crate::query::{Query, invalid};

/// How what is there, and what comes, is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With what is there.
    CatchUp,
    /// `live=long-poll`
    LongPoll,
    /// `live=sse`
    Sse,
}

/// The parameters, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// From where. Whoever stays says so.
    pub(crate) from: From,
    pub(crate) mode: Mode,
    /// What the caller was told last to tell caches apart by. It is as it was sent: it may be anything.
    pub(crate) cursor: Option<String>,
}

impl Asked {
    /// # Errors
    /// A parameter is not what it must be.
    pub(crate) fn parse(parts: &Parts) -> Result<Self, Problem> {
        let query = Query(parts.uri.query().unwrap_or_default());
        let mode = match query.once("live")?.as_deref() {
            None => Mode::CatchUp,
            Some("long-poll") => Mode::LongPoll,
            Some("sse") => Mode::Sse,
            Some(_) => return Err(invalid("live", "long-poll or sse, or left out")),
        };
        let from = match (query.once("offset")?, mode) {
            (Some(text), Mode::CatchUp | Mode::LongPoll | Mode::Sse) => position(&text)?,
            (None, Mode::CatchUp) => From::Begin,
            (None, Mode::LongPoll | Mode::Sse) => {
                return Err(Problem::malformed(
                    "missing_offset",
                    "live= needs an offset=, such as -1 or now",
                ));
            }
        };
        Ok(Self { from, mode, cursor: query.once("cursor")? })
    }
}

pub(super) fn position(text: &str) -> Result<From, Problem> {
    match text {
        "-1" => Ok(From::Begin),
        "now" => Ok(From::End),
        _ => text
            .parse()
            .map(From::After)
            .map_err(|bad: BadOffset| Problem::malformed("invalid_offset", bad.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use weir_core::durable::Offset;

    fn asked(query: &str) -> Result<Asked, Problem> {
        let request = http::Request::get(format!("/v1/stream/a?{query}")).body(()).unwrap();
        Asked::parse(&request.into_parts().0)
    }

    #[test]
    fn what_may_be_asked() {
        let from = |query: &str| asked(query).map(|asked| (asked.from, asked.mode));
        assert_eq!(from(""), Ok((From::Begin, Mode::CatchUp)));
        assert_eq!(from("offset=-1"), Ok((From::Begin, Mode::CatchUp)));
        assert_eq!(from("offset=now&live=sse"), Ok((From::End, Mode::Sse)));
        let offset = Offset::new(7, 3);
        assert_eq!(
            from(&format!("live=long-poll&offset={offset}")),
            Ok((From::After(offset), Mode::LongPoll))
        );
        assert_eq!(asked("cursor=x%20y").unwrap().cursor.as_deref(), Some("x y"));
        for (query, code) in [
            ("offset=", "invalid_offset"),
            ("offset=0", "invalid_offset"),
            ("offset=Now", "invalid_offset"),
            ("offset=-1&offset=-1", "invalid_parameter"),
            ("offset=%F", "invalid_parameter"),
            ("live=", "invalid_parameter"),
            ("live=true&offset=-1", "invalid_parameter"),
            ("live=sse&live=sse&offset=-1", "invalid_parameter"),
            ("live=sse", "missing_offset"),
            ("live=long-poll", "missing_offset"),
        ] {
            assert_eq!(asked(query).map_err(|problem| problem.code), Err(code), "{query}");
        }
    }
}
