//! NAT traversal: ESP and IKE share UDP port 4500 (RFC 3948, RFC 7296 §2.23).

use std::time::Duration;

/// The UDP port of NAT traversal (RFC 3947 §4).
pub const PORT: u16 = 4500;

/// Bytes of a UDP header.
pub const UDP_LEN: usize = 8;

/// The payload of a keepalive, which holds a NAT's mapping open (RFC 3948 §2.3).
pub const KEEPALIVE: [u8; 1] = [0xff];

/// How long nothing may be sent before a keepalive is due (RFC 3948 §4).
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// What stands before an IKE message on port 4500, where ESP has its SPI (RFC 3948 §2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// What a UDP datagram of NAT traversal carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// ESP with this SPI.
    Esp {
        /// Security Parameters Index.
        spi: u32,
    },
    /// IKE, behind the non-ESP marker.
    Ike,
    /// A keepalive, to be dropped in silence.
    Keepalive,
    /// Too short to be any of them.
    Short,
}

/// What the payload of a datagram to or from a NAT traversal port is.
pub fn payload(bytes: &[u8]) -> Payload {
    match bytes.first_chunk() {
        Some(&NON_ESP_MARKER) => Payload::Ike,
        Some(spi) if bytes.len() >= crate::HEADER_LEN => {
            Payload::Esp { spi: u32::from_be_bytes(*spi) }
        }
        Some(_) => Payload::Short,
        None if bytes == KEEPALIVE => Payload::Keepalive,
        None => Payload::Short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_told_apart() {
        assert_eq!(payload(&[0xff]), Payload::Keepalive);
        assert_eq!(payload(&[0xfe]), Payload::Short);
        assert_eq!(payload(&[]), Payload::Short);
        assert_eq!(payload(&[0xff; 3]), Payload::Short);
        assert_eq!(payload(&[0; 4]), Payload::Ike);
        assert_eq!(payload(&[0, 0, 1, 0]), Payload::Short);
        assert_eq!(payload(&[0, 0, 1, 0, 0, 0, 0, 1]), Payload::Esp { spi: 256 });
    }
}
