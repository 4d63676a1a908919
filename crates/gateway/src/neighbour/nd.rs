//! What neighbour discovery does to the table, and whether it is answered (RFC 4861 §7.2).

use core::net::{IpAddr, Ipv6Addr};

use config::model::IfId;
use ipnet::IpNet;
use wire::{
    Mac, Time,
    nd::{NeighbourAdvertisement, NeighbourSolicitation},
};

use super::Neighbours;

/// What to do after a neighbour solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SolicitationAction {
    /// Advertise the address asked for with our MAC, as a router and with the override flag: to the
    /// asker and solicited, or to all nodes and not solicited if the asker has no address yet.
    Reply,
    /// Nothing.
    None,
}

impl<H> Neighbours<H> {
    /// A question (RFC 4861 §7.2.3 and §7.2.4) that came in by `interface`, whose addresses are
    /// `our` and whose MAC is `our_mac`. `answers` says for which further addresses we speak: the
    /// link-local one if it is not in `our`, VIPs and pools.
    ///
    /// Only a question for an address of ours counts; it may make an entry of the asker if that is
    /// on the link. Duplicate address detection is answered and teaches nothing.
    pub fn handle_solicitation(
        &mut self,
        interface: IfId,
        our: &[IpNet],
        our_mac: Mac,
        asked: &NeighbourSolicitation,
        answers: impl Fn(IpAddr) -> bool,
        now: Time,
    ) -> SolicitationAction {
        let speaks_for =
            |ip: Ipv6Addr| our.iter().any(|net| net.addr() == ip) || answers(IpAddr::V6(ip));
        if asked.source_mac == Some(our_mac) {
            self.counters.ignored += 1;
            return SolicitationAction::None;
        }
        if !asked.is_probe() && speaks_for(asked.src) {
            let other = asked.source_mac.unwrap_or_default();
            self.conflict(interface, IpAddr::V6(asked.src), other, now);
            return SolicitationAction::None;
        }
        if !speaks_for(asked.target) {
            self.counters.ignored += 1;
            return SolicitationAction::None;
        }
        if let Some(mac) = asked.source_mac
            && !asked.is_probe()
        {
            self.learn_from_solicitation(interface, our, asked.src, mac, now);
        }
        self.counters.answered += 1;
        SolicitationAction::Reply
    }

    fn learn_from_solicitation(
        &mut self,
        interface: IfId,
        our: &[IpNet],
        src: Ipv6Addr,
        mac: Mac,
        now: Time,
    ) {
        let address = IpAddr::V6(src);
        if let Some(n) = self.index.get(&(interface, address)).copied() {
            self.advertised(n, Some(mac), false, true, now);
            return;
        }
        let on_link = src.is_unicast_link_local() || our.iter().any(|net| net.contains(&address));
        if on_link && self.make_room_to_learn() {
            self.learn(interface, address, mac, now);
            self.counters.learned += 1;
        } else {
            self.counters.ignored += 1;
        }
    }

    /// An answer, or unasked news (RFC 4861 §7.2.5), with arguments as for a question: updates an entry, never makes one. News about
    /// an address of ours is a conflict.
    pub fn handle_advertisement(
        &mut self,
        interface: IfId,
        our: &[IpNet],
        our_mac: Mac,
        said: &NeighbourAdvertisement,
        answers: impl Fn(IpAddr) -> bool,
        now: Time,
    ) {
        let target = IpAddr::V6(said.target);
        if our.iter().any(|net| net.addr() == target) || answers(target) {
            if said.target_mac == Some(our_mac) {
                self.counters.ignored += 1;
            } else {
                self.conflict(interface, target, said.target_mac.unwrap_or_default(), now);
            }
            return;
        }
        match self.index.get(&(interface, target)).copied() {
            Some(n) => {
                self.advertised(n, said.target_mac, said.solicited, said.override_entry, now);
                if let Some(entry) = self.entry_mut(n)
                    && entry.state.is_resolved()
                {
                    entry.router = said.router;
                }
            }
            None => self.counters.ignored += 1,
        }
    }
}
