//! What we accept of algorithms, how it is written, and how one proposal is chosen
//! (RFC 7296 §2.7, §3.3).
//!
//! An offer is written as strongSwan does, `aes256gcm16-prfsha384-x25519`: one proposal, in which a
//! kind of algorithm may stand several times, in the order of preference. `ke1_mlkem768` is a further
//! key exchange (RFC 9370). Offers for ESP may have `esn` and `noesn`; a key exchange in them means
//! perfect forward secrecy when the child is rekeyed.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    algorithm::{
        Encryption, Integrity, KeyExchangeMethod, Prf,
        transform_type::{
            ADDITIONAL_KEY_EXCHANGE_1, ADDITIONAL_KEY_EXCHANGE_7, ENCRYPTION, INTEGRITY,
            KEY_EXCHANGE, PRF, SEQUENCE_NUMBERS,
        },
    },
    crypto,
    message::{Proposal, Transform, protocol},
};

/// What we offer and accept for IKE itself: one proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeOffer(Arc<[Transform]>);

/// What we offer and accept for children: one proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspOffer(Arc<[Transform]>);

/// The algorithms of an IKE SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeChoice {
    /// Encryption, integrity, pseudorandom function.
    pub suite: crypto::Suite,
    /// The first key exchange.
    pub key_exchange: KeyExchangeMethod,
    /// Further key exchanges in their order (RFC 9370).
    pub additional: Vec<KeyExchangeMethod>,
}

/// The algorithms of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspChoice {
    /// Encryption and integrity.
    pub suite: esp::Suite,
    /// Extended sequence numbers.
    pub esn: bool,
    /// The key exchange of perfect forward secrecy.
    pub key_exchange: Option<KeyExchangeMethod>,
}

/// The text is no offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// A part is not known.
    #[error("{part} in {offer} is not known; an example is {example}")]
    Unknown {
        /// The whole text.
        offer: String,
        /// What was not known.
        part: String,
        /// A text that works.
        example: &'static str,
    },
    /// A part cannot stand there.
    #[error("{part} cannot be in {offer}: {why}")]
    Misplaced {
        /// The whole text.
        offer: String,
        /// What cannot stand there.
        part: String,
        /// Why.
        why: &'static str,
    },
    /// Something is missing.
    #[error("{offer} has no {what}; an example is {example}")]
    Missing {
        /// The whole text.
        offer: String,
        /// What is missing.
        what: &'static str,
        /// A text that works.
        example: &'static str,
    },
}

/// No proposal fits: what both sides have, and where the two that are closest differ first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProposal {
    /// Our proposals.
    pub ours: Vec<Proposal>,
    /// The peer's.
    pub theirs: Vec<Proposal>,
    /// The type of transform in which the closest two have nothing in common.
    pub kind: u8,
    /// What we have of that type.
    pub our_transforms: Vec<Transform>,
    /// What the peer has of it.
    pub their_transforms: Vec<Transform>,
}

const IKE_EXAMPLE: &str = "aes256gcm16-prfsha384-x25519";
const ESP_EXAMPLE: &str = "aes256gcm16-x25519";

impl IkeOffer {
    /// As a proposal with a number and, but in IKE_SA_INIT, an SPI.
    pub fn proposal(&self, number: u8, spi: &[u8]) -> Proposal {
        proposal(&self.0, number, protocol::IKE, spi)
    }

    /// The same without additional key exchanges: for rekeying, where the old keys are mixed into
    /// the new ones, so that what protected those protects these.
    pub fn without_additional(&self) -> Self {
        Self(self.0.iter().copied().filter(|t| t.kind < ADDITIONAL_KEY_EXCHANGE_1).collect())
    }

    /// The key exchange methods, preferred first.
    pub fn key_exchanges(&self) -> impl Iterator<Item = KeyExchangeMethod> + '_ {
        self.0
            .iter()
            .filter(|t| t.kind == KEY_EXCHANGE)
            .filter_map(|t| KeyExchangeMethod::from_id(t.id))
    }

    /// Whether there are additional key exchanges.
    pub fn has_additional(&self) -> bool {
        self.0.iter().any(|t| t.kind >= ADDITIONAL_KEY_EXCHANGE_1)
    }
}

impl EspOffer {
    /// As a proposal with a number and our SPI; without the key exchange when `pfs` is not set, as in
    /// IKE_AUTH, where there is none (RFC 7296 §1.2).
    pub fn proposal(&self, number: u8, spi: u32, pfs: bool) -> Proposal {
        let transforms = self.transforms(pfs);
        proposal(&transforms, number, protocol::ESP, &spi.to_be_bytes())
    }

    /// The key exchange methods of perfect forward secrecy, preferred first.
    pub fn key_exchanges(&self) -> impl Iterator<Item = KeyExchangeMethod> + '_ {
        self.0
            .iter()
            .filter(|t| t.kind == KEY_EXCHANGE)
            .filter_map(|t| KeyExchangeMethod::from_id(t.id))
    }

    /// What can come of it, preferred first: suites, each with and without extended sequence numbers as
    /// far as both are offered.
    pub fn suites(&self) -> Vec<(esp::Suite, bool)> {
        let of = |kind: u8| self.0.iter().copied().filter(move |t| t.kind == kind);
        let or_none = |kind: u8| {
            let all: Vec<_> = of(kind).collect();
            if all.is_empty() { vec![Transform::new(kind, 0)] } else { all }
        };
        let mut suites = Vec::new();
        for encryption in of(ENCRYPTION) {
            for integrity in or_none(INTEGRITY) {
                for numbers in or_none(SEQUENCE_NUMBERS) {
                    let choice = EspChoice::of(&[encryption, integrity, numbers]);
                    suites.extend(choice.map(|choice| (choice.suite, choice.esn)));
                }
            }
        }
        suites
    }

    fn transforms(&self, pfs: bool) -> Vec<Transform> {
        self.0.iter().copied().filter(|t| pfs || t.kind != KEY_EXCHANGE).collect()
    }
}

/// Chooses from what the peer offers for IKE: our first offer that fits, in it our first algorithms;
/// the key exchange the peer has sent a value for, `sent`, before others, which saves a round trip.
/// Gives the number of the peer's proposal and its SPI too.
pub fn choose_ike(
    ours: &[IkeOffer],
    theirs: &[Proposal],
    sent: Option<KeyExchangeMethod>,
) -> Result<(IkeChoice, Proposal), Box<NoProposal>> {
    let ours: Vec<_> = ours.iter().enumerate().map(|(i, o)| o.proposal(i as u8 + 1, &[])).collect();
    let (chosen, ()) =
        choose(&ours, theirs, sent, |proposal| matches!(proposal.spi.len(), 0 | 8).then_some(()))?;
    let choice = IkeChoice::of(&chosen.transforms)
        .expect("invariant: offers are made of algorithms that fit together");
    Ok((choice, chosen))
}

/// Chooses from what the peer offers for a child; with a key exchange only where there can be one.
pub fn choose_esp(
    ours: &[EspOffer],
    theirs: &[Proposal],
    pfs: bool,
    sent: Option<KeyExchangeMethod>,
) -> Result<(EspChoice, Proposal, u32), Box<NoProposal>> {
    let ours: Vec<_> =
        ours.iter().enumerate().map(|(i, o)| o.proposal(i as u8 + 1, 0, pfs)).collect();
    let mut theirs = theirs.to_vec();
    if !pfs {
        theirs.iter_mut().for_each(|p| p.transforms.retain(|t| t.kind != KEY_EXCHANGE));
    }
    let (chosen, spi) = choose(&ours, &theirs, sent, |proposal| {
        let spi = proposal.spi.as_slice().try_into().map(u32::from_be_bytes);
        // SPIs up to 255 are reserved (RFC 4303 §2.1)
        spi.ok().filter(|spi| *spi > 255)
    })?;
    let choice = EspChoice::of(&chosen.transforms)
        .expect("invariant: offers are made of algorithms that fit together");
    Ok((choice, chosen, spi))
}

impl IkeChoice {
    /// From the transforms of one chosen proposal; `None` when they are not exactly one that works.
    pub fn of(transforms: &[Transform]) -> Option<Self> {
        let one = Chosen::of(transforms)?;
        if one.sequence_numbers.is_some() {
            return None;
        }
        Some(Self {
            suite: crypto::Suite::new(one.encryption?, one.integrity, one.prf?).ok()?,
            key_exchange: one.key_exchange?,
            additional: one.additional,
        })
    }

    /// The answer of a responder to an initiator that offered `ours`: whether it chose from it.
    pub fn from_answer(ours: &[Proposal], answer: &[Proposal]) -> Option<Self> {
        Self::of(&chosen_from(ours, answer)?.transforms)
    }
}

impl EspChoice {
    /// From the transforms of one chosen proposal; `None` when they are not exactly one that works.
    pub fn of(transforms: &[Transform]) -> Option<Self> {
        let one = Chosen::of(transforms)?;
        if one.prf.is_some() || !one.additional.is_empty() {
            return None;
        }
        let name = match (one.encryption?, one.integrity) {
            (encryption, None) => encryption.name().to_owned(),
            (encryption, Some(integrity)) => format!("{encryption}-{integrity}"),
        };
        Some(Self {
            suite: name.parse().ok()?,
            esn: one.sequence_numbers.unwrap_or(0) == 1,
            key_exchange: one.key_exchange,
        })
    }

    /// The answer of a responder to an initiator that offered `ours`, and the responder's SPI.
    pub fn from_answer(ours: &[Proposal], answer: &[Proposal]) -> Option<(Self, u32)> {
        let chosen = chosen_from(ours, answer)?;
        let spi = u32::from_be_bytes(chosen.spi.as_slice().try_into().ok()?);
        Some((Self::of(&chosen.transforms)?, spi)).filter(|(_, spi)| *spi > 255)
    }
}

fn proposal(transforms: &[Transform], number: u8, protocol: u8, spi: &[u8]) -> Proposal {
    Proposal { number, protocol, spi: spi.to_vec(), transforms: transforms.to_vec() }
}

/// The one proposal of an answer when it is a choice from `ours` (RFC 7296 §3.3.6).
fn chosen_from<'a>(ours: &[Proposal], answer: &'a [Proposal]) -> Option<&'a Proposal> {
    let [chosen] = answer else { return None };
    let offered = ours.iter().find(|p| p.number == chosen.number)?;
    let from_offer = offered.protocol == chosen.protocol
        && chosen.transforms.iter().all(|t| t.id == 0 || offered.transforms.contains(t))
        && offered.transforms.iter().all(|o| {
            // a type that was offered without NONE has to be answered
            chosen.transforms.iter().any(|t| t.kind == o.kind)
                || offered.transforms.iter().any(|n| n.kind == o.kind && n.id == 0)
        })
        && chosen.transforms.iter().all(|t| {
            t.id != 0
                || !offered.transforms.iter().any(|o| o.kind == t.kind && o.id != 0)
                || offered.transforms.contains(t)
        });
    from_offer.then_some(chosen)
}

/// The transforms of a chosen proposal, one of each type at most.
#[derive(Default)]
struct Chosen {
    encryption: Option<Encryption>,
    integrity: Option<Integrity>,
    prf: Option<Prf>,
    key_exchange: Option<KeyExchangeMethod>,
    additional: Vec<KeyExchangeMethod>,
    sequence_numbers: Option<u16>,
}

impl Chosen {
    fn of(transforms: &[Transform]) -> Option<Self> {
        let mut sorted = transforms.to_vec();
        sorted.sort_by_key(|t| t.kind);
        if sorted.windows(2).any(|pair| pair[0].kind == pair[1].kind) {
            return None;
        }
        let mut one = Self::default();
        for t in sorted {
            match t.kind {
                ENCRYPTION => one.encryption = Some(Encryption::from_id(t.id, t.key_bits)?),
                PRF => one.prf = Some(Prf::from_id(t.id)?),
                INTEGRITY if t.id == 0 => {}
                INTEGRITY => one.integrity = Some(Integrity::from_id(t.id)?),
                KEY_EXCHANGE if t.id == 0 => {}
                KEY_EXCHANGE => one.key_exchange = Some(KeyExchangeMethod::from_id(t.id)?),
                SEQUENCE_NUMBERS if t.id < 2 => one.sequence_numbers = Some(t.id),
                ADDITIONAL_KEY_EXCHANGE_1..=ADDITIONAL_KEY_EXCHANGE_7 if t.id == 0 => {}
                ADDITIONAL_KEY_EXCHANGE_1..=ADDITIONAL_KEY_EXCHANGE_7 => {
                    one.additional.push(KeyExchangeMethod::from_id(t.id)?);
                }
                _ => return None,
            }
        }
        Some(one)
    }
}

/// Our first proposal that fits one of the peer's: what is chosen, with the peer's number and SPI.
fn choose<S>(
    ours: &[Proposal],
    theirs: &[Proposal],
    sent: Option<KeyExchangeMethod>,
    spi: impl Fn(&Proposal) -> Option<S>,
) -> Result<(Proposal, S), Box<NoProposal>> {
    let mut closest: Option<(usize, u8)> = None;
    let mut pair = None;
    for our in ours {
        for their in theirs.iter().filter(|their| their.protocol == our.protocol) {
            match (intersect(our, their, sent), spi(their)) {
                (Ok(transforms), Some(spi)) => {
                    return Ok((Proposal { transforms, ..their.clone() }, spi));
                }
                (Ok(_), None) => {}
                (Err(missed), _) => {
                    // fewest types missed; of equals the first
                    if closest.is_none_or(|(count, _)| missed.len() < count) {
                        closest = Some((missed.len(), missed[0]));
                        pair = Some((our, their));
                    }
                }
            }
        }
    }
    let kind = closest.map_or(0, |(_, kind)| kind);
    let of = |p: Option<&Proposal>| {
        p.map(|p| p.transforms.iter().copied().filter(|t| t.kind == kind).collect())
            .unwrap_or_default()
    };
    Err(Box::new(NoProposal {
        kind,
        our_transforms: of(pair.map(|p| p.0)),
        their_transforms: of(pair.map(|p| p.1)),
        ours: ours.to_vec(),
        theirs: theirs.to_vec(),
    }))
}

/// One transform of each type that both have, or the types without one.
fn intersect(
    ours: &Proposal,
    theirs: &Proposal,
    sent: Option<KeyExchangeMethod>,
) -> Result<Vec<Transform>, Vec<u8>> {
    let mut kinds: Vec<u8> =
        ours.transforms.iter().chain(&theirs.transforms).map(|t| t.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut chosen = Vec::with_capacity(kinds.len());
    let mut missed = Vec::new();
    for kind in kinds {
        let of = |p: &Proposal| {
            let mut of: Vec<_> = p.transforms.iter().copied().filter(|t| t.kind == kind).collect();
            // what is not there is none, and no extended sequence numbers
            if of.is_empty() && !matches!(kind, ENCRYPTION | PRF) {
                of.push(Transform::new(kind, 0));
            }
            of
        };
        let (mut our, their) = (of(ours), of(theirs));
        if let Some(sent) = sent.filter(|_| kind == KEY_EXCHANGE) {
            our.sort_by_key(|t| t.id != sent.id());
        }
        let shared = our.into_iter().find(|t| their.contains(t));
        match shared.filter(|_| belongs(kind, ours.protocol)) {
            Some(t) if t.id == 0 && !theirs.transforms.contains(&t) => {}
            Some(t) => chosen.push(t),
            None => missed.push(kind),
        }
    }
    if missed.is_empty() { Ok(chosen) } else { Err(missed) }
}

/// Whether proposals for a protocol have this type of transform. One with a type that is not known makes
/// its proposal unacceptable, even where it says none (RFC 7296 §3.3.6).
const fn belongs(kind: u8, of: u8) -> bool {
    match kind {
        ENCRYPTION | INTEGRITY | KEY_EXCHANGE => true,
        PRF => of == protocol::IKE,
        SEQUENCE_NUMBERS => of == protocol::ESP,
        ADDITIONAL_KEY_EXCHANGE_1..=ADDITIONAL_KEY_EXCHANGE_7 => true,
        _ => false,
    }
}

/// Parts of an offer's text.
fn parse(text: &str, example: &'static str) -> Result<Vec<Transform>, OfferError> {
    text.split('-')
        .map(|part| {
            let additional = || {
                let (number, method) = part.strip_prefix("ke")?.split_once('_')?;
                let number: u8 = number.parse().ok().filter(|n| (1..=7).contains(n))?;
                let id = match method {
                    "none" => 0,
                    method => KeyExchangeMethod::from_name(method)?.id(),
                };
                Some(Transform::new(ADDITIONAL_KEY_EXCHANGE_1 + number - 1, id))
            };
            let encryption = |e: Encryption| Transform {
                key_bits: e.key_length_attribute(),
                ..Transform::new(ENCRYPTION, e.id())
            };
            None.or_else(|| Encryption::from_name(part).map(encryption))
                .or_else(|| Prf::from_name(part).map(|a| Transform::new(PRF, a.id())))
                .or_else(|| Integrity::from_name(part).map(|a| Transform::new(INTEGRITY, a.id())))
                .or_else(|| {
                    let method = KeyExchangeMethod::from_name(part)?;
                    Some(Transform::new(KEY_EXCHANGE, method.id()))
                })
                .or_else(|| (part == "none").then_some(Transform::new(KEY_EXCHANGE, 0)))
                .or_else(|| (part == "noesn").then_some(Transform::new(SEQUENCE_NUMBERS, 0)))
                .or_else(|| (part == "esn").then_some(Transform::new(SEQUENCE_NUMBERS, 1)))
                .or_else(additional)
                .ok_or_else(|| OfferError::Unknown {
                    offer: text.to_owned(),
                    part: part.to_owned(),
                    example,
                })
        })
        .collect()
}

/// Encryption is there, and integrity exactly when the encryption needs it.
fn check_cipher(
    text: &str,
    transforms: &[Transform],
    example: &'static str,
) -> Result<(), OfferError> {
    let missing = |what| Err(OfferError::Missing { offer: text.to_owned(), what, example });
    let misplaced = |t: &Transform, why| {
        Err(OfferError::Misplaced { offer: text.to_owned(), part: t.to_string(), why })
    };
    let combined =
        |t: &&Transform| Encryption::from_id(t.id, t.key_bits).is_some_and(Encryption::is_combined);
    let ciphers: Vec<_> = transforms.iter().filter(|t| t.kind == ENCRYPTION).collect();
    let integrity = transforms.iter().find(|t| t.kind == INTEGRITY);
    let Some(first) = ciphers.first() else { return missing("encryption algorithm") };
    if let Some(other) = ciphers.iter().find(|t| combined(t) != combined(first)) {
        return misplaced(
            other,
            "ciphers that authenticate and ciphers that do not need two offers",
        );
    }
    match (combined(first), integrity) {
        (true, Some(integrity)) => {
            misplaced(integrity, "the encryption algorithm authenticates by itself")
        }
        (false, None) => missing("integrity algorithm"),
        (true, None) | (false, Some(_)) => Ok(()),
    }
}

impl FromStr for IkeOffer {
    type Err = OfferError;

    fn from_str(text: &str) -> Result<Self, OfferError> {
        let mut transforms = parse(text, IKE_EXAMPLE)?;
        let misplaced = |t: &Transform, why| {
            Err(OfferError::Misplaced { offer: text.to_owned(), part: t.to_string(), why })
        };
        let missing =
            |what| Err(OfferError::Missing { offer: text.to_owned(), what, example: IKE_EXAMPLE });
        for t in &transforms {
            match t.kind {
                ENCRYPTION
                    if Encryption::from_id(t.id, t.key_bits).is_some_and(|e| !e.is_for_ike()) =>
                {
                    return misplaced(t, "it is for ESP alone");
                }
                SEQUENCE_NUMBERS => return misplaced(t, "sequence numbers are those of ESP"),
                KEY_EXCHANGE => match KeyExchangeMethod::from_id(t.id) {
                    Some(method) if method.may_be_first() => {}
                    Some(_) => {
                        return misplaced(t, "it can be an additional key exchange only: ke1_...");
                    }
                    None => return misplaced(t, "IKE needs a key exchange"),
                },
                _ => {}
            }
        }
        check_cipher(text, &transforms, IKE_EXAMPLE)?;
        let has = |transforms: &[Transform], kind| transforms.iter().any(|t| t.kind == kind);
        if !has(&transforms, PRF) {
            let integrity = transforms.iter().filter(|t| t.kind == INTEGRITY);
            let prfs: Vec<_> = integrity
                .filter_map(|t| Integrity::from_id(t.id))
                .map(|i| Transform::new(PRF, i.prf().id()))
                .collect();
            if prfs.is_empty() {
                return missing("pseudorandom function");
            }
            transforms.extend(prfs);
        }
        if !has(&transforms, KEY_EXCHANGE) {
            return missing("key exchange method");
        }
        transforms.sort_by_key(|t| t.kind);
        Ok(Self(transforms.into()))
    }
}

impl FromStr for EspOffer {
    type Err = OfferError;

    fn from_str(text: &str) -> Result<Self, OfferError> {
        let mut transforms = parse(text, ESP_EXAMPLE)?;
        let misplaced = |t: &Transform, why| {
            Err(OfferError::Misplaced { offer: text.to_owned(), part: t.to_string(), why })
        };
        for t in &transforms {
            match t.kind {
                PRF => {
                    return misplaced(t, "children take the pseudorandom function of their IKE SA");
                }
                KEY_EXCHANGE
                    if KeyExchangeMethod::from_id(t.id).is_some_and(|m| !m.may_be_first()) =>
                {
                    return misplaced(t, "it can be an additional key exchange of IKE only");
                }
                ADDITIONAL_KEY_EXCHANGE_1..=ADDITIONAL_KEY_EXCHANGE_7 => {
                    return misplaced(t, "additional key exchanges are those of the IKE SA");
                }
                _ => {}
            }
        }
        check_cipher(text, &transforms, ESP_EXAMPLE)?;
        if !transforms.iter().any(|t| t.kind == SEQUENCE_NUMBERS) {
            transforms.push(Transform::new(SEQUENCE_NUMBERS, 0));
        }
        transforms.sort_by_key(|t| t.kind);
        Ok(Self(transforms.into()))
    }
}

/// The text of the offer.
impl fmt::Display for IkeOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(f, &self.0)
    }
}

/// The text of the offer.
impl fmt::Display for EspOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(f, &self.0)
    }
}

/// `aes256gcm16-prfsha384-x25519`.
impl fmt::Display for IkeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.suite.encryption())?;
        if let Some(integrity) = self.suite.integrity() {
            write!(f, "-{integrity}")?;
        }
        write!(f, "-{}-{}", self.suite.prf(), self.key_exchange)?;
        for (i, method) in self.additional.iter().enumerate() {
            write!(f, "-ke{}_{method}", i + 1)?;
        }
        Ok(())
    }
}

/// The name of a type of transforms.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        ENCRYPTION => "encryption algorithm",
        PRF => "pseudorandom function",
        INTEGRITY => "integrity algorithm",
        KEY_EXCHANGE => "key exchange method",
        SEQUENCE_NUMBERS => "sequence numbers",
        ADDITIONAL_KEY_EXCHANGE_1..=ADDITIONAL_KEY_EXCHANGE_7 => "additional key exchange",
        _ => "protocol",
    }
}

/// `the encryption algorithm differs: ours aes256gcm16, theirs aes128 (ours: ...; theirs: ...)`.
impl fmt::Display for NoProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no common {}: ours ", kind_name(self.kind))?;
        names(f, &self.our_transforms)?;
        f.write_str(", theirs ")?;
        names(f, &self.their_transforms)?;
        for (who, proposals) in [("(ours: ", &self.ours), ("; theirs: ", &self.theirs)] {
            f.write_str(if who.starts_with('(') { " " } else { "" })?;
            f.write_str(who)?;
            for (i, proposal) in proposals.iter().enumerate() {
                write!(f, "{}{proposal}", if i == 0 { "" } else { ", " })?;
            }
        }
        f.write_str(")")
    }
}

fn names(f: &mut fmt::Formatter<'_>, transforms: &[Transform]) -> fmt::Result {
    if transforms.is_empty() {
        return f.write_str("none");
    }
    for (i, t) in transforms.iter().enumerate() {
        write!(f, "{}{t}", if i == 0 { "" } else { "-" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn ike(text: &str) -> IkeOffer {
        text.parse().unwrap()
    }

    fn esp(text: &str) -> EspOffer {
        text.parse().unwrap()
    }

    fn their_ike(texts: &[&str]) -> Vec<Proposal> {
        texts.iter().zip(1..).map(|(t, n)| ike(t).proposal(n, &[])).collect()
    }

    #[test]
    fn offers_are_read_and_written() {
        for text in [
            "aes256gcm16-prfsha384-x25519",
            "aes256gcm16-aes128gcm16-prfsha384-prfsha256-x25519-ecp256",
            "aes256-prfsha256-sha256-modp2048",
            "chacha20poly1305-prfsha512-x25519-ke1_mlkem768",
        ] {
            assert_eq!(ike(text).to_string(), text);
        }
        assert_eq!(ike("aes256-sha256-modp2048").to_string(), "aes256-prfsha256-sha256-modp2048");
        assert_eq!(esp("aes256gcm16").to_string(), "aes256gcm16-noesn");
        assert_eq!(esp("aes128-sha1-x25519-esn-noesn").to_string(), "aes128-sha1-x25519-esn-noesn");
    }

    #[test]
    fn what_is_no_offer_says_why() {
        let ike_error = |text: &str| text.parse::<IkeOffer>().unwrap_err().to_string();
        assert!(ike_error("3des-x25519").contains("3des in 3des-x25519 is not known"));
        assert!(ike_error("aes256gcm16-x25519").contains("no pseudorandom function"));
        assert!(ike_error("aes256gcm16-prfsha256").contains("no key exchange method"));
        assert!(ike_error("aes256-x25519").contains("no integrity algorithm"));
        assert!(ike_error("aes256gcm16-sha256-x25519").contains("authenticates by itself"));
        assert!(ike_error("aes256gcm16-aes256-prfsha256-x25519").contains("two offers"));
        assert!(ike_error("aes256gmac-prfsha256-x25519").contains("ESP alone"));
        assert!(ike_error("aes256gcm16-prfsha256-mlkem768").contains("ke1_"));
        assert!(ike_error("aes256gcm16-prfsha256-x25519-esn").contains("those of ESP"));
        let esp_error = |text: &str| text.parse::<EspOffer>().unwrap_err().to_string();
        assert!(esp_error("aes256gcm16-prfsha256").contains("of their IKE SA"));
        assert!(esp_error("x25519").contains("no encryption algorithm"));
        assert!(esp_error("aes256gcm16-ke1_mlkem768").contains("of the IKE SA"));
    }

    #[test]
    fn our_order_decides_and_a_value_that_was_sent_comes_first() {
        let ours = [ike("aes256gcm16-prfsha384-x25519-ecp256"), ike("aes128-sha256-modp2048")];
        let theirs = their_ike(&["aes128-sha256-modp2048", "aes256gcm16-prfsha384-ecp256-x25519"]);
        let (choice, proposal) = choose_ike(&ours, &theirs, None).unwrap();
        assert_eq!(choice.to_string(), "aes256gcm16-prfsha384-x25519");
        assert_eq!(proposal.number, 2);
        let sent = Some(KeyExchangeMethod::Ecp256);
        let (choice, chosen) = choose_ike(&ours, &theirs, sent).unwrap();
        assert_eq!(choice.key_exchange, KeyExchangeMethod::Ecp256);
        assert_eq!(IkeChoice::from_answer(&theirs, &[chosen]), Some(choice));
    }

    #[test]
    fn the_first_mismatch_of_the_closest_pair_is_named() {
        let ours = [ike("aes256-sha512-modp2048"), ike("aes256gcm16-prfsha384-x25519")];
        let theirs = their_ike(&["aes128gcm16-prfsha384-x25519"]);
        let lost = choose_ike(&ours, &theirs, None).unwrap_err();
        assert_eq!(
            lost.to_string(),
            "no common encryption algorithm: ours aes256gcm16, theirs aes128gcm16 (ours: IKE \
             aes256-prfsha512-sha512-modp2048, IKE aes256gcm16-prfsha384-x25519; theirs: IKE \
             aes128gcm16-prfsha384-x25519)"
        );
    }

    #[test]
    fn children_choose_pfs_and_sequence_numbers() {
        let theirs = |text: &str| vec![esp(text).proposal(1, 0x1234, true)];
        let choose =
            |ours: &str, their: &str, pfs| choose_esp(&[esp(ours)], &theirs(their), pfs, None);
        let (choice, _, spi) = choose("aes256gcm16-x25519", "aes256gcm16-x25519", true).unwrap();
        assert_eq!((choice.key_exchange, spi), (Some(KeyExchangeMethod::X25519), 0x1234));
        let lost = choose("aes256gcm16-x25519", "aes256gcm16", true).unwrap_err();
        assert_eq!(lost.kind, KEY_EXCHANGE);
        let (choice, ..) = choose("aes256gcm16-x25519-none", "aes256gcm16", true).unwrap();
        assert_eq!(choice.key_exchange, None);
        let (choice, ..) = choose("aes256gcm16-x25519", "aes256gcm16", false).unwrap();
        assert_eq!((choice.key_exchange, choice.esn), (None, false));
        let (choice, ..) = choose("aes256gcm16-esn-noesn", "aes256gcm16-noesn-esn", true).unwrap();
        assert!(choice.esn);
        assert_eq!(choose("aes256gcm16-esn", "aes256gcm16", true).unwrap_err().kind, 5);
        let mut reserved = theirs("aes256gcm16");
        reserved[0].spi = vec![0, 0, 0, 255];
        assert!(choose_esp(&[esp("aes256gcm16")], &reserved, true, None).is_err());
    }

    #[test]
    fn an_offer_says_what_can_come_of_it() {
        let names = |text: &str| -> Vec<String> {
            let name =
                |(suite, esn): (esp::Suite, bool)| format!("{suite}{}", if esn { "+" } else { "" });
            esp(text).suites().into_iter().map(name).collect()
        };
        assert_eq!(names("aes256gcm16-aes128gcm16-x25519"), ["aes256gcm16", "aes128gcm16"]);
        assert_eq!(
            names("aes256-aes128-sha384-sha256-esn-noesn")[..3],
            ["aes256-sha384+", "aes256-sha384", "aes256-sha256+"]
        );
    }

    #[test]
    fn every_suite_of_esp_is_an_offer() {
        for suite in esp::Suite::ALL {
            let offer = esp(suite.name());
            let proposal = offer.proposal(1, 256, true);
            let answer = EspChoice::from_answer(from_ref(&proposal), from_ref(&proposal));
            assert_eq!(answer.map(|(choice, spi)| (choice.suite, spi)), Some((suite, 256)));
        }
    }

    #[test]
    fn an_answer_must_be_a_choice_from_the_offer() {
        let ours = their_ike(&["aes256gcm16-prfsha384-prfsha256-x25519-ke1_mlkem768"]);
        let answer =
            |text: &str, number| IkeChoice::from_answer(&ours, &[ike(text).proposal(number, &[])]);
        assert!(answer("aes256gcm16-prfsha256-x25519-ke1_mlkem768", 1).is_some());
        assert_eq!(answer("aes256gcm16-prfsha256-x25519-ke1_mlkem768", 2), None, "number");
        assert_eq!(answer("aes128gcm16-prfsha256-x25519-ke1_mlkem768", 1), None, "not offered");
        assert_eq!(answer("aes256gcm16-prfsha256-x25519", 1), None, "an exchange left out");
        assert_eq!(answer("aes256gcm16-prfsha256-x25519-ke1_none", 1), None, "downgraded");
        assert_eq!(IkeChoice::from_answer(&ours, &ours), None, "two of one type");
    }

    #[test]
    fn an_attribute_or_type_that_is_not_known_cannot_be_chosen() {
        let ours = [ike("aes256gcm16-prfsha384-x25519")];
        let mut theirs = their_ike(&["aes256gcm16-prfsha384-x25519"]);
        theirs[0].transforms[0].unknown_attribute = true;
        assert_eq!(choose_ike(&ours, &theirs, None).unwrap_err().kind, ENCRYPTION);
        for (kind, id) in [(99, 1), (99, 0), (SEQUENCE_NUMBERS, 0)] {
            let mut theirs = their_ike(&["aes256gcm16-prfsha384-x25519"]);
            theirs[0].transforms.push(Transform::new(kind, id));
            assert_eq!(choose_ike(&ours, &theirs, None).unwrap_err().kind, kind, "{id}");
        }
        for pfs in [false, true] {
            let mut theirs = [esp("aes256gcm16").proposal(1, 0x1234, pfs)];
            theirs[0].transforms.push(Transform::new(PRF, 0));
            let lost = choose_esp(&[esp("aes256gcm16")], &theirs, pfs, None).unwrap_err();
            assert_eq!(lost.kind, PRF);
        }
    }
}
