//! Users and the addresses they are behind.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Name;

/// One page of addresses whose user is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersView {
    /// In the order they came.
    pub users: Vec<UserView>,
    /// Addresses whose user is known, whether they are on the page or not.
    pub total: u64,
    /// How many may be.
    pub capacity: u64,
    /// Cursor of the next page; absent at the end.
    pub next: Option<u64>,
}

/// A user behind an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// Name.
    pub user: String,
    /// Groups, sorted.
    pub groups: Vec<String>,
    /// The address.
    pub address: IpAddr,
    /// Virtual router.
    pub vr: String,
    /// Who said so: `api` or `remote-access`.
    pub by: Name,
    /// Since the user came.
    pub age_ms: u64,
    /// Until the user goes, if nobody says so again; absent where there is no such time.
    pub expires_ms: Option<u64>,
}
