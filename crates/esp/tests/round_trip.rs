//! What is sealed opens to what it was, for every suite, mode, IP version, encapsulation and ESN.

mod common;

use common::*;
use lockgate_esp::{Mode, Opened};
use wire::{IpVersion, checksum::Sum};

#[test]
fn every_shape_and_length() {
    for parameters in every_shape() {
        let (out, inside) = pair(&parameters);
        for payload in (0..=70).chain([255, 1400]) {
            for packet in [udp4(payload, 0), udp6(payload, 0)] {
                let six = packet[0] >> 4 == 6;
                if parameters.mode == Mode::Transport && six != parameters.source.is_ipv6() {
                    continue;
                }
                let mut frame = seal(&out, &packet);
                let overhead = frame.len() - packet.len();
                let bounds = out.overhead();
                assert!((bounds.min..=bounds.max).contains(&overhead), "{overhead} {bounds:?}");
                if frame.bytes()[0] >> 4 == 4 {
                    assert!(Sum::ZERO.bytes(&frame.bytes()[..20]).is_intact());
                }
                let version = if six { IpVersion::V6 } else { IpVersion::V4 };
                let opened = inside.open(&mut frame, 0, NOW);
                assert_eq!(opened, Ok(Opened::Packet(version)), "{parameters:?} {payload}");
                assert_eq!(frame.bytes(), packet, "{parameters:?} {payload}");
            }
        }
    }
}
