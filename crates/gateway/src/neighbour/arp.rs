//! What an ARP message does to the table, and whether it is answered (RFC 826, RFC 5227).

use core::net::{IpAddr, Ipv4Addr};

use config::model::IfId;
use ipnet::IpNet;
use wire::{
    Mac, Time,
    arp::{ArpOp, ArpPacket},
};

use super::{ARP_LOCK_TIME, Neighbours, State};

/// What to do after an ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpAction {
    /// Answer that `address` is at our MAC: [`ArpPacket::answer`] to the sender of the frame.
    Reply {
        /// The address asked for.
        address: Ipv4Addr,
    },
    /// Nothing.
    None,
}

impl<H> Neighbours<H> {
    /// Takes an ARP message that came in by `interface`, whose addresses are `our` and whose MAC is
    /// `our_mac`. `answers` says for which further addresses we speak (VIPs and pools).
    ///
    /// It updates the entry of its sender if there is one. It makes an entry only if it asks for an
    /// address of ours from an address on the link. A message that claims an address of ours is a
    /// conflict and teaches nothing.
    pub fn handle_arp(
        &mut self,
        interface: IfId,
        our: &[IpNet],
        our_mac: Mac,
        arp: &ArpPacket,
        answers: impl Fn(IpAddr) -> bool,
        now: Time,
    ) -> ArpAction {
        if arp.sender_mac == our_mac {
            self.counters.ignored += 1;
            return ArpAction::None;
        }
        let ours = |ip: Ipv4Addr| {
            let ip = IpAddr::V4(ip);
            our.iter().any(|net| net.addr() == ip) || answers(ip)
        };
        let sender = IpAddr::V4(arp.sender_ip);
        if !arp.is_probe() && ours(arp.sender_ip) {
            self.conflict(interface, sender, arp.sender_mac, now);
            return ArpAction::None;
        }
        let asks_us = arp.op == ArpOp::Request && ours(arp.target_ip);
        if !arp.is_probe() {
            self.learn_from_arp(interface, our, arp, asks_us, ours(arp.target_ip), now);
        }
        if asks_us {
            self.counters.answered += 1;
            ArpAction::Reply { address: arp.target_ip }
        } else {
            ArpAction::None
        }
    }

    fn learn_from_arp(
        &mut self,
        interface: IfId,
        our: &[IpNet],
        arp: &ArpPacket,
        asks_us: bool,
        to_us: bool,
        now: Time,
    ) {
        let sender = IpAddr::V4(arp.sender_ip);
        match self.index.get(&(interface, sender)).copied() {
            Some(n) => {
                let Some(entry) = self.entry(n) else { return };
                let awaited = matches!(entry.state, State::Incomplete | State::Probe);
                let solicited = arp.op == ArpOp::Reply && to_us && awaited;
                let locked = entry.state == State::Reachable
                    && entry.mac != arp.sender_mac
                    && entry.confirmed.is_some_and(|at| now < at + ARP_LOCK_TIME);
                if locked {
                    self.counters.ignored += 1;
                } else {
                    self.advertised(n, Some(arp.sender_mac), solicited, true, now);
                }
            }
            None => {
                let on_link = our.iter().any(|net| net.contains(&sender));
                if asks_us && on_link && self.make_room_to_learn() {
                    self.learn(interface, sender, arp.sender_mac, now);
                    self.counters.learned += 1;
                } else {
                    self.counters.ignored += 1;
                }
            }
        }
    }
}
