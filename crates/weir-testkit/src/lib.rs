//! What the tests of weir share: private servers, running instances, a strict SSE parser, the log suite.
//!
//! In reading order:
//! - [`sse`]: what a stream said, and what a clean server never says

pub mod sse;
