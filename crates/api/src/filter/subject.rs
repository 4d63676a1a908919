//! What can be filtered.

use core::net::IpAddr;

use super::{End, Side};

/// Something a filter can be asked about: a session, a packet, an event.
///
/// A term about something the subject does not have does not match it; so every method but the
/// first three has a default that says "I have none".
pub trait Subject {
    /// Addresses of an end (`Src` or `Dst`; never asked for `Either`), before and after translation.
    fn addresses(&self, end: End) -> [Option<IpAddr>; 2];

    /// Ports of an end, before and after translation.
    fn ports(&self, end: End) -> [Option<u16>; 2];

    /// IP protocol number.
    fn protocol(&self) -> Option<u8>;

    /// Addresses that translation put in.
    fn translated(&self) -> [Option<IpAddr>; 2] {
        [None; 2]
    }

    /// Number of the policy that decided.
    fn policy(&self) -> Option<u32> {
        None
    }

    /// Name of its state, in any case: `established`.
    fn state(&self) -> Option<&str> {
        None
    }

    /// Whether a reason of that name stands by it, of whatever class.
    fn has_reason(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Whether that tier serves it, wholly or in part.
    fn has_tier(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Whether it comes in or leaves by the interface of that name.
    fn has_interface(&self, side: Side, name: &str) -> bool {
        let _ = (side, name);
        false
    }

    /// Whether it comes in or leaves by an interface of that zone.
    fn has_zone(&self, side: Side, name: &str) -> bool {
        let _ = (side, name);
        false
    }

    /// Whether it belongs to the virtual router of that name.
    fn has_virtual_router(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Whether the user of that name sends.
    fn has_user(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Whether somebody of that group sends.
    fn has_group(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Number of its session.
    fn id(&self) -> Option<u64> {
        None
    }
}
