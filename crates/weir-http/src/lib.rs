//! The HTTP front of weir on raw hyper.
//!
//! In reading order:
//! - [`app`]: what every request shares
//! - [`server`]: listeners, connections, their end
//! - `connection`, `sniff`, `socket`: one connection, HTTP/1.1 or HTTP/2, and what has left it
//! - `link`, `client`: the clients of a connection, and their supervision outside the response body
//! - `router`, [`path`], `query`, `access`: which call it is, and who may make it
//! - `subscribe`, `body`, `longpoll`: how clients get events
//! - `publish`, `batch`, `snapshot`: how events get in, and the newest one out; `refusals`: why they do not
//! - `admin`, [`health`]: what operators see
//! - [`drain`]: how an instance goes away
//! - `problem`: the one place that turns errors into answers

pub mod app;
pub mod drain;
pub mod health;
pub mod path;
pub mod server;

mod access;
mod admin;
mod batch;
mod body;
mod client;
mod connection;
mod link;
mod longpoll;
mod problem;
mod publish;
mod query;
mod refusals;
mod router;
mod snapshot;
mod sniff;
mod socket;
mod subscribe;
