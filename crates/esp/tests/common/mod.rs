//! SAs and packets the tests share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::IpAddr;

use lockgate_esp::{
    DfRule, DscpRule, Inbound, KeyMaterial, Lifetime, Mode, Outbound, Parameters, Suite,
    UdpEncapsulation,
};
use ports::Frame;
use wire::{Time, checksum::Sum};

pub const NOW: Time = Time::from_secs(10);
pub const SPI: u32 = 0x1234_5678;

/// Parameters in tunnel mode over IPv4, with a key of distinct bytes.
pub fn parameters(suite: Suite) -> Parameters {
    let key: Vec<u8> = (0..suite.key_len()).map(|i| (i * 7 + 3) as u8).collect();
    Parameters {
        spi: SPI,
        suite,
        key: KeyMaterial::from_bytes(&key),
        mode: Mode::Tunnel,
        source: ip("192.0.2.1"),
        destination: ip("192.0.2.2"),
        encapsulation: None,
        esn: false,
        replay_window: 1024,
        soft: Lifetime::default(),
        hard: Lifetime::default(),
        dscp: DscpRule::Copy,
        df: DfRule::Copy,
        pad_to: None,
        hop_limit: 64,
        allow_null: true,
    }
}

pub fn over_ipv6(mut parameters: Parameters) -> Parameters {
    parameters.source = ip("2001:db8::1");
    parameters.destination = ip("2001:db8::2");
    parameters
}

pub const NAT_T: UdpEncapsulation = UdpEncapsulation { source_port: 4500, destination_port: 4500 };

pub fn pair(parameters: &Parameters) -> (Outbound, Inbound) {
    let out = Outbound::new(parameters.clone(), Time::ZERO).expect("right parameters");
    let inside = Inbound::new(parameters.clone(), Time::ZERO).expect("right parameters");
    (out, inside)
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Every way an SA can carry packets: suite, mode, outer version, UDP, ESN.
pub fn every_shape() -> impl Iterator<Item = Parameters> {
    let flags = [false, true];
    Suite::ALL.into_iter().flat_map(move |suite| {
        [Mode::Tunnel, Mode::Transport].into_iter().flat_map(move |mode| {
            flags.into_iter().flat_map(move |six| {
                flags.into_iter().flat_map(move |udp| {
                    flags.into_iter().map(move |esn| {
                        let mut p = parameters(suite);
                        if six {
                            p = over_ipv6(p);
                        }
                        p.mode = mode;
                        p.esn = esn;
                        p.encapsulation = udp.then_some(NAT_T);
                        p
                    })
                })
            })
        })
    })
}

/// A UDP packet over IPv4 with `payload` bytes and right checksums.
pub fn udp4(payload: usize, tos: u8) -> Vec<u8> {
    let len = 28 + payload;
    let mut p = vec![0x45, tos, 0, 0, 0, 7, 0x40, 0, 63, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    p[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    let sum = Sum::ZERO.bytes(&p).finish();
    p[10..12].copy_from_slice(&sum.to_be_bytes());
    udp(&mut p, "10.0.0.1", "10.0.0.2", payload);
    p
}

/// A UDP packet over IPv6 with `payload` bytes and a right checksum.
pub fn udp6(payload: usize, tos: u8) -> Vec<u8> {
    let mut p = vec![0x60 | tos >> 4, tos << 4, 0, 0, 0, 0, 17, 63];
    p[4..6].copy_from_slice(&(8 + payload as u16).to_be_bytes());
    for address in ["2001:db8:a::1", "2001:db8:b::2"] {
        let IpAddr::V6(address) = ip(address) else { unreachable!("they are IPv6") };
        p.extend(address.octets());
    }
    udp(&mut p, "2001:db8:a::1", "2001:db8:b::2", payload);
    p
}

fn udp(p: &mut Vec<u8>, source: &str, destination: &str, payload: usize) {
    let at = p.len();
    p.extend([0x30, 0x39, 0x1e, 0x61]);
    p.extend((8 + payload as u16).to_be_bytes());
    p.extend([0, 0]);
    p.extend((0..payload).map(|i| (i * 31 + payload) as u8));
    let sum = Sum::ZERO.pseudo(ip(source), ip(destination), 17, 8 + payload as u32);
    let sum = sum.bytes(&p[at..]).finish();
    p[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
}

/// The packet an SA of this shape protects: in transport mode of the same IP version.
pub fn packet_for(parameters: &Parameters, payload: usize) -> Vec<u8> {
    if parameters.source.is_ipv4() { udp4(payload, 0) } else { udp6(payload, 0) }
}

pub fn seal(out: &Outbound, packet: &[u8]) -> Frame {
    let mut frame = roomy(packet);
    out.seal(&mut frame, 0, NOW).expect("sealed");
    frame
}

/// A frame with room for a lot of padding.
pub fn roomy(packet: &[u8]) -> Frame {
    let mut frame = Frame::from_vec([packet, &[0; 4000]].concat());
    frame.truncate(packet.len());
    frame
}
