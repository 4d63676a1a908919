//! Notify payloads (RFC 7296 §3.10) and the types we know.

use super::reader::Reader;
use crate::DecodeError;

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Protocol of the SPI; 0 when there is none.
    pub protocol: u8,
    /// SPI it is about; empty, 4 or 8 bytes.
    pub spi: Vec<u8>,
    /// What it says: below 16384 an error.
    pub kind: u16,
    /// What belongs to it.
    pub data: Vec<u8>,
}

impl Notify {
    /// One about no SA in particular.
    pub fn new(kind: u16, data: impl Into<Vec<u8>>) -> Self {
        Self { protocol: 0, spi: Vec::new(), kind, data: data.into() }
    }

    /// Whether it reports an error (RFC 7296 §3.10.1).
    pub const fn is_error(&self) -> bool {
        self.kind < 16_384
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "a notification");
        let [protocol, spi_len] = reader.array()?;
        if !matches!(spi_len, 0 | 4 | 8) {
            return Err(DecodeError::Length("the SPI of a notification"));
        }
        let kind = reader.u16()?;
        let spi = reader.take(spi_len.into())?.to_vec();
        Ok(Self { protocol, spi, kind, data: reader.rest().to_vec() })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.protocol, self.spi.len() as u8]);
        out.extend(self.kind.to_be_bytes());
        out.extend(&self.spi);
        out.extend(&self.data);
    }
}

macro_rules! notifications {
    ($($name:ident = $id:literal, $doc:literal;)+) => {
        /// Types of notifications (RFC 7296 §3.10.1 and IANA).
        pub mod notify_type {
            $(#[doc = $doc] pub const $name: u16 = $id;)+
        }

        /// The name at IANA of a type we know.
        pub const fn notify_name(kind: u16) -> Option<&'static str> {
            match kind {
                $($id => Some(stringify!($name)),)+
                _ => None,
            }
        }
    };
}

notifications! {
    UNSUPPORTED_CRITICAL_PAYLOAD = 1, "A payload that had to be understood was not.";
    INVALID_IKE_SPI = 4, "No IKE SA has the SPI.";
    INVALID_MAJOR_VERSION = 5, "The version is not spoken.";
    INVALID_SYNTAX = 7, "The message is malformed.";
    INVALID_MESSAGE_ID = 9, "The message ID lies outside of the window.";
    INVALID_SPI = 11, "An ESP packet had no SA.";
    NO_PROPOSAL_CHOSEN = 14, "None of the proposals is acceptable.";
    INVALID_KE_PAYLOAD = 17, "Another key exchange method is wanted; it is in the data.";
    AUTHENTICATION_FAILED = 24, "The peer is not who it says, or not acceptable.";
    SINGLE_PAIR_REQUIRED = 34, "Selectors of one pair of addresses are wanted.";
    NO_ADDITIONAL_SAS = 35, "No more SAs under this IKE SA.";
    INTERNAL_ADDRESS_FAILURE = 36, "No address to give.";
    FAILED_CP_REQUIRED = 37, "An address has to be asked for.";
    TS_UNACCEPTABLE = 38, "None of the selectors is acceptable.";
    INVALID_SELECTORS = 39, "An ESP packet did not fit its SA.";
    TEMPORARY_FAILURE = 43, "Not now; try again later.";
    CHILD_SA_NOT_FOUND = 44, "The SA to be rekeyed is not there.";
    INITIAL_CONTACT = 16384, "The sender has no other IKE SA with this identity.";
    SET_WINDOW_SIZE = 16385, "Exchanges the sender can keep apart.";
    ADDITIONAL_TS_POSSIBLE = 16386, "More than the chosen selectors would be acceptable.";
    IPCOMP_SUPPORTED = 16387, "Compression is offered.";
    NAT_DETECTION_SOURCE_IP = 16388, "Hash of the sender's address.";
    NAT_DETECTION_DESTINATION_IP = 16389, "Hash of the receiver's address.";
    COOKIE = 16390, "To be repeated by the initiator.";
    USE_TRANSPORT_MODE = 16391, "Transport mode is wanted.";
    HTTP_CERT_LOOKUP_SUPPORTED = 16392, "Certificates may be URLs.";
    REKEY_SA = 16393, "The SA that is replaced.";
    ESP_TFC_PADDING_NOT_SUPPORTED = 16394, "No padding beyond what is needed.";
    NON_FIRST_FRAGMENTS_ALSO = 16395, "Fragments travel in the same SA.";
    MOBIKE_SUPPORTED = 16396, "Addresses may change (RFC 4555).";
    MULTIPLE_AUTH_SUPPORTED = 16404, "Several authentications (RFC 4739).";
    REDIRECT_SUPPORTED = 16406, "Redirection (RFC 5685).";
    CHILDLESS_IKEV2_SUPPORTED = 16418, "No child in IKE_AUTH (RFC 6023).";
    IKEV2_FRAGMENTATION_SUPPORTED = 16430, "Fragmentation of messages (RFC 7383).";
    SIGNATURE_HASH_ALGORITHMS = 16431, "Hashes for signatures (RFC 7427).";
    USE_PPK = 16435, "Postquantum preshared keys (RFC 8784).";
    PPK_IDENTITY = 16436, "Which one is used.";
    NO_PPK_AUTH = 16437, "AUTH for those without it.";
    INTERMEDIATE_EXCHANGE_SUPPORTED = 16438, "IKE_INTERMEDIATE (RFC 9242).";
    ADDITIONAL_KEY_EXCHANGE = 16441, "Links further key exchanges (RFC 9370).";
}
