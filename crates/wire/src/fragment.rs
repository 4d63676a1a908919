//! Fragmentation (RFC 791 §2.3, RFC 8200 §4.5), and what reassembly needs to know of a fragment.
//!
//! The transport checksum must be finished before a packet is cut. Whether a packet may be cut at
//! all (DF, forwarded IPv6) is the caller's question.

use reason::DropReason;

use crate::{
    Fragmentation, Headers, IpVersion,
    bytes::{put, u16_at, u32_at},
    checksum,
    parse::{FRAGMENT, walk_extensions},
};

/// Length of the IPv6 fragment header.
const FRAGMENT_HEADER: usize = 8;

/// Where a fragment belongs in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Offset of its data in the datagram, in bytes.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
    /// Where its data starts in the frame; the data ends at [`Headers::end`].
    pub data: u16,
    /// The protocol field that tells datagrams apart: in IPv6 the next header of the fragment header.
    pub proto: u8,
}

/// The position of a parsed fragment; `None` for whole packets, atomic IPv6 fragments among them.
pub fn position(frame: &[u8], headers: &Headers) -> Option<Position> {
    if headers.fragment == Fragmentation::Whole {
        return None;
    }
    let l3 = usize::from(headers.l3);
    match headers.version()? {
        IpVersion::V4 => {
            let field = u16_at(frame, l3 + 6)?;
            Some(Position {
                id: u32::from(u16_at(frame, l3 + 4)?),
                offset: u32::from(field & 0x1fff) * 8,
                more: field & 0x2000 != 0,
                data: headers.l4,
                proto: headers.tuple.proto,
            })
        }
        IpVersion::V6 => {
            let ip = frame.get(l3..headers.end as usize)?;
            let (at, _) = walk_extensions(ip).ok()?.fragment_header?;
            let field = u16_at(ip, at + 2)?;
            Some(Position {
                id: u32_at(ip, at + 4)?,
                offset: u32::from(field & 0xfff8),
                more: field & 1 != 0,
                data: u16::try_from(l3 + at + FRAGMENT_HEADER).ok()?,
                proto: *ip.get(at)?,
            })
        }
    }
}

/// Writes the headers of the reassembled packet (Ethernet and IP, without any fragment header) to the
/// start of `out`, and returns their length: there the `data_len` bytes of the datagram belong.
///
/// `first` is the frame of the first fragment. `None` if it is no first fragment, the packet would be
/// longer than 65 535 bytes, or `out` is too short for the headers.
pub fn write_whole_header(
    first: &[u8],
    headers: &Headers,
    data_len: u32,
    out: &mut [u8],
) -> Option<usize> {
    if headers.fragment != Fragmentation::First {
        return None;
    }
    let l3 = usize::from(headers.l3);
    let data_len = usize::try_from(data_len).ok()?;
    match headers.version()? {
        IpVersion::V4 => {
            let length = usize::from(headers.l4);
            put(out, 0, first.get(..length)?)?;
            let total = u16::try_from(length - l3 + data_len).ok()?;
            put(out, l3 + 2, &total.to_be_bytes())?;
            // DF as it was, MF and the offset gone
            let df = first.get(l3 + 6)? & 0x40;
            put(out, l3 + 6, &[df, 0])?;
            finish_v4_header(out, l3, length)?;
            Some(length)
        }
        IpVersion::V6 => {
            let ip = first.get(l3..headers.end as usize)?;
            let (at, named_at) = walk_extensions(ip).ok()?.fragment_header?;
            let length = l3 + at;
            put(out, 0, first.get(..length)?)?;
            put(out, l3 + named_at, &[*ip.get(at)?])?;
            let total = u16::try_from(at - 40 + data_len).ok()?;
            put(out, l3 + 4, &total.to_be_bytes())?;
            Some(length)
        }
    }
}

/// Cuts one packet; [`Fragmenter::next`] writes one fragment after the other.
#[derive(Clone, Debug)]
pub struct Fragmenter<'a> {
    frame: &'a [u8],
    version: IpVersion,
    l3: usize,
    /// Where the part starts that is cut.
    data: usize,
    end: usize,
    /// Longest IP packet, in bytes.
    mtu: usize,
    at: usize,
    /// Offset in the datagram of what is cut: not zero for a fragment that is cut again.
    base: usize,
    /// Whether more follows the last piece.
    more: bool,
    /// Identification in IPv6.
    id: u32,
    /// IPv6: the next-header field that will name the fragment header, and what it named.
    named_at: usize,
    next_header: u8,
}

impl<'a> Fragmenter<'a> {
    /// Starts cutting a packet into packets of at most `mtu` bytes.
    ///
    /// An IPv4 packet may be a fragment itself. The pieces of an IPv6 packet carry `id`, and its
    /// hop-by-hop options, and everything up to a routing header, go into each; it must not have a
    /// fragment header already. Refused as [`DropReason::MtuExceeded`] if it has, or if the MTU leaves
    /// no room for eight bytes of data.
    pub fn new(frame: &'a [u8], headers: &Headers, mtu: u16, id: u32) -> Result<Self, DropReason> {
        let fragmenter = match headers.version() {
            Some(IpVersion::V4) => Self::v4(frame, headers, mtu),
            Some(IpVersion::V6) => Self::v6(frame, headers, mtu, id),
            None => None,
        };
        fragmenter.and_then(Self::checked).ok_or(DropReason::MtuExceeded)
    }

    fn v4(frame: &'a [u8], headers: &Headers, mtu: u16) -> Option<Self> {
        let l3 = usize::from(headers.l3);
        let field = u16_at(frame, l3 + 6)?;
        Some(Self {
            frame,
            version: IpVersion::V4,
            l3,
            data: usize::from(headers.l4),
            end: headers.end as usize,
            mtu: usize::from(mtu),
            at: usize::from(headers.l4),
            base: usize::from(field & 0x1fff) * 8,
            more: field & 0x2000 != 0,
            id: 0,
            named_at: 0,
            next_header: 0,
        })
    }

    fn v6(frame: &'a [u8], headers: &Headers, mtu: u16, id: u32) -> Option<Self> {
        let l3 = usize::from(headers.l3);
        let ip = frame.get(l3..headers.end as usize)?;
        let found = walk_extensions(ip).ok()?;
        if found.fragment_header.is_some() {
            return None;
        }
        let data = l3 + found.unfragmentable;
        Some(Self {
            frame,
            version: IpVersion::V6,
            l3,
            data,
            end: headers.end as usize,
            mtu: usize::from(mtu),
            at: data,
            base: 0,
            more: false,
            id,
            named_at: found.unfragmentable_at,
            next_header: *ip.get(found.unfragmentable_at)?,
        })
    }

    fn checked(self) -> Option<Self> {
        let fits = self.piece() >= 8 && self.end <= self.frame.len() && self.data <= self.end;
        fits.then_some(self)
    }

    /// Length of the headers of every fragment, or at least of the first.
    fn header(&self) -> usize {
        match self.version {
            IpVersion::V4 => self.data,
            IpVersion::V6 => self.data + FRAGMENT_HEADER,
        }
    }

    /// Data bytes in a fragment that is not the last: a multiple of eight.
    fn piece(&self) -> usize {
        self.mtu.saturating_sub(self.header() - self.l3) & !7
    }

    /// Length of the longest fragment's frame: what a buffer must hold.
    pub fn max_len(&self) -> usize {
        self.header() + (self.mtu + self.l3 - self.header()).min(self.end - self.data)
    }

    /// Makes `out` the next fragment; false, with `out` empty, when all are written.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        out.resize(self.max_len(), 0);
        let written = self.next_into(out);
        out.truncate(written.unwrap_or(0));
        written.is_some()
    }

    /// Writes the next fragment to the start of `out` and returns its length; `None` when all are
    /// written, or if `out` is shorter than [`Fragmenter::max_len`]. A packet that fits in the MTU
    /// comes out as one piece (over IPv6 as an atomic fragment).
    pub fn next_into(&mut self, out: &mut [u8]) -> Option<usize> {
        let left = self.end.checked_sub(self.at).filter(|left| *left > 0)?;
        let room = self.mtu - (self.header() - self.l3);
        let length = if left <= room { left } else { self.piece() };
        let stop = self.at + length;
        let offset = self.base + (self.at - self.data);
        let more = stop < self.end || self.more;
        let written = match self.version {
            IpVersion::V4 => self.write_v4(out, stop, offset, more)?,
            IpVersion::V6 => self.write_v6(out, stop, offset, more)?,
        };
        self.at = stop;
        Some(written)
    }

    fn write_v4(&self, out: &mut [u8], stop: usize, offset: usize, more: bool) -> Option<usize> {
        let fixed = self.l3 + 20;
        put(out, 0, self.frame.get(..fixed)?)?;
        let options = self.frame.get(fixed..self.data)?;
        let header = if self.at == self.data {
            put(out, fixed, options)?;
            self.data
        } else {
            copied_options(options, out, fixed)?
        };
        put(out, header, self.frame.get(self.at..stop)?)?;
        let end = header + (stop - self.at);
        let words = u8::try_from((header - self.l3) / 4).ok()?;
        put(out, self.l3, &[0x40 | words])?;
        put(out, self.l3 + 2, &u16::try_from(end - self.l3).ok()?.to_be_bytes())?;
        let field = u16::try_from(offset / 8).ok()? | if more { 0x2000 } else { 0 };
        // DF is kept: who cuts a packet with DF set knows why
        let df = u16::from(*self.frame.get(self.l3 + 6)? & 0x40) << 8;
        put(out, self.l3 + 6, &(field | df).to_be_bytes())?;
        finish_v4_header(out, self.l3, header)?;
        Some(end)
    }

    fn write_v6(&self, out: &mut [u8], stop: usize, offset: usize, more: bool) -> Option<usize> {
        put(out, 0, self.frame.get(..self.data)?)?;
        put(out, self.l3 + self.named_at, &[FRAGMENT])?;
        let field = u16::try_from(offset).ok()? | u16::from(more);
        let [high, low] = field.to_be_bytes();
        put(out, self.data, &[self.next_header, 0, high, low])?;
        put(out, self.data + 4, &self.id.to_be_bytes())?;
        let header = self.header();
        put(out, header, self.frame.get(self.at..stop)?)?;
        let end = header + (stop - self.at);
        put(out, self.l3 + 4, &u16::try_from(end - self.l3 - 40).ok()?.to_be_bytes())?;
        Some(end)
    }
}

/// Writes the options that RFC 791 §3.1 has copied into later fragments, padded to a multiple of
/// four, at `at`; returns where they end.
fn copied_options(mut options: &[u8], out: &mut [u8], at: usize) -> Option<usize> {
    let mut end = at;
    while let [kind, rest @ ..] = options {
        let length = match *kind {
            0 => break,
            1 => {
                options = rest;
                continue;
            }
            _ => usize::from(*rest.first()?).max(2),
        };
        let (option, rest) = options.split_at_checked(length)?;
        if kind & 0x80 != 0 {
            put(out, end, option)?;
            end += length;
        }
        options = rest;
    }
    let padded = at + (end - at).next_multiple_of(4);
    out.get_mut(end..padded)?.fill(0);
    Some(padded)
}

fn finish_v4_header(out: &mut [u8], l3: usize, end: usize) -> Option<()> {
    put(out, l3 + 10, &[0; 2])?;
    let sum = checksum::checksum(out.get(l3..end)?);
    put(out, l3 + 10, &sum.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Tuple,
        build::{self, Packet},
        parse, proto, verify_l4_checksum,
    };

    fn flow(six: bool) -> Tuple {
        if six {
            build::tuple(proto::UDP, ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 5], 5000), ([9u16; 8], 53))
        } else {
            build::tuple(proto::UDP, ([10, 0, 0, 5], 5000), ([203, 0, 113, 9], 53))
        }
    }

    fn all(mut fragmenter: Fragmenter<'_>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut fragments = Vec::new();
        while fragmenter.next(&mut out) {
            fragments.push(out.clone());
        }
        assert!(out.is_empty());
        fragments
    }

    /// Puts fragments of one packet together again, given in order.
    fn whole(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut data = Vec::new();
        for fragment in fragments {
            let headers = parse(fragment).unwrap();
            let position = position(fragment, &headers).unwrap();
            assert_eq!(position.offset as usize, data.len());
            data.extend_from_slice(&fragment[usize::from(position.data)..headers.end as usize]);
        }
        let headers = parse(&fragments[0]).unwrap();
        let mut out = vec![0; 200];
        let length =
            write_whole_header(&fragments[0], &headers, data.len() as u32, &mut out).unwrap();
        out.truncate(length);
        out.extend(data);
        out
    }

    proptest! {
        #[test]
        fn cut_and_put_together(
            payload in prop::collection::vec(any::<u8>(), 300..900), mtu in 108u16..300,
            six in any::<bool>(), vlan in prop::option::of(1u16..4095),
        ) {
            let mut packet = Packet::new(flow(six)).id(77).df(false).payload(&payload);
            if let Some(id) = vlan {
                packet = packet.vlan(id);
            }
            if six {
                packet = packet.extensions(0, &[17, 0, 1, 4, 0, 0, 0, 0]);
            }
            let frame = packet.build();
            let headers = parse(&frame).unwrap();
            let fragmenter = Fragmenter::new(&frame, &headers, mtu, 77);
            let longest = fragmenter.as_ref().map(Fragmenter::max_len).unwrap();
            let fragments = all(fragmenter.unwrap());
            let last = fragments.len() - 1;
            for (nth, fragment) in fragments.iter().enumerate() {
                let headers = parse(fragment).unwrap();
                let position = position(fragment, &headers).unwrap();
                prop_assert!(headers.ip_len() <= u32::from(mtu) && fragment.len() <= longest);
                prop_assert_eq!((position.id, position.more), (77, nth != last));
                prop_assert_eq!(position.proto, proto::UDP);
                let expected = if nth == 0 { Fragmentation::First } else { Fragmentation::Later };
                prop_assert_eq!(headers.fragment, expected);
            }
            let again = whole(&fragments);
            prop_assert_eq!(&again, &frame);
            let headers = parse(&again).unwrap();
            prop_assert_eq!(verify_l4_checksum(&again, &headers), Ok(()));
        }

        #[test]
        fn fragments_are_cut_again(first in 200u16..400, second in 60u16..150) {
            let frame = Packet::new(flow(false)).id(7).df(false).payload(&[3; 900]).build();
            let headers = parse(&frame).unwrap();
            let mut smaller = Vec::new();
            for fragment in all(Fragmenter::new(&frame, &headers, first, 1).unwrap()) {
                let headers = parse(&fragment).unwrap();
                smaller.extend(all(Fragmenter::new(&fragment, &headers, second, 1).unwrap()));
            }
            prop_assert_eq!(whole(&smaller), frame);
        }

        #[test]
        fn any_fragment(
            frame in prop::collection::vec(any::<u8>(), 60..120), six in any::<bool>(),
            mtu in any::<u16>(),
        ) {
            let mut frame = frame;
            let start: &[u8] = if six { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x46] };
            frame[12..12 + start.len()].copy_from_slice(start);
            if six {
                frame[18..21].copy_from_slice(&[0, 6, 44]);
            }
            if let Ok(headers) = parse(&frame) {
                let _ = position(&frame, &headers);
                let _ = write_whole_header(&frame, &headers, 60_000, &mut [0; 200]);
                let _ = Fragmenter::new(&frame, &headers, mtu, 1).map(all);
            }
        }
    }

    #[test]
    fn only_copied_options_go_on() {
        // router alert (copied) after a record route (not copied)
        let options = [7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0];
        let frame =
            Packet::new(flow(false)).df(false).ip_options(&options).payload(&[1; 100]).build();
        let headers = parse(&frame).unwrap();
        let fragments = all(Fragmenter::new(&frame, &headers, 80, 1).unwrap());
        assert_eq!(fragments[0][14], 0x48);
        assert_eq!(fragments[0][34..46], options);
        assert_eq!(fragments[1][14], 0x46);
        assert_eq!(fragments[1][34..38], [148, 4, 0, 0]);
        assert!(parse(&fragments[1]).is_ok());
    }

    #[test]
    fn no_room() {
        let frame = build::udp(build::ETHER, flow(false), &[0; 100]);
        let headers = parse(&frame).unwrap();
        let refused = Fragmenter::new(&frame, &headers, 27, 1).err();
        assert_eq!(refused, Some(DropReason::MtuExceeded));
        assert!(Fragmenter::new(&frame, &headers, 28, 1).is_ok());
        let frame = build::udp(build::ETHER, flow(true), &[0; 100]);
        let headers = parse(&frame).unwrap();
        assert!(Fragmenter::new(&frame, &headers, 55, 1).is_err());
        let pieces = all(Fragmenter::new(&frame, &headers, 56, 1).unwrap());
        assert_eq!(pieces.len(), 108usize.div_ceil(8));
    }
}
