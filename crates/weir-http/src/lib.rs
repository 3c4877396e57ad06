//! The HTTP front of weir on raw hyper.
