//! The Internet checksum (RFC 1071), its incremental update (RFC 1624) and CRC-32c (RFC 9260).
//!
//! A [`Sum`] is kept in the byte order of the machine: the one's-complement sum does not depend on
//! it, and so bytes are added eight at a time without a swap.

use core::net::IpAddr;

use reason::DropReason;

use crate::bytes;

/// An unfinished one's-complement sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing added yet.
    pub const ZERO: Self = Self(0);

    /// Adds bytes. Every part but the last must have an even length.
    #[inline]
    #[must_use]
    pub fn bytes(self, data: &[u8]) -> Self {
        // two sums of 128 bits: 64 bytes per step, and carries never need care
        let (blocks, rest) = data.as_chunks::<64>();
        let (mut even, mut odd) = (0u128, 0u128);
        for block in blocks {
            let (words, _) = block.as_chunks::<8>();
            for pair in words.chunks_exact(2) {
                if let [a, b] = pair {
                    even += u128::from(u64::from_ne_bytes(*a));
                    odd += u128::from(u64::from_ne_bytes(*b));
                }
            }
        }
        let total = even + odd;
        let mut sum = self.0 + halves(total as u64) + (total >> 64) as u64;
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            sum += halves(u64::from_ne_bytes(*word));
        }
        let (words, rest) = rest.as_chunks::<4>();
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        let pair = |a, b| u64::from(u16::from_ne_bytes([a, b]));
        Self(match *rest {
            [] => sum,
            [a] => sum + pair(a, 0),
            [a, b] => sum + pair(a, b),
            [a, b, c, ..] => sum + pair(a, b) + pair(c, 0),
        })
    }

    /// The sum of an IPv4 header without options.
    #[inline]
    #[must_use]
    pub fn ipv4_header(header: &[u8; 20]) -> Self {
        let ([a, b], rest) = header.as_chunks::<8>() else {
            return Self::ZERO.bytes(header);
        };
        let (sum, carry) = u64::from_ne_bytes(*a).overflowing_add(u64::from_ne_bytes(*b));
        Self(halves(sum) + u64::from(carry)).bytes(rest)
    }

    /// Adds a 16-bit number.
    #[inline]
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word.to_be() as u64)
    }

    /// Adds an address.
    #[inline]
    #[must_use]
    pub fn address(self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
    }

    /// Adds the pseudo-header of RFC 9293 §3.1 or RFC 8200 §8.1; `length` is that of the transport
    /// header and payload.
    #[inline]
    #[must_use]
    pub fn pseudo(self, src: IpAddr, dst: IpAddr, proto: u8, length: u32) -> Self {
        self.address(src)
            .address(dst)
            .word(u16::from(proto))
            .word((length >> 16) as u16)
            .word(length as u16)
    }

    /// The sum folded to 16 bits, not inverted.
    #[inline]
    pub const fn fold(self) -> u16 {
        // adding a number to itself with its halves swapped leaves, in the upper half, the sum of
        // the halves with the carry brought round
        let sum = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        let sum = sum.wrapping_add(sum.rotate_left(16)) >> 16;
        u16::from_be(sum as u16)
    }

    /// The checksum: the folded sum, inverted.
    #[inline]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }

    /// Whether the sum, taken over data with its checksum in place, says the data is intact.
    #[inline]
    pub const fn is_intact(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The sum of the two halves of a word.
#[inline]
const fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) + (word >> 32)
}

/// The checksum of `data`.
pub fn checksum(data: &[u8]) -> u16 {
    Sum::ZERO.bytes(data).finish()
}

/// The one's-complement difference that replacing `old` by `new` makes: ~m + m' of RFC 1624.
///
/// No difference is 0, never 0xffff, so that [`update`] with it changes nothing.
#[inline]
pub const fn difference(old: Sum, new: Sum) -> u16 {
    let d = fold32(!old.fold() as u32 + new.fold() as u32);
    if d == 0xffff { 0 } else { d }
}

/// A checksum field after data under it changed by `delta`: HC' = ~(~HC + ~m + m'), RFC 1624 eqn. 3.
#[inline]
pub const fn update(field: u16, delta: u16) -> u16 {
    !fold32(!field as u32 + delta as u32)
}

/// A sum that is not inverted (an unfinished checksum) after data under it changed by `delta`.
#[inline]
pub const fn update_partial(field: u16, delta: u16) -> u16 {
    fold32(field as u32 + delta as u32)
}

/// The checksum field of a protocol in which zero means "none" (UDP): 0 is sent as 0xffff.
#[inline]
pub const fn never_zero(field: u16) -> u16 {
    if field == 0 { 0xffff } else { field }
}

#[inline]
const fn fold32(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Finishes an unfinished checksum (CHECKSUM_PARTIAL): sums from `start` to the end of the frame
/// and writes the result at `start + offset`. Zero is written as 0xffff, as Linux does.
pub fn finish_partial(frame: &mut [u8], start: u16, offset: u16) -> Result<(), DropReason> {
    let start = usize::from(start);
    let data = frame.get_mut(start..).ok_or(DropReason::SuperPacketInvalid)?;
    let field = never_zero(checksum(data));
    bytes::put(data, usize::from(offset), &field.to_be_bytes())
        .ok_or(DropReason::SuperPacketInvalid)
}

/// CRC-32c (Castagnoli) of `data`, as SCTP uses it (RFC 9260 appendix A); SCTP sends it
/// little-endian.
pub fn crc32c(data: &[u8]) -> u32 {
    crc32c_finish(crc32c_add(CRC32C_START, data))
}

/// Where a CRC-32c over several parts starts.
pub const CRC32C_START: u32 = !0;

/// Adds a part to a CRC-32c.
pub fn crc32c_add(mut crc: u32, data: &[u8]) -> u32 {
    let (blocks, rest) = data.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in blocks {
        let [a, b, c, d] = (crc ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
        crc = CRC_TABLES[7][a as usize]
            ^ CRC_TABLES[6][b as usize]
            ^ CRC_TABLES[5][c as usize]
            ^ CRC_TABLES[4][d as usize]
            ^ CRC_TABLES[3][e as usize]
            ^ CRC_TABLES[2][f as usize]
            ^ CRC_TABLES[1][g as usize]
            ^ CRC_TABLES[0][h as usize];
    }
    for &byte in rest {
        crc = (crc >> 8) ^ CRC_TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

/// Ends a CRC-32c over several parts.
pub const fn crc32c_finish(crc: u32) -> u32 {
    !crc
}

/// Tables of the slicing-by-eight method; table `n` is for a byte followed by `n` more.
static CRC_TABLES: [[u32; 256]; 8] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 8] {
    /// The Castagnoli polynomial 0x1EDC6F41, bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut tables = [[0; 256]; 8];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][n] = crc;
        n += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut n = 0;
        while n < 256 {
            let prev = tables[t - 1][n];
            tables[t][n] = (prev >> 8) ^ tables[0][(prev & 0xff) as usize];
            n += 1;
        }
        t += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071's definition, word by word.
    fn plain(data: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in data.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn rfc_1071_section_3_example() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::ZERO.bytes(&data).fold(), 0xddf2);
    }

    #[test]
    fn rfc_1624_section_4_example() {
        // a header with checksum 0xDD2F, where a field goes from 0x5555 to 0x3285
        let delta = difference(Sum::ZERO.word(0x5555), Sum::ZERO.word(0x3285));
        assert_eq!(update(0xdd2f, delta), 0x0000);
    }

    #[test]
    fn a_known_ipv4_header() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }

    #[test]
    fn crc32c_vectors_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let up: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&up), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn partial_offsets_outside_the_frame_are_refused() {
        let mut frame = [0u8; 60];
        assert_eq!(finish_partial(&mut frame, 61, 0), Err(DropReason::SuperPacketInvalid));
        assert_eq!(finish_partial(&mut frame, 34, 25), Err(DropReason::SuperPacketInvalid));
        assert_eq!(
            finish_partial(&mut frame, u16::MAX, u16::MAX),
            Err(DropReason::SuperPacketInvalid)
        );
        assert_eq!(finish_partial(&mut frame, 34, 24), Ok(()));
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_plain_sum(data in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(checksum(&data), plain(&data));
        }

        #[test]
        fn parts_add_up(data in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..150) {
            let cut = (cut * 2).min(data.len() & !1);
            let (a, b) = data.split_at(cut);
            prop_assert_eq!(Sum::ZERO.bytes(a).bytes(b).finish(), plain(&data));
        }

        #[test]
        fn an_update_is_a_recomputation(
            mut data in prop::collection::vec(any::<u8>(), 4..64), new in any::<[u8; 4]>(),
        ) {
            data[0] = 0x45; // a sum over data that is all zero is the one ambiguous case
            let before = checksum(&data);
            let old: [u8; 4] = data[..4].try_into().unwrap();
            let new = [0x45, new[1], new[2], new[3]];
            data[..4].copy_from_slice(&new);
            let delta = difference(Sum::ZERO.bytes(&old), Sum::ZERO.bytes(&new));
            prop_assert_eq!(update(before, delta), checksum(&data));
        }

        #[test]
        fn crc_parts_add_up(data in prop::collection::vec(any::<u8>(), 0..100), cut in 0usize..100) {
            let (a, b) = data.split_at(cut.min(data.len()));
            let crc = crc32c_finish(crc32c_add(crc32c_add(CRC32C_START, a), b));
            prop_assert_eq!(crc, crc32c(&data));
        }
    }
}
