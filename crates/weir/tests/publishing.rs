//! Publishing from applications: the publishers for Node.js and for Rust keep nobody waiting and deliver once, whatever happens on
//! the way.
//!
//! - `publishers`: both of them, as an application holds them
//! - `outages`: what is done to them

#[path = "publishing/outages.rs"]
mod outages;
#[path = "publishing/publishers.rs"]
mod publishers;
