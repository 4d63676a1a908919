//! Captures: packets as they passed a point of the gateway.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{Name, ReasonView, TupleView};

/// Where in the gateway a packet is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapturePoint {
    /// A port has received it; nothing has been done yet.
    #[default]
    Rx,
    /// It is handed to a port, cut and finished as the port wants it.
    Tx,
    /// The fast path hands it to the slow path.
    Punt,
    /// It goes no further.
    Drop,
    /// It has come out of a tunnel.
    Decap,
    /// It goes into a tunnel.
    Encap,
}

impl CapturePoint {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Rx, Self::Tx, Self::Punt, Self::Drop, Self::Decap, Self::Encap];

    /// The point as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rx => "rx",
            Self::Tx => "tx",
            Self::Punt => "punt",
            Self::Drop => "drop",
            Self::Decap => "decap",
            Self::Encap => "encap",
        }
    }

    /// What has become of a packet there, as one word.
    pub const fn verdict(self) -> &'static str {
        match self {
            Self::Rx => "received",
            Self::Tx => "sent",
            Self::Punt => "punted",
            Self::Drop => "dropped",
            Self::Decap => "opened",
            Self::Encap => "sealed",
        }
    }

    /// Whether a packet is on its way out there.
    pub const fn is_outward(self) -> bool {
        matches!(self, Self::Tx | Self::Encap)
    }

    /// Whether packets begin with their IP header there, and not with an Ethernet header.
    pub const fn is_ip(self) -> bool {
        matches!(self, Self::Decap | Self::Encap)
    }
}

/// A capture has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStartedView {
    /// Its id, for polls.
    pub capture: u64,
    /// It ends when nobody polls for this long.
    pub silence_ms: u64,
}

/// What a capture has seen since the last poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CapturePolledView {
    /// Its id.
    pub capture: u64,
    /// Packets, oldest first.
    pub packets: Vec<CapturedView>,
    /// Packets that matched since the start, lost ones included.
    pub matched: u64,
    /// Packets that matched and were lost because the buffer was full.
    pub lost: u64,
    /// Whether packets wait for the next poll.
    pub more: bool,
    /// Whether the capture has ended and everything was fetched.
    pub done: bool,
}

/// A captured packet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CapturedView {
    /// Number in its capture, from 1; gaps are packets that were lost.
    pub number: u64,
    /// When, in nanoseconds since the gateway started.
    pub uptime_ns: u64,
    /// Wall clock, nanoseconds since 1970-01-01 UTC; filled by the daemon.
    pub unix_ns: Option<u64>,
    /// Where it was looked at.
    pub point: CapturePoint,
    /// Interface: `decap` and `encap` have the tunnel's, `tx` the outgoing one, all others the
    /// incoming one. The port's name where the frame belongs to no interface.
    pub interface: String,
    /// `fast`, `slow-established`, `slow-setup`; `slow` where it is not known which; empty where no
    /// tier has had it yet.
    pub tier: Name,
    /// Why it was dropped or punted.
    pub reason: Option<ReasonView>,
    /// SPI of the ESP packet, or of the SA that it came out of or goes into: `0x00001001`.
    pub spi: Option<String>,
    /// Tunnel of that SA or association.
    pub tunnel: Option<String>,
    /// User of the DTLS association that the record belongs to, or that the packet came out of or goes into.
    #[serde(default)]
    pub user: Option<String>,
    /// Session it belongs to.
    pub session: Option<u64>,
    /// Its tuple at this point; absent when it has none.
    pub tuple: Option<TupleView>,
    /// Bytes of the packet as it is, from where `data` begins.
    pub length: u32,
    /// What is unfinished about it: checksum, segmentation. Empty when nothing is.
    pub unfinished: String,
    /// The packet, cut to the capture's snap length, as hexadecimal digits; from its Ethernet header
    /// on, at `decap` and `encap` from its IP header on.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub data: Vec<u8>,
}

fn to_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect();
    serializer.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    let wrong = || D::Error::custom("an even number of hexadecimal digits");
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(wrong()) };
    let digit = |c: u8| char::from(c).to_digit(16).ok_or_else(wrong);
    pairs.iter().map(|[high, low]| Ok((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_survive_json() {
        let view = CapturedView { data: vec![0, 0x9f, 0xff], ..CapturedView::default() };
        let text = serde_json::to_string(&view).expect("serialises");
        assert!(text.ends_with(r#""data":"009fff"}"#), "{text}");
        assert_eq!(serde_json::from_str::<CapturedView>(&text).expect("valid"), view);
        for wrong in ["009ff", "0g", "äö"] {
            let text = text.replace("009fff", wrong);
            assert!(serde_json::from_str::<CapturedView>(&text).is_err(), "{wrong}");
        }
    }
}
