//! What IKEv2 computes: keys, key exchanges, the protection of messages. No state machine.
//!
//! - [`Draw`], [`PrivateValue`], [`SharedSecret`]: one key exchange. Drawing is cheap, all else is
//!   slow and may be done on another thread.
//! - [`Nonce`], [`IkeKeys`], [`ChildKeys`]: what is derived from exchanges and nonces.
//! - [`Sealer`], [`Opener`]: the Encrypted payload (SK) and the Encrypted Fragment payload (SKF).
//!
//! Keys are wiped when dropped, are never in a `Debug` output and are compared in constant time.
//! The libraries behind it are `aws-lc-rs` and, for MODP, `crypto-bigint`.

mod exchange;
mod modp;
mod nonce;
mod prf;
mod protect;
mod schedule;
mod secret;
mod wireshark;

pub use exchange::{Draw, ExchangeError, PrivateValue, SharedSecret};
pub use nonce::{Nonce, NonceError, Nonces};
pub use protect::{OpenError, Opener, SealError, Sealer, Suite, SuiteMismatch};
pub use schedule::{ChildKeys, IkeKeys, PPK_ID_FIXED, Ppk, Role, Spis};
pub use secret::Secret;
pub use wireshark::wireshark_row;
