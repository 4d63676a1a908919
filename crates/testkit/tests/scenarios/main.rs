//! Scenarios: a simulated network each, single-stepped, with a capture and a replay at the end.
//!
//! Every step has a banner that says what it shows; where packets go one by one, every counter that
//! changed is named.

#![allow(missing_docs)]

mod capture;
mod change;
mod esp;
mod esp_settings;
mod guards;
mod ike;
mod ike_addresses;
mod ike_auth;
mod ike_keys;
mod nat;
mod neighbour;
mod office;
mod offload;
mod overlay;
mod policy;
mod profile;
mod remote;
mod setup;
mod sizes;
mod tcp;
mod trace;
mod transport;
mod tunnel;
mod users;
