//! VXLAN headers (RFC 7348 §5).

use reason::DropReason;

use crate::bytes::u32_at;

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// The port IANA has given to VXLAN.
pub const PORT: u16 = 4789;

/// The greatest VXLAN network identifier.
pub const MAX_VNI: u32 = (1 << 24) - 1;

/// Flag I: the VNI is valid.
const VALID: u32 = 0x0800_0000;

/// The VNI of the VXLAN packet that a datagram's payload begins with. Reserved bits are ignored.
///
/// # Errors
/// The header is cut, or flag I is not set.
pub fn read(payload: &[u8]) -> Result<u32, DropReason> {
    let (Some(flags), Some(vni)) = (u32_at(payload, 0), u32_at(payload, 4)) else {
        return Err(DropReason::VxlanTruncated);
    };
    if flags & VALID == 0 {
        return Err(DropReason::VxlanVniInvalid);
    }
    Ok(vni >> 8)
}

/// The header for a VNI, of which the lower 24 bits count.
pub const fn header(vni: u32) -> [u8; HEADER_LEN] {
    let [_, a, b, c] = vni.to_be_bytes();
    [0x08, 0, 0, 0, a, b, c, 0]
}

/// The UDP source port of a flow: the same for all its packets, within the dynamic ports
/// (RFC 7348 §5), so that routers with equal paths keep a flow on one.
pub const fn source_port(flow_hash: u64) -> u16 {
    0xc000 | (flow_hash ^ flow_hash >> 32) as u16 & 0x3fff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_vni_survives_and_every_cut_is_told() {
        for vni in [0, 1, 0x12_3456, MAX_VNI] {
            let bytes = header(vni);
            assert_eq!(read(&bytes), Ok(vni));
            for cut in 0..HEADER_LEN {
                assert_eq!(read(&bytes[..cut]), Err(DropReason::VxlanTruncated));
            }
        }
        assert_eq!(header(0x12_3456), [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
    }

    #[test]
    fn flag_i_counts_and_reserved_bits_do_not() {
        assert_eq!(read(&[0, 0, 0, 0, 0, 0, 1, 0]), Err(DropReason::VxlanVniInvalid));
        assert_eq!(read(&[0xff; 8]), Ok(MAX_VNI));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_vni_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            prop_assert!(read(&bytes).is_ok_and(|vni| vni <= MAX_VNI) || read(&bytes).is_err());
        }

        #[test]
        fn source_ports_are_dynamic_ports(hash: u64) {
            prop_assert!(source_port(hash) >= 49_152);
        }
    }
}
