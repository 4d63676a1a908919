//! Errors of what a peer sent.

/// Bytes that are no IKE message, or not one that we take (RFC 7296 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside of something.
    #[error("the message ends inside of {0}")]
    Truncated(&'static str),
    /// A length or count does not fit what is there.
    #[error("the length of {0} does not fit")]
    Length(&'static str),
    /// A field has a value the RFC forbids.
    #[error("{0} is not valid")]
    Value(&'static str),
    /// More of something than we take.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The major version is not 2; IKEv1 has 1.
    #[error("version {major}.{minor} of IKE is not supported")]
    Version {
        /// Major version of the header.
        major: u8,
        /// Minor version of the header.
        minor: u8,
    },
    /// A payload we do not know has the critical bit set (RFC 7296 §2.5).
    #[error("payload {0} is critical and not known")]
    UnsupportedCritical(u8),
}
