//! Cutting super-packets into the packets they stand for (TSO and USO in software).
//!
//! Every segment gets the super-packet's headers with its own lengths, IPv4 identification, TCP
//! sequence number and a full checksum. Limits: a segment carries at least eight bytes of TCP
//! payload, and a UDP super-packet at most 128 datagrams, as in Linux; anything else is refused, so
//! that a lying offload header cannot make work without bound.

use reason::DropReason;

use crate::{
    Fragmentation, Headers, IpVersion, L3,
    bytes::{put, u16_at, u32_at},
    checksum::{self, Sum},
    proto,
    tcp::flags,
};

/// Smallest TCP segment payload (Linux: TCP_MIN_GSO_SIZE).
const MIN_TCP_SEGMENT: u16 = 8;
/// Most datagrams in a UDP super-packet (Linux: UDP_MAX_SEGMENTS).
const MAX_UDP_SEGMENTS: u32 = 128;

/// How many packets a super-packet with `payload_len` bytes of payload stands for: one at least.
pub const fn segment_count(payload_len: u32, size: u16) -> u32 {
    match size {
        0 => 1,
        size => {
            let count = payload_len.div_ceil(size as u32);
            if count == 0 { 1 } else { count }
        }
    }
}

/// Cuts one super-packet; [`Segmenter::next`] writes one segment after the other.
#[derive(Clone, Debug)]
pub struct Segmenter<'a> {
    frame: &'a [u8],
    version: IpVersion,
    tcp: bool,
    ecn: bool,
    l3: usize,
    l4: usize,
    /// All headers: where the payload starts.
    header: usize,
    end: usize,
    size: usize,
    /// Where the payload of the next segment starts; past `end` when there is none.
    at: usize,
    nth: u16,
    first_id: u16,
    first_seq: u32,
    /// Pseudo-header without the length.
    pseudo: Sum,
}

impl<'a> Segmenter<'a> {
    /// Starts cutting into segments of `size` bytes of payload, TCP or else UDP.
    ///
    /// `ecn`: CWR goes out on the first segment only (RFC 3168); otherwise every segment has the flag
    /// as it is, as accurate ECN wants. Refused if the headers do not bear out what is asked.
    pub fn new(
        frame: &'a [u8],
        headers: &Headers,
        tcp: bool,
        size: u16,
        ecn: bool,
    ) -> Result<Self, DropReason> {
        let invalid = DropReason::SuperPacketInvalid;
        let L3::Ip(version) = headers.kind else {
            return Err(invalid);
        };
        let payload_len = headers.payload_len();
        let count = segment_count(payload_len, size);
        let is_plausible = if tcp {
            headers.tuple.proto == proto::TCP
                && size >= MIN_TCP_SEGMENT
                && headers.tcp_flags & (flags::SYN | flags::RST) == 0
        } else {
            headers.tuple.proto == proto::UDP && size > 0 && count <= MAX_UDP_SEGMENTS
        };
        let is_whole = headers.fragment == Fragmentation::Whole
            && headers.end as usize <= frame.len()
            && payload_len > 0;
        if !is_plausible || !is_whole {
            return Err(invalid);
        }
        let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
        let first_id = match version {
            IpVersion::V4 => u16_at(frame, l3 + 4).ok_or(invalid)?,
            IpVersion::V6 => 0,
        };
        let first_seq = if tcp { u32_at(frame, l4 + 4).ok_or(invalid)? } else { 0 };
        let t = &headers.tuple;
        Ok(Self {
            frame,
            version,
            tcp,
            ecn,
            l3,
            l4,
            header: usize::from(headers.payload),
            end: headers.end as usize,
            size: usize::from(size),
            at: usize::from(headers.payload),
            nth: 0,
            first_id,
            first_seq,
            pseudo: Sum::ZERO.address(t.src).address(t.dst).word(u16::from(t.proto)),
        })
    }

    /// Length of the longest segment's frame: what a buffer must hold.
    pub fn max_len(&self) -> usize {
        self.header + self.size.min(self.end - self.header)
    }

    /// How many segments are still to come.
    pub const fn remaining(&self) -> u32 {
        self.end.saturating_sub(self.at).div_ceil(self.size) as u32
    }

    /// Writes the next segment to the start of `out` and returns its length; `None` when all are
    /// written, or if `out` is shorter than [`Segmenter::max_len`].
    #[allow(clippy::should_implement_trait, reason = "it writes into a buffer of the caller")]
    pub fn next(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.at >= self.end {
            return None;
        }
        let stop = (self.at + self.size).min(self.end);
        let payload = self.frame.get(self.at..stop)?;
        let length = self.header + payload.len();
        let out = out.get_mut(..length)?;
        let (head, body) = out.split_at_mut_checked(self.header)?;
        head.copy_from_slice(self.frame.get(..self.header)?);
        body.copy_from_slice(payload);
        self.ip(out, length)?;
        self.transport(out, stop == self.end)?;
        self.at = stop;
        self.nth = self.nth.wrapping_add(1);
        Some(length)
    }

    fn ip(&self, out: &mut [u8], length: usize) -> Option<()> {
        match self.version {
            IpVersion::V4 => {
                let total = u16::try_from(length - self.l3).ok()?;
                put(out, self.l3 + 2, &total.to_be_bytes())?;
                let id = self.first_id.wrapping_add(self.nth);
                put(out, self.l3 + 4, &id.to_be_bytes())?;
                put(out, self.l3 + 10, &[0; 2])?;
                let sum = checksum::checksum(out.get(self.l3..self.l4)?);
                put(out, self.l3 + 10, &sum.to_be_bytes())
            }
            IpVersion::V6 => {
                let total = u16::try_from(length - self.l3 - 40).ok()?;
                put(out, self.l3 + 4, &total.to_be_bytes())
            }
        }
    }

    fn transport(&self, out: &mut [u8], is_last: bool) -> Option<()> {
        let l4 = out.get_mut(self.l4..)?;
        let length = u16::try_from(l4.len()).ok()?;
        let field = if self.tcp {
            let done = (self.at - self.header) as u32;
            put(l4, 4, &self.first_seq.wrapping_add(done).to_be_bytes())?;
            let flags = l4.get_mut(13)?;
            if !is_last {
                *flags &= !(flags::FIN | flags::PSH);
            }
            if self.ecn && self.nth != 0 {
                *flags &= !flags::CWR;
            }
            16
        } else {
            put(l4, 4, &length.to_be_bytes())?;
            6
        };
        put(l4, field, &[0; 2])?;
        let sum = self.pseudo.word(length).bytes(l4).finish();
        let sum = if self.tcp { sum } else { checksum::never_zero(sum) };
        put(l4, field, &sum.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Tuple,
        build::{self, Packet},
        parse,
        tcp::Segment,
        verify_l4_checksum,
    };

    fn flow(proto: u8, six: bool) -> Tuple {
        if six {
            build::tuple(proto, ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5], 5000), ([9u16; 8], 53))
        } else {
            build::tuple(proto, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 53))
        }
    }

    fn cut(frame: &[u8], tcp: bool, size: u16, ecn: bool) -> Vec<Vec<u8>> {
        let headers = parse(frame).unwrap();
        let mut segmenter = Segmenter::new(frame, &headers, tcp, size, ecn).unwrap();
        let expected = segment_count(headers.payload_len(), size);
        assert_eq!(segmenter.remaining(), expected);
        let mut out = vec![0; segmenter.max_len()];
        let mut segments = Vec::new();
        while let Some(length) = segmenter.next(&mut out) {
            segments.push(out[..length].to_vec());
        }
        assert_eq!((segments.len(), segmenter.remaining()), (expected as usize, 0));
        segments
    }

    #[test]
    fn flags_and_identifications() {
        let all = flags::ACK | flags::PSH | flags::FIN | flags::CWR;
        let frame = Packet::new(flow(proto::TCP, false))
            .id(0xffff)
            .tcp(all, u32::MAX, 9)
            .payload(&[7; 25])
            .partial_checksum()
            .build();
        let seen: Vec<_> = cut(&frame, true, 10, true)
            .iter()
            .map(|segment| {
                let headers = parse(segment).unwrap();
                let tcp = Segment::of(segment, &headers).unwrap();
                (u16_at(segment, 18).unwrap(), tcp.seq, tcp.flags, tcp.payload_len)
            })
            .collect();
        let expected = [
            (0xffff, u32::MAX, flags::ACK | flags::CWR, 10),
            (0, 9, flags::ACK, 10),
            (1, 19, flags::ACK | flags::PSH | flags::FIN, 5),
        ];
        assert_eq!(seen, expected);
        let accurate = cut(&frame, true, 10, false);
        assert!(accurate.iter().all(|s| parse(s).unwrap().tcp_flags & flags::CWR != 0));
    }

    #[test]
    fn lying_headers_are_refused() {
        let invalid = Some(DropReason::SuperPacketInvalid);
        let try_cut = |packet: Packet, tcp, size| {
            let frame = packet.build();
            let headers = parse(&frame).unwrap();
            Segmenter::new(&frame, &headers, tcp, size, false).err()
        };
        let tcp = || Packet::new(flow(proto::TCP, false)).payload(&[0; 100]);
        let udp = || Packet::new(flow(proto::UDP, false)).payload(&[0; 129]);
        assert_eq!(try_cut(tcp(), true, 50), None);
        assert_eq!(try_cut(udp(), false, 50), None);
        assert_eq!(try_cut(tcp(), false, 50), invalid, "not UDP");
        assert_eq!(try_cut(udp(), true, 50), invalid, "not TCP");
        assert_eq!(try_cut(tcp(), true, 0), invalid);
        assert_eq!(try_cut(tcp(), true, 7), invalid, "segments too small");
        assert_eq!(try_cut(udp(), false, 1), invalid, "too many datagrams");
        assert_eq!(try_cut(tcp().payload(b""), true, 50), invalid, "nothing to cut");
        assert_eq!(try_cut(tcp().tcp(flags::SYN, 1, 0), true, 50), invalid, "a SYN");
        let frame = tcp().build();
        let headers = parse(&frame).unwrap();
        let short = &frame[..frame.len() - 1];
        assert_eq!(Segmenter::new(short, &headers, true, 50, false).err(), invalid, "cut short");
    }

    #[test]
    fn a_short_buffer_writes_nothing() {
        let frame = Packet::new(flow(proto::UDP, false)).payload(&[1; 30]).build();
        let headers = parse(&frame).unwrap();
        let mut segmenter = Segmenter::new(&frame, &headers, false, 10, false).unwrap();
        assert_eq!(segmenter.max_len(), 52);
        assert_eq!(segmenter.next(&mut [0; 51]), None);
        assert_eq!(segmenter.remaining(), 3);
        assert_eq!(segmenter.next(&mut [0; 60]), Some(52));
    }

    #[test]
    fn counting() {
        assert_eq!(segment_count(0, 1448), 1);
        assert_eq!(segment_count(1448, 1448), 1);
        assert_eq!(segment_count(1449, 1448), 2);
        assert_eq!(segment_count(65_000, 0), 1);
    }

    proptest! {
        #[test]
        fn segments_are_packets_and_add_up(
            tcp in any::<bool>(), six in any::<bool>(), size in 8u16..100,
            payload in prop::collection::vec(any::<u8>(), 1..800),
            vlan in prop::option::of(1u16..4095),
        ) {
            let flow = flow(if tcp { proto::TCP } else { proto::UDP }, six);
            let mut packet = Packet::new(flow).tcp(flags::ACK, 1000, 1).payload(&payload);
            if tcp {
                packet = packet.tcp_options(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
            }
            if let Some(id) = vlan {
                packet = packet.vlan(id);
            }
            let frame = packet.partial_checksum().build();
            let mut joined = Vec::new();
            for segment in cut(&frame, tcp, size, false) {
                let headers = parse(&segment).unwrap();
                prop_assert_eq!(headers.tuple, flow);
                prop_assert_eq!(headers.end as usize, segment.len());
                prop_assert_eq!(verify_l4_checksum(&segment, &headers), Ok(()));
                prop_assert!(headers.payload_len() <= u32::from(size));
                if let Some(tcp) = Segment::of(&segment, &headers) {
                    prop_assert_eq!(tcp.seq as usize, 1000 + joined.len());
                }
                joined.extend_from_slice(&segment[usize::from(headers.payload)..]);
            }
            prop_assert_eq!(joined, payload);
        }
    }
}
