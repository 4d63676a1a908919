//! Who a client is: users and their passwords, names of certificates, lock-out, cookies.

mod certificate;
mod cookie;
mod lockout;
mod password;
mod users;

use std::sync::Arc;

pub use certificate::{CertificateName, CertificateNameError, certificate_name};
pub(crate) use cookie::{Cookie, Offered, decode_hex};
pub(crate) use lockout::Lockout;
pub use lockout::LockoutSettings;
pub use password::{PasswordHash, PasswordHashError};
pub use users::{User, UserNameError, Users, UsersError, UsersErrorKind};

/// Somebody whose name was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub user: Arc<str>,
    /// The groups, in the order they are listed.
    pub groups: Arc<[Arc<str>]>,
}

/// Somebody was not let in. The client is not told which of the two it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such user, or the password is another.
    #[error("unknown user or wrong password")]
    Credentials,
    /// Who was to be asked did not answer.
    #[error("users cannot be checked: {0}")]
    Unavailable(String),
}

/// Where users are looked up. It is asked in a [`Job`](crate::Job), so it may take its time and wait
/// for a server. It must take the same time for users it does not know.
pub trait Authenticator: Send + Sync {
    /// Whether it is this user's password.
    fn password(&self, user: &str, password: &str) -> Result<Identity, Refused>;

    /// A user whose name a valid certificate says.
    fn certified(&self, user: &str) -> Result<Identity, Refused>;
}
