//! Addresses that are given to peers.

use serde::{Deserialize, Serialize};

/// Address pools, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPoolsView {
    /// Rows.
    pub pools: Vec<AddressPoolView>,
}

/// One address pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPoolView {
    /// Name.
    pub name: String,
    /// Line of the configuration.
    pub line: u32,
    /// Its ranges.
    pub addresses: Vec<String>,
    /// Addresses in them; the largest number there is where there are more.
    pub size: u64,
    /// Addresses that somebody has.
    pub held: u64,
    /// Addresses that are kept for who had them, as long as nobody needs them.
    pub remembered: u64,
}
