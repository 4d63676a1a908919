//! ARP for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;

use reason::DropReason;

use crate::{
    Headers, Mac,
    bytes::array_at,
    emit::{Ether, Out},
    parse::{ETHERTYPE_ARP, ETHERTYPE_IPV4},
};

/// What an ARP message asks or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOp {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Request or reply.
    pub op: ArpOp,
    /// MAC of the sender.
    pub sender_mac: Mac,
    /// Address of the sender; unspecified in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// MAC of the target; meaningless in a request.
    pub target_mac: Mac,
    /// Address of the target.
    pub target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// A question for the MAC of `target_ip`.
    pub const fn request(sender_mac: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        let target_mac = Mac([0; 6]);
        Self { op: ArpOp::Request, sender_mac, sender_ip, target_mac, target_ip }
    }

    /// The answer to this request: its target address is at `mac`.
    pub const fn answer(&self, mac: Mac) -> Self {
        Self {
            op: ArpOp::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Whether the sender speaks of its own address unasked.
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }

    /// Whether it is an address probe (RFC 5227 §2.1.1): nothing may be learnt from it.
    pub const fn is_probe(&self) -> bool {
        self.sender_ip.is_unspecified()
    }
}

/// Reads the ARP message of a frame that [`crate::parse`] called ARP.
///
/// Refused: other hardware or protocol types and operations, a sender that is a group MAC or zero,
/// and a sender address that is multicast, broadcast or loopback.
pub fn parse(frame: &[u8], headers: &Headers) -> Result<ArpPacket, DropReason> {
    let invalid = DropReason::ArpInvalid;
    let b: [u8; 28] = array_at(frame, usize::from(headers.l3)).ok_or(invalid)?;
    let [hw0, hw1, pr0, pr1, hw_len, pr_len, op0, op1, rest @ ..] = b;
    let ethernet = u16::from_be_bytes([hw0, hw1]) == 1 && hw_len == 6;
    let ipv4 = u16::from_be_bytes([pr0, pr1]) == ETHERTYPE_IPV4 && pr_len == 4;
    let op = match u16::from_be_bytes([op0, op1]) {
        1 => ArpOp::Request,
        2 => ArpOp::Reply,
        _ => return Err(invalid),
    };
    let packet = ArpPacket {
        op,
        sender_mac: Mac(array_at(&rest, 0).ok_or(invalid)?),
        sender_ip: Ipv4Addr::from(array_at::<4>(&rest, 6).ok_or(invalid)?),
        target_mac: Mac(array_at(&rest, 10).ok_or(invalid)?),
        target_ip: Ipv4Addr::from(array_at::<4>(&rest, 16).ok_or(invalid)?),
    };
    let mac = packet.sender_mac;
    let ip = packet.sender_ip;
    let impossible = mac.is_group()
        || mac.is_zero()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_loopback()
        || (op == ArpOp::Reply && ip.is_unspecified());
    if ethernet && ipv4 && !impossible { Ok(packet) } else { Err(invalid) }
}

/// Writes a frame with the message.
pub fn emit(out: &mut [u8], ether: &Ether, packet: &ArpPacket) -> Option<usize> {
    let mut out = Out::new(out);
    out.ether(ether, ETHERTYPE_ARP)?;
    let op = match packet.op {
        ArpOp::Request => 1,
        ArpOp::Reply => 2,
    };
    out.push(&[0, 1, 8, 0, 6, 4, 0, op])?;
    out.push(&packet.sender_mac.0)?;
    out.push(&packet.sender_ip.octets())?;
    out.push(&packet.target_mac.0)?;
    out.push(&packet.target_ip.octets())?;
    Some(out.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{L3, build};

    const HOST: Mac = Mac([2, 0, 0, 0, 0, 9]);

    #[test]
    fn a_request_and_its_answer() {
        let frame =
            build::arp_request(HOST, Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
        let headers = crate::parse(&frame).unwrap();
        assert_eq!((headers.kind, headers.eth_dst), (L3::Arp, Mac::BROADCAST));
        let packet = parse(&frame, &headers).unwrap();
        assert_eq!(packet.target_ip, Ipv4Addr::new(10, 0, 0, 1));
        let ours = Mac([2, 0, 0, 0, 0, 1]);
        let answer = packet.answer(ours);
        let mut out = [0; 60];
        let ether = Ether { src: ours, dst: headers.eth_src, vlan: headers.vlan };
        let length = emit(&mut out, &ether, &answer).unwrap();
        assert_eq!(length, 42);
        let headers = crate::parse(&out[..length]).unwrap();
        assert_eq!((headers.eth_src, headers.eth_dst), (ours, HOST));
        assert_eq!(parse(&out[..length], &headers), Ok(answer));
    }

    #[test]
    fn the_bytes_of_a_request() {
        let frame =
            build::arp_request(HOST, Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2,
            0, 0, 0, 0, 9, 10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1,
        ];
        assert_eq!(frame, expected);
    }

    #[test]
    fn impossible_senders_are_refused() {
        let good = ArpPacket::request(HOST, Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
        let cases = [
            ArpPacket { sender_mac: Mac::BROADCAST, ..good },
            ArpPacket { sender_mac: Mac([0; 6]), ..good },
            ArpPacket { sender_ip: Ipv4Addr::BROADCAST, ..good },
            ArpPacket { sender_ip: Ipv4Addr::new(224, 0, 0, 1), ..good },
            ArpPacket { sender_ip: Ipv4Addr::LOCALHOST, ..good },
            ArpPacket { op: ArpOp::Reply, sender_ip: Ipv4Addr::UNSPECIFIED, ..good },
        ];
        let ether = Ether { src: HOST, dst: Mac::BROADCAST, vlan: Some(7) };
        for case in cases {
            let mut out = [0; 64];
            let length = emit(&mut out, &ether, &case).unwrap();
            let headers = crate::parse(&out[..length]).unwrap();
            assert_eq!(headers.vlan, Some(7));
            assert_eq!(parse(&out[..length], &headers), Err(DropReason::ArpInvalid), "{case:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(tail in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut frame = vec![0; 12];
            frame.extend([8, 6]);
            frame.extend(&tail);
            let headers = crate::parse(&frame).unwrap();
            let _ = parse(&frame, &headers);
        }
    }
}
