//! Remote access up to TLS: who may knock, what is answered, and whose the addresses of the pool are. What comes
//! of TLS itself is no replay, and is shown with openconnect in namespaces.

use core::time::Duration;
use std::{fs, path::PathBuf};

use api::{LookupKey, Request, Response};
use lockgate_testkit::{office::ip, rig::Rig, sim::ask::packet};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, date_time_ymd};
use wire::{Tuple, proto};

use crate::tcp::{ACK, FIN, PSH, RST, SYN};

const RULES: &str = r#"
[[address-pool]]
name = "clients"
addresses = "10.9.0.0/24"

[[policy]]
id = 1
from = "inside"
to = "remote"
action = "allow"

[[policy]]
id = 2
from = ["remote", "outside"]
to = "inside"
action = "allow"
"#;

/// A remote access at the outer address, with files of its own.
fn access(scenario: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(scenario);
    fs::create_dir_all(&folder).expect("a directory");
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::new(vec!["gw.test".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    let file = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("a file");
        folder.join(name).display().to_string()
    };
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    format!(
        "{RULES}[[remote-access]]\nname = \"office\"\naddress = \"203.0.113.2\"\nzone = \"remote\"\ncertificate = \"{}\"\nprivate-key = \"{}\"\nusers = \"{}\"\npools = \"clients\"\n",
        file("gw.pem", &certificate),
        file("gw.key", &key.serialize_pem()),
        file("users", "alice:staff:\n"),
    )
}

/// From outside to the gateway.
fn knock(src_port: u16, dst_port: u16, proto: u8) -> Tuple {
    Tuple { src: ip("203.0.113.9"), dst: ip("203.0.113.2"), src_port, dst_port, proto }
}

/// Flags, sequence number and whether it may be cut, of the one segment out of `wan0`.
fn answer(rig: &mut Rig) -> (u8, u32, bool) {
    let bytes = rig.one("wan0");
    let headers = wire::parse(&bytes).expect("a segment");
    let at = usize::from(headers.l4) + 4;
    let sequence = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (headers.tcp_flags, sequence, !headers.df)
}

#[test]
fn a_listener_implies_its_rule_and_a_connection_is_a_session_like_others() {
    let mut rig = Rig::new("remote-listener", &access("remote-listener"));
    let end = knock(40_000, 443, proto::TCP);

    rig.banner("an opening segment is answered, and may be cut on its way");
    rig.send("wan0", &rig.packet("wan0", end).tcp(SYN, 100, 0));
    let (flags, ours, cut) = answer(&mut rig);
    assert_eq!((flags, cut), (SYN | ACK, true));
    let session = rig.net.sessions(rig.gateway, "port 443").remove(0);
    assert_eq!((&*session.state, &*session.ingress), ("syn-received", "wan"));

    rig.banner("its acknowledgement makes the connection");
    rig.send("wan0", &rig.packet("wan0", end).tcp(ACK, 101, ours.wrapping_add(1)));
    rig.expect_silence();
    assert_eq!(rig.net.sessions(rig.gateway, "port 443")[0].state, "established");

    rig.banner("what is no TLS is told so, and the connection ends");
    let junk = rig.packet("wan0", end).tcp(ACK | PSH, 101, ours.wrapping_add(1));
    // a record of the handshake, with a message of a type that there is not
    rig.send("wan0", &junk.payload(&[22, 3, 1, 0, 4, 0xff, 0, 0, 0]));
    let told = rig.take("wan0");
    assert!(!told.is_empty());
    let ends = told
        .iter()
        .any(|bytes| wire::parse(bytes).is_ok_and(|headers| headers.tcp_flags & (FIN | RST) != 0));
    assert!(ends, "the gateway closes its end");
    let request = Request::Events { filter: None, since: None, limit: None };
    let Response::Events(view) = rig.net.answered(rig.gateway, request) else { panic!("events") };
    let refused = view.events.iter().find(|event| event.event == "remote-refused");
    let message = &refused.expect("an event").message;
    assert!(message.starts_with("office: 203.0.113.9:40000: TLS: "), "{message}");

    rig.banner("junk for DTLS is not answered; other ports are not open");
    rig.send("wan0", &rig.packet("wan0", knock(40_001, 443, proto::UDP)).payload(b"junk"));
    rig.send("wan0", &rig.packet("wan0", knock(40_002, 444, proto::TCP)).tcp(SYN, 1, 0));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.local-in-deny"), 1);
    let Tuple { src, dst, src_port, dst_port, proto } = end;
    let key = LookupKey { interface: None, vr: None, src, dst, proto, src_port, dst_port };
    let Response::PolicyLookup(view) = rig.net.answered(rig.gateway, Request::PolicyLookup(key))
    else {
        panic!("a lookup")
    };
    let policy = view.policy.expect("a rule");
    assert_eq!(policy.name, "implied by remote-access office");
    assert_eq!(policy.services, ["tcp/443", "udp/443"]);

    rig.banner("a rule that denies comes before");
    let more = access("remote-listener");
    rig.apply(&format!(
        "{more}[[local-in]]\nname = \"no\"\nservice = \"tcp/443\"\naction = \"deny\"\n"
    ));
    rig.send("wan0", &rig.packet("wan0", knock(40_003, 443, proto::TCP)).tcp(SYN, 1, 0));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.local-in-deny"), 2);
}

#[test]
fn segments_that_end_here_are_taken_together_and_counted_one_by_one() {
    let mut rig = Rig::new("remote-joined", &access("remote-joined"));
    let end = knock(40_000, 443, proto::TCP);
    rig.send("wan0", &rig.packet("wan0", end).tcp(SYN, 100, 0));
    let ours = answer(&mut rig).1.wrapping_add(1);
    rig.send("wan0", &rig.packet("wan0", end).tcp(ACK, 101, ours));
    rig.expect_silence();
    let count = |rig: &mut Rig| {
        let session = rig.net.sessions(rig.gateway, "port 443").remove(0);
        (session.original_traffic.total().packets, rig.snapshot().get("slow.delivered"))
    };
    let before = count(&mut rig);

    rig.banner(
        "the beginning of a long record, in five segments that come at once and each say PSH",
    );
    let mut record = vec![22, 3, 1, 0x20, 0, 1, 0, 0x1f, 0xfc];
    record.resize(5_000, 0);
    for (n, part) in record.chunks(1_000).enumerate() {
        let sequence = 101 + 1_000 * n as u32;
        let segment = rig.packet("wan0", end).tcp(ACK | PSH, sequence, ours);
        rig.queue("wan0", &segment.payload(part));
    }
    rig.settle();
    let after = count(&mut rig);
    assert_eq!((after.0 - before.0, after.1 - before.1), (5, 5));
    rig.wait(Duration::from_millis(20));
    let told = rig.take("wan0");
    assert_eq!(told.len(), 1, "one acknowledgement for all: {told:?}");
    let headers = wire::parse(&told[0]).expect("a segment");
    let at = usize::from(headers.l4) + 8;
    let acknowledged = u32::from_be_bytes(told[0][at..at + 4].try_into().expect("four bytes"));
    assert_eq!((headers.tcp_flags, acknowledged), (ACK, 5_101));
}

#[test]
fn addresses_of_the_pool_are_behind_the_interface_whether_somebody_has_them_or_not() {
    let mut rig = Rig::new("remote-pool", &access("remote-pool"));
    let client = ip("10.9.0.7");
    let inside = ip("10.1.0.5");
    let ports = |src, dst| Tuple { src, dst, src_port: 4000, dst_port: 5000, proto: proto::UDP };

    rig.banner("nobody has it: not by the default route, and nowhere else");
    rig.send("lan0", &rig.packet("lan0", ports(inside, client)).payload(b"x"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.remote-client-unknown"), 1);
    let trace =
        rig.net.simulate(rig.gateway, packet("10.1.0.5", "10.9.0.7", proto::UDP, 4001, 5000));
    assert!(trace.phases.iter().any(|phase| phase.detail.contains("selected by tunnel office")));

    rig.banner("and nobody sends from it in clear");
    rig.send("wan0", &rig.packet("wan0", ports(client, inside)).payload(b"x"));
    rig.expect_silence();
    assert_eq!(rig.snapshot().get("drop.rpf-failed"), 1);

    rig.banner("without the remote access it is an address like any other");
    rig.apply("[[policy]]\nid = 1\nfrom = \"outside\"\nto = \"inside\"\naction = \"allow\"\n");
    rig.send("wan0", &rig.packet("wan0", ports(client, inside)).payload(b"x"));
    assert_eq!(rig.one_tuple("lan0"), ports(client, inside));
}

#[test]
fn a_plan_says_what_clients_may_have_under_a_profile_before_there_are_any() {
    let mut rig = Rig::new("remote-plan", &access("remote-plan"));
    let plan = |rig: &mut Rig, profile: &str| {
        let profile = Some(profile.to_owned());
        let request = Request::PlanSas { profile, limit: None, cursor: None };
        let Response::Plan(view) = rig.net.answered(rig.gateway, request) else { panic!("a plan") };
        let rows = view.associations.iter().map(|row| {
            let against = row.against.iter().map(|f| format!("{} ({})", f.reason.name, f.evidence));
            (row.direction.to_string(), against.collect::<Vec<_>>())
        });
        (rows.collect::<Vec<_>>(), view.totals)
    };
    rig.banner(
        "one virtual router: the device that does DTLS takes both directions, and its own kind",
    );
    let (rows, totals) = plan(&mut rig, "secure-firewall-3100");
    assert_eq!(rows, [("out".to_owned(), vec![]), ("in".to_owned(), vec![])]);
    assert_eq!((totals.associations, totals.associations_offloaded), (2, 2));

    rig.banner("two of them are two contexts to it, and only to it; a switch is one everywhere");
    let more = access("remote-plan");
    rig.apply(&format!("{more}egress-optimisation = false\n[[virtual-router]]\nname = \"lab\"\n"));
    let contexts = "multi-context (virtual-routers=2 supported=1)".to_owned();
    let switch = "egress-optimisation-off ()".to_owned();
    let (rows, totals) = plan(&mut rig, "secure-firewall-3100");
    let both = vec![contexts.clone(), switch.clone()];
    assert_eq!(rows, [("out".to_owned(), both), ("in".to_owned(), vec![contexts])]);
    assert_eq!((totals.associations, totals.associations_offloaded), (2, 0));
    let (rows, totals) = plan(&mut rig, "soft");
    assert_eq!(rows, [("out".to_owned(), vec![switch]), ("in".to_owned(), vec![])]);
    assert_eq!((totals.associations, totals.associations_offloaded), (2, 1));

    rig.banner("without DTLS there is nothing to take");
    rig.apply(&format!("{more}dtls = false\n"));
    assert_eq!(plan(&mut rig, "soft").0, []);
}
