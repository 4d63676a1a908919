//! The virtio-net header (`struct virtio_net_hdr`, virtio 1.2 §5.1.6) to offload state and back.
//!
//! AF_PACKET and TUN/TAP speak its legacy form: ten bytes in the machine's byte order. What comes
//! in is checked against the frame: nothing points outside, no segment size is zero, only kinds
//! the gateway knows. What the header promises is brought into one shape:
//! - a super-packet always has a partial checksum at its transport header;
//! - an unfinished SCTP checksum (CRC-32c, which the header cannot tell from an Internet checksum)
//!   is finished on the spot.
//!
//! Limit: super-packets inside GRE or UDP tunnels cannot be told by this header form; they are
//! refused.

use wire::{
    L3,
    checksum::{self, Sum},
    proto,
};

use crate::{Checksum, Frame, Gso, GsoKind, Offloads};

/// Bytes of the legacy header.
pub(crate) const HEADER_LEN: usize = 10;

const F_NEEDS_CSUM: u8 = 1;
const F_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Where the checksum field is in the transport header.
const TCP_FIELD: u16 = 16;
const UDP_FIELD: u16 = 6;
const SCTP_FIELD: u16 = 8;

/// The header contradicts the frame or itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHeader;

/// Reads the header of a packet of `len` bytes. Offsets count from that packet's first byte.
pub(crate) fn decode(header: &[u8; HEADER_LEN], len: usize) -> Result<Offloads, BadHeader> {
    let [flags, kind, _, _, s0, s1, c0, c1, o0, o1] = *header;
    let size = u16::from_ne_bytes([s0, s1]);
    let (start, offset) = (u16::from_ne_bytes([c0, c1]), u16::from_ne_bytes([o0, o1]));
    let checksum = if flags & F_NEEDS_CSUM != 0 {
        if usize::from(start) + usize::from(offset) + 2 > len {
            return Err(BadHeader);
        }
        Checksum::Partial { start, offset }
    } else if flags & F_DATA_VALID != 0 {
        Checksum::Verified
    } else {
        Checksum::Unchecked
    };
    let known = match kind & !GSO_ECN {
        GSO_NONE if kind == GSO_NONE => None,
        GSO_TCPV4 => Some(GsoKind::Tcp4),
        GSO_TCPV6 => Some(GsoKind::Tcp6),
        GSO_UDP_L4 if kind & GSO_ECN == 0 => Some(GsoKind::Udp),
        _ => return Err(BadHeader),
    };
    let gso = match known {
        Some(_) if size == 0 => return Err(BadHeader),
        Some(kind_known) => Some(Gso { kind: kind_known, size, ecn: kind & GSO_ECN != 0 }),
        None => None,
    };
    Ok(Offloads { checksum, gso })
}

/// Brings a received frame, Ethernet header and all, into the shape the head of this file
/// promises; refuses one whose header names other protocols than its bytes do.
///
/// A super-packet whose headers cannot be read passes as it is: the gateway has a reason for it.
pub(crate) fn settle(frame: &mut Frame) -> Result<(), BadHeader> {
    if let Checksum::Partial { start, offset: SCTP_FIELD } = frame.offloads.checksum {
        finish_sctp(frame, start);
    }
    if frame.offloads.gso.is_some() { settle_gso(frame).map(|_| ()) } else { Ok(()) }
}

/// The header for a frame about to be sent. A super-packet gets its partial checksum here if it
/// has none; one that is not what it says is refused.
pub(crate) fn encode(frame: &mut Frame) -> Result<[u8; HEADER_LEN], BadHeader> {
    let mut header = [0; HEADER_LEN];
    if let Some(gso) = frame.offloads.gso {
        // A size of zero would make the kernel take it for one packet of 64 KiB.
        let header_len = if gso.size == 0 { None } else { settle_gso(frame)? };
        let header_len = header_len.ok_or(BadHeader)?;
        header[1] = match gso.kind {
            GsoKind::Tcp4 => GSO_TCPV4,
            GsoKind::Tcp6 => GSO_TCPV6,
            GsoKind::Udp => GSO_UDP_L4,
        } | if gso.ecn { GSO_ECN } else { 0 };
        header[2..4].copy_from_slice(&header_len.to_ne_bytes());
        header[4..6].copy_from_slice(&gso.size.to_ne_bytes());
    }
    if let Checksum::Partial { start, offset } = frame.offloads.checksum {
        if usize::from(start) + usize::from(offset) + 2 > frame.len() {
            return Err(BadHeader);
        }
        header[0] = F_NEEDS_CSUM;
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..10].copy_from_slice(&offset.to_ne_bytes());
    }
    Ok(header)
}

/// Makes an outgoing header count from `n` bytes further on, for a packet sent without its first
/// `n` bytes. `None` when something lies before.
pub(crate) fn shorten(header: &mut [u8; HEADER_LEN], n: u16) -> Option<()> {
    let fields = [(header[1] != GSO_NONE, 2..4), (header[0] & F_NEEDS_CSUM != 0, 6..8)];
    for (present, field) in fields {
        if present {
            let field = header[field].first_chunk_mut::<2>()?;
            *field = u16::from_ne_bytes(*field).checked_sub(n)?.to_ne_bytes();
        }
    }
    Some(())
}

/// Checks a super-packet against its headers and gives it a partial checksum. Returns the bytes
/// of headers every segment repeats; `None` when the headers cannot be read.
fn settle_gso(frame: &mut Frame) -> Result<Option<u16>, BadHeader> {
    let Some(gso) = frame.offloads.gso else {
        return Ok(None);
    };
    let Ok(headers) = wire::parse(frame.bytes()) else {
        return Ok(None);
    };
    let v6 = headers.tuple.is_v6();
    let (fits, field) = match gso.kind {
        GsoKind::Tcp4 => (headers.tuple.proto == proto::TCP && !v6, TCP_FIELD),
        GsoKind::Tcp6 => (headers.tuple.proto == proto::TCP && v6, TCP_FIELD),
        GsoKind::Udp => (headers.tuple.proto == proto::UDP, UDP_FIELD),
    };
    let whole = headers.fragment == wire::Fragmentation::Whole;
    if !fits || !whole || !matches!(headers.kind, L3::Ip(_)) {
        return Err(BadHeader);
    }
    match frame.offloads.checksum {
        Checksum::Partial { start, offset } => {
            if (start, offset) != (headers.l4, field) {
                return Err(BadHeader);
            }
        }
        Checksum::Unchecked | Checksum::Verified => {
            let tuple = headers.tuple;
            let length = headers.end - u32::from(headers.l4);
            let sum = Sum::ZERO.pseudo(tuple.src, tuple.dst, tuple.proto, length).fold();
            let at = usize::from(headers.l4) + usize::from(field);
            let bytes = frame.bytes_mut().get_mut(at..at + 2).ok_or(BadHeader)?;
            bytes.copy_from_slice(&sum.to_be_bytes());
            frame.offloads.checksum = Checksum::Partial { start: headers.l4, offset: field };
        }
    }
    Ok(Some(headers.payload))
}

/// Finishes the CRC-32c of a frame that is SCTP from `start` on (RFC 9260 §6.8).
fn finish_sctp(frame: &mut Frame, start: u16) {
    let Ok(headers) = wire::parse(frame.bytes()) else {
        return;
    };
    if headers.tuple.proto != proto::SCTP || headers.l4 != start {
        return;
    }
    let range = usize::from(headers.l4)..headers.end as usize;
    let Some(packet) = frame.bytes_mut().get_mut(range) else {
        return;
    };
    let field = usize::from(SCTP_FIELD)..usize::from(SCTP_FIELD) + 4;
    if packet.len() < field.end {
        return;
    }
    packet[field.clone()].fill(0);
    let crc = checksum::crc32c(packet);
    packet[field].copy_from_slice(&crc.to_le_bytes());
    frame.offloads.checksum = Checksum::Unchecked;
}

#[cfg(test)]
mod tests;
