//! Two gateways that negotiate: PSK, traffic on both tiers, rekeying under traffic from either side,
//! a peer that falls silent or starts anew, what does not fit, and what waits meanwhile.

use core::time::Duration;

use api::{IkePeerView, Request, Response, SaView, TunnelExplainedView, TunnelView};
use lockgate_testkit::{
    apps::{DatagramClient, Ping, StreamClient, Work},
    sim::{Link, NodeId},
    sites::{self, Sites},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A site's end: the peer, a tunnel with selectors, and what else is said of either.
pub(crate) fn end(site: u8, peer: &str, tunnel: &str) -> String {
    let other = 3 - site;
    let base = |key: &str, line: String| match peer.contains(key) {
        true => String::new(),
        false => line,
    };
    let remote = base("remote = ", format!("remote = \"203.0.113.{}\"\n", other + 1));
    let certificates = peer.contains("certificate = ") && peer.contains("ca = ");
    let psk = if certificates {
        String::new()
    } else {
        base("psk = ", "psk = \"a secret of both sites\"\n".to_owned())
    };
    let selectors = match tunnel.contains("selectors = ") {
        true => String::new(),
        false => format!(
            "selectors = [{{ local = \"10.{site}.0.0/24\", remote = \"10.{other}.0.0/24\" }}]\n"
        ),
    };
    format!(
        r#"
[[phase1]]
name = "site-{other}"
local = "203.0.113.{}"
{remote}{psk}local-id = "site-{site}.example"
remote-id = "site-{other}.example"
{peer}
[[ipsec]]
name = "sites"
phase1 = "site-{other}"
zone = "vpn"
{selectors}{tunnel}
"#,
        site + 1
    )
}

pub(crate) fn both(name: &str, peer: &str, tunnel: &str) -> Sites {
    Sites::new(name, &end(1, peer, tunnel), &end(2, peer, tunnel))
}

pub(crate) fn tunnel(gateway: NodeId, sites: &mut Sites) -> TunnelView {
    match sites.net.answered(gateway, Request::ShowTunnels { limit: None, cursor: None }) {
        Response::Tunnels(view) => view.tunnels.into_iter().next().expect("a tunnel"),
        other => panic!("not tunnels: {other:?}"),
    }
}

pub(crate) fn peer(gateway: NodeId, sites: &mut Sites) -> IkePeerView {
    match sites.net.answered(gateway, Request::ShowIke { peer: None, messages: true }) {
        Response::Ike(view) => view.peers.into_iter().next().expect("a peer"),
        other => panic!("not IKE: {other:?}"),
    }
}

pub(crate) fn sas(gateway: NodeId, sites: &mut Sites) -> Vec<SaView> {
    match sites.net.answered(gateway, Request::ShowSas { pick: None, limit: None, cursor: None }) {
        Response::Sas(view) => view.sas,
        other => panic!("not SAs: {other:?}"),
    }
}

pub(crate) fn explained(gateway: NodeId, sites: &mut Sites) -> TunnelExplainedView {
    let request = Request::ExplainTunnel { name: "sites".into() };
    match sites.net.answered(gateway, request) {
        Response::TunnelExplained(view) => *view,
        other => panic!("not explained: {other:?}"),
    }
}

/// Runs until both ends say that the tunnel is up.
pub(crate) fn wait_until_up(sites: &mut Sites, limit: Duration) {
    let (paris, oslo) = (sites.paris, sites.oslo);
    let mut left = limit;
    while tunnel(paris, sites).state != "up" || tunnel(oslo, sites).state != "up" {
        assert!(!left.is_zero(), "{:?}\n{:?}", peer(paris, sites), peer(oslo, sites));
        let step = left.min(Duration::from_millis(20));
        sites.net.run_for(step);
        left -= step;
    }
}

/// A ping, datagrams and a stream from alice to bob; all must arrive whole.
pub(crate) fn exercise(sites: &mut Sites) {
    let bob = Sites::bob(false);
    let every = Duration::from_millis(10);
    let ping = sites.net.start(sites.alice, Ping::new(bob, 7, 5, every));
    let datagrams = DatagramClient::new((bob, sites::DATAGRAMS), 40_000, 40, every);
    let datagrams = sites.net.start(sites.alice, datagrams);
    let stream = StreamClient::new((bob, sites::STREAMS), 50_000, Work::Echo(200_000));
    let stream = sites.net.start(sites.alice, stream);
    let apps = [ping, datagrams, stream];
    sites.net.run_until(MINUTE, |net| apps.iter().all(|app| net.report(*app).done));
    for app in apps {
        let report = sites.net.report(app);
        assert!(report.succeeded(), "{report:?}\n{}", sites.snapshot(sites.paris));
    }
}

#[test]
fn two_gateways_agree_and_both_tiers_carry() {
    let mut sites = both("ike-psk", "", "");
    wait_until_up(&mut sites, 5 * SECOND);
    exercise(&mut sites);
    for gateway in [sites.paris, sites.oslo] {
        let peer = peer(gateway, &mut sites);
        assert_eq!((peer.state.as_ref(), peer.sas.len()), ("up", 1), "{peer:?}");
        let sa = &peer.sas[0];
        assert!(sa.remote_id.ends_with(".example") && sa.algorithms.contains("x25519"), "{sa:?}");
        assert_eq!((sa.nat.as_ref(), sa.children.len()), ("none", 1), "{sa:?}");
        assert!(peer.messages.iter().any(|m| m.message.contains("IKE_AUTH")), "{peer:?}");
        let shown = format!("{peer:?}");
        assert!(!shown.contains("secret of both"), "the key shows");
        let tunnel = tunnel(gateway, &mut sites);
        assert_eq!((tunnel.state.as_ref(), tunnel.offload.as_ref()), ("up", "full"), "{tunnel:?}");
        for sa in sas(gateway, &mut sites) {
            assert!(sa.fast.packets > 0 && sa.errors.is_empty(), "{sa:?}");
        }
        assert_eq!(explained(gateway, &mut sites).verdict, "it carries packets");
    }
}

/// Bulk traffic both ways while SAs are rekeyed again and again: nothing is lost, and the connection
/// is one.
fn rekey_under_traffic(name: &str, paris: &str, oslo: &str) {
    let mut sites = Sites::new(name, &end(1, "", paris), &end(2, "", oslo));
    wait_until_up(&mut sites, 5 * SECOND);
    let bob = Sites::bob(false);
    let every = Duration::from_millis(20);
    let datagrams = DatagramClient::new((bob, sites::DATAGRAMS), 40_000, 3_000, every);
    let datagrams = sites.net.start(sites.alice, datagrams);
    let ping = sites.net.start(sites.alice, Ping::new(bob, 7, 2_400, Duration::from_millis(25)));
    sites.net.run_for(SECOND);
    let before = sas(sites.paris, &mut sites);
    let apps = [datagrams, ping];
    sites.net.run_until(2 * MINUTE, |net| apps.iter().all(|app| net.report(*app).done));
    for app in apps {
        let report = sites.net.report(app);
        assert!(report.succeeded(), "{report:?}");
    }
    for gateway in [sites.paris, sites.oslo] {
        let after = sas(gateway, &mut sites);
        assert!(after.iter().all(|sa| before.iter().all(|old| old.spi != sa.spi)), "no rekeying");
        assert!(after.iter().all(|sa| sa.errors.is_empty()), "{after:?}");
        let snapshot = sites.snapshot(gateway);
        assert_eq!(snapshot.sum("drop."), 0, "{snapshot}");
        let sessions = sites.net.sessions(gateway, "proto udp and port 53");
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        let tunnel = tunnel(gateway, &mut sites);
        // 3,000 datagrams and 2,400 pings each way, over all SAs there were
        assert_eq!((tunnel.sent.packets, tunnel.received.packets), (5_400, 5_400), "{tunnel:?}");
    }
}

#[test]
fn rekeying_by_time_from_the_side_that_began() {
    let short = "hard-lifetime = { seconds = 12 }";
    rekey_under_traffic("ike-rekey-began", short, "");
}

#[test]
fn rekeying_by_time_from_the_side_that_answered() {
    let short = "hard-lifetime = { seconds = 12 }";
    rekey_under_traffic("ike-rekey-answered", "", short);
}

#[test]
fn rekeying_by_time_from_both_sides_at_once() {
    let short = "hard-lifetime = { seconds = 12 }";
    rekey_under_traffic("ike-rekey-both", short, short);
}

#[test]
fn rekeying_by_packets_counts_both_tiers() {
    let short = "soft-lifetime = { packets = 500 }\nhard-lifetime = { packets = 2000 }";
    rekey_under_traffic("ike-rekey-packets", short, short);
}

#[test]
fn the_ike_sa_itself_is_replaced_and_its_children_stay() {
    let mut sites = both("ike-rekey-ike", "rekey = \"20s\"", "");
    wait_until_up(&mut sites, 5 * SECOND);
    let (ike, child) = (peer(sites.paris, &mut sites), sas(sites.paris, &mut sites));
    let bob = Sites::bob(false);
    let ping = sites.net.start(sites.alice, Ping::new(bob, 7, 400, Duration::from_millis(100)));
    sites.net.run_for(45 * SECOND);
    assert!(sites.net.report(ping).succeeded(), "{:?}", sites.net.report(ping));
    let (after, same) = (peer(sites.paris, &mut sites), sas(sites.paris, &mut sites));
    assert_ne!(after.sas[0].id, ike.sas[0].id);
    assert_eq!(after.sas[0].children.len(), 1, "{after:?}");
    assert_eq!(same[0].spi, child[0].spi);
}

#[test]
fn a_silent_peer_is_noticed_and_comes_back() {
    let mut sites = both("ike-dpd", "dpd = \"5s\"", "");
    wait_until_up(&mut sites, 5 * SECOND);
    exercise(&mut sites);
    sites.net.set_link(sites.oslo, 1, false);
    sites.net.link_mut(sites.wan).loss = 1000;
    // 5 s of silence, then 2 and 4 without an answer and up to an eighth more
    sites.net.run_for(13 * SECOND);
    let silent = tunnel(sites.paris, &mut sites);
    assert_eq!(silent.state, "no-answer", "{silent:?}");
    assert_eq!(silent.failure.as_deref(), Some("no answer to INFORMATIONAL after 3 tries"));
    assert_eq!(explained(sites.paris, &mut sites).tunnel.state, "no-answer");
    assert_eq!(sas(sites.paris, &mut sites).len(), 2, "it may come back");
    sites.net.run_for(3 * MINUTE);
    let down = tunnel(sites.paris, &mut sites);
    assert_ne!(down.state, "up", "{down:?}");
    let why = explained(sites.paris, &mut sites);
    assert!(why.verdict.contains("no answer to"), "{why:?}");
    assert!(why.remedy.contains("UDP 500"), "{why:?}");
    sites.net.link_mut(sites.wan).loss = 0;
    sites.net.set_link(sites.oslo, 1, true);
    wait_until_up(&mut sites, 6 * MINUTE);
    exercise(&mut sites);
}

#[test]
fn a_peer_that_is_away_for_a_moment_loses_nothing() {
    let mut sites = both("ike-away", "dpd = \"5s\"", "");
    wait_until_up(&mut sites, 5 * SECOND);
    let before = sas(sites.paris, &mut sites);
    sites.net.link_mut(sites.wan).loss = 1000;
    sites.net.run_for(13 * SECOND);
    assert_eq!(tunnel(sites.paris, &mut sites).state, "no-answer");
    sites.net.link_mut(sites.wan).loss = 0;
    wait_until_up(&mut sites, 20 * SECOND);
    assert_eq!(sas(sites.paris, &mut sites)[0].spi, before[0].spi);
    exercise(&mut sites);
    let request = Request::Events { filter: None, since: None, limit: None };
    let Response::Events(events) = sites.net.answered(sites.paris, request) else { panic!() };
    let told = events.events.iter().map(|event| event.event.as_ref());
    // both ends begin at the same time
    let told: Vec<_> = told.filter(|e| e.starts_with("ike-") && *e != "ike-up").collect();
    assert_eq!(told, ["ike-silent", "ike-answers"], "{:?}", events.events);
}

#[test]
fn a_peer_that_never_answers_is_told_early_and_given_up_when_it_was_tried_enough() {
    let mut sites = both("ike-nobody", "tries = 4", "");
    sites.net.link_mut(sites.wan).loss = 1000;
    sites.net.run_for(5 * SECOND);
    assert_eq!(tunnel(sites.paris, &mut sites).state, "negotiating");
    sites.net.run_for(3 * SECOND);
    let why = explained(sites.paris, &mut sites);
    assert_eq!(why.tunnel.state, "no-answer");
    assert!(why.verdict.contains("is asked again: no answer to IKE_SA_INIT"), "{why:?}");
    assert!(why.remedy.contains("UDP 500"), "{why:?}");
    assert_eq!(peer(sites.paris, &mut sites).state, "no-answer");
    // 2, 4, 8 and 16 seconds, each up to an eighth more
    sites.net.run_for(26 * SECOND);
    let down = tunnel(sites.paris, &mut sites);
    assert_eq!(down.state, "down", "{down:?}");
    assert_eq!(down.failure.as_deref(), Some("no answer to IKE_SA_INIT after 4 tries"));
}

#[test]
fn keys_are_replaced_when_somebody_says_so() {
    let mut sites = both("ike-rekey-now", "", "");
    wait_until_up(&mut sites, 5 * SECOND);
    let (ike, child) = (peer(sites.paris, &mut sites), sas(sites.paris, &mut sites));
    let ask = |sites: &mut Sites, request| {
        let Response::Rekeying(view) = sites.net.answered(sites.paris, request) else { panic!() };
        (view.what.to_string(), view.count)
    };
    let request = Request::RekeyTunnel { tunnel: "sites".into() };
    assert_eq!(ask(&mut sites, request), ("tunnel".to_owned(), 1));
    sites.net.run_for(SECOND);
    let after = sas(sites.paris, &mut sites);
    assert_ne!(after.last().expect("SAs").spi, child.last().expect("SAs").spi);
    assert_eq!(peer(sites.paris, &mut sites).sas[0].id, ike.sas[0].id);
    let request = Request::RekeyIke { peer: "site-2".into() };
    assert_eq!(ask(&mut sites, request), ("ike".to_owned(), 1));
    sites.net.run_for(SECOND);
    let after = peer(sites.paris, &mut sites);
    assert_ne!(after.sas[0].id, ike.sas[0].id);
    assert_eq!(after.sas.len(), 1, "{after:?}");
    exercise(&mut sites);
    for request in [
        Request::RekeyIke { peer: "nobody".into() },
        Request::RekeyTunnel { tunnel: "nowhere".into() },
    ] {
        assert!(sites.net.ask(sites.paris, request).is_err());
    }
}

#[test]
fn packets_start_a_tunnel_and_wait_for_it() {
    let mut sites = Sites::new(
        "ike-traffic",
        &end(1, "start = \"traffic\"", ""),
        &end(2, "start = \"wait\"", ""),
    );
    sites.net.run_for(SECOND);
    assert_eq!(tunnel(sites.paris, &mut sites).state, "idle");
    assert!(explained(sites.oslo, &mut sites).verdict.contains("peer to begin"));
    exercise(&mut sites);
    let snapshot = sites.snapshot(sites.paris);
    assert_eq!(snapshot.sum("drop."), 0, "the first packets waited\n{snapshot}");
    assert_eq!(tunnel(sites.paris, &mut sites).state, "up");
}

#[test]
fn who_only_answers_cannot_send_before() {
    let mut sites = both("ike-wait", "start = \"wait\"", "");
    let ping = Ping::new(Sites::bob(false), 7, 3, Duration::from_millis(10));
    sites.net.start(sites.alice, ping);
    sites.net.run_for(SECOND);
    assert_eq!(sites.snapshot(sites.paris).get("drop.need-ike"), 3);
}

#[test]
fn algorithms_that_do_not_meet_are_told_side_by_side() {
    let mut sites = Sites::new(
        "ike-no-proposal",
        &end(1, "proposals = \"aes256gcm16-prfsha384-x25519\"", ""),
        &end(2, "proposals = \"aes256gcm16-prfsha384-ecp256\"\nstart = \"wait\"", ""),
    );
    sites.net.run_for(3 * SECOND);
    let why = explained(sites.oslo, &mut sites);
    let failure = why.peer.and_then(|peer| peer.failure).expect("a failure");
    assert!(failure.ours.iter().any(|offer| offer.contains("ecp256")), "{failure:?}");
    assert!(failure.theirs.iter().any(|offer| offer.contains("x25519")), "{failure:?}");
    let mismatch = failure.mismatch.expect("the first difference");
    assert!(mismatch.contains("ecp256") && mismatch.contains("x25519"), "{mismatch}");
    let why = explained(sites.paris, &mut sites);
    assert!(why.verdict.contains("the peer accepts none of ours"), "{why:?}");
    assert!(!why.remedy.is_empty());
}

#[test]
fn another_key_is_told_to_both_and_shown_to_none() {
    let mut sites = Sites::new(
        "ike-wrong-psk",
        &end(1, "psk = \"one secret of theirs\"", ""),
        &end(2, "psk = \"another one of ours\"\nstart = \"wait\"", ""),
    );
    sites.net.run_for(3 * SECOND);
    let ours = explained(sites.oslo, &mut sites);
    assert!(ours.remedy.contains("pre-shared keys"), "{ours:?}");
    let theirs = explained(sites.paris, &mut sites);
    assert!(theirs.verdict.contains("did not accept our identity"), "{theirs:?}");
    let shown = format!("{ours:?}{theirs:?}");
    assert!(!shown.contains("one secret") && !shown.contains("another one"), "{shown}");
}

#[test]
fn selectors_are_narrowed_to_what_both_have() {
    let wide = "selectors = [{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }]";
    let mut sites = Sites::new("ike-narrow", &end(1, "", wide), &end(2, "start = \"wait\"", ""));
    wait_until_up(&mut sites, 5 * SECOND);
    exercise(&mut sites);
    let child = peer(sites.paris, &mut sites).sas[0].children[0].clone();
    assert!(
        child.local[0].contains("10.1.0.") && !child.local[0].contains("10.1.255"),
        "{child:?}"
    );
    // what the peer has cut off does not pass, and does not start anything either
    let outside = "10.2.7.7".parse().expect("an address");
    sites.net.start(sites.alice, Ping::new(outside, 9, 2, Duration::from_millis(10)));
    sites.net.run_for(SECOND);
    assert_eq!(sites.snapshot(sites.paris).get("drop.esp-selector-mismatch"), 2);
    assert_eq!(tunnel(sites.paris, &mut sites).state, "up");
}

#[test]
fn several_pairs_of_sas_each_carry_their_own() {
    let children = |site: u8| {
        let other = 3 - site;
        let child = |name: &str, protocol: u8| {
            format!(
                "[[ipsec.phase2]]\nname = \"{name}\"\nselectors = [{{ local = \"10.{site}.0.0/24\", remote = \"10.{other}.0.0/24\", protocol = {protocol} }}]\n"
            )
        };
        [child("ping", 1), child("datagrams", 17), child("streams", 6)].concat()
    };
    let mut sites = Sites::new(
        "ike-children",
        &end(1, "", &children(1)),
        &end(2, "start = \"wait\"", &children(2)),
    );
    wait_until_up(&mut sites, 10 * SECOND);
    exercise(&mut sites);
    for gateway in [sites.paris, sites.oslo] {
        let sas = sas(gateway, &mut sites);
        assert_eq!(sas.len(), 6, "{sas:?}");
        assert!(sas.iter().all(|sa| sa.sequence > 0 && sa.errors.is_empty()), "{sas:?}");
    }
}

#[test]
fn a_reload_keeps_what_stays_the_same_and_renegotiates_what_changes() {
    let mut sites = both("ike-reload", "", "");
    wait_until_up(&mut sites, 5 * SECOND);
    let before = sas(sites.paris, &mut sites);
    let more = |peer: &str| sites::config(1, 2, &end(1, peer, ""));
    let unrelated = format!("{}\n[timeouts]\nicmp = \"90s\"\n", more(""));
    sites.net.apply(sites.paris, &unrelated).expect("in order");
    sites.net.run_for(SECOND);
    assert_eq!(sas(sites.paris, &mut sites)[0].spi, before[0].spi);
    let times = more("dpd = \"10s\"\ndpd-action = \"clear\"\nrekey = \"2h\"");
    sites.net.apply(sites.paris, &times).expect("in order");
    sites.net.run_for(SECOND);
    assert_eq!(sas(sites.paris, &mut sites)[0].spi, before[0].spi, "our times are our own");
    let other = "proposals = \"aes128gcm16-prfsha256-x25519\"";
    sites.net.apply(sites.paris, &more(other)).expect("in order");
    sites.net.run_for(10 * SECOND);
    wait_until_up(&mut sites, 10 * SECOND);
    let after = peer(sites.paris, &mut sites);
    assert!(after.sas[0].algorithms.contains("aes128gcm16"), "{after:?}");
    exercise(&mut sites);
    let without = sites::config(1, 2, "").replace("\"vpn\"", "\"outside\"");
    sites.net.apply(sites.paris, &without).expect("in order");
    sites.net.run_for(2 * SECOND);
    assert!(sas(sites.paris, &mut sites).is_empty());
    assert!(sas(sites.oslo, &mut sites).is_empty(), "the peer was told");
}

#[test]
fn a_gateway_that_ends_tells_its_peer() {
    let mut sites = both("ike-shut-down", "", "");
    wait_until_up(&mut sites, 5 * SECOND);
    let now = sites.net.now();
    sites.net.gateway_mut(sites.oslo).node.gateway().shut_down(now);
    sites.net.run_for(SECOND);
    assert!(sas(sites.paris, &mut sites).is_empty());
}

#[test]
fn lost_and_doubled_messages_do_not_matter() {
    let mut sites = both("ike-loss", "", "");
    *sites.net.link_mut(sites.wan) =
        Link { loss: 200, duplicate: 100, reorder: 100, ..Link::after(Duration::from_millis(5)) };
    wait_until_up(&mut sites, 2 * MINUTE);
    *sites.net.link_mut(sites.wan) = Link::after(Duration::from_millis(1));
    sites.net.run_for(SECOND);
    exercise(&mut sites);
}
