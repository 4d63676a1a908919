//! The engine held to the rules of a device: what does not qualify goes on in software, says why, and
//! comes back when the profile goes.

use lockgate_testkit::{
    office::ip,
    rig::{ALLOW, Rig, out_tuple},
};
use wire::{Tuple, proto};

/// A tunnel that some devices serve and others do not.
fn config(profile: &str) -> String {
    let key = |digit: &str| digit.repeat(72);
    format!(
        r#"
[engine]
profile = "{profile}"
[offload]
after-packets = 1
one-way-packets = 1
[[ipsec]]
name = "site"
local = "203.0.113.2"
remote = "203.0.113.9"
selectors = [{{ local = "10.1.0.0/24", remote = "10.2.0.0/24" }}]
zone = "vpn"
out = {{ spi = 0x1001, algorithm = "aes256gcm16", key = "{}" }}
in = {{ spi = 0x2001, algorithm = "aes256gcm16", key = "{}" }}
[[policy]]
id = 1
from = ["inside", "vpn"]
to = ["inside", "vpn"]
action = "allow"
"#,
        key("5"),
        key("a")
    )
}

/// Four packets into the tunnel.
fn send(rig: &mut Rig) {
    let (src, dst) = (ip("10.1.0.5"), ip("10.2.0.7"));
    let tuple = Tuple { src, dst, src_port: 4000, dst_port: 53, proto: proto::UDP };
    for _ in 0..4 {
        rig.send("lan0", &rig.packet("lan0", tuple).payload(b"x"));
        assert_eq!(rig.one("wan0")[23], proto::ESP, "traffic never stops");
    }
}

/// The outgoing SA.
fn sa(rig: &mut Rig) -> api::SaView {
    let request = api::Request::ShowSas { pick: Some("0x1001".into()), limit: None, cursor: None };
    match rig.net.answered(rig.gateway, request) {
        api::Response::Sas(view) => view.sas[0].clone(),
        other => panic!("{other:?}"),
    }
}

/// Its status, and what stands against it with evidence.
fn outgoing(rig: &mut Rig) -> (&'static str, Vec<String>) {
    let sa = sa(rig);
    let words = |f: &api::FindingView| format!("{} {}", f.reason.name, f.evidence);
    (sa.status.name(), sa.against.iter().map(words).collect())
}

#[test]
fn a_profile_that_comes_and_goes_takes_sas_and_sessions_off_and_on() {
    let mut rig = Rig::new("profile-reload", &config("np6"));
    send(&mut rig);
    let against = "cipher-unsupported cipher=aes-256-gcm-16 supported=aes-cbc,null";
    assert_eq!(outgoing(&mut rig), ("not-eligible", vec![against.to_owned()]));
    let counters = rig.snapshot();
    assert_eq!(counters.get("not-eligible.sa-not-eligible"), 1, "{counters}");
    assert_eq!(counters.get("engine.forwarded"), 0);
    let trace = rig.net.trace_start(rig.gateway, "port 4000", 1);
    send(&mut rig);
    let packets = rig.net.trace_stop(rig.gateway, trace);
    let encap = packets[0].phases.iter().find(|phase| phase.stage == api::Stage::Encap);
    let said = &encap.expect("it entered the tunnel").detail;
    assert!(
        packets[0].phases.iter().any(|phase| phase.detail.ends_with(
            "; soft: out 0x00001001 not offered (cipher-unsupported), \
             in 0x00002001 not offered (cipher-unsupported)"
        )),
        "both sides by themselves: {said}"
    );
    let explained = rig.net.explain(rig.gateway, "port 4000");
    let found = &explained.session.placements[0].against[0];
    assert_eq!(
        found.evidence, "tunnel=site spi=0x00001001 direction=out status=not-eligible",
        "{explained:?}"
    );

    rig.banner("the engine's own rules");
    rig.apply(&config("soft"));
    send(&mut rig);
    assert_eq!(outgoing(&mut rig), ("hitting", vec![]));
    assert!(rig.snapshot().get("engine.forwarded") > 0);

    rig.banner("another device");
    rig.apply(&config("np6"));
    let counters = rig.snapshot();
    assert_eq!(counters.get("demoted.engine-profile-changed"), 1, "{counters}");
    assert_eq!(counters.get("engine.flows"), 0);
    let demoted = sa(&mut rig).demotion.expect("it left the engine");
    assert_eq!(demoted.reason.name, "engine-profile-changed");
    send(&mut rig);
    assert_eq!(outgoing(&mut rig), ("not-eligible", vec![against.to_owned()]));
}

#[test]
fn flows_are_held_to_the_rules_of_the_device_too() {
    let profile = "[engine]\nprofile = \"secure-firewall-3100\"\n[offload]\nafter-packets = 1\n";
    let mut rig = Rig::new("profile-flow", &format!("{profile}{ALLOW}"));
    for v6 in [false, true] {
        for _ in 0..3 {
            let flow = out_tuple(proto::UDP, 4000, 53, v6);
            rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
            let seen = rig.one_tuple("wan0");
            rig.send("wan0", &rig.back(seen).payload(b"x"));
            rig.one("lan0");
        }
    }
    assert_eq!(rig.snapshot().get("engine.flows"), 2, "IPv4 both ways");
    let explained = rig.net.explain(rig.gateway, "ip6 and port 4000");
    let found = &explained.session.placements[0].against[0];
    assert_eq!(
        (found.reason.name.as_ref(), found.evidence.as_str()),
        ("address-family-unsupported", "version=ipv6 supported=ipv4")
    );
}
