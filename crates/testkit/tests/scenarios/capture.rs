//! Captures: every point of both tiers, counted against the counters; SAs from both sides of their
//! crypto; drops with their reason; and that none outlives its reader.

use core::time::Duration;

use api::{ApiError, CapturePoint, CaptureSpec, CapturedView, Request};
use lockgate_testkit::{
    counters::Snapshot,
    office::ip,
    rig::{ALLOW_NAT, Rig, out_tuple},
};
use wire::{Tuple, proto};

use crate::esp::{KEY_IN, KEY_OUT, config, far_end, outward, payload, sealed};

/// Packets of a stream.
const STREAM: usize = 10;

fn spec(filter: &str) -> CaptureSpec {
    CaptureSpec { filter: Some(filter.into()), ..CaptureSpec::default() }
}

fn by_spi(spi: &str) -> CaptureSpec {
    CaptureSpec { spi: Some(spi.into()), ..CaptureSpec::default() }
}

fn at(packets: &[CapturedView], point: CapturePoint) -> Vec<&CapturedView> {
    packets.iter().filter(|packet| packet.point == point).collect()
}

fn data(packets: &[&CapturedView]) -> Vec<Vec<u8>> {
    packets.iter().map(|packet| packet.data.clone()).collect()
}

fn tiers(packets: &[&CapturedView]) -> Vec<String> {
    packets.iter().map(|packet| packet.tier.to_string()).collect()
}

/// What counters say of a run.
fn change(before: &Snapshot, after: &Snapshot, name: &str) -> u64 {
    after.get(name) - before.get(name)
}

#[test]
fn every_point_of_both_tiers_is_seen_and_counts_agree() {
    let mut rig = Rig::new("capture-points", ALLOW_NAT);
    let before = rig.snapshot();
    let capture = rig.net.capture_start(rig.gateway, spec("port 53"));
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    let (mut sent, mut wire) = (Vec::new(), Vec::new());
    for n in 0..STREAM {
        let packet = rig.packet("lan0", flow).payload(&payload(n));
        rig.send("lan0", &packet);
        sent.push(packet.build());
        let out = rig.one("wan0");
        let seen = wire::parse(&out).expect("an IP packet").tuple;
        wire.push(out);
        rig.send("wan0", &rig.back(seen).payload(b"back"));
        rig.one("lan0");
    }
    rig.send("lan0", &rig.out(proto::UDP, 4000, 99, false).payload(b"another flow"));
    rig.one("wan0");
    let view = rig.net.capture_stop(rig.gateway, capture);
    let after = rig.snapshot();
    let packets = &view.packets;
    assert_eq!((view.matched, view.lost, view.done), (packets.len() as u64, 0, true));

    let (rx, tx) = (at(packets, CapturePoint::Rx), at(packets, CapturePoint::Tx));
    assert_eq!((rx.len(), tx.len()), (2 * STREAM, 2 * STREAM));
    let by = |packets: &[&CapturedView], name: &str| -> Vec<Vec<u8>> {
        packets.iter().filter(|p| p.interface == name).map(|p| p.data.clone()).collect()
    };
    assert_eq!((by(&rx, "lan"), by(&tx, "wan")), (sent, wire), "byte for byte");
    let fast = tx.iter().filter(|p| p.tier == "fast").count() as u64;
    assert_eq!(fast, change(&before, &after, "engine.forwarded"));
    let punted = at(packets, CapturePoint::Punt);
    assert_eq!(punted.len() as u64 + 1, change(&before, &after, "punt.flow-miss"));
    assert!(punted.iter().all(|p| p.reason.as_ref().is_some_and(|r| r.name == "flow-miss")));
    assert_eq!(packets.len(), rx.len() + tx.len() + punted.len(), "nothing else");

    let session = rig.net.sessions(rig.gateway, "port 53")[0].id;
    let without: Vec<_> = packets.iter().filter(|p| p.session != Some(session)).collect();
    // nobody has set the session up when its first packet is received and punted
    assert_eq!(without.len(), 2, "{without:?}");
    assert!(tx.iter().any(|p| p.interface == "wan" && p.tuple.is_some_and(|t| t.src != flow.src)));
}

#[test]
fn a_filter_finds_packets_before_and_after_translation_and_drops_by_reason() {
    let deny = "[[policy]]\nid = 7\nfrom = \"inside\"\nto = \"outside\"\nservice = \"tcp/23\"\naction = \"deny\"\n";
    let mut rig = Rig::new("capture-filter", &format!("{deny}{ALLOW_NAT}"));
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    let inside = format!("src {} and out wan", flow.src);
    let translated = rig.net.capture_start(
        rig.gateway,
        CaptureSpec { points: vec![CapturePoint::Tx], ..spec(&inside) },
    );
    let denied = rig.net.capture_start(
        rig.gateway,
        CaptureSpec { reason: Some("policy-deny".into()), snap: Some(64), ..spec("") },
    );
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    rig.one("wan0");
    let telnet = rig.out(proto::TCP, 50_000, 23, false).tcp(2, 1, 0).payload(&[7; 400]);
    rig.send("lan0", &telnet);
    rig.expect_silence();

    let translated = rig.net.capture_stop(rig.gateway, translated).packets;
    let [packet] = &translated[..] else { panic!("{translated:?}") };
    assert_ne!(packet.tuple.map(|t| t.src), Some(flow.src), "it is seen as it leaves");
    let denied = rig.net.capture_stop(rig.gateway, denied).packets;
    let [packet] = &denied[..] else { panic!("{denied:?}") };
    assert_eq!(packet.reason.as_ref().map(|r| r.name.as_ref()), Some("policy-deny"));
    let whole = telnet.build();
    assert_eq!((packet.length as usize, &packet.data[..]), (whole.len(), &whole[..64]));
    assert_eq!((packet.interface.as_str(), packet.tier.as_ref()), ("lan", "slow-setup"));
}

#[test]
fn an_sa_is_seen_from_both_sides_of_its_crypto_on_both_tiers() {
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("capture-sa-{offload}"), &config(offload, 1, ""));
        let outgoing = rig.net.capture_start(rig.gateway, by_spi("0x1001"));
        let incoming = rig.net.capture_start(rig.gateway, by_spi("0x00002001"));
        let sa = far_end();
        let (mut inside, mut outside, mut wire, mut opened) = <[Vec<Vec<u8>>; 4]>::default().into();
        for n in 0..STREAM {
            let packet = rig.packet("lan0", outward()).payload(&payload(n));
            rig.send("lan0", &packet);
            inside.push(forwarded(&packet.build()));
            outside.push(rig.one("wan0"));
            let back = rig.packet("wan0", outward().reversed()).payload(&payload(n));
            let esp = sealed(&rig, &sa, &back);
            rig.send_bytes("wan0", &esp);
            wire.push(esp);
            opened.push(back.build()[14..].to_vec());
            rig.one("lan0");
        }
        let expected = |tier: &[String]| match offload {
            "off" => tier.iter().all(|tier| tier.starts_with("slow")),
            _ => tier[STREAM / 2..].iter().all(|tier| tier == "fast"),
        };
        let packets = rig.net.capture_stop(rig.gateway, outgoing).packets;
        let (encap, tx) = (at(&packets, CapturePoint::Encap), at(&packets, CapturePoint::Tx));
        assert_eq!((data(&encap), data(&tx)), (inside, outside), "{offload}: out");
        assert_eq!(packets.len(), 2 * STREAM, "{offload}: nothing else");
        assert!(expected(&tiers(&encap)) && expected(&tiers(&tx)), "{:?}", tiers(&encap));
        for packet in &encap {
            assert_eq!(
                (packet.interface.as_str(), packet.tunnel.as_deref()),
                ("site", Some("site"))
            );
            assert!(packet.session.is_some());
        }

        let packets = rig.net.capture_stop(rig.gateway, incoming).packets;
        let (rx, decap) = (at(&packets, CapturePoint::Rx), at(&packets, CapturePoint::Decap));
        assert_eq!((data(&rx), data(&decap)), (wire, opened), "{offload}: in");
        assert!(expected(&tiers(&decap)), "{:?}", tiers(&decap));
        let others = packets.iter().filter(|p| p.point == CapturePoint::Punt).count();
        assert_eq!(packets.len(), 2 * STREAM + others, "{offload}: ESP punts and nothing else");
        assert_eq!(rx[0].spi.as_deref(), Some("0x00002001"));
        let events = rig.net.answered(rig.gateway, events());
        let api::Response::Events(events) = events else { panic!("{events:?}") };
        let started: Vec<_> =
            events.events.iter().filter(|e| e.event == "capture-started").collect();
        assert_eq!(started.len(), 2);
        assert!(started[0].message.contains("spi 0x00001001"), "{}", started[0].message);
        assert_eq!(started[0].severity, "notice");
    }
}

/// The packet inside as it is sealed: one hop further.
fn forwarded(frame: &[u8]) -> Vec<u8> {
    let mut packet = frame[14..].to_vec();
    packet[8] -= 1;
    packet[10..12].fill(0);
    let sum = wire::checksum::Sum::ZERO.bytes(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn events() -> Request {
    Request::Events { filter: None, since: None, limit: None }
}

#[test]
fn what_an_sa_refuses_is_seen_as_it_came_with_its_reason() {
    for offload in ["off", "auto"] {
        let mut rig = Rig::new(&format!("capture-refused-{offload}"), &config(offload, 1, ""));
        let sa = far_end();
        let failed = rig.net.capture_start(
            rig.gateway,
            CaptureSpec { reason: Some("esp-icv-failed".into()), ..by_spi("0x2001") },
        );
        let dropped = rig.net.capture_start(
            rig.gateway,
            CaptureSpec { points: vec![CapturePoint::Drop], ..spec("") },
        );
        let mut damaged = Vec::new();
        for n in 0..STREAM {
            let packet = rig.packet("wan0", outward().reversed()).payload(&payload(n));
            let wire = sealed(&rig, &sa, &packet);
            let mut bad = wire.clone();
            *bad.last_mut().expect("bytes") ^= 1;
            rig.send_bytes("wan0", &bad);
            rig.expect_silence();
            damaged.push(bad);
            rig.send_bytes("wan0", &wire);
            rig.one("lan0");
            // a replay
            rig.send_bytes("wan0", &wire);
            rig.expect_silence();
        }
        let foreign = Tuple { src: ip("10.3.0.1"), ..outward().reversed() };
        let wire = sealed(&rig, &sa, &rig.packet("wan0", foreign).payload(b"not let in"));
        rig.send_bytes("wan0", &wire);
        rig.expect_silence();

        let failed = rig.net.capture_stop(rig.gateway, failed).packets;
        assert_eq!(data(&failed.iter().collect::<Vec<_>>()), damaged, "{offload}");
        assert!(failed.iter().all(|p| p.tunnel.as_deref() == Some("site") && p.interface == "wan"));
        let dropped = rig.net.capture_stop(rig.gateway, dropped).packets;
        let of = |name: &str| {
            dropped.iter().filter(|p| p.reason.as_ref().is_some_and(|r| r.name == name)).count()
        };
        let counters = rig.snapshot();
        for name in ["esp-icv-failed", "esp-replayed", "esp-selector-mismatch"] {
            assert_eq!(of(name) as u64, counters.get(&format!("drop.{name}")), "{offload}: {name}");
        }
        assert_eq!(dropped.len() as u64, counters.sum("drop."), "{offload}: every drop, once");
    }
}

#[test]
fn captures_are_few_checked_and_end_with_their_reader() {
    let mut rig = Rig::new("capture-ends", ALLOW_NAT);
    let mut refused = |spec: CaptureSpec| {
        rig.net.ask(rig.gateway, Request::CaptureStart(spec)).expect_err("refused")
    };
    let reason = |name: &str| CaptureSpec { reason: Some(name.into()), ..CaptureSpec::default() };
    let error = refused(reason("icv-failed"));
    assert!(error.to_string().contains("esp-icv-failed"), "{error}");
    assert!(matches!(refused(reason("not-established")), ApiError::BadRequest { .. }));
    assert!(matches!(refused(by_spi("0xwx")), ApiError::BadRequest { .. }));
    assert!(matches!(refused(spec("prot 6")), ApiError::BadFilter { .. }));
    let nowhere = CaptureSpec { interface: Some("moon".into()), ..CaptureSpec::default() };
    assert!(matches!(refused(nowhere), ApiError::NotFound { .. }));
    let none = CaptureSpec { count: Some(0), ..CaptureSpec::default() };
    assert!(matches!(refused(none), ApiError::BadRequest { .. }));

    let silent: Vec<_> = (0..4).map(|_| rig.net.capture_start(rig.gateway, spec(""))).collect();
    let full = rig.net.ask(rig.gateway, Request::CaptureStart(spec("")));
    assert!(matches!(full, Err(ApiError::Busy { .. })), "{full:?}");
    rig.wait(Duration::from_secs(6));
    let gone = rig.net.ask(rig.gateway, Request::CapturePoll { capture: silent[0] });
    assert!(matches!(gone, Err(ApiError::NotFound { .. })), "{gone:?}");

    rig.banner("ends after two packets, or after two seconds");
    let counted = rig.net.capture_start(rig.gateway, CaptureSpec { count: Some(2), ..spec("") });
    let timed = rig.net.capture_start(rig.gateway, CaptureSpec { seconds: Some(2), ..spec("") });
    for n in 0..3 {
        rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(&payload(n)));
        rig.one("wan0");
    }
    rig.wait(Duration::from_secs(3));
    rig.send("lan0", &rig.out(proto::UDP, 4000, 53, false).payload(b"too late"));
    rig.one("wan0");
    assert_eq!(rig.net.capture_stop(rig.gateway, counted).packets.len(), 2);
    let timed = rig.net.capture_stop(rig.gateway, timed).packets;
    assert_eq!(at(&timed, CapturePoint::Tx).len(), 3, "{timed:?}");
}

#[test]
fn keys_are_exported_in_rows_and_stand_nowhere_else() {
    let gmac = r#"
[[ipsec]]
name = "gmac"
local = "203.0.113.2"
remote = "203.0.113.1"
selectors = [{ local = "10.1.0.0/24", remote = "10.8.0.0/24" }]
out = { spi = 0x1002, algorithm = "aes128gmac", key = "808182838485868788898a8b8c8d8e8f90919293" }
in = { spi = 0x2002, algorithm = "aes128gmac", key = "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3" }
"#;
    let mut rig = Rig::new("capture-keys", &format!("{}{gmac}", config("auto", 1, "")));
    // an export is no request of the API and stands in no recording: there is nothing to replay
    rig.net.gateway_mut(rig.gateway).stop_recording();
    let mut export = |pick: Option<&str>| {
        let request = api::ExportKeys {
            format: api::KeyFormat::Wireshark,
            of: Default::default(),
            pick: pick.map(Into::into),
        };
        rig.net.gateway_mut(rig.gateway).export_keys(&request)
    };
    let table = export(None).expect("there are SAs");
    assert_eq!(
        table.exported,
        ["site out 0x00001001 aes256gcm16", "site in 0x00002001 aes256gcm16"]
    );
    assert_eq!(table.left_out.len(), 2, "{:?}", table.left_out);
    assert!(table.left_out[0].starts_with("gmac out 0x00001002 aes128gmac: "));
    let rows: Vec<_> = table.text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    let expected = format!(
        r#""IPv4","203.0.113.2","203.0.113.9","0x00001001","AES-GCM with 16 octet ICV [RFC4106]","0x{KEY_OUT}","NULL","""#
    );
    assert_eq!(rows[0], expected);
    assert_eq!(export(Some("0x2001")).expect("it is there").exported.len(), 1);
    assert!(matches!(export(Some("moon")), Err(ApiError::NotFound { .. })));

    let asked = [
        events(),
        Request::ShowSas { pick: None, limit: None, cursor: None },
        Request::ShowTunnels { limit: None, cursor: None },
    ];
    for request in asked {
        let answer = format!("{:?}", rig.net.answered(rig.gateway, request));
        for key in [KEY_OUT, KEY_IN, "8081828384858687", "a0a1a2a3a4a5a6a7"] {
            assert!(!answer.contains(key), "{answer}");
        }
    }
    let api::Response::Events(view) = rig.net.answered(rig.gateway, events()) else {
        panic!("another answer")
    };
    let said: Vec<_> = view.events.iter().filter(|e| e.event == "keys-exported").collect();
    assert_eq!(said.len(), 2, "each time, and not when there was nothing");
    assert_eq!(said[1].message, "uid 0 has exported keys: site in 0x00002001 aes256gcm16");
    assert_eq!(said[1].severity, "warning");
}
