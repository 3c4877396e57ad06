//! What the tests of weir share: private servers, running instances, a strict SSE parser, the log suite.
