//! Tunnels and the interfaces they get without asking; `[[ipsec]]`: SAs and selectors.

use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    time::Duration,
};
use std::collections::BTreeMap;

use ipnet::IpNet;
use toml::de::DeValue;

use super::{
    Scope,
    ike::{self, Found, Peers},
    nat::port_range,
    network,
    network::unfitting,
    overlay, remote, settings,
};
use crate::{
    keys,
    model::{
        Attachment, ChildSpec, Fragmentation, IfId, Interface, Ipsec, Keying, Manual, ManualSa,
        Offload, OffloadMode, Rpf, Selector, Steering, Tunnel, TunnelId, TunnelKind, VrId, Zone,
        ZoneId,
    },
    read::{At, Span, Tab},
    values::{self, Bad},
};

/// Anti-replay window where nothing is said, in packets.
const REPLAY_WINDOW: u32 = 1024;

/// Any port.
const ANY_PORT: RangeInclusive<u16> = 0..=u16::MAX;

/// MTU of an interface that a tunnel gets by itself, in bytes: what fits an Ethernet path with any
/// suite, outer IPv6 and UDP encapsulation.
const TUNNEL_MTU: u16 = 1400;

/// The interface of each tunnel, by the position of the tunnel; adds one for each that has none.
pub(super) fn interfaces(
    scope: &mut Scope<'_>,
    tabs: &[Tab<'_, '_>],
    names: &[String],
    zones: &mut Vec<Zone>,
    interfaces: &mut Vec<Interface>,
) -> Vec<IfId> {
    let doc = scope.doc;
    tabs.iter()
        .zip(names)
        .enumerate()
        .map(|(position, (tab, name))| {
            let on = Attachment::Tunnel(TunnelId(position as u16));
            if let Some(found) = interfaces.iter().position(|interface| interface.on == on) {
                if tab.get("zone").is_some() {
                    unfitting(tab, "zone", "an [[interface]] of the tunnel; the zone stands there");
                }
                return IfId(found as u16);
            }
            let written = tab.value("zone", values::name);
            let zone_name = written.as_ref().map_or(name.as_str(), |at| at.value.as_str());
            let zone = match scope.zones.get(zone_name) {
                Some(zone) => zone,
                None => {
                    if !name.is_empty() {
                        let at = At { value: zone_name, span: tab.span_of("zone") };
                        scope.zones.add(doc, &at, zones.len());
                    }
                    zones.push(Zone { name: zone_name.to_owned(), line: tab.line() });
                    zones.len() - 1
                }
            };
            let index = interfaces.len();
            if !name.is_empty() {
                let at = At { value: name.as_str(), span: tab.span_of("name") };
                scope.interfaces.add(doc, &at, index);
            }
            interfaces.push(Interface {
                name: name.clone(),
                line: tab.line(),
                on,
                vr: network::router_of(scope, tab).unwrap_or_default(),
                zone: ZoneId(zone as u16),
                addresses: Vec::new(),
                mtu: TUNNEL_MTU,
                rpf: Rpf::Strict,
                mss_clamp: Some(0),
                enabled: true,
                proxy_arp: false,
            });
            IfId(index as u16)
        })
        .collect()
}

/// The tunnels themselves.
pub(super) fn tunnels(
    scope: &Scope<'_>,
    tabs: &[Tab<'_, '_>],
    names: &[String],
    of: &[IfId],
    interfaces: &[Interface],
    written: usize,
    (offload, peers): (&Offload, &Peers<'_, '_, '_>),
) -> Vec<Tunnel> {
    let mut list: Vec<Tunnel> = Vec::new();
    for ((tab, name), interface) in tabs.iter().zip(names).zip(of) {
        let own = usize::from(interface.0) < written;
        let tunnel = match tab.section.path {
            "ipsec" => ipsec(scope, tab, name, (*interface, own), offload, peers),
            "remote-access" => remote::tunnel(scope, tab, name, *interface, interfaces, offload),
            _ => overlay::tunnel(scope, tab, name, *interface, interfaces),
        };
        list.extend(tunnel);
    }
    if list.len() == tabs.len() {
        duplicate_spis(tabs, &list);
        duplicate_keys(tabs, &list);
        overlapping_selectors(tabs, &list, interfaces);
        overlay::duplicates(tabs, &list);
        peers.overlapping_children(tabs, &list);
    }
    list
}

fn ipsec(
    scope: &Scope<'_>,
    tab: &Tab<'_, '_>,
    name: &str,
    (interface, own_interface): (IfId, bool),
    global: &Offload,
    peers: &Peers<'_, '_, '_>,
) -> Option<Tunnel> {
    let ends = match tab.text("phase1") {
        Some(at) => Ends::Peer(peers.find(scope, tab, &at)?),
        None => Ends::of_hand(scope, tab),
    };
    let mode = mode(tab);
    let mut selectors = selectors(tab);
    let unlimited = tab.get("selectors").is_none();
    if let (true, esp::Mode::Transport, Some((local, remote))) = (unlimited, mode, ends.known()) {
        selectors.push(Selector {
            local: IpNet::from(local),
            remote: IpNet::from(remote),
            proto: None,
            local_ports: ANY_PORT,
            remote_ports: ANY_PORT,
        });
    }
    if tab.flag("compression") {
        tab.doc
            .error("compression", &tab.span_of("compression"), "IP compression is not done")
            .found("`compression = true`")
            .expected("no compression")
            .help("switch IP compression off at the peer too; it leaks contents by length")
            .emit();
    }
    let allow_null = tab.flag("allow-null");
    let (esn, replay_window) = (tab.flag("esn"), replay_window(tab));
    let lifetimes = (lifetime(tab, "soft-lifetime"), lifetime(tab, "hard-lifetime"));
    let (local, remote, vr, keying) = match ends {
        Ends::Peer(found) => {
            let own = ChildSpec {
                name: name.to_owned(),
                line: tab.line(),
                selectors: selectors.clone(),
                proposals: Vec::new(),
                mode,
                replay_window,
                soft: lifetimes.0,
                hard: lifetimes.1,
            };
            let (local, remote, vr) = (found.peer.local, found.peer.remote, found.peer.vr);
            let remote = remote.unwrap_or(match local {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            });
            let negotiated = ike::negotiated(tab, found, own, allow_null);
            selectors = negotiated.children.iter().flat_map(|c| c.selectors.clone()).collect();
            if negotiated.children.iter().any(|child| child.selectors.is_empty()) {
                selectors.clear();
            }
            (local, remote, vr, Keying::Ike(negotiated))
        }
        Ends::Hand { local, remote, vr } => {
            for key in ["phase2", "proposals"] {
                if tab.get(key).is_some() {
                    unfitting(tab, key, "keys set by hand: it needs `phase1`");
                }
            }
            let manual = manual(tab, esn, replay_window, lifetimes, allow_null)?;
            (local?, remote?, vr, Keying::Manual(Box::new(manual)))
        }
    };
    let steering = match (tab.text("steering").is_some(), tab.word("steering")) {
        (true, "selectors") => Steering::Selectors,
        (true, _) => Steering::Routes,
        (false, _) if own_interface && mode == esp::Mode::Tunnel => Steering::Routes,
        (false, _) => Steering::Selectors,
    };
    if steering == Steering::Selectors && selectors.is_empty() && unlimited {
        tab.missing("selectors");
    }
    let ipsec = Ipsec {
        mode,
        selectors,
        steering,
        keying,
        dscp: dscp(tab),
        df: df(tab),
        fragmentation: fragmentation(tab, mode, local.is_ipv4()),
        pad_to: tab.int("pad-to").map(|at| at.value as u16),
        tfc_dummies: tab.int_or_default("tfc-dummies") as u16,
        allow_null,
        egress_optimisation: match tab.get("egress-optimisation") {
            Some(_) => tab.flag("egress-optimisation"),
            None => global.egress_optimisation,
        },
    };
    let offload = settings::mode(tab, "offload");
    if offload == OffloadMode::Require && !ipsec.egress_optimisation {
        tab.doc
            .error("impossible-offload", &tab.span_of("offload"), "the tunnel could pass nothing")
            .found("`offload = \"require\"` and an outgoing SA that no engine may have")
            .expected("`egress-optimisation = true`, or another `offload`")
            .help("write `egress-optimisation = true` in the tunnel")
            .emit();
    }
    Some(Tunnel {
        name: name.to_owned(),
        line: tab.line(),
        interface,
        vr,
        local,
        remote,
        offload,
        kind: TunnelKind::Ipsec(Box::new(ipsec)),
    })
}

/// Both ends, which must be of one IP version.
pub(super) fn ends(tab: &Tab<'_, '_>) -> Option<(At<IpAddr>, At<IpAddr>)> {
    let end = |key: &str| tab.required(key).and_then(|text| tab.read(key, &text, values::ip));
    let (local, remote) = (end("local"), end("remote"));
    let (local, remote) = (local?, remote?);
    if local.value.is_ipv4() != remote.value.is_ipv4() {
        mixed_versions(tab, &local, &remote.span);
    }
    Some((local, remote))
}

/// Where the ends of a tunnel come from.
enum Ends<'p> {
    /// From the peer that negotiates its keys.
    Peer(Found<'p>),
    /// From the tunnel itself, keyed by hand.
    Hand { local: Option<IpAddr>, remote: Option<IpAddr>, vr: VrId },
}

impl Ends<'_> {
    fn of_hand(scope: &Scope<'_>, tab: &Tab<'_, '_>) -> Self {
        let (local, remote) = ends(tab).unzip();
        Self::Hand {
            local: local.map(|at| at.value),
            remote: remote.map(|at| at.value),
            vr: network::router_of(scope, tab).unwrap_or_default(),
        }
    }

    /// Both ends, if they are known before any negotiation.
    fn known(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Self::Peer(found) => Some((found.peer.local, found.peer.remote?)),
            Self::Hand { local, remote, .. } => Some(((*local)?, (*remote)?)),
        }
    }
}

pub(super) fn mixed_versions(tab: &Tab<'_, '_>, local: &At<IpAddr>, remote: &Span) {
    tab.doc
        .error("mixed-versions", remote, "the ends are of different IP versions")
        .found(tab.doc.snippet(remote))
        .expected(format!("an address of the version of {}", local.value))
        .help("give both ends as IPv4 or both as IPv6")
        .related(&local.span, "the other end is here")
        .emit();
}

pub(super) fn mode(tab: &Tab<'_, '_>) -> esp::Mode {
    match tab.word("mode") {
        "transport" => esp::Mode::Transport,
        _ => esp::Mode::Tunnel,
    }
}

pub(super) fn selectors(tab: &Tab<'_, '_>) -> Vec<Selector> {
    tab.tables("selectors", &keys::SELECTOR).iter().filter_map(selector).collect()
}

pub(super) fn replay_window(tab: &Tab<'_, '_>) -> u32 {
    let window = match tab.get("replay-window") {
        Some(_) => tab.int_or_default("replay-window") as u32,
        None => REPLAY_WINDOW,
    };
    if (1..32).contains(&window) {
        let span = tab.span_of("replay-window");
        tab.doc
            .error("out-of-range", &span, "the replay window is too small")
            .found(window.to_string())
            .expected("32 to 8192, or 0 for none (RFC 4303 §3.4.3)")
            .help("leave `replay-window` out for 1024")
            .emit();
    }
    window
}

/// The pair of SAs of a tunnel that is keyed by hand.
fn manual(
    tab: &Tab<'_, '_>,
    esn: bool,
    replay_window: u32,
    (soft, hard): (esp::Lifetime, esp::Lifetime),
    allow_null: bool,
) -> Option<Manual> {
    let sa = |key: &str| match tab.table(key, &keys::SA) {
        Some(inner) => manual_sa(&inner),
        None => {
            if tab.get(key).is_none() {
                tab.missing(key);
            }
            None
        }
    };
    let (outbound, inbound) = (sa("out"), sa("in"));
    warn_of_manual_aead(tab, outbound.as_ref());
    let encapsulation = udp_encapsulation(tab);
    let (outbound, inbound) = (outbound?, inbound?);
    for (key, sa) in [("out", &outbound), ("in", &inbound)] {
        if sa.suite.is_null() && !allow_null {
            refuse_null(tab, key);
            break;
        }
    }
    Some(Manual {
        outbound,
        inbound,
        encapsulation,
        nat_keepalive: encapsulation.and(nat_keepalive(tab)),
        esn,
        replay_window,
        soft,
        hard,
    })
}

fn manual_sa(tab: &Tab<'_, '_>) -> Option<ManualSa> {
    if tab.get("spi").is_none() {
        tab.missing("spi");
    }
    let spi = tab.int("spi").map(|at| at.value as u32);
    let suite = tab.required("algorithm").and_then(|text| {
        tab.read("algorithm", &text, |text| {
            text.parse::<esp::Suite>().map_err(|fault| {
                let known = crate::suggest::listed(esp::Suite::ALL.iter().map(|s| s.name()));
                Bad::new(fault.to_string(), format!("one of {known}"), "write \"aes256gcm16\"")
            })
        })
    });
    let key = tab.required("key").and_then(|text| {
        tab.read("key", &text, |text| {
            esp::KeyMaterial::from_hex(text).map_err(|fault| {
                Bad::new(
                    fault.to_string(),
                    "pairs of hexadecimal digits",
                    "write the key as \"0x…\", such as `openssl rand -hex 36` makes it",
                )
            })
        })
    });
    let (spi, suite, key) = (spi?, suite?, key?);
    if suite.value.is_weak() {
        tab.doc
            .warning("weak-algorithm", &suite.span, format!("{} is weak", suite.value))
            .found(tab.doc.snippet(&suite.span))
            .expected("a suite without SHA-1")
            .help("write \"aes256gcm16\" unless the peer knows nothing better (RFC 8221 §5)")
            .emit();
    }
    if key.value.len() != suite.value.key_len() {
        let (found, wanted) = (key.value.len(), suite.value.key_len());
        tab.doc
            .error(
                "wrong-key-length",
                &key.span,
                format!(
                    "the key of {} is too {}",
                    suite.value,
                    if found < wanted { "short" } else { "long" }
                ),
            )
            .found(format!("{found} bytes"))
            .expected(format!("{wanted} bytes: {}", layout(suite.value)))
            .help(format!("make one with `openssl rand -hex {wanted}`, the same at both ends"))
            .emit();
        return None;
    }
    Some(ManualSa { line: tab.line(), spi, suite: suite.value, key: key.value })
}

/// Counter modes with a key that outlives the gateway use their nonces again after a restart.
fn warn_of_manual_aead(tab: &Tab<'_, '_>, outbound: Option<&ManualSa>) {
    let Some(sa) = outbound.filter(|sa| sa.suite.salt_len() > 0) else { return };
    tab.doc
        .warning("manual-aead", &tab.span_of("out"), format!("{} is keyed by hand", sa.suite))
        .found("a key that stays the same when the gateway restarts")
        .expected("AES-CBC with HMAC; AES-GCM, AES-GMAC and ChaCha20-Poly1305 only with IKE")
        .help(
            "write \"aes256-sha256\" with keys of 64 bytes at both ends: sequence numbers begin anew \
             with each start, and a nonce that is used twice gives packets away (RFC 4106 §2, \
             RFC 8221 §3)",
        )
        .emit();
}

/// What the bytes of a key are, in order.
fn layout(suite: esp::Suite) -> String {
    let parts = [
        (suite.encryption_key_len(), "cipher's key"),
        (suite.salt_len(), "salt"),
        (suite.integrity_key_len(), "integrity key"),
    ];
    let parts = parts.into_iter().filter(|(bytes, _)| *bytes > 0);
    parts.map(|(bytes, what)| format!("{bytes} of the {what}")).collect::<Vec<_>>().join(", ")
}

fn selector(tab: &Tab<'_, '_>) -> Option<Selector> {
    let net = |key: &str| tab.required(key).and_then(|text| tab.read(key, &text, values::prefix));
    let ports = |key: &str| match tab.get(key) {
        Some(_) => port_range(tab, key).map_or(ANY_PORT, |at| at.value),
        None => ANY_PORT,
    };
    let (local, remote) = (net("local")?, net("remote")?);
    if local.value.addr().is_ipv4() != remote.value.addr().is_ipv4() {
        tab.doc
            .error("mixed-versions", &tab.span, "the sides are of different IP versions")
            .found(tab.doc.snippet(&tab.span))
            .expected("two prefixes of one IP version")
            .help("write a selector for each version")
            .emit();
        return None;
    }
    Some(Selector {
        local: local.value,
        remote: remote.value,
        proto: tab.int("protocol").map(|at| at.value as u8),
        local_ports: ports("local-ports"),
        remote_ports: ports("remote-ports"),
    })
}

fn udp_encapsulation(tab: &Tab<'_, '_>) -> Option<(u16, u16)> {
    if tab.flag("udp-encapsulation") {
        let port = |key: &str| tab.int_or_default(key) as u16;
        return Some((port("local-port"), port("remote-port")));
    }
    for key in ["local-port", "remote-port", "nat-keepalive"] {
        if tab.get(key).is_some() {
            unfitting(tab, key, "`udp-encapsulation = false`");
        }
    }
    None
}

fn fragmentation(tab: &Tab<'_, '_>, mode: esp::Mode, v4: bool) -> Fragmentation {
    if tab.word("fragmentation") != "after" {
        return Fragmentation::Before;
    }
    if mode == esp::Mode::Tunnel && v4 && tab.word("df") == "set" {
        unfitting(tab, "fragmentation", "`df = \"set\"`: nothing may be cut after it was sealed");
    }
    Fragmentation::After
}

fn nat_keepalive(tab: &Tab<'_, '_>) -> Option<Duration> {
    let seconds = tab.int_or_default("nat-keepalive");
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

pub(super) fn df(tab: &Tab<'_, '_>) -> esp::DfRule {
    match tab.word("df") {
        "set" => esp::DfRule::Set,
        "clear" => esp::DfRule::Clear,
        _ => esp::DfRule::Copy,
    }
}

pub(super) fn dscp(tab: &Tab<'_, '_>) -> esp::DscpRule {
    let Some(val) = tab.get("dscp") else { return esp::DscpRule::Copy };
    match val.value {
        DeValue::String(text) if text == "copy" => esp::DscpRule::Copy,
        DeValue::Integer(number) => match number.as_str().parse::<u8>() {
            Ok(dscp) if dscp < 64 => esp::DscpRule::Set(dscp),
            _ => {
                tab.doc
                    .error("out-of-range", &val.span, "`dscp` is out of range")
                    .found(tab.doc.snippet(&val.span))
                    .expected("0 to 63, or \"copy\"")
                    .help("write `dscp = \"copy\"` to keep the inner packet's")
                    .emit();
                esp::DscpRule::Copy
            }
        },
        _ => {
            tab.mistyped(&val);
            esp::DscpRule::Copy
        }
    }
}

pub(super) fn lifetime(tab: &Tab<'_, '_>, key: &str) -> esp::Lifetime {
    let Some(inner) = tab.table(key, &keys::LIFETIME) else { return esp::Lifetime::default() };
    let int = |key: &str| inner.int(key).map(|at| at.value);
    esp::Lifetime { packets: int("packets"), bytes: int("bytes"), seconds: int("seconds") }
}

pub(super) fn refuse_null(tab: &Tab<'_, '_>, key: &str) {
    tab.doc
        .error("null-cipher", &tab.span_of(key), "the NULL cipher encrypts nothing")
        .found("a suite with the NULL cipher")
        .expected("a cipher")
        .help("write \"aes256gcm16\"; for tests only, add `allow-null = true`")
        .emit();
}

fn duplicate_spis(tabs: &[Tab<'_, '_>], list: &[Tunnel]) {
    for (later, (tab, tunnel)) in tabs.iter().zip(list).enumerate() {
        let inbound = |tunnel: &Tunnel| Some(tunnel.ipsec()?.manual()?.inbound.spi);
        let Some(spi) = inbound(tunnel) else { continue };
        let twin = list.iter().take(later).position(|other| {
            other.vr == tunnel.vr && other.local == tunnel.local && inbound(other) == Some(spi)
        });
        if let Some(twin) = twin.and_then(|twin| tabs.get(twin)) {
            let span = tab.span_of("in");
            tab.doc
                .error("duplicate-spi", &span, "two incoming SAs have the same SPI and address")
                .found(format!("{spi:#x} at {}", tunnel.local))
                .expected("an SPI of its own")
                .help("change the SPI here and at the peer")
                .related(&twin.span_of("in"), "the first is here")
                .emit();
        }
    }
}

/// SAs whose nonce is a number that they count up must not count with the same key, be it that one of
/// them is the far end's (RFC 4106 §3.1).
fn duplicate_keys(tabs: &[Tab<'_, '_>], list: &[Tunnel]) {
    let mut seen: BTreeMap<esp::Fingerprint, (usize, &str)> = BTreeMap::new();
    for (position, (tab, tunnel)) in tabs.iter().zip(list).enumerate() {
        let Some(manual) = tunnel.ipsec().and_then(|ipsec| ipsec.manual()) else { continue };
        for (way, sa) in [("out", &manual.outbound), ("in", &manual.inbound)] {
            if sa.suite.salt_len() == 0 {
                continue;
            }
            // compared here and forgotten, so nobody could use it even without a secret salt
            let print = sa.key.fingerprint(&[0; 16]);
            let Some((first, theirs)) = seen.get(&print) else {
                seen.insert(print, (position, way));
                continue;
            };
            let Some(first) = tabs.get(*first) else { continue };
            tab.doc
                .error("duplicate-key", &tab.span_of(way), "two SAs have the same key")
                .found(format!("the same key for two SAs of {}", sa.suite))
                .expected("a key of its own for each direction of each tunnel")
                .help(format!(
                    "make one with `openssl rand -hex {}`, the same at the peer: both SAs use the same \
                     nonces, which gives packets away and lets others forge them",
                    sa.suite.key_len()
                ))
                .related(&first.span_of(theirs), "the first is here")
                .emit();
        }
    }
}

/// Selectors that bring packets into different tunnels must not compete for one.
fn overlapping_selectors(tabs: &[Tab<'_, '_>], list: &[Tunnel], interfaces: &[Interface]) {
    let router = |tunnel: &Tunnel| interfaces.get(usize::from(tunnel.interface.0)).map(|i| i.vr);
    let mut seen: Vec<(usize, &Tunnel, &Selector)> = Vec::new();
    for (position, (tab, tunnel)) in tabs.iter().zip(list).enumerate() {
        let Some(ipsec) = tunnel.ipsec() else { continue };
        if ipsec.steering != Steering::Selectors {
            continue;
        }
        for selector in &ipsec.selectors {
            let clash = seen.iter().find(|(other, theirs, selector_of)| {
                *other != position
                    && router(theirs) == router(tunnel)
                    && selector.overlaps(selector_of)
            });
            if let Some((other, theirs, clashing)) = clash {
                let span: Span = tab.span_of("selectors");
                let draft = tab
                    .doc
                    .error("overlapping-selectors", &span, "two tunnels want the same packets")
                    .found(selector.to_string())
                    .expected(format!("nothing of {clashing}, which `{}` has", theirs.name))
                    .help("narrow one of them, or use `steering = \"routes\"`");
                match tabs.get(*other) {
                    Some(tab) => draft.related(&tab.span_of("selectors"), "the other is here"),
                    None => draft,
                }
                .emit();
            }
            seen.push((position, tunnel, selector));
        }
    }
}
