//! What the gateway says of its own addresses, and of those it speaks for.

use core::net::Ipv6Addr;

use lockgate_gateway::PortState;
use ports::PortId;
use wire::{Mac, nd};

use crate::bench::{Bench, PEER};

const VIP: &str = r#"
[[vip]]
name = "www"
external = "2001:db8::80"
mapped = "2001:db8:1::9"
"#;

/// Whether the answer to a question for an address replaces what the asker knew.
fn overrides(bench: &mut Bench, target: &str) -> bool {
    let target: Ipv6Addr = target.parse().expect("an address");
    let host = "2001:db8::5".parse().expect("an address");
    let asked = wire::emit::neighbour_solicitation(PEER, host, target, None, None);
    let out = bench.send(PortId(0), &asked);
    assert_eq!(out.len(), 1, "one answer");
    let headers = wire::parse(&out[0]).expect("an answer");
    match nd::parse(&out[0], &headers).expect("an answer") {
        nd::NdMessage::Advertisement(told) => told.override_entry,
        nd::NdMessage::Solicitation(asked) => panic!("{asked:?}"),
    }
}

#[test]
fn only_the_interfaces_own_addresses_override() {
    let mut bench = Bench::new(VIP);
    assert!(overrides(&mut bench, "2001:db8::1"));
    let mac = bench.gateway.port_state(PortId(0)).mac;
    assert!(overrides(&mut bench, &nd::link_local(mac).to_string()));
    assert!(!overrides(&mut bench, "2001:db8::80"), "RFC 4861 §7.2.8");
}

#[test]
fn a_port_with_another_mac_address_gives_it_to_its_next_hops() {
    let mut bench = Bench::new("");
    let mac = Mac([2, 9, 9, 9, 9, 9]);
    bench.gateway.handle_port(PortId(1), PortState { mac, up: true }, bench.now);
    let held = bench.held.lock().expect("held");
    let by_port: Vec<_> = held.adjacencies.values().map(|a| (a.port, a.src == mac)).collect();
    assert_eq!(by_port, [(0, false), (1, true)]);
}

/// The addresses that frames announce, with the MAC they give.
fn announced(bench: &mut Bench) -> Vec<(String, Mac)> {
    let frames: Vec<_> = std::iter::from_fn(|| bench.gateway.poll_transmit()).collect();
    let told = frames.iter().map(|(port, frame)| {
        assert_eq!(*port, PortId(1));
        let headers = wire::parse(frame.bytes()).expect("a frame of ours");
        match headers.kind {
            wire::L3::Arp => {
                let arp = wire::arp::parse(frame.bytes(), &headers).expect("ARP");
                assert!(arp.is_gratuitous() && headers.eth_dst == Mac::BROADCAST);
                (arp.sender_ip.to_string(), arp.sender_mac)
            }
            wire::L3::Ip(_) => match nd::parse(frame.bytes(), &headers).expect("ND") {
                nd::NdMessage::Advertisement(told) => {
                    assert!(!told.solicited && told.override_entry);
                    (told.target.to_string(), told.target_mac.expect("with its MAC"))
                }
                nd::NdMessage::Solicitation(asked) => panic!("{asked:?}"),
            },
        }
    });
    told.collect()
}

#[test]
fn a_port_that_comes_up_or_changes_its_mac_announces_its_addresses() {
    let mut bench = Bench::new("");
    let mac = Mac([2, 9, 9, 9, 9, 9]);
    let addresses = ["192.0.2.1", "2001:db8:1::1"].map(|address| (address.to_owned(), mac));
    for (state, expected) in [
        (PortState { mac, up: true }, &addresses[..]),
        (PortState { mac, up: true }, &[]),
        (PortState { mac, up: false }, &[]),
        (PortState { mac, up: true }, &addresses[..]),
    ] {
        bench.gateway.handle_port(PortId(1), state, bench.now);
        assert_eq!(announced(&mut bench), expected, "{state:?}");
    }
}
