//! `[[phase1]]` and `[[ipsec.phase2]]`: IKEv2 peers, and the pairs of SAs negotiated with them.

use core::{str::FromStr, time::Duration};

use ike::{
    RequestAddresses,
    algorithm::{Encryption, Integrity, KeyExchangeMethod, Prf},
    auth::{Identity, IdentityPattern, IdentitySyntax},
    proposal::OfferError,
};

use super::{Scope, auth, nat::meet, network, network::unfitting, tunnel};
use crate::{
    keys,
    model::{
        AddressPoolId, ChildSpec, Config, DpdAction, Ipsec, Negotiated, Peer, PeerId, Proposal,
        Selector, Start, Tunnel,
    },
    names::Names,
    read::{At, Tab},
    suggest::{listed, nearest},
    values::{self, Bad},
};

/// What is offered and taken for IKE itself without a word.
const IKE_DEFAULTS: &[&str] = &[
    "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-x25519-ecp384-ecp256",
    "aes256-aes128-sha384-sha256-prfsha384-prfsha256-x25519-ecp384-ecp256-modp2048",
];

/// What is offered and taken for SAs without a word.
const ESP_DEFAULTS: &[&str] = &[
    "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp384-ecp256",
    "aes256gcm16-aes128gcm16-chacha20poly1305",
    "aes256-aes128-sha384-sha256",
];

/// Lifetime of negotiated SAs without a word, in seconds.
const HARD_SECONDS: u64 = 3600;

/// Algorithms that must be named to be taken, and why (RFC 8247).
const WEAK: &[&str] = &["sha1", "prfsha1"];

/// Algorithms that are not there on purpose.
const BROKEN: &[(&str, &str)] = &[
    ("3des", "blocks of 64 bits repeat after some gigabytes (RFC 8221 §5)"),
    ("des", "its key is found in hours (RFC 8247 §2.1)"),
    ("blowfish", "it is obsolete (RFC 8221 §5)"),
    ("md5", "it is broken (RFC 8247 §2.3)"),
    ("prfmd5", "it is broken (RFC 8247 §2.2)"),
    ("modp768", "it is too small (RFC 8247 §2.4)"),
    ("modp1024", "it is too small (RFC 8247 §2.4)"),
    ("modp1536", "it is too small (RFC 8247 §2.4)"),
];

/// The peers, and what tunnels need to know of how they were written.
pub(super) struct Peers<'t, 'd, 'i> {
    tabs: &'t [Tab<'d, 'i>],
    /// In the order of the tables; nothing where one is faulty.
    list: Vec<Option<Peer>>,
    /// Weak algorithms that each allows.
    weak: Vec<Vec<&'static str>>,
}

/// A peer that a tunnel names.
#[derive(Clone, Copy)]
pub(super) struct Found<'p> {
    id: PeerId,
    pub(super) peer: &'p Peer,
    weak: &'p [&'static str],
}

impl<'t, 'd, 'i> Peers<'t, 'd, 'i> {
    pub(super) fn read(scope: &Scope<'_>, tabs: &'t [Tab<'d, 'i>], names: &[String]) -> Self {
        let weak: Vec<_> = tabs.iter().map(allowed).collect();
        let of = tabs.iter().zip(names).zip(&weak);
        let list: Vec<_> = of.map(|((tab, name), weak)| peer(scope, tab, name, weak)).collect();
        indistinct(tabs, &list);
        Self { tabs, list, weak }
    }

    /// The peers; the configuration is refused where one is missing.
    pub(super) fn into_list(self) -> Vec<Peer> {
        kept(self.list.into_iter().flatten().collect())
    }

    /// The peer that a tunnel names; reports when there is none.
    pub(super) fn find(
        &self,
        scope: &Scope<'_>,
        tab: &Tab<'_, '_>,
        at: &At<&str>,
    ) -> Option<Found<'_>> {
        for key in BY_HAND {
            if tab.get(key).is_some() {
                unfitting(tab, key, "`phase1`, which negotiates it");
            }
        }
        let index = scope.peers.find(tab.doc, at)?;
        let (peer, weak) = (self.list.get(index)?.as_ref()?, self.weak.get(index)?);
        Some(Found { id: PeerId(index as u16), peer, weak })
    }

    /// Whoever begins from the far end must mean one child only.
    pub(super) fn overlapping_children(&self, tabs: &[Tab<'_, '_>], list: &[Tunnel]) {
        let mut seen: Vec<(&Tab<'_, '_>, &str, PeerId, &ChildSpec)> = Vec::new();
        for (tab, tunnel) in tabs.iter().zip(list) {
            let negotiated = tunnel.ipsec().and_then(Ipsec::negotiated);
            let Some(negotiated) = negotiated else { continue };
            for child in &negotiated.children {
                let clash = seen.iter().find(|(_, _, peer, other)| {
                    *peer == negotiated.peer && overlap(&child.selectors, &other.selectors)
                });
                if let Some((other, theirs, _, _)) = clash {
                    let peer = self.tabs.get(usize::from(negotiated.peer.0));
                    let peer = peer.and_then(|tab| tab.text("name")).map_or("?", |at| at.value);
                    tab.doc
                        .error(
                            "indistinct-children",
                            &tab.span_of("selectors"),
                            format!(
                                "`{}` and `{theirs}` could both be meant by the peer",
                                child.name
                            ),
                        )
                        .found(format!("selectors that overlap, both with `{peer}`"))
                        .expected("selectors of its own for each pair of SAs with one peer")
                        .help("narrow one of them, or use one tunnel with `steering = \"routes\"`")
                        .related(&other.span_of("selectors"), "the other is here")
                        .emit();
                }
                seen.push((tab, &child.name, negotiated.peer, child));
            }
        }
    }
}

/// Keys of a tunnel that negotiation takes care of.
const BY_HAND: [&str; 8] = [
    "local",
    "remote",
    "virtual-router",
    "out",
    "in",
    "udp-encapsulation",
    "local-port",
    "remote-port",
];

/// Whether some packet is of both.
fn overlap(these: &[Selector], those: &[Selector]) -> bool {
    these.is_empty()
        || those.is_empty()
        || these.iter().any(|this| those.iter().any(|that| this.overlaps(that)))
}

/// Whoever begins from the far end is told apart by addresses and identity.
fn indistinct(tabs: &[Tab<'_, '_>], list: &[Option<Peer>]) {
    for (later, (tab, peer)) in tabs.iter().zip(list).enumerate() {
        let Some(peer) = peer else { continue };
        let elsewhere = list.iter().take(later).position(|other| {
            other.as_ref().is_some_and(|other| other.local == peer.local && other.vr != peer.vr)
        });
        if let Some(elsewhere) = elsewhere.and_then(|at| tabs.get(at)) {
            tab.doc
                .error("mixed-routers", &tab.span_of("local"), "one address, two virtual routers")
                .found(peer.local.to_string())
                .expected("an address that speaks IKE in one virtual router")
                .help("give one of the virtual routers another address for IKE")
                .related(&elsewhere.span_of("local"), "the other is here")
                .emit();
        }
        let twin = list.iter().take(later).position(|other| {
            other.as_ref().is_some_and(|other| {
                (other.vr, other.local, other.remote) == (peer.vr, peer.local, peer.remote)
                    && other.remote_id == peer.remote_id
            })
        });
        if let Some(twin) = twin.and_then(|twin| tabs.get(twin)) {
            tab.doc
                .error("indistinct-peers", &tab.span, "two peers cannot be told apart")
                .found("the same ends and the same `remote-id`")
                .expected("another `remote`, or another `remote-id`")
                .help("give both tunnels the same `phase1`, or each peer an identity of its own")
                .related(&twin.span, "the first is here")
                .emit();
        }
    }
}

fn peer(scope: &Scope<'_>, tab: &Tab<'_, '_>, name: &str, weak: &[&str]) -> Option<Peer> {
    refuse_version_1(tab);
    let local = tab.required("local").and_then(|text| tab.read("local", &text, values::ip));
    let remote = tab.required("remote").and_then(|text| match text.value {
        "any" => Some(At { value: None, span: text.span }),
        _ => tab
            .read("remote", &text, values::ip)
            .map(|at| At { value: Some(at.value), span: at.span }),
    });
    let proofs = auth::read(tab);
    let proposals = proposals(tab, weak, "");
    let local_id = tab.value("local-id", identity::<Identity>);
    let remote_id = tab.value("remote-id", identity::<IdentityPattern>);
    let (local, remote, proofs) = (local?, remote?, proofs?);
    if let Some(far) = remote.value
        && far.is_ipv4() != local.value.is_ipv4()
    {
        tunnel::mixed_versions(tab, &local, &remote.span);
    }
    let remote_id = match (remote_id, remote.value) {
        (Some(id), _) => id.value,
        (None, Some(ip)) => IdentityPattern::Is(ip.into()),
        (None, None) => {
            if tab.get("remote-id").is_none() {
                tab.doc
                    .error("missing-key", &tab.span, "a peer at any address needs a `remote-id`")
                    .found("`remote = \"any\"`")
                    .expected("who it must prove to be")
                    .help("add `remote-id = \"paris.example.com\"`; \"*\" takes everybody who has the key")
                    .emit();
            }
            IdentityPattern::Any
        }
    };
    let written = tab.text("start").is_some();
    let start = match tab.word("start") {
        _ if !written && remote.value.is_none() => Start::Wait,
        "traffic" => Start::Traffic,
        "wait" => Start::Wait,
        _ => Start::Load,
    };
    if remote.value.is_none() && start != Start::Wait {
        unfitting(tab, "start", "`remote = \"any\"`: nobody is there to begin with");
    }
    Some(Peer {
        name: name.to_owned(),
        line: tab.line(),
        local: local.value,
        remote: remote.value,
        vr: network::router_of(scope, tab).unwrap_or_default(),
        local_id: auth::local_id(tab, local_id, &proofs.0, local.value),
        remote_id,
        proposals: proposals.unwrap_or_else(|| defaults(IKE_DEFAULTS, "")),
        auth: proofs.0,
        remote_auth: proofs.1,
        rekey: tab.duration("rekey").value,
        dpd: tab.duration("dpd").value,
        dpd_action: match tab.word("dpd-action") {
            "clear" => DpdAction::Clear,
            _ => DpdAction::Restart,
        },
        tries: tab.int_or_default("tries") as u32,
        start,
        fragmentation: tab.flag("fragmentation"),
        ppk: auth::ppk(tab),
        request_addresses: request_addresses(tab, remote.value.is_none()),
        address_pool: address_pool(scope, tab),
        force_encapsulation: tab.flag("force-encapsulation"),
        nat_keepalive: Duration::from_secs(tab.int_or_default("nat-keepalive")),
    })
}

/// Versions of addresses that we ask for.
fn request_addresses(tab: &Tab<'_, '_>, only_answers: bool) -> RequestAddresses {
    let mut asks = RequestAddresses::default();
    for at in tab.list("request-address") {
        match tab.pick("request-address", &at, &["ipv4", "ipv6"]) {
            Some("ipv4") => asks.v4 = true,
            Some(_) => asks.v6 = true,
            None => {}
        }
    }
    if tab.get("request-address").is_some() {
        if only_answers {
            unfitting(tab, "request-address", "`remote = \"any\"`: who begins asks");
        }
        if tab.get("address-pool").is_some() {
            unfitting(tab, "request-address", "`address-pool`: one end gives, the other asks");
        }
    }
    asks
}

fn address_pool(scope: &Scope<'_>, tab: &Tab<'_, '_>) -> Option<AddressPoolId> {
    let at = tab.text("address-pool")?;
    scope.address_pools.find(tab.doc, &at).map(|id| AddressPoolId(id as u16))
}

/// Addresses by negotiation need a tunnel that can have them.
pub(super) fn addresses(tabs: &[Tab<'_, '_>], config: &Config) {
    let asks = |peer: &Peer| peer.request_addresses != RequestAddresses::default();
    let named =
        |id: PeerId| config.peer(id).filter(|peer| asks(peer) || peer.address_pool.is_some());
    let mut first: Vec<(PeerId, &Tab<'_, '_>)> = Vec::new();
    for (tab, tunnel) in tabs.iter().zip(&config.tunnels) {
        let Some(negotiated) = tunnel.negotiated() else { continue };
        let Some(peer) = named(negotiated.peer) else { continue };
        if negotiated.children.iter().any(|child| child.mode == esp::Mode::Transport) {
            unfitting(tab, "mode", "addresses that are given: they are inside of a tunnel");
            continue;
        }
        if asks(peer) {
            if let Some((_, other)) = first.iter().find(|(id, _)| *id == negotiated.peer) {
                tab.doc
                    .error(
                        "two-tunnels-one-address",
                        &tab.span,
                        "two tunnels would have the address",
                    )
                    .found(format!("`phase1 = \"{}\"` in both, with `request-address`", peer.name))
                    .expected("one tunnel, whose interface has the address")
                    .help(
                        "give one tunnel several [[ipsec.phase2]], or each a [[phase1]] of its own",
                    )
                    .related(&other.span, "the other is here")
                    .emit();
            }
            first.push((negotiated.peer, tab));
        }
        let Some(pool) = peer.address_pool.and_then(|id| config.address_pool(id)) else { continue };
        let mut selectors = negotiated.children.iter().flat_map(|child| &child.selectors);
        let reached = |selector: &Selector| {
            pool.ranges.iter().any(|range| meet(range, &values::net_range(&selector.remote)))
        };
        let all = negotiated.children.iter().any(|child| child.selectors.is_empty());
        if !all && !selectors.any(reached) {
            tab.doc
                .error("pool-outside-selectors", &tab.span_of("selectors"), "nobody could use an address")
                .found(format!("`remote` holds none of address pool `{}`", pool.name))
                .expected("selectors whose `remote` holds the pool")
                .help("write the prefix of the pool as `remote`; each peer is held to its own address")
                .emit();
        }
    }
}

fn refuse_version_1(tab: &Tab<'_, '_>) {
    if let Some(at) = tab.int("version").filter(|at| at.value == 1) {
        tab.doc
            .error("ikev1", &at.span, "IKEv1 is not spoken")
            .found("`version = 1`")
            .expected("`version = 2`")
            .help(
                "move the peer to IKEv2: IKEv1 is obsolete (RFC 9395), and its aggressive mode \
                 gives the pre-shared key away to offline guessing",
            )
            .emit();
    }
}

/// Who somebody is, or may be.
fn identity<T: FromStr<Err = IdentitySyntax>>(text: &str) -> Result<T, Bad> {
    text.parse::<T>().map_err(|fault| {
        Bad::new(
            fault.to_string(),
            "an address, a domain name, an e-mail address, a distinguished name, or `keyid:` and text",
            "write an identity such as \"gw.example.com\", the same as at the peer",
        )
    })
}

/// The weak algorithms that a peer's proposals may name.
fn allowed(tab: &Tab<'_, '_>) -> Vec<&'static str> {
    let named = tab.list("allow-weak");
    named.iter().filter_map(|at| tab.pick("allow-weak", at, WEAK)).collect()
}

/// What is written under `proposals`, each read after `more` is appended; nothing where the key is not
/// there.
fn proposals<T: FromStr<Err = OfferError>>(
    tab: &Tab<'_, '_>,
    weak: &[&str],
    more: &str,
) -> Option<Vec<Proposal<T>>> {
    tab.get("proposals")?;
    let list = tab.list("proposals");
    let read = |text: &str| proposal(text, weak, more);
    let found = list.iter().filter_map(|at| tab.read("proposals", at, read));
    Some(kept(found.map(|at| at.value).collect()))
}

fn proposal<T: FromStr<Err = OfferError>>(
    text: &str,
    weak: &[&str],
    more: &str,
) -> Result<Proposal<T>, Bad> {
    for name in text.split('-') {
        if let Some((_, why)) = BROKEN.iter().find(|(broken, _)| *broken == name) {
            return Err(Bad::new(
                format!("{name} is not there: {why}"),
                "algorithms of today",
                "write \"aes256gcm16-prfsha384-x25519\", for ESP \"aes256gcm16-x25519\"",
            ));
        }
        if WEAK.contains(&name) && !weak.contains(&name) {
            return Err(Bad::new(
                format!("{name} is weak (RFC 8247)"),
                "algorithms of today, or the weak ones allowed by name",
                format!("use sha256, or add `allow-weak = \"{name}\"` to the [[phase1]]"),
            ));
        }
    }
    let text = match text.split('-').any(|name| matches!(name, "esn" | "noesn")) {
        true => text.to_owned(),
        false => format!("{text}{more}"),
    };
    match text.parse() {
        Ok(offer) => Ok(Proposal { text, offer }),
        Err(fault) => {
            let help = match &fault {
                OfferError::Unknown { part, example, .. } => match nearest(part, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write a proposal such as \"{example}\""),
                },
                OfferError::Missing { example, .. } => {
                    format!("write a proposal such as \"{example}\"")
                }
                OfferError::Misplaced { part, .. } => format!("leave {part} out"),
            };
            let expected = match &fault {
                OfferError::Unknown { .. } => {
                    format!("algorithms joined by `-`: {}", listed(known()))
                }
                OfferError::Missing { .. } | OfferError::Misplaced { .. } => {
                    "encryption, integrity where encryption needs it, PRF (IKE) and key exchange"
                        .to_owned()
                }
            };
            Err(Bad::new(fault.to_string(), expected, help))
        }
    }
}

/// Names of algorithms.
fn known() -> impl Iterator<Item = &'static str> {
    (Encryption::ALL.iter().map(|a| a.name()))
        .chain(Integrity::ALL.iter().map(|a| a.name()))
        .chain(Prf::ALL.iter().map(|a| a.name()))
        .chain(KeyExchangeMethod::ALL.iter().map(|a| a.name()))
}

/// A list that does not change any more, without room for more: there may be thousands of tunnels.
fn kept<T>(mut list: Vec<T>) -> Vec<T> {
    list.shrink_to_fit();
    list
}

fn defaults<T: FromStr<Err = OfferError>>(texts: &[&str], more: &str) -> Vec<Proposal<T>> {
    let read = |text: &&str| proposal(text, &[], more).ok();
    let list: Option<Vec<_>> = texts.iter().map(read).collect();
    list.expect("invariant: the defaults are in order")
}

/// What a tunnel negotiates: its children, each with what the tunnel says where it says nothing.
/// `own` is the child of a tunnel that names none.
pub(super) fn negotiated(
    tab: &Tab<'_, '_>,
    found: Found<'_>,
    mut own: ChildSpec,
    allow_null: bool,
) -> Negotiated {
    let esn = |tab: &Tab<'_, '_>| if tab.flag("esn") { "-esn" } else { "" };
    let more = esn(tab);
    own.proposals =
        proposals(tab, found.weak, more).unwrap_or_else(|| defaults(ESP_DEFAULTS, more));
    (own.soft, own.hard) = lifetimes(tab, None);
    let tabs = tab.tables("phase2", &keys::PHASE2);
    let (_, names) = Names::collect(tab.doc, "phase2", &tabs);
    let mut children: Vec<_> = tabs
        .iter()
        .zip(names)
        .map(|(tab, name)| {
            let mut child = ChildSpec { name, line: tab.line(), ..own.clone() };
            if tab.get("selectors").is_some() {
                child.selectors = tunnel::selectors(tab);
            }
            let more = if tab.get("esn").is_some() { esn(tab) } else { more };
            if let Some(list) = proposals(tab, found.weak, more) {
                child.proposals = list;
            }
            if tab.get("mode").is_some() {
                child.mode = tunnel::mode(tab);
            }
            if tab.get("replay-window").is_some() {
                child.replay_window = tunnel::replay_window(tab);
            }
            (child.soft, child.hard) = lifetimes(tab, Some((own.soft, own.hard)));
            child
        })
        .collect();
    if children.is_empty() {
        children.push(own);
    }
    let null = |child: &ChildSpec| {
        child
            .proposals
            .iter()
            .any(|p| p.text.split('-').any(|name| name == Encryption::Null.name()))
    };
    if !allow_null && children.iter().any(null) {
        tunnel::refuse_null(tab, "proposals");
    }
    Negotiated { peer: found.id, children: kept(children) }
}

/// Soft and hard lifetime of a child: as written, as inherited, or an hour. A soft one that is not
/// written ends a tenth before the hard one.
fn lifetimes(
    tab: &Tab<'_, '_>,
    inherited: Option<(esp::Lifetime, esp::Lifetime)>,
) -> (esp::Lifetime, esp::Lifetime) {
    let hour = esp::Lifetime { seconds: Some(HARD_SECONDS), ..Default::default() };
    let written = |key: &str| tab.get(key).map(|_| tunnel::lifetime(tab, key));
    let (soft, hard) = (written("soft-lifetime"), written("hard-lifetime"));
    let nine_tenths = |of: Option<u64>| of.map(|bound| bound - bound / 10);
    let before = |hard: esp::Lifetime| esp::Lifetime {
        packets: nine_tenths(hard.packets),
        bytes: nine_tenths(hard.bytes),
        seconds: nine_tenths(hard.seconds),
    };
    let (soft, hard) = match (soft, hard, inherited) {
        (None, None, Some(both)) => both,
        (soft, hard, inherited) => {
            let hard = hard.or(inherited.map(|(_, hard)| hard)).unwrap_or(hour);
            (soft.unwrap_or_else(|| before(hard)), hard)
        }
    };
    for (unit, soft, hard) in [
        ("packets", soft.packets, hard.packets),
        ("bytes", soft.bytes, hard.bytes),
        ("seconds", soft.seconds, hard.seconds),
    ] {
        if let (Some(soft), Some(hard)) = (soft, hard)
            && soft >= hard
        {
            tab.doc
                .error(
                    "soft-beyond-hard",
                    &tab.span_of("soft-lifetime"),
                    "the SA would end before it is rekeyed",
                )
                .found(format!("{soft} {unit}"))
                .expected(format!("less than the hard lifetime of {hard} {unit}"))
                .help("leave `soft-lifetime` out: it is nine tenths of the hard one")
                .emit();
        }
    }
    (soft, hard)
}
