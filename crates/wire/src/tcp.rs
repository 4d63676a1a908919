//! Checked view of a TCP header, its options, and MSS clamping.

use reason::DropReason;

use crate::{
    Fragmentation, Headers,
    bytes::{put, u16_at, u32_at},
    checksum::{self, Sum},
    proto,
};

/// Bits of the flags byte (RFC 9293 §3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer is significant.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

/// A TCP header. A super-packet is one segment with a long payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; meaningful with [`flags::ACK`].
    pub ack: u32,
    /// Flags byte.
    pub flags: u8,
    /// Window field, not scaled.
    pub window: u16,
    /// The bytes of the options.
    pub options: &'a [u8],
    /// Length of the payload in bytes.
    pub payload_len: u32,
}

impl<'a> Segment<'a> {
    /// The TCP header of a parsed packet; `None` if it is not TCP or a later fragment.
    #[inline]
    pub fn of(frame: &'a [u8], headers: &Headers) -> Option<Self> {
        if headers.tuple.proto != proto::TCP || headers.fragment == Fragmentation::Later {
            return None;
        }
        let header = frame.get(usize::from(headers.l4)..usize::from(headers.payload))?;
        let (fixed, options) = header.split_first_chunk::<20>()?;
        Some(Self {
            seq: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ack: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            flags: fixed[13],
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            options,
            payload_len: headers.payload_len(),
        })
    }

    /// Whether all of the given flags are set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The options, one by one.
    pub const fn options(&self) -> Options<'a> {
        Options { bytes: self.options, at: 0 }
    }

    /// What the options of a SYN offer. Refused if an option's length is wrong.
    pub fn offer(&self) -> Result<Offer, DropReason> {
        let mut offer = Offer::default();
        for option in self.options() {
            match option?.1 {
                Opt::Mss(mss) => offer.mss = Some(mss),
                Opt::WindowScale(shift) => offer.window_scale = Some(shift),
                Opt::SackPermitted => offer.sack_permitted = true,
                Opt::Timestamps { .. } => offer.timestamps = true,
                Opt::Unknown { .. } => {}
            }
        }
        Ok(offer)
    }
}

/// What a SYN offers in its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Maximum segment size (RFC 9293 §3.7.1).
    pub mss: Option<u16>,
    /// Window scale shift, at most 14 (RFC 7323 §2.3).
    pub window_scale: Option<u8>,
    /// Selective acknowledgements (RFC 2018).
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323).
    pub timestamps: bool,
}

/// A TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt<'a> {
    /// Maximum segment size.
    Mss(u16),
    /// Window scale shift, cut to 14 as RFC 7323 §2.3 says.
    WindowScale(u8),
    /// Selective acknowledgements may be sent.
    SackPermitted,
    /// Timestamps.
    Timestamps {
        /// TSval.
        value: u32,
        /// TSecr.
        echo: u32,
    },
    /// An option the gateway does not look into.
    Unknown {
        /// Its kind.
        kind: u8,
        /// What follows its length.
        data: &'a [u8],
    },
}

/// Iterator over options: where each stands in the option bytes, and what it is. Ends after the first
/// malformed one.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(usize, Opt<'a>), DropReason>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.bytes.get(self.at)? {
                0 => {
                    self.at = self.bytes.len();
                    return None;
                }
                1 => self.at += 1,
                kind => {
                    let at = self.at;
                    let option = read_option(kind, self.bytes.get(at..).unwrap_or_default());
                    self.at = match option {
                        Some((length, _)) => at + length,
                        None => self.bytes.len(),
                    };
                    let option = option.ok_or(DropReason::TcpHeaderInvalid);
                    return Some(option.map(|(_, option)| (at, option)));
                }
            }
        }
    }
}

/// The length of the option that starts `bytes`, and the option.
fn read_option(kind: u8, bytes: &[u8]) -> Option<(usize, Opt<'_>)> {
    let length = usize::from(*bytes.get(1)?);
    let data = bytes.get(2..length)?;
    let option = match (kind, data) {
        (2, &[a, b]) => Opt::Mss(u16::from_be_bytes([a, b])),
        (3, &[shift]) => Opt::WindowScale(shift.min(14)),
        (4, &[]) => Opt::SackPermitted,
        (8, data) if data.len() == 8 => {
            Opt::Timestamps { value: u32_at(data, 0)?, echo: u32_at(data, 4)? }
        }
        (2 | 3 | 4 | 8, _) => return None,
        (kind, data) => Opt::Unknown { kind, data },
    };
    Some((length, option))
}

/// Lowers the MSS option of a SYN to at most `max`, and says whether it did.
///
/// The checksum follows, unless it is partial: an unfinished checksum does not depend on the options.
pub fn clamp_mss(frame: &mut [u8], headers: &Headers, max: u16, partial_checksum: bool) -> bool {
    let Some(segment) = Segment::of(frame, headers).filter(|s| s.has(flags::SYN)) else {
        return false;
    };
    let found = segment.options().map_while(Result::ok).find_map(|(at, option)| match option {
        Opt::Mss(mss) if mss > max => Some((at, mss)),
        Opt::Mss(_)
        | Opt::WindowScale(_)
        | Opt::SackPermitted
        | Opt::Timestamps { .. }
        | Opt::Unknown { .. } => None,
    });
    let Some((at, mss)) = found else { return false };
    let l4 = usize::from(headers.l4);
    if put(frame, l4 + 20 + at + 2, &max.to_be_bytes()).is_none() {
        return false;
    }
    let field = l4 + 16;
    if let Some(sum) = u16_at(frame, field).filter(|_| !partial_checksum) {
        // at an odd offset the two bytes belong to two words of the sum, the other way round
        let word = |value: u16| {
            if at % 2 == 0 { value } else { value.swap_bytes() }
        };
        let delta = checksum::difference(Sum::ZERO.word(word(mss)), Sum::ZERO.word(word(max)));
        put(frame, field, &checksum::update(sum, delta).to_be_bytes());
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Tuple,
        build::{self, Packet},
        parse, verify_l4_checksum,
    };

    fn flow() -> Tuple {
        build::tuple(proto::TCP, ([10, 0, 0, 5], 51000), ([203, 0, 113, 9], 443))
    }

    fn syn(options: &[u8]) -> Vec<u8> {
        Packet::new(flow()).tcp(flags::SYN, 100, 0).tcp_options(options).build()
    }

    #[test]
    fn options_of_a_linux_syn() {
        let frame = syn(&[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 0, 1, 3, 3, 7]);
        let headers = parse(&frame).unwrap();
        let segment = Segment::of(&frame, &headers).unwrap();
        assert_eq!((segment.seq, segment.payload_len, segment.window), (100, 0, 0xffff));
        let options: Result<Vec<_>, _> = segment.options().collect();
        let expected = vec![
            (0, Opt::Mss(1460)),
            (4, Opt::SackPermitted),
            (6, Opt::Timestamps { value: 7, echo: 0 }),
            (17, Opt::WindowScale(7)),
        ];
        assert_eq!(options, Ok(expected));
        let offer = Offer {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: true,
        };
        assert_eq!(segment.offer(), Ok(offer));
    }

    #[test]
    fn malformed_options() {
        let bad: [&[u8]; 6] = [
            &[2, 0, 0, 0],
            &[2, 1, 0, 0],
            &[2, 3, 5, 0],
            &[2, 5, 5, 180],
            &[1, 1, 1, 9],
            &[3, 4, 1, 1],
        ];
        for options in bad {
            let frame = syn(options);
            let headers = parse(&frame).unwrap();
            let segment = Segment::of(&frame, &headers).unwrap();
            assert_eq!(segment.offer(), Err(DropReason::TcpHeaderInvalid), "{options:?}");
            assert!(!clamp_mss(&mut frame.clone(), &headers, 500, false));
        }
        let shift = syn(&[3, 3, 15, 0]);
        let headers = parse(&shift).unwrap();
        let offer = Segment::of(&shift, &headers).unwrap().offer().unwrap();
        assert_eq!(offer.window_scale, Some(14));
    }

    #[test]
    fn clamping() {
        for options in [&[2, 4, 5, 180][..], &[1, 2, 4, 5, 180], &[1, 1, 2, 4, 5, 180]] {
            let mut frame = syn(options);
            let headers = parse(&frame).unwrap();
            assert!(!clamp_mss(&mut frame, &headers, 1460, false), "not above");
            assert!(clamp_mss(&mut frame, &headers, 1361, false));
            assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()), "{options:?}");
            assert_eq!(Segment::of(&frame, &headers).unwrap().offer().unwrap().mss, Some(1361));
        }
        let mut ack =
            Packet::new(flow()).tcp(flags::ACK, 1, 1).tcp_options(&[2, 4, 5, 180]).build();
        let headers = parse(&ack).unwrap();
        assert!(!clamp_mss(&mut ack, &headers, 500, false), "only a SYN has an MSS");
    }

    #[test]
    fn clamping_leaves_a_partial_checksum_alone() {
        let packet = Packet::new(flow()).tcp(flags::SYN, 100, 0).tcp_options(&[2, 4, 5, 180]);
        let mut frame = packet.clone().partial_checksum().build();
        let headers = parse(&frame).unwrap();
        assert!(clamp_mss(&mut frame, &headers, 1000, true));
        checksum::finish_partial(&mut frame, headers.l4, 16).unwrap();
        assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
    }

    proptest! {
        #[test]
        fn any_options(
            options in prop::collection::vec(any::<u8>(), 0..40), max in any::<u16>(), six in any::<bool>(),
        ) {
            let flow = if six {
                build::tuple(proto::TCP, ([7u16; 8], 1), ([8u16; 8], 2))
            } else {
                flow()
            };
            let mut frame = Packet::new(flow).tcp(flags::SYN, 1, 0).tcp_options(&options).build();
            let headers = parse(&frame).unwrap();
            let _ = Segment::of(&frame, &headers).unwrap().offer();
            clamp_mss(&mut frame, &headers, max, false);
            prop_assert_eq!(verify_l4_checksum(&frame, &headers), Ok(()));
        }
    }
}
