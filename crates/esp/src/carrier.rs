//! Where the ESP header of an arriving packet is.

use reason::DropReason;
use wire::proto;

use crate::{
    headers::{self, Ip, Place},
    nat_t::{self, UDP_LEN},
};

/// What kind of packet may carry ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// ESP directly in IP.
    Esp {
        /// Security Parameters Index.
        spi: u32,
    },
    /// ESP in UDP.
    UdpEsp {
        /// Security Parameters Index.
        spi: u32,
    },
    /// IKE in UDP behind the non-ESP marker.
    UdpIke,
    /// A NAT keepalive.
    UdpKeepalive,
    /// Something else, or too short to tell.
    NotEsp,
}

/// Reads what a packet carries and its SPI, and changes nothing. `ip` are the bytes from the IP
/// header on; `nat_t_ports` the UDP ports of NAT traversal, usually [`nat_t::PORT`].
///
/// Fragments are [`Carrier::NotEsp`]: only the first would have an SPI.
pub fn classify(ip: &[u8], nat_t_ports: &[u16]) -> Carrier {
    let Ok(base) = headers::read(ip) else {
        return Carrier::NotEsp;
    };
    let Ok(place) = headers::upper(ip, &base, false) else {
        return Carrier::NotEsp;
    };
    let Some(payload) = ip.get(place.at..base.len) else {
        return Carrier::NotEsp;
    };
    match place.protocol {
        proto::ESP => payload
            .first_chunk()
            .map_or(Carrier::NotEsp, |spi| Carrier::Esp { spi: u32::from_be_bytes(*spi) }),
        proto::UDP => {
            let Some((&[s0, s1, d0, d1, ..], body)) = payload.split_first_chunk::<UDP_LEN>() else {
                return Carrier::NotEsp;
            };
            let ports = [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])];
            if !ports.iter().any(|port| nat_t_ports.contains(port)) {
                return Carrier::NotEsp;
            }
            match nat_t::payload(body) {
                nat_t::Payload::Esp { spi } => Carrier::UdpEsp { spi },
                nat_t::Payload::Ike => Carrier::UdpIke,
                nat_t::Payload::Keepalive => Carrier::UdpKeepalive,
                nat_t::Payload::Short => Carrier::NotEsp,
            }
        }
        _ => Carrier::NotEsp,
    }
}

/// An ESP packet that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) ip: Ip,
    /// The header behind the IP headers: ESP itself or UDP.
    pub(crate) place: Place,
    /// Where the ESP header begins.
    pub(crate) esp: usize,
    /// Whether UDP is in between.
    pub(crate) udp: bool,
}

/// Finds the ESP header of a packet that was classified as ESP.
#[inline(always)]
pub(crate) fn locate(bytes: &[u8]) -> Result<Located, DropReason> {
    let ip = headers::read(bytes)?;
    let place = headers::upper(bytes, &ip, false)?;
    let (esp, udp) = match place.protocol {
        proto::ESP => (place.at, false),
        proto::UDP => {
            let header = bytes.get(place.at..ip.len).and_then(|b| b.first_chunk::<UDP_LEN>());
            let len = header.map(|h| usize::from(u16::from_be_bytes([h[4], h[5]])));
            if len != Some(ip.len - place.at) {
                return Err(DropReason::EspMalformed);
            }
            (place.at + UDP_LEN, true)
        }
        _ => return Err(DropReason::EspMalformed),
    };
    Ok(Located { ip, place, esp, udp })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        packet[9] = protocol;
        packet.extend(payload);
        packet
    }

    fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        datagram.extend(source.to_be_bytes());
        datagram.extend(destination.to_be_bytes());
        datagram.extend((8 + payload.len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        datagram
    }

    #[test]
    fn carriers_are_told_apart() {
        let esp = [0, 0, 0x12, 0x34, 0, 0, 0, 1];
        let of = |packet: Vec<u8>| classify(&packet, &[nat_t::PORT]);
        assert_eq!(of(v4(50, &esp)), Carrier::Esp { spi: 0x1234 });
        assert_eq!(of(v4(50, &esp[..3])), Carrier::NotEsp);
        assert_eq!(of(v4(17, &udp(4500, 9, &esp))), Carrier::UdpEsp { spi: 0x1234 });
        assert_eq!(of(v4(17, &udp(9, 4500, &esp))), Carrier::UdpEsp { spi: 0x1234 });
        assert_eq!(of(v4(17, &udp(9, 9, &esp))), Carrier::NotEsp);
        assert_eq!(of(v4(17, &udp(4500, 4500, &[0; 28]))), Carrier::UdpIke);
        assert_eq!(of(v4(17, &udp(4500, 4500, &[0xff]))), Carrier::UdpKeepalive);
        assert_eq!(of(v4(17, &[0; 7])), Carrier::NotEsp);
        assert_eq!(of(v4(6, &esp)), Carrier::NotEsp);
        let mut fragment = v4(50, &esp);
        fragment[7] = 1;
        assert_eq!(of(fragment), Carrier::NotEsp);
        assert_eq!(of(vec![]), Carrier::NotEsp);
        assert_eq!(of(vec![0x50; 60]), Carrier::NotEsp);
    }
}
