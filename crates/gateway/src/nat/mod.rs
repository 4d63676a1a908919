//! NAT (stand-in until the real room lands).
use core::net::IpAddr;
use config::{Config, model::{IfId, SourceNat}};
use ipnet::IpNet;
use reason::DropReason;
use wire::Tuple;
/// x
#[derive(Clone, Copy, Debug)]
pub struct Dnat { /// x
    pub vip: usize, /// x
    pub address: IpAddr, /// x
    pub port: u16 }
/// x
#[derive(Clone, Copy, Debug)]
pub struct Binding(u64);
impl Binding { /// x
    pub fn to_bits(self) -> u64 { self.0 } /// x
    pub fn from_bits(b: u64) -> Self { Self(b) } }
/// x
#[derive(Clone, Copy, Debug)]
pub struct Grant { /// x
    pub address: IpAddr, /// x
    pub port: u16, /// x
    pub binding: Binding }
/// x
pub struct SnatRequest<'a> { /// x
    pub tuple: Tuple, /// x
    pub nat: &'a SourceNat, /// x
    pub egress: IfId, /// x
    pub egress_addresses: &'a [IpNet] }
/// x
pub struct Nat { config: Config }
/// x
#[derive(Default)]
pub struct PoolStats { /// x
 pub used: u64, /// x
 pub capacity: u64, /// x
 pub peak: u64, /// x
 pub allocated: u64, /// x
 pub exhausted: u64 }
impl Nat {
    /// x
    pub fn vip_hits(&self, _i: usize) -> u64 { 0 }
    /// x
    pub fn pool_stats(&self, _i: usize) -> PoolStats { PoolStats::default() }
    /// x
    pub fn new(config: &Config) -> Self { Self { config: config.clone() } }
    /// x
    pub fn reload(&mut self, config: &Config) { self.config = config.clone(); }
    /// x
    pub fn dnat(&self, ingress: IfId, t: &Tuple) -> Option<Dnat> {
        self.config.vips.iter().enumerate().find_map(|(i, v)| {
            if v.interface.is_some_and(|x| x != ingress) || t.dst < v.external.first || t.dst > v.external.last { return None; }
            match &v.forward { None => Some(Dnat { vip: i, address: v.mapped.first, port: t.dst_port }),
                Some(f) if f.proto == t.proto && f.external.contains(&t.dst_port) => Some(Dnat { vip: i, address: v.mapped.first, port: f.mapped + (t.dst_port - f.external.start()) }), _ => None } }) }
    /// x
    pub fn snat(&mut self, r: &SnatRequest<'_>, rng: &mut crate::rng::Rng, taken: impl Fn(&Tuple) -> bool) -> Result<Option<Grant>, DropReason> {
        let address = match r.nat { SourceNat::Off => return Ok(None), SourceNat::Interface => r.egress_addresses.iter().map(|n| n.addr()).find(|a| a.is_ipv4() == r.tuple.src.is_ipv4()), SourceNat::Pools(p) => p.iter().map(|p| self.config.pools[usize::from(p.0)].addresses.first).find(|a| a.is_ipv4() == r.tuple.src.is_ipv4()) };
        let Some(address) = address else { return Err(DropReason::NatPoolMissingFamily) };
        let mut port = r.tuple.src_port;
        for _ in 0..64 { let t = Tuple { src: address, src_port: port, ..r.tuple }; if !taken(&t.reversed()) { return Ok(Some(Grant { address, port, binding: Binding(0) })); } port = 1024 + rng.below(60_000) as u16; }
        Err(DropReason::NatPoolExhausted) }
    /// x
    pub fn release(&mut self, _b: Binding) {}
    /// x
    pub fn central(&self, _k: &crate::policy::Key) -> Option<usize> { None }
    /// x
    pub fn proxies(&self, _i: IfId, a: IpAddr) -> bool { self.owns(a) }
    /// x
    pub fn owns(&self, a: IpAddr) -> bool { self.config.vips.iter().any(|v| v.external.first <= a && a <= v.external.last) || self.config.pools.iter().any(|v| v.addresses.first <= a && a <= v.addresses.last) }
}
