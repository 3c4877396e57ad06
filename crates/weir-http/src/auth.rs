//! Who may do what, by tokens: JSON Web Tokens that somebody else made, with what their holder may do in them.
//!
//! - [`tokens`]: takes a token from its text to a [`token::Token`], or to a [`denial::Denial`]
//! - [`keyring`], [`key`]: the keys that tokens are checked with; `spki`, [`jwks`]: as PEM files and providers have them
//! - `claims`, [`grants`]: what a token says, and which sessions that is
//! - [`mint`]: makes tokens for development
//! - `carrier`: where a call carries its token
//! - `crypto`: what signatures are checked with

pub mod denial;
pub mod grants;
pub mod jwks;
pub mod key;
pub mod keyring;
pub mod mint;
pub mod token;
pub mod tokens;

pub(crate) mod carrier;

mod claims;
mod crypto;
mod spki;
