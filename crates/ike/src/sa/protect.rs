//! Messages of an IKE SA that has keys: protected, fragmented where needed, and traced.

use super::{Context, Ignored, IkeSa, reassembly};
use crate::{
    DecodeError, Event, Path,
    event::MessageRecord,
    message::{
        HEADER_LEN, Header, Notify, Payload, decode_chain, encode_chain, notify_type, payload_type,
    },
};

/// Bytes of the generic header of a payload.
const GENERIC: usize = 4;
/// Bytes between the generic header of a fragment and its initialization vector.
const NUMBERS: usize = 4;
/// Bytes of the non-ESP marker, which may be there.
const MARKER: usize = 4;

/// The payloads of a protected message, and the bytes they were decoded from.
pub(super) struct Opened {
    pub(super) payloads: Vec<Payload>,
    pub(super) first: u8,
    pub(super) inner: Vec<u8>,
}

impl IkeSa {
    /// Checks and decrypts; `None` when it was a fragment and others are missing.
    pub(super) fn open(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        bytes: &[u8],
        header: &Header,
        payloads: Vec<Payload>,
    ) -> Result<Option<Opened>, Ignored> {
        let keys = self.keys.as_ref().ok_or(Ignored::Unexpected)?;
        let whole = match payloads.into_iter().next_back() {
            Some(Payload::Encrypted { first, body }) => {
                Some((first, keys.opener.open(bytes, bytes.len() - body.len())?))
            }
            Some(Payload::EncryptedFragment(fragment)) if self.fragmentation => {
                let inner = keys.opener.open(bytes, bytes.len() - fragment.body.len())?;
                let slot = &mut self.assembly[usize::from(header.is_response)];
                let assembly = slot.get_or_insert_default();
                let numbers = (fragment.number, fragment.total);
                let limit = match self.opening {
                    Some(_) => reassembly::MAX_BYTES_OF_STRANGERS,
                    None => reassembly::MAX_BYTES,
                };
                let whole =
                    assembly.take(header.message_id, numbers, fragment.first, inner, limit)?;
                if whole.is_some() {
                    *slot = None;
                }
                whole
            }
            _ => return Err(Ignored::NotProtected),
        };
        let Some((first, inner)) = whole else { return Ok(None) };
        match decode_chain(first, &inner) {
            Ok(payloads) => {
                self.trace(ctx, false, path, header, &payloads);
                Ok(Some(Opened { payloads, first, inner }))
            }
            Err(error) => {
                self.undecodable(ctx, path, header, error);
                Err(error.into())
            }
        }
    }

    /// Whether a datagram that is seen again is really from the peer and asks for the answer again:
    /// of a fragmented one the first fragment does (RFC 7383 §2.6.1).
    pub(super) fn asks_again(&self, bytes: &[u8], payloads: &[Payload]) -> Result<bool, Ignored> {
        let keys = self.keys.as_ref().ok_or(Ignored::Unexpected)?;
        let (body, asks) = match payloads.last() {
            Some(Payload::Encrypted { body, .. }) => (body, true),
            Some(Payload::EncryptedFragment(f)) => (&f.body, f.number == 1),
            _ => return Err(Ignored::NotProtected),
        };
        if asks {
            let at = bytes.len() - body.len();
            let before = keys.before.as_ref().filter(|opener| opener.open(bytes, at).is_ok());
            if before.is_none() {
                keys.opener.open(bytes, at)?;
            }
        }
        Ok(asks)
    }

    /// A message that is authentic and malformed: a bug of the peer, or something we do not know
    /// that we have to (RFC 7296 §2.5, §2.21).
    fn undecodable(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: &Header,
        error: DecodeError,
    ) {
        if header.is_response {
            self.broken(ctx, error.to_string());
            return;
        }
        let notify = match error {
            DecodeError::UnsupportedCritical(kind) => {
                Notify::new(notify_type::UNSUPPORTED_CRITICAL_PAYLOAD, [kind])
            }
            _ => Notify::new(notify_type::INVALID_SYNTAX, []),
        };
        let fatal = notify.kind == notify_type::INVALID_SYNTAX || self.opening.is_some();
        self.answer(ctx, path, header, vec![Payload::Notify(notify)]);
        if fatal {
            self.broken(ctx, error.to_string());
        }
    }

    /// Protects a message: one datagram, or one for each fragment.
    pub(super) fn seal(
        &mut self,
        ctx: &mut Context<'_>,
        path: Path,
        header: &Header,
        payloads: &[Payload],
    ) -> Vec<Vec<u8>> {
        self.trace(ctx, true, path, header, payloads);
        let inner = encode_chain(payloads);
        let first = payloads.first().map_or(payload_type::NONE, Payload::kind);
        let room = self.room(ctx, path);
        let fragmentation = self.fragmentation;
        let sealer = &mut self.keys.as_mut().expect("invariant: sealed with keys").sealer;
        let suite = sealer.suite();
        let mut seal = |kind: u8, first: u8, numbers: Option<(u16, u16)>, inner: &[u8]| {
            let more = if numbers.is_some() { NUMBERS } else { 0 };
            let length = GENERIC + more + suite.sealed_len(inner.len());
            let mut message = header.encode(kind, HEADER_LEN + length).to_vec();
            message.extend([first, 0]);
            message.extend((length as u16).to_be_bytes());
            if let Some((number, total)) = numbers {
                message.extend(number.to_be_bytes());
                message.extend(total.to_be_bytes());
            }
            message.extend(inner);
            sealer
                .seal(&mut message, HEADER_LEN + GENERIC + more)
                .expect("invariant: an IKE SA sends fewer than 2^32 messages");
            message
        };
        if !fragmentation || HEADER_LEN + GENERIC + suite.sealed_len(inner.len()) <= room {
            return vec![seal(payload_type::SK, first, None, &inner)];
        }
        let piece = suite.inner_len(room - HEADER_LEN - GENERIC - NUMBERS);
        let piece = piece.expect("invariant: a fragment has room for something").max(1);
        let pieces: Vec<_> = inner.chunks(piece).collect();
        let total = pieces.len() as u16;
        (1..)
            .zip(pieces)
            .map(|(number, piece)| {
                let first = if number == 1 { first } else { 0 };
                seal(payload_type::SKF, first, Some((number, total)), piece)
            })
            .collect()
    }

    /// Bytes a message may have.
    fn room(&self, ctx: &Context<'_>, path: Path) -> usize {
        let headers = if path.remote.is_ipv4() { 20 } else { 40 } + esp::nat_t::UDP_LEN + MARKER;
        usize::from(ctx.settings.fragment_size.max(576)) - headers
    }

    /// Tells a message, if that is asked for.
    pub(super) fn trace(
        &self,
        ctx: &mut Context<'_>,
        sent: bool,
        path: Path,
        header: &Header,
        payloads: &[Payload],
    ) {
        if ctx.settings.trace {
            ctx.out.event(Event::Message(Box::new(MessageRecord {
                ike: self.id,
                connection: self.connection.name.clone(),
                sent,
                path,
                exchange: header.exchange,
                message_id: header.message_id,
                is_response: header.is_response,
                payloads: payloads.iter().map(ToString::to_string).collect(),
            })));
        }
    }
}

/// The headers of a message as if it were neither encrypted nor fragmented, for IntAuth
/// (RFC 9242 §3.3.2).
pub(super) fn unprotected_head(header: &Header, first: u8, inner: usize) -> Vec<u8> {
    let length = GENERIC + inner;
    let mut head = header.encode(payload_type::SK, HEADER_LEN + length).to_vec();
    head.extend([first, 0]);
    head.extend((length as u16).to_be_bytes());
    head
}
