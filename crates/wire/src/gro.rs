//! Joining packets of one flow into the super-packet they could have been cut from: the reverse of
//! [`gso`](crate::gso), and as exact. What is cut again is what was joined, but for two things that mean
//! nothing: identifications of IPv4 packets that must not be fragmented (RFC 6864 §4.1), and UDP
//! checksums where there were none.
//!
//! A [`Run`] looks at headers only; transport checksums are the caller's to check. Limits: whole
//! packets without IPv4 options or IPv6 extension headers, up to the 65,535 bytes of an IP packet, and
//! [`MAX_DATAGRAMS`] datagrams.
//!
//! A run [for a reader](Run::begin_for_reader) is not cut again, and so goes on past PSH.

use crate::{
    Fragmentation, Headers, IpVersion, L3,
    bytes::{put, u16_at, u32_at},
    checksum::{self, Sum},
    proto,
    tcp::flags,
};

/// Most datagrams that are joined (Linux before 6.9: UDP_MAX_SEGMENTS).
pub const MAX_DATAGRAMS: u32 = 64;

/// Smallest payload of a TCP segment that is joined: what can be cut again.
const MIN_TCP_SEGMENT: u32 = 8;
/// Largest IP packet there is, in bytes.
const MAX_PACKET: usize = 65_535;

/// Flags a segment may have that others follow. What ends a run is PSH or FIN.
const FOLLOWED: u8 = flags::ACK | flags::ECE;
const LAST: u8 = flags::PSH | flags::FIN;

/// Packets that are being joined: what the next one has to be.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    headers: Headers,
    version: IpVersion,
    tcp: bool,
    /// Payload of each but the last, in bytes.
    size: u32,
    /// Length of the whole, with headers.
    len: usize,
    count: u32,
    next_seq: u32,
    next_id: u16,
    /// PSH and FIN of the last.
    last: u8,
    /// What of them lets nothing follow.
    ends: u8,
    closed: bool,
}

impl Run {
    /// A run that begins with this packet. `None` when nothing may follow it.
    pub fn begin(frame: &[u8], headers: &Headers) -> Option<Self> {
        Self::begin_with(frame, headers, LAST)
    }

    /// As [`Run::begin`], for segments whose connection ends here: where the sender pushed means nothing to a
    /// reader that is given everything at once (RFC 9293 §3.9.1.2).
    pub fn begin_for_reader(frame: &[u8], headers: &Headers) -> Option<Self> {
        Self::begin_with(frame, headers, flags::FIN)
    }

    fn begin_with(frame: &[u8], headers: &Headers, ends: u8) -> Option<Self> {
        let L3::Ip(version) = headers.kind else { return None };
        let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
        let plain = l4 - l3 == ip_header_len(version)
            && !headers.options
            && headers.fragment == Fragmentation::Whole
            && headers.end as usize == frame.len();
        let size = headers.payload_len();
        let tcp = match headers.tuple.proto {
            proto::TCP
                if size >= MIN_TCP_SEGMENT
                    && headers.tcp_flags & !(FOLLOWED | LAST & !ends) == 0 =>
            {
                true
            }
            proto::UDP if size > 0 && covers(frame, headers) => false,
            _ => return None,
        };
        if !plain || size > u32::from(u16::MAX) || !is_intact(frame, l3, version) {
            return None;
        }
        let sequence = if tcp { u32_at(frame, l4 + 4)? } else { 0 };
        let id = if version == IpVersion::V4 { u16_at(frame, l3 + 4)? } else { 0 };
        Some(Self {
            headers: *headers,
            version,
            tcp,
            size,
            len: frame.len(),
            count: 1,
            next_seq: sequence.wrapping_add(size),
            next_id: id.wrapping_add(1),
            last: 0,
            ends,
            closed: false,
        })
    }

    /// Whether a packet is of the same flow, so that it may only leave after this run.
    pub fn is_of(&self, headers: &Headers) -> bool {
        self.headers.tuple == headers.tuple
    }

    /// Whether a packet is what comes next. `head` is the first one, whose headers may have been joined.
    pub fn continues(&self, head: &[u8], frame: &[u8], headers: &Headers) -> bool {
        let size = headers.payload_len();
        let fits = !self.closed
            && size > 0
            && size <= self.size
            && headers.end as usize == frame.len()
            && headers.fragment == Fragmentation::Whole
            && !headers.options
            && (headers.l3, headers.l4, headers.payload)
                == (self.headers.l3, self.headers.l4, self.headers.payload)
            && self.len - usize::from(self.headers.l3) + size as usize <= MAX_PACKET
            && (self.tcp || self.count < MAX_DATAGRAMS);
        fits && self.same_network(head, frame) == Some(true)
            && self.same_transport(head, frame, headers) == Some(true)
    }

    fn same_network(&self, head: &[u8], frame: &[u8]) -> Option<bool> {
        let l3 = usize::from(self.headers.l3);
        let same = |range: std::ops::Range<usize>| {
            Some(
                head.get(..l3 + range.end)?[l3 + range.start..]
                    == frame.get(..l3 + range.end)?[l3 + range.start..],
            )
        };
        Some(
            head.get(..l3)? == frame.get(..l3)?
                && match self.version {
                    // all but total length, identification and checksum, which has to be right
                    IpVersion::V4 => {
                        let id = self.headers.df || u16_at(frame, l3 + 4)? == self.next_id;
                        id && is_intact(frame, l3, self.version)
                            && same(0..2)?
                            && same(6..10)?
                            && same(12..20)?
                    }
                    // all but the payload length
                    IpVersion::V6 => same(0..4)? && same(6..40)?,
                },
        )
    }

    fn same_transport(&self, head: &[u8], frame: &[u8], headers: &Headers) -> Option<bool> {
        let range = usize::from(self.headers.l4)..usize::from(self.headers.payload);
        let (head, frame) = (head.get(range.clone())?, frame.get(range)?);
        if !self.tcp {
            return Some(
                head[..4] == frame[..4]
                    && u32::from(u16_at(frame, 4)?) == headers.payload_len() + 8,
            );
        }
        let in_order = u32_at(frame, 4)? == self.next_seq;
        let flags = headers.tcp_flags & !LAST == self.headers.tcp_flags & !LAST;
        // ports; acknowledgement and data offset; window; urgent pointer and options
        let same = head[..4] == frame[..4]
            && head[8..13] == frame[8..13]
            && head[14..16] == frame[14..16]
            && head[18..] == frame[18..];
        Some(in_order && flags && same)
    }

    /// Takes a packet in that continues it: its payload goes behind what there is.
    pub fn add(&mut self, headers: &Headers) {
        let size = headers.payload_len();
        self.last = if self.tcp { headers.tcp_flags & LAST } else { 0 };
        self.closed = size < self.size || self.last & self.ends != 0;
        self.len += size as usize;
        self.count += 1;
        self.next_seq = self.next_seq.wrapping_add(size);
        self.next_id = self.next_id.wrapping_add(1);
    }

    /// How many packets there are.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Payload of each packet but the last, in bytes.
    pub const fn size(&self) -> u16 {
        self.size as u16
    }

    /// Whether it is TCP, else UDP; and of which IP version.
    pub const fn kind(&self) -> (bool, IpVersion) {
        (self.tcp, self.version)
    }

    /// Makes the headers of the first packet those of the whole, with a partial checksum: where that
    /// starts, and where its field is from there. `None` if the frame is not as long as the run.
    pub fn finish(&self, frame: &mut [u8]) -> Option<(u16, u16)> {
        if frame.len() != self.len {
            return None;
        }
        let (l3, l4) = (usize::from(self.headers.l3), usize::from(self.headers.l4));
        match self.version {
            IpVersion::V4 => {
                put(frame, l3 + 2, &((self.len - l3) as u16).to_be_bytes())?;
                put(frame, l3 + 10, &[0; 2])?;
                let sum = checksum::checksum(frame.get(l3..l4)?);
                put(frame, l3 + 10, &sum.to_be_bytes())?;
            }
            IpVersion::V6 => put(frame, l3 + 4, &((self.len - l4) as u16).to_be_bytes())?,
        }
        let length = (self.len - l4) as u32;
        let field = if self.tcp {
            *frame.get_mut(l4 + 13)? |= self.last;
            16
        } else {
            put(frame, l4 + 4, &(length as u16).to_be_bytes())?;
            6
        };
        let tuple = self.headers.tuple;
        let sum = Sum::ZERO.pseudo(tuple.src, tuple.dst, tuple.proto, length).fold();
        put(frame, l4 + field, &sum.to_be_bytes())?;
        Some((self.headers.l4, field as u16))
    }
}

const fn ip_header_len(version: IpVersion) -> usize {
    match version {
        IpVersion::V4 => 20,
        IpVersion::V6 => 40,
    }
}

/// Whether the checksum of an IPv4 header is right; IPv6 has none.
fn is_intact(frame: &[u8], l3: usize, version: IpVersion) -> bool {
    let header = frame.get(l3..l3 + ip_header_len(version));
    version == IpVersion::V6 || header.is_some_and(|header| checksum::checksum(header) == 0)
}

/// Whether a datagram is as long as its packet.
fn covers(frame: &[u8], headers: &Headers) -> bool {
    let length = u16_at(frame, usize::from(headers.l4) + 4);
    length.is_some_and(|length| u32::from(length) == headers.payload_len() + 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        build::{self, Packet},
        gso::Segmenter,
        parse, verify_l4_checksum,
    };

    fn flow(proto: u8, six: bool) -> crate::Tuple {
        if six {
            build::tuple(proto, ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5], 5000), ([9u16; 8], 53))
        } else {
            build::tuple(proto, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 53))
        }
    }

    /// Joins packets as long as each continues what was before: the whole and how many.
    fn join(packets: &[Vec<u8>]) -> Option<(Vec<u8>, Run)> {
        let mut whole = packets[0].clone();
        let mut run = Run::begin(&whole, &parse(&whole).unwrap())?;
        for packet in &packets[1..] {
            let headers = parse(packet).unwrap();
            if !run.continues(&whole, packet, &headers) {
                break;
            }
            whole.extend_from_slice(&packet[usize::from(headers.payload)..]);
            run.add(&headers);
        }
        run.finish(&mut whole)?;
        Some((whole, run))
    }

    fn cut(whole: &[u8], run: &Run, ecn: bool) -> Vec<Vec<u8>> {
        let headers = parse(whole).unwrap();
        let mut segmenter = Segmenter::new(whole, &headers, run.kind().0, run.size(), ecn).unwrap();
        let mut out = vec![0; segmenter.max_len()];
        std::iter::from_fn(|| segmenter.next(&mut out).map(|len| out[..len].to_vec())).collect()
    }

    proptest! {
        #[test]
        fn what_is_cut_again_is_what_was_joined(
            tcp in any::<bool>(), six in any::<bool>(), size in 8usize..400, last in 1usize..400,
            count in 2usize..40, push in any::<bool>(), df in any::<bool>(), id in any::<u16>(),
            seq in any::<u32>(), vlan in prop::option::of(1u16..4095), ece in any::<bool>(),
        ) {
            let last = last.min(size);
            let packets: Vec<_> = (0..count).map(|i| {
                let len = if i == count - 1 { last } else { size };
                let end = if push && i == count - 1 { flags::PSH } else { 0 };
                let ece = if ece { flags::ECE } else { 0 };
                let mut packet = Packet::new(flow(if tcp { proto::TCP } else { proto::UDP }, six))
                    .tcp(flags::ACK | ece | end, seq.wrapping_add((i * size) as u32), 7)
                    .id(id.wrapping_add(i as u16))
                    .df(df)
                    .payload(&vec![i as u8; len]);
                if tcp {
                    packet = packet.tcp_options(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
                }
                if let Some(vlan) = vlan {
                    packet = packet.vlan(vlan);
                }
                packet.build()
            }).collect();
            let (whole, run) = join(&packets).unwrap();
            prop_assert_eq!(run.count() as usize, count);
            prop_assert_eq!(parse(&whole).unwrap().end as usize, whole.len());
            prop_assert_eq!(cut(&whole, &run, false), packets);
        }

        #[test]
        fn one_changed_byte_of_a_header_joins_nothing_it_should_not(
            six in any::<bool>(), tcp in any::<bool>(), at in 0usize..100, bit in 0u8..8,
        ) {
            let packet = |seq: u32, id: u16| {
                Packet::new(flow(if tcp { proto::TCP } else { proto::UDP }, six))
                    .tcp(flags::ACK, seq, 7).id(id).df(false).payload(&[5; 100]).build()
            };
            let (first, mut second) = (packet(0, 1), packet(100, 2));
            let at = at % usize::from(parse(&second).unwrap().payload);
            second[at] ^= 1 << bit;
            let Ok(headers) = parse(&second) else { return Ok(()) };
            let run = Run::begin(&first, &parse(&first).unwrap()).unwrap();
            if run.continues(&first, &second, &headers) {
                // what it does not look at is the checksum, or ends the run
                let changed = verify_l4_checksum(&second, &headers).is_err();
                prop_assert!(changed || headers.tcp_flags & LAST != 0, "byte {}", at);
            }
        }
    }

    #[test]
    fn what_may_not_be_joined_begins_nothing() {
        let begins = |packet: Packet| {
            let frame = packet.build();
            Run::begin(&frame, &parse(&frame).unwrap()).is_some()
        };
        let tcp = |flags| Packet::new(flow(proto::TCP, false)).tcp(flags, 1, 1).payload(&[0; 100]);
        assert!(begins(tcp(flags::ACK)));
        for flag in [flags::SYN, flags::FIN, flags::RST, flags::PSH, flags::URG, flags::CWR] {
            assert!(!begins(tcp(flags::ACK | flag)), "{flag}");
        }
        assert!(!begins(tcp(flags::ACK).payload(&[])), "nothing in it");
        assert!(!begins(tcp(flags::ACK).payload(&[0; 7])), "too small to be cut");
        assert!(!begins(tcp(flags::ACK).ip_options(&[1, 1, 1, 1])));
        assert!(begins(Packet::new(flow(proto::UDP, true)).payload(&[0; 3])));
        assert!(!begins(Packet::new(flow(proto::UDP, true))), "no payload");
        assert!(!begins(Packet::new(flow(proto::ESP, false)).payload(&[0; 100])));
        let mut padded = tcp(flags::ACK).payload(&[0; 8]).build();
        padded.push(0);
        assert!(Run::begin(&padded, &parse(&padded).unwrap()).is_none(), "Ethernet padding");
    }

    #[test]
    fn a_run_ends_with_the_last_it_may_have() {
        let udp = |len: usize| {
            Packet::new(flow(proto::UDP, false)).df(true).payload(&vec![1; len]).build()
        };
        let many = vec![udp(10); 100];
        assert_eq!(join(&many).unwrap().1.count(), MAX_DATAGRAMS);
        let large = vec![udp(2000); 64];
        assert_eq!(join(&large).unwrap().1.count(), 32, "65,535 bytes of IP packet");
        let shorter = [udp(10), udp(9), udp(9)];
        assert_eq!(join(&shorter).unwrap().1.count(), 2);
        assert_eq!(join(&[udp(10), udp(11)]).unwrap().1.count(), 1);
        let tcp = |seq, flags| {
            Packet::new(flow(proto::TCP, false))
                .tcp(flags, seq, 1)
                .df(true)
                .payload(&[0; 10])
                .build()
        };
        let pushed = [tcp(0, flags::ACK), tcp(10, flags::ACK | flags::PSH), tcp(20, flags::ACK)];
        assert_eq!(join(&pushed).unwrap().1.count(), 2);
        let hole = [tcp(0, flags::ACK), tcp(11, flags::ACK)];
        assert_eq!(join(&hole).unwrap().1.count(), 1);
    }
}
