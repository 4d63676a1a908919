//! A raw host: it sends what it is told to and keeps what it gets.
//!
//! It can answer for addresses in ARP and neighbour discovery, so that hand-made packets find their
//! way; those messages are kept apart from what it got.

use core::net::IpAddr;

use wire::{Headers, Mac, Time, arp, build, emit::Ether, nd, proto};

use super::Clip;

/// A frame as a raw host got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// When.
    pub at: Time,
    /// What.
    pub clip: Clip,
}

/// A raw host.
pub struct Station {
    /// Its MAC address.
    pub mac: Mac,
    /// Addresses it answers for in ARP and neighbour discovery.
    pub answers: Vec<IpAddr>,
    /// ARP and neighbour discovery messages it has seen.
    pub resolutions: u64,
    got: Vec<Got>,
    outbox: Vec<Clip>,
}

impl Station {
    /// A raw host that answers for these addresses.
    pub fn new(mac: Mac, answers: &[IpAddr]) -> Self {
        Self { mac, answers: answers.to_vec(), resolutions: 0, got: Vec::new(), outbox: Vec::new() }
    }

    /// What it got since the last call.
    pub fn take(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.got)
    }

    /// What it got since the last [`Station::take`].
    pub fn got(&self) -> &[Got] {
        &self.got
    }

    pub(super) fn send(&mut self, clip: Clip) {
        self.outbox.push(clip);
    }

    pub(super) fn receive(&mut self, clip: Clip, now: Time) {
        match self.resolution(&clip.bytes) {
            Resolution::None => self.got.push(Got { at: now, clip }),
            Resolution::Seen => self.resolutions += 1,
            Resolution::Answer(bytes) => {
                self.resolutions += 1;
                self.outbox.push(Clip::plain(bytes));
            }
        }
    }

    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, Clip> {
        self.outbox.drain(..)
    }

    fn resolution(&self, frame: &[u8]) -> Resolution {
        let Ok(headers) = wire::parse(frame) else { return Resolution::None };
        if headers.kind == wire::L3::Arp {
            return self.arp(frame, &headers);
        }
        match (headers.tuple.proto, headers.icmp_type) {
            (proto::ICMPV6, 135) => self.solicitation(frame, &headers),
            (proto::ICMPV6, 133 | 134 | 136) => Resolution::Seen,
            _ => Resolution::None,
        }
    }

    fn arp(&self, frame: &[u8], headers: &Headers) -> Resolution {
        let Ok(packet) = arp::parse(frame, headers) else { return Resolution::None };
        let wanted = IpAddr::V4(packet.target_ip);
        if packet.op != arp::ArpOp::Request || !self.answers.contains(&wanted) {
            return Resolution::Seen;
        }
        let ether = Ether { src: self.mac, dst: packet.sender_mac, vlan: headers.vlan };
        Resolution::Answer(build::arp_frame(ether, &packet.answer(self.mac)))
    }

    /// RFC 4861 §7.2.4: a solicited advertisement with the target link-layer address.
    fn solicitation(&self, frame: &[u8], headers: &Headers) -> Resolution {
        let Ok(nd::NdMessage::Solicitation(asked)) = nd::parse(frame, headers) else {
            return Resolution::None;
        };
        if !self.answers.contains(&IpAddr::V6(asked.target)) {
            return Resolution::Seen;
        }
        let answer = nd::NdMessage::Advertisement(nd::NeighbourAdvertisement {
            src: asked.target,
            dst: asked.src,
            target: asked.target,
            target_mac: Some(self.mac),
            router: false,
            solicited: true,
            override_entry: true,
        });
        let ether = Ether { src: self.mac, dst: headers.eth_src, vlan: headers.vlan };
        let mut bytes = vec![0; 128];
        let length = nd::emit(&mut bytes, &ether, &answer).unwrap_or(0);
        bytes.truncate(length);
        Resolution::Answer(bytes)
    }
}

enum Resolution {
    None,
    Seen,
    Answer(Vec<u8>),
}
