//! Publish with a bounded retry queue, tail with resume.
