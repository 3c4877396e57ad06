//! Publishing from applications: the publishers for Node.js and for Rust keep nobody waiting and deliver once, whatever happens on
//! the way; and so do the programs that `docs/publishing` has for other languages.
//!
//! - `publishers`: both of them, as an application holds them
//! - `outages`: what is done to them
//! - `languages`: the programs of `docs/publishing`
//! - `page`: what `docs/publishing.md` says

#[path = "publishing/languages.rs"]
mod languages;
#[path = "publishing/outages.rs"]
mod outages;
#[path = "publishing/page.rs"]
mod page;
#[path = "publishing/publishers.rs"]
mod publishers;
