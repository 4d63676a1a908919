//! The stages of the packet's day: one file a stage, one entry function each.
//!
//! ```text
//! ingress ─ reassemble ─ decap ─ session ─┬─ hit ──────────────────────────────┐
//!                                         └─ miss: anomaly ─ rpf ─ dnat ─      │
//!                                            sdwan ─ route ─ policy ─ snat ─   │
//!                                            admit ───────────────────────────┤
//!  ┌───────────────────────────────────────────────────────────────────────────┘
//!  └► inspect ─ shape ─ offload ─┬─ deliver (to the gateway itself)
//!                                └─ neighbour ─ encap ─ transmit
//! ```

pub(crate) mod admit;
pub(crate) mod anomaly;
pub(crate) mod decap;
pub(crate) mod deliver;
pub(crate) mod dnat;
pub(crate) mod encap;
pub(crate) mod ingress;
pub(crate) mod inspect;
pub(crate) mod neighbour;
pub(crate) mod offload;
pub(crate) mod policy;
pub(crate) mod reassemble;
pub(crate) mod route;
pub(crate) mod rpf;
pub(crate) mod sdwan;
pub(crate) mod session;
pub(crate) mod shape;
pub(crate) mod snat;
pub(crate) mod transmit;

pub(crate) use route::flow_hash;
