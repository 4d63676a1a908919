//! GRE and VXLAN tunnels at run time: which one a packet is for, their numbers and counters.
//!
//! What arrives is known by its ends and by key or VNI. Nothing of it is authenticated: who can send
//! with the far end's address can send into the tunnel, unless ESP protects it.

use core::{net::IpAddr, time::Duration};

use config::{
    Config,
    model::{Gre, OuterRules, Tunnel, TunnelId, TunnelKind, VrId},
};
use hashbrown::HashMap;
use reason::DropReason;
use wire::{
    Headers, Time, gre,
    outer::{Outer, OuterUdp},
    proto, vxlan,
};

use super::{Carried, path};
use crate::keyed::Keyed;

/// After so long without a packet any sequence number is taken: the far end may have begun anew.
const QUIET: Duration = Duration::from_secs(10);

/// A GRE or VXLAN tunnel.
pub struct Overlay {
    /// Its outer header.
    pub(crate) outer: Outer,
    /// What went in.
    pub sent: Volume,
    /// What came out.
    pub received: Volume,
    /// Packets for it or of it that were dropped in it.
    pub errors: u64,
    /// What an ICMP error told of the path, in bytes, and when.
    pub path_mtu: Option<(u16, Time)>,
    /// Identification of the next outer IPv4 header.
    identification: u16,
    /// Sequence number of the next GRE packet.
    sequence: u32,
    /// The last sequence number taken, and when.
    last: Option<(u32, Time)>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Their bytes, without the headers of the tunnel.
    pub bytes: u64,
}

/// The GRE and VXLAN tunnels, by number of the tunnel.
pub struct Overlays {
    all: Vec<Option<Overlay>>,
    by_id: HashMap<Key, TunnelId, Keyed>,
    /// Any tunnel between two ends.
    by_ends: HashMap<Ends, TunnelId, Keyed>,
    /// UDP ports of VXLAN, sorted.
    udp_ports: Vec<u16>,
}

/// What carries a tunnel: GRE, or UDP to this port.
type Over = Option<u16>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Ends {
    vr: VrId,
    local: IpAddr,
    remote: IpAddr,
    over: Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    ends: Ends,
    /// GRE key or VNI.
    id: Option<u32>,
}

impl Overlays {
    /// The tunnels of a configuration.
    pub fn new(config: &Config, seed: u64) -> Self {
        let mut overlays = Self {
            all: Vec::new(),
            by_id: HashMap::with_hasher(Keyed::new(seed.rotate_left(23))),
            by_ends: HashMap::with_hasher(Keyed::new(seed.rotate_left(41))),
            udp_ports: Vec::new(),
        };
        overlays.load(config, |_| None);
        overlays
    }

    /// Takes a new configuration. Tunnels that stay what they are go on with their numbers.
    pub fn reload(&mut self, old: &Config, new: &Config) {
        let before = std::mem::take(&mut self.all);
        let mut kept: std::collections::BTreeMap<&str, (&Tunnel, Overlay)> = old
            .tunnels
            .iter()
            .zip(before)
            .filter_map(|(tunnel, overlay)| Some((tunnel.name.as_str(), (tunnel, overlay?))))
            .collect();
        self.load(new, |tunnel| {
            let (was, overlay) = kept.remove(tunnel.name.as_str())?;
            let same = (was.vr, was.local, was.remote, &was.kind)
                == (tunnel.vr, tunnel.local, tunnel.remote, &tunnel.kind);
            same.then_some(overlay)
        });
    }

    fn load(&mut self, config: &Config, mut kept: impl FnMut(&Tunnel) -> Option<Overlay>) {
        self.by_id.clear();
        self.by_ends.clear();
        self.udp_ports.clear();
        for (index, tunnel) in config.tunnels.iter().enumerate() {
            let Some((key, outer)) = place(tunnel) else {
                self.all.push(None);
                continue;
            };
            let id = TunnelId(index as u16);
            self.by_id.insert(key, id);
            self.by_ends.entry(key.ends).or_insert(id);
            self.udp_ports.extend(key.ends.over);
            let overlay = kept(tunnel).unwrap_or_else(|| Overlay {
                outer,
                sent: Volume::default(),
                received: Volume::default(),
                errors: 0,
                path_mtu: None,
                identification: 0,
                sequence: 0,
                last: None,
            });
            self.all.push(Some(overlay));
        }
        self.udp_ports.sort_unstable();
        self.udp_ports.dedup();
    }

    /// A tunnel by its number.
    pub fn get(&self, id: TunnelId) -> Option<&Overlay> {
        self.all.get(usize::from(id.0))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: TunnelId) -> Option<&mut Overlay> {
        self.all.get_mut(usize::from(id.0))?.as_mut()
    }

    /// Counts a packet that was dropped in a tunnel.
    pub(crate) fn count_error(&mut self, id: TunnelId) {
        if let Some(overlay) = self.get_mut(id) {
            overlay.errors += 1;
        }
    }

    /// What a whole packet is to the tunnels, by its ends and its GRE or VXLAN header. `payload` is
    /// what is behind the IP header, or behind the UDP header.
    pub(crate) fn carried(&self, vr: VrId, headers: &Headers, payload: &[u8]) -> Carried {
        let over = match headers.tuple.proto {
            proto::GRE => None,
            proto::UDP if self.udp_ports.contains(&headers.tuple.dst_port) => {
                Some(headers.tuple.dst_port)
            }
            _ => return Carried::Nothing,
        };
        let ends = Ends { vr, local: headers.dst(), remote: headers.src(), over };
        let Some(any) = self.by_ends.get(&ends).copied() else { return Carried::Nothing };
        let read = match over {
            None => gre::Header::read(payload).and_then(|header| {
                let key = Key { ends, id: header.key };
                let id = self.by_id.get(&key).ok_or(DropReason::GreKeyUnknown)?;
                Ok(Carried::Gre(*id, header))
            }),
            Some(_) => vxlan::read(payload).and_then(|vni| {
                let key = Key { ends, id: Some(vni) };
                let id = self.by_id.get(&key).ok_or(DropReason::VxlanVniUnknown)?;
                Ok(Carried::Vxlan(*id))
            }),
        };
        read.unwrap_or_else(|reason| Carried::Malformed(any, reason))
    }

    /// The tunnel that sent what an ICMP error quotes. Of a quote that does not reach as far as the
    /// key, any tunnel between the ends: they share the path.
    pub(crate) fn sent(&self, vr: VrId, quoted: &wire::QuotedOverlay) -> Option<TunnelId> {
        let (local, remote) = (quoted.source, quoted.destination);
        let ends = Ends { vr, local, remote, over: quoted.udp_port };
        let exact = self.by_id.get(&Key { ends, id: quoted.id });
        exact.or_else(|| self.by_ends.get(&ends).filter(|_| quoted.id.is_none())).copied()
    }

    /// Whether a UDP checksum of zero over IPv6 is none rather than wrong (RFC 6935 §5).
    pub(crate) fn takes_zero_checksum(&self, config: &Config, vr: VrId, headers: &Headers) -> bool {
        let tuple = &headers.tuple;
        if tuple.proto != proto::UDP || !self.udp_ports.contains(&tuple.dst_port) {
            return false;
        }
        let over = Some(tuple.dst_port);
        let ends = Ends { vr, local: tuple.dst, remote: tuple.src, over };
        let tunnel = self.by_ends.get(&ends).and_then(|id| config.tunnels.get(usize::from(id.0)));
        tunnel.is_some_and(|tunnel| match &tunnel.kind {
            TunnelKind::Vxlan(vxlan) => vxlan.zero_checksum,
            TunnelKind::Ipsec(_) | TunnelKind::Gre(_) | TunnelKind::Remote(_) => false,
        })
    }

    /// Forgets path MTUs that were learnt long ago; says whether there was one.
    pub(crate) fn forget_path_mtus(&mut self, now: Time) -> bool {
        let mut forgot = false;
        for overlay in self.all.iter_mut().flatten() {
            if overlay.path_mtu.is_some_and(|(_, at)| now.since(at) >= path::HOLDS) {
                overlay.path_mtu = None;
                forgot = true;
            }
        }
        forgot
    }
}

impl Overlay {
    /// An identification for the next outer IPv4 header.
    pub(crate) fn next_identification(&mut self) -> u16 {
        self.identification = self.identification.wrapping_add(1);
        self.identification
    }

    /// The number of the next GRE packet, from zero on (RFC 2890 §2.2).
    pub(crate) fn next_sequence(&mut self) -> u32 {
        let next = self.sequence;
        self.sequence = next.wrapping_add(1);
        next
    }

    /// Takes the sequence number of a GRE packet, if it is not behind one taken before.
    pub(crate) fn take_sequence(
        &mut self,
        gre: &Gre,
        number: Option<u32>,
        now: Time,
    ) -> Result<(), DropReason> {
        if !gre.sequence {
            return Ok(());
        }
        let number = number.ok_or(DropReason::GreSequenceOld)?;
        let is_later = |last: u32| number.wrapping_sub(last).wrapping_sub(1) < 1 << 31;
        if self.last.is_some_and(|(last, at)| now.since(at) < QUIET && !is_later(last)) {
            return Err(DropReason::GreSequenceOld);
        }
        self.last = Some((number, now));
        Ok(())
    }
}

/// The rules of a tunnel's outer header; none of an IPsec tunnel, whose SAs have them.
pub(crate) fn rules(tunnel: &Tunnel) -> Option<&OuterRules> {
    match &tunnel.kind {
        TunnelKind::Ipsec(_) | TunnelKind::Remote(_) => None,
        TunnelKind::Gre(gre) => Some(&gre.outer),
        TunnelKind::Vxlan(vxlan) => Some(&vxlan.outer),
    }
}

fn place(tunnel: &Tunnel) -> Option<(Key, Outer)> {
    let hop_limit = rules(tunnel)?.ttl;
    let (over, id, udp) = match &tunnel.kind {
        TunnelKind::Ipsec(_) | TunnelKind::Remote(_) => return None,
        TunnelKind::Gre(gre) => (None, gre.key, None),
        TunnelKind::Vxlan(vxlan) => {
            let udp = OuterUdp {
                source_port: vxlan.port,
                destination_port: vxlan.port,
                zero_checksum: vxlan.zero_checksum,
            };
            (Some(vxlan.port), Some(vxlan.vni), Some(udp))
        }
    };
    let (vr, local, remote) = (tunnel.vr, tunnel.local, tunnel.remote);
    let ends = Ends { vr, local, remote, over };
    let outer = Outer::new((local, remote), proto::GRE, hop_limit, udp);
    Some((Key { ends, id }, outer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: &str = "local = \"203.0.113.2\"\nremote = \"203.0.113.9\"\n";

    fn parsed(text: &str) -> Config {
        let base = "[[port]]\nname = \"wan\"\nkind = \"memory\"\n[[interface]]\nname = \"wan\"\naddress = \"203.0.113.2/24\"\n";
        config::parse("test", &format!("{base}{text}")).expect("valid").config
    }

    fn overlays() -> (Config, Overlays) {
        let config = parsed(&format!(
            "[[gre]]\nname = \"plain\"\nsequence = true\n{ENDS}[[gre]]\nname = \"keyed\"\nkey = 7\n{ENDS}[[vxlan]]\nname = \"vx\"\nvni = 5\n{ENDS}"
        ));
        let overlays = Overlays::new(&config, 1);
        (config, overlays)
    }

    fn gre_of(config: &Config) -> Gre {
        match &config.tunnels[0].kind {
            TunnelKind::Gre(gre) => *gre,
            TunnelKind::Ipsec(_) | TunnelKind::Vxlan(_) | TunnelKind::Remote(_) => {
                unreachable!("the first is GRE")
            }
        }
    }

    #[test]
    fn numbers_are_taken_in_order_and_anew_after_a_pause() {
        let (config, mut overlays) = overlays();
        let gre = gre_of(&config);
        let overlay = overlays.get_mut(TunnelId(0)).expect("GRE");
        let mut take = |number, at| overlay.take_sequence(&gre, number, Time::from_secs(at));
        let old = Err(DropReason::GreSequenceOld);
        assert_eq!(take(None, 0), old);
        assert_eq!(take(Some(u32::MAX), 0), Ok(()));
        assert_eq!(take(Some(u32::MAX), 1), old);
        assert_eq!(take(Some(0), 1), Ok(()), "it wraps");
        assert_eq!(take(Some(5), 2), Ok(()), "gaps are losses");
        assert_eq!(take(Some(4), 3), old);
        assert_eq!(take(Some(0), 11), old);
        assert_eq!(take(Some(0), 12), Ok(()), "ten seconds after the last one that was taken");
        assert_eq!([overlay.next_sequence(), overlay.next_sequence()], [0, 1]);
    }

    #[test]
    fn a_reload_goes_on_with_what_stays() {
        let (config, mut overlays) = overlays();
        for id in [0, 1, 2] {
            overlays.get_mut(TunnelId(id)).expect("there").next_sequence();
        }
        let more = format!(
            "[[gre]]\nname = \"keyed\"\nkey = 8\n{ENDS}[[gre]]\nname = \"plain\"\nsequence = true\n{ENDS}"
        );
        overlays.reload(&config, &parsed(&more));
        let mut next = |id| overlays.get_mut(TunnelId(id)).map(Overlay::next_sequence);
        assert_eq!([next(0), next(1), next(2)], [Some(0), Some(1), None]);
    }
}
