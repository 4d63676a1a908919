//! Explicit congestion notification across tunnels (RFC 6040, normal mode).
//!
//! Into a tunnel the inner field is copied (§4.1). Out of it the two fields decide (§4.2).

use reason::DropReason;

/// The two ECN bits of a traffic class.
pub(crate) const MASK: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

/// The ECN field of the packet that leaves a tunnel (RFC 6040 §4.2, figure 4).
#[inline]
pub(crate) const fn decapsulate(inner: u8, outer: u8) -> Result<u8, DropReason> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => Err(DropReason::EcnInvalid),
        (NOT_ECT, _) => Ok(NOT_ECT),
        (CE, _) | (_, CE) => Ok(CE),
        (_, ECT_1) => Ok(ECT_1),
        (inner, _) => Ok(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
