//! x
use super::Neighbours;
use config::model::IfId; use ipnet::IpNet; use wire::{Mac,Time,nd::*}; use core::net::IpAddr;
/// x
pub enum SolicitationAction { /// x
 Reply, /// x
 None }
impl<H> Neighbours<H> {
 /// x
 pub fn handle_solicitation(&mut self, i: IfId, own: &[IpNet], _m: Mac, a: &NeighbourSolicitation, p: impl Fn(IpAddr)->bool, now: Time) -> SolicitationAction { 
   let t = IpAddr::V6(a.target); if own.iter().any(|n| n.addr()==t) || p(t) { let _ = (i, now); SolicitationAction::Reply } else { SolicitationAction::None } }
 /// x
 pub fn handle_advertisement(&mut self, i: IfId, _own: &[IpNet], a: &NeighbourAdvertisement, now: Time) { if let (Some(n), Some(m)) = (self.index.get(&(i, IpAddr::V6(a.target))).copied(), a.target_mac) { self.advertised(n, Some(m), a.solicited, a.override_entry, now); } }
}
