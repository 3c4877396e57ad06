//! The load generator of weir, and the floor it is compared with.
//!
//! In reading order:
//! - [`clock`], [`stamp`]: what every event carries, so that its way can be judged
//! - [`scan`]: finds stamps in the bytes of a response
//! - [`sequence`]: what of a session's events arrived, and how
//! - [`receive`]: when the bytes of a server were there, whenever they are read
//! - [`poller`], [`audience`], [`publisher`], [`load`]: holds connections and publishes, on one thread
//! - [`multiplex`]: subscribers over HTTP/2
//! - [`posting`]: publishes alone, and takes the time of their answers; [`appending`]: the same for durable streams, and
//!   [`tailing`]: how soon an append is with who follows
//! - [`storm`]: clients that come back at once beside it, and the [`commands`] that Redis ran meanwhile
//! - [`visit`]: a client that comes and goes; [`steady`]: whether what it leaves behind adds up
//! - [`heard`]: what comes over one stream
//! - [`webpage`]: a page in a browser that notes when it sees an event, and its [`sightings`]
//! - [`secure`]: subscribers by TLS, and the same without
//! - [`readers`], [`xread`]: readers of a stream, and the floor of reading
//! - [`floor`]: what the kernel alone costs
//! - [`process`], [`child`], [`server`]: the processes under test
//! - [`cases`]: what is measured
//! - [`report`], [`plot`], [`summary`]: how it is told
//! - [`selftest`]: the generator against a floor that lies

pub mod appending;
pub mod audience;
pub mod cases;
pub mod child;
pub mod clock;
pub mod commands;
pub mod floor;
pub mod heard;
pub mod load;
pub mod multiplex;
pub mod plot;
pub mod poller;
pub mod posting;
pub mod process;
pub mod publisher;
pub mod readers;
pub mod receive;
pub mod report;
pub mod scan;
pub mod secure;
pub mod selftest;
pub mod sequence;
pub mod server;
pub mod sightings;
pub mod stamp;
pub mod steady;
pub mod storm;
pub mod summary;
pub mod tailing;
pub mod visit;
pub mod webpage;
pub mod xread;
