//! Finding payloads in a message.

use crate::{
    auth::ENCODING_X509_SIGNATURE,
    message::{
        Configuration, Identification, KeyExchange, Notify, Payload, Proposal, TrafficSelector,
        notify_type,
    },
};

/// The payloads of one message, to be asked for by kind.
#[derive(Clone, Copy)]
pub(super) struct Payloads<'a>(pub(super) &'a [Payload]);

macro_rules! find {
    ($($name:ident: $variant:ident => $kind:ty;)+) => {
        $(pub(super) fn $name(self) -> Option<&'a $kind> {
            self.0.iter().find_map(|payload| match payload {
                Payload::$variant(found) => Some(found),
                _ => None,
            })
        })+
    };
}

impl<'a> Payloads<'a> {
    find! {
        sa: SecurityAssociation => Vec<Proposal>;
        key_exchange: KeyExchange => KeyExchange;
        nonce: Nonce => Vec<u8>;
        id_initiator: IdInitiator => Identification;
        id_responder: IdResponder => Identification;
        selectors_initiator: SelectorsInitiator => Vec<TrafficSelector>;
        selectors_responder: SelectorsResponder => Vec<TrafficSelector>;
        configuration: Configuration => Configuration;
    }

    pub(super) fn notifies(self) -> impl Iterator<Item = &'a Notify> {
        self.0.iter().filter_map(|payload| match payload {
            Payload::Notify(notify) => Some(notify),
            _ => None,
        })
    }

    pub(super) fn notify(self, kind: u16) -> Option<&'a Notify> {
        self.notifies().find(|notify| notify.kind == kind)
    }

    pub(super) fn has(self, kind: u16) -> bool {
        self.notify(kind).is_some()
    }

    /// The first error that is reported.
    pub(super) fn error(self) -> Option<u16> {
        self.notifies().find(|notify| notify.is_error()).map(|notify| notify.kind)
    }

    pub(super) fn authentication(self) -> Option<(u8, &'a [u8])> {
        self.0.iter().find_map(|payload| match payload {
            Payload::Authentication { method, data } => Some((*method, data.as_slice())),
            _ => None,
        })
    }

    /// Hashes of the keys of authorities whose certificates are asked for (RFC 7296 §3.7).
    pub(super) fn authorities(self) -> Vec<[u8; 20]> {
        let asked = self.0.iter().filter_map(|payload| match payload {
            Payload::CertificateRequest(asked) => Some(asked),
            _ => None,
        });
        let x509 = asked.filter(|asked| asked.encoding == ENCODING_X509_SIGNATURE);
        x509.flat_map(|asked| asked.authorities.as_chunks().0).copied().collect()
    }

    /// The method an `INVALID_KE_PAYLOAD` asks for.
    pub(super) fn wanted_method(self) -> Option<u16> {
        let notify = self.notify(notify_type::INVALID_KE_PAYLOAD)?;
        notify.data.as_slice().try_into().ok().map(u16::from_be_bytes)
    }
}

pub(super) fn notify(kind: u16, data: impl Into<Vec<u8>>) -> Payload {
    Payload::Notify(Notify::new(kind, data))
}
