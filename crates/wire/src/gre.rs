//! GRE headers, version 0 (RFC 2784, RFC 2890).
//!
//! The flags that RFC 2784 §2.3 wants refused are refused, each under its own reason; those it
//! wants ignored are ignored. Limit: no routing (RFC 1701), no version 1 (PPTP).

use reason::DropReason;

use crate::{
    IpVersion,
    bytes::{array_at, put, u32_at},
    checksum::{self, Sum},
    parse::{ETHERTYPE_IPV4, ETHERTYPE_IPV6},
};

/// Bit C: checksum and a reserved field are there.
pub(crate) const CHECKSUM: u16 = 0x8000;
/// Bit R: routing of RFC 1701.
const ROUTING: u16 = 0x4000;
/// Bit K: a key is there.
pub(crate) const KEY: u16 = 0x2000;
/// Bit S: a sequence number is there.
const SEQUENCE: u16 = 0x1000;
/// Bits 4 and 5, which a receiver of RFC 2784 must refuse.
const REFUSED: u16 = 0x0c00;
const VERSION: u16 = 0x0007;

/// Bytes of the longest header.
pub const LONGEST: usize = 16;

/// A GRE header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// IP version of the packet inside.
    pub inside: IpVersion,
    /// A checksum over header and payload is there.
    pub checksum: bool,
    /// Key (RFC 2890 §2.1).
    pub key: Option<u32>,
    /// Sequence number (RFC 2890 §2.2).
    pub sequence: Option<u32>,
}

impl Header {
    /// Bytes of the header; never zero.
    #[allow(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        let fields =
            self.checksum as usize + self.key.is_some() as usize + self.sequence.is_some() as usize;
        4 + 4 * fields
    }

    /// Reads and checks the header that `packet` begins with; `packet` ends where the GRE packet
    /// does, since the checksum covers all of it.
    ///
    /// # Errors
    /// Which rule of RFC 2784 §2 the packet breaks.
    pub fn read(packet: &[u8]) -> Result<Self, DropReason> {
        let first: [u8; 4] = array_at(packet, 0).ok_or(DropReason::GreTruncated)?;
        let flags = u16::from_be_bytes([first[0], first[1]]);
        if flags & VERSION != 0 {
            return Err(DropReason::GreVersionUnsupported);
        }
        if flags & ROUTING != 0 {
            return Err(DropReason::GreRoutingPresent);
        }
        if flags & REFUSED != 0 {
            return Err(DropReason::GreFlagsUnsupported);
        }
        let mut at = if flags & CHECKSUM != 0 { 8 } else { 4 };
        let mut field = |present: u16| {
            if flags & present == 0 {
                return Ok(None);
            }
            let value = u32_at(packet, at).ok_or(DropReason::GreTruncated)?;
            at += 4;
            Ok(Some(value))
        };
        let (key, sequence) = (field(KEY)?, field(SEQUENCE)?);
        if packet.len() < at {
            return Err(DropReason::GreTruncated);
        }
        let checksum = flags & CHECKSUM != 0;
        if checksum && !Sum::ZERO.bytes(packet).is_intact() {
            return Err(DropReason::GreChecksumInvalid);
        }
        let inside = match u16::from_be_bytes([first[2], first[3]]) {
            ETHERTYPE_IPV4 => IpVersion::V4,
            ETHERTYPE_IPV6 => IpVersion::V6,
            _ => return Err(DropReason::GreProtocolUnsupported),
        };
        Ok(Self { inside, checksum, key, sequence })
    }

    /// Writes the header to the front of `packet`, whose payload behind it must be final.
    pub fn write(&self, packet: &mut [u8]) {
        let bit = |present: bool, bit: u16| if present { bit } else { 0 };
        let flags = bit(self.checksum, CHECKSUM)
            | bit(self.key.is_some(), KEY)
            | bit(self.sequence.is_some(), SEQUENCE);
        let protocol = match self.inside {
            IpVersion::V4 => ETHERTYPE_IPV4,
            IpVersion::V6 => ETHERTYPE_IPV6,
        };
        put(packet, 0, &flags.to_be_bytes());
        put(packet, 2, &protocol.to_be_bytes());
        let mut at = 4;
        if self.checksum {
            put(packet, at, &[0; 4]);
            at += 4;
        }
        for value in [self.key, self.sequence].into_iter().flatten() {
            put(packet, at, &value.to_be_bytes());
            at += 4;
        }
        if self.checksum {
            let sum = checksum::checksum(packet);
            put(packet, 4, &sum.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for inside in [IpVersion::V4, IpVersion::V6] {
            for n in 0..8u32 {
                let header = Header {
                    inside,
                    checksum: n & 1 != 0,
                    key: (n & 2 != 0).then_some(0xdead_beef),
                    sequence: (n & 4 != 0).then_some(7),
                };
                let mut packet = vec![0xff; header.len()];
                packet.extend([1, 2, 3]);
                header.write(&mut packet);
                assert_eq!(Header::read(&packet), Ok(header));
                for cut in 0..header.len() {
                    assert_eq!(
                        Header::read(&packet[..cut]),
                        Err(DropReason::GreTruncated),
                        "{cut}"
                    );
                }
                let last = packet.len() - 1;
                packet[last] ^= 1;
                let expected = match header.checksum {
                    true => Err(DropReason::GreChecksumInvalid),
                    false => Ok(header),
                };
                assert_eq!(Header::read(&packet), expected);
            }
        }
    }

    /// The bytes of RFC 2784 and RFC 2890, written out.
    #[test]
    fn the_bits_are_where_the_rfcs_have_them() {
        let header = Header {
            inside: IpVersion::V6,
            checksum: false,
            key: Some(0x0102_0304),
            sequence: Some(5),
        };
        let mut packet = [0; 12];
        header.write(&mut packet);
        assert_eq!(packet, [0x30, 0, 0x86, 0xdd, 1, 2, 3, 4, 0, 0, 0, 5]);
    }

    #[test]
    fn every_refused_bit_has_its_reason() {
        let read = |flags: u16, protocol: u16| {
            let mut packet = vec![0; 20];
            packet[..2].copy_from_slice(&flags.to_be_bytes());
            packet[2..4].copy_from_slice(&protocol.to_be_bytes());
            Header::read(&packet).map(|_| ())
        };
        assert_eq!(read(0x0001, 0x0800), Err(DropReason::GreVersionUnsupported));
        assert_eq!(read(0x2001, 0x880b), Err(DropReason::GreVersionUnsupported), "PPTP");
        assert_eq!(read(0x4000, 0x0800), Err(DropReason::GreRoutingPresent));
        assert_eq!(read(0x0800, 0x0800), Err(DropReason::GreFlagsUnsupported));
        assert_eq!(read(0x0400, 0x0800), Err(DropReason::GreFlagsUnsupported));
        assert_eq!(read(0x03f8, 0x0800), Ok(()), "RFC 2784 §2.3: bits 6 to 12 are ignored");
        assert_eq!(read(0, 0x6558), Err(DropReason::GreProtocolUnsupported), "Ethernet");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_a_reason(packet in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(header) = Header::read(&packet) {
                prop_assert!(header.len() <= packet.len().min(LONGEST));
            }
        }
    }
}
