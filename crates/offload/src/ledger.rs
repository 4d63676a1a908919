//! The ledger: what is eligible, installed and hitting, per direction, since when, and why not.
