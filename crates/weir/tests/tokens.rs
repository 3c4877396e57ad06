//! Who holds a token may do what it says, and nobody gets further with a forged one.

#[path = "tokens/carriers.rs"]
mod carriers;
#[path = "tokens/forged.rs"]
mod forged;
#[path = "tokens/grants.rs"]
mod grants;
#[path = "tokens/provider.rs"]
mod provider;
#[path = "tokens/public.rs"]
mod public;
#[path = "tokens/redaction.rs"]
mod redaction;
#[path = "tokens/rotation.rs"]
mod rotation;
#[path = "tokens/streams.rs"]
mod streams;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
