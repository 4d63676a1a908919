//! Explicit congestion notification across tunnels (RFC 6040, normal mode).
//!
//! Into a tunnel the inner field is copied (§4.1). Out of it the two fields decide (§4.2).

use reason::DropReason;

use crate::{
    IpVersion,
    checksum::{self, Sum},
};

/// The two ECN bits of a traffic class.
pub const MASK: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

/// The ECN field of the packet that leaves a tunnel (RFC 6040 §4.2, figure 4).
#[inline]
pub const fn decapsulate(inner: u8, outer: u8) -> Result<u8, DropReason> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => Err(DropReason::EcnInvalid),
        (NOT_ECT, _) => Ok(NOT_ECT),
        (CE, _) | (_, CE) => Ok(CE),
        (_, ECT_1) => Ok(ECT_1),
        (inner, _) => Ok(inner),
    }
}

/// Replaces the ECN bits in the traffic class of the IP packet that `bytes` begin with; the
/// checksum of an IPv4 header stays right.
#[inline]
pub fn set(bytes: &mut [u8], version: IpVersion, ecn: u8) {
    match (version, bytes) {
        (IpVersion::V4, [h0, tos, _, _, _, _, _, _, _, _, sum0, sum1, ..]) => {
            let old = u16::from_be_bytes([*h0, *tos]);
            let new = old & !u16::from(MASK) | u16::from(ecn);
            let delta = checksum::difference(Sum::ZERO.word(old), Sum::ZERO.word(new));
            let sum = checksum::update(u16::from_be_bytes([*sum0, *sum1]), delta);
            *tos = new as u8;
            [*sum0, *sum1] = sum.to_be_bytes();
        }
        (IpVersion::V6, [_, b1, ..]) => *b1 = *b1 & 0b1100_1111 | ecn << 4,
        (IpVersion::V4 | IpVersion::V6, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_change_and_the_checksum_stays_right() {
        let mut v4 = [0u8; 20];
        (v4[0], v4[1], v4[3]) = (0x45, 0b1010_1010, 20);
        let sum = checksum::checksum(&v4);
        v4[10..12].copy_from_slice(&sum.to_be_bytes());
        set(&mut v4, IpVersion::V4, 0b11);
        assert_eq!(v4[1], 0b1010_1011);
        assert!(Sum::ZERO.bytes(&v4).is_intact());
        let mut v6 = [0x6f, 0xaf, 0xff, 0xff];
        set(&mut v6, IpVersion::V6, 0b01);
        assert_eq!(v6, [0x6f, 0x9f, 0xff, 0xff]);
    }

    #[test]
    fn figure_4_of_rfc_6040() {
        const ECT_0: u8 = 0b10;
        let rows = [
            (NOT_ECT, [Ok(NOT_ECT), Ok(NOT_ECT), Ok(NOT_ECT), Err(DropReason::EcnInvalid)]),
            (ECT_0, [Ok(ECT_0), Ok(ECT_0), Ok(ECT_1), Ok(CE)]),
            (ECT_1, [Ok(ECT_1), Ok(ECT_1), Ok(ECT_1), Ok(CE)]),
            (CE, [Ok(CE), Ok(CE), Ok(CE), Ok(CE)]),
        ];
        for (inner, expected) in rows {
            for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(expected) {
                assert_eq!(decapsulate(inner, outer), expected, "{inner:02b} in {outer:02b}");
            }
        }
    }
}
