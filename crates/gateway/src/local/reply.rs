//! Echo replies, TCP resets and datagrams.

use core::net::SocketAddr;

use wire::{
    Fragmentation, Headers, IpVersion, L3,
    icmp::{is_echo_request, v4, v6},
    proto,
    tcp::flags::{ACK, FIN, RST, SYN},
};

use super::{ETHERNET, IpHeader, begin, checksum, is_one_host};

/// Bytes of the UDP header.
const UDP_LEN: usize = 8;

/// Answers an echo request to one of our addresses (RFC 792, RFC 1122 §3.2.2.6, RFC 4443 §4.2).
///
/// The data comes back unchanged, and so do type of service, identification and DF, so that a
/// request that needed fragments gets a reply that may be fragmented. Requests to groups are not
/// answered, nor fragments (reassemble first). The request's checksum is taken as verified.
pub fn echo_reply(request: &[u8], headers: &Headers, out: &mut Vec<u8>) -> bool {
    out.clear();
    let written = write_echo_reply(request, headers, out).is_some();
    if !written {
        out.clear();
    }
    written
}

fn write_echo_reply(request: &[u8], headers: &Headers, out: &mut Vec<u8>) -> Option<()> {
    let L3::Ip(version) = headers.kind else {
        return None;
    };
    let reply_type = match version {
        IpVersion::V4 => v4::ECHO_REPLY,
        IpVersion::V6 => v6::ECHO_REPLY,
    };
    let answerable = is_echo_request(headers)
        && headers.fragment == Fragmentation::Whole
        && !headers.eth_dst.is_group()
        && is_one_host(headers.src())
        && is_one_host(headers.dst());
    if !answerable {
        return None;
    }
    let message = request.get(usize::from(headers.l4)..headers.end as usize)?;
    let l3 = usize::from(headers.l3);
    let id = match version {
        IpVersion::V4 => request.get(l3 + 4..)?.first_chunk().copied()?,
        IpVersion::V6 => [0; 2],
    };
    let ip = IpHeader {
        src: headers.dst(),
        dst: headers.src(),
        proto: headers.tuple.proto,
        tos: headers.tos,
        id: u16::from_be_bytes(id),
        df: headers.df,
    };
    if !begin(out, &ip, message.len()) {
        return None;
    }
    out.push(reply_type);
    out.extend_from_slice(message.get(1..)?);
    ip.finish(out, 2, version == IpVersion::V6)
}

/// Writes a datagram. Larger ones than the path takes are to be fragmented. `false` if the versions
/// differ or it is too long.
pub fn udp(from: SocketAddr, to: SocketAddr, parts: &[&[u8]], id: u16, out: &mut Vec<u8>) -> bool {
    out.clear();
    let written = write_udp(from, to, parts, id, out).is_some();
    if !written {
        out.clear();
    }
    written
}

fn write_udp(
    from: SocketAddr,
    to: SocketAddr,
    parts: &[&[u8]],
    id: u16,
    out: &mut Vec<u8>,
) -> Option<()> {
    let length = UDP_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
    let ip = IpHeader { src: from.ip(), dst: to.ip(), proto: proto::UDP, tos: 0, id, df: false };
    if !begin(out, &ip, length) {
        return None;
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    for part in parts {
        out.extend_from_slice(part);
    }
    ip.finish(out, 6, true)?;
    // a checksum of zero would mean that there is none (RFC 768)
    let sum = out.get_mut(ip.l4() + 6..ip.l4() + 8)?;
    if sum == [0; 2] {
        sum.fill(0xff);
    }
    Some(())
}

/// Takes DF from an IPv4 packet behind an Ethernet header, and gives it an identification to be put together
/// by (RFC 791 §2.3).
pub fn let_be_cut(frame: &mut [u8], id: u16) {
    let Some(ip) = frame.get_mut(ETHERNET..ETHERNET + 20) else { return };
    ip[4..6].copy_from_slice(&id.to_be_bytes());
    ip[6] &= !0x40;
    ip[10..12].fill(0);
    let sum = checksum(ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
}

/// Answers a TCP segment with a reset, as the one it was sent to would (RFC 9293 §3.10.7.1).
///
/// A segment with ACK is answered with its acknowledgement number; any other with sequence number
/// zero and an acknowledgement of all it carries. Resets, fragments and group packets get none.
pub fn tcp_reset(segment: &[u8], headers: &Headers, out: &mut Vec<u8>) -> bool {
    out.clear();
    let written = write_tcp_reset(segment, headers, out).is_some();
    if !written {
        out.clear();
    }
    written
}

fn write_tcp_reset(segment: &[u8], headers: &Headers, out: &mut Vec<u8>) -> Option<()> {
    if headers.kind == L3::Arp {
        return None;
    }
    let answerable = headers.tuple.proto == proto::TCP
        && headers.tcp_flags & RST == 0
        && headers.fragment == Fragmentation::Whole
        && !headers.eth_dst.is_group()
        && is_one_host(headers.src())
        && is_one_host(headers.dst());
    if !answerable {
        return None;
    }
    let fields: &[u8; 12] = segment.get(usize::from(headers.l4)..)?.first_chunk()?;
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3] = *fields;
    let (seq, ack, flags) = if headers.tcp_flags & ACK != 0 {
        (u32::from_be_bytes([a0, a1, a2, a3]), 0, RST)
    } else {
        let flag = |flag| u32::from(headers.tcp_flags & flag != 0);
        let data = headers.end.checked_sub(u32::from(headers.payload))?;
        let length = data + flag(SYN) + flag(FIN);
        let next = u32::from_be_bytes([q0, q1, q2, q3]).wrapping_add(length);
        (0, next, RST | ACK)
    };
    let ip = IpHeader {
        src: headers.dst(),
        dst: headers.src(),
        proto: proto::TCP,
        tos: 0,
        id: 0,
        df: true,
    };
    if !begin(out, &ip, 20) {
        return None;
    }
    out.extend_from_slice(&[d0, d1, s0, s1]);
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(&ack.to_be_bytes());
    out.extend_from_slice(&[5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    ip.finish(out, 16, true)
}
