//! Why a token is not taken.

/// See the [module](self). Its text goes to whoever sent the token: it names the claim and never what stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The text is no token.
    #[error("the token is no JSON Web Token: {0}")]
    Malformed(&'static str),
    /// `none`, one that weir does not know, or one that no key here is for.
    #[error(
        "no key of this instance is for the algorithm that the token names in `alg`: have it signed with the algorithm \
         that this instance has a key for"
    )]
    Algorithm,
    /// Its header names a key that is not here.
    #[error("the token names a key in `kid` that this instance does not have: get a new token")]
    UnknownKey,
    /// It was not made with one of the keys, or was changed since.
    #[error("the token's signature is not that of a key of this instance: get a new token")]
    Signature,
    /// `exp` is over.
    #[error("the token has expired (`exp`): get a new one")]
    Expired,
    /// `nbf` or `iat` is to come.
    #[error(
        "the token is not good yet (`{0}`): wait, or compare the clocks of whoever made it and of this instance"
    )]
    NotYet(&'static str),
    /// `aud` is somebody else.
    #[error("the token is not made for this service (`aud`): get one that is")]
    Audience,
    /// `iss` is a stranger.
    #[error("the token is not made by somebody whom this instance trusts (`iss`): get it from one of these")]
    Issuer,
    /// A claim is not there.
    #[error("the token lacks the claim `{0}`: have it put in")]
    Missing(&'static str),
    /// A claim says nothing that makes sense.
    #[error("the token's claim `{claim}` is not {right}: have it put right")]
    Invalid {
        /// Which.
        claim: &'static str,
        /// What it has to be.
        right: &'static str,
    },
    /// Nothing is there to check any token with.
    #[error(
        "this instance has no key to check tokens with: call without a token, or ask the operator for --jwt-secret-file"
    )]
    NoKeys,
    /// Whoever publishes the keys has not been reached yet, or was asked for them a moment ago and not since.
    #[error(
        "this instance has not got the key yet that the token was made with, or there is none: try again"
    )]
    KeysUnavailable,
}

impl Denial {
    /// Stable, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::UnknownKey => "token_key_unknown",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::NotYet(_) => "token_not_yet_valid",
            Self::Audience => "token_audience",
            Self::Issuer => "token_issuer",
            Self::Missing(_) => "token_claim_missing",
            Self::Invalid { .. } => "token_claim_invalid",
            Self::NoKeys => "token_without_keys",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}
