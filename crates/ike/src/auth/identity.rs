//! Who a peer is: identities (RFC 7296 §3.5), as payloads and as text, and patterns of them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::dn::{DistinguishedName, MAX_NAME, NameSyntax};
use crate::message::Identification;

/// Types of identities (RFC 7296 §3.5).
pub mod identity_type {
    /// An IPv4 address.
    pub const IPV4_ADDR: u8 = 1;
    /// A fully qualified domain name.
    pub const FQDN: u8 = 2;
    /// A mail address.
    pub const RFC822_ADDR: u8 = 3;
    /// An IPv6 address.
    pub const IPV6_ADDR: u8 = 5;
    /// A distinguished name in DER.
    pub const DER_ASN1_DN: u8 = 9;
    /// Bytes somebody has agreed upon.
    pub const KEY_ID: u8 = 11;
}

/// The longest identity that is not a distinguished name, in bytes.
const MAX_LEN: usize = 255;

/// Who a peer is.
///
/// Text is an address, `gw.example`, `user@example`, a distinguished name such as `C=DE, CN=gw`, or
/// `keyid:` with printable characters or `0x` and hexadecimal digits. `fqdn:`, `email:` and `dn:` in
/// front say what is meant where it could be something else.
///
/// Domain names and mail addresses are equal whatever the case of their letters.
#[derive(Clone, Debug)]
pub enum Identity {
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A domain name; printable ASCII without white space.
    Fqdn(String),
    /// A mail address; printable ASCII without white space.
    Email(String),
    /// A distinguished name.
    Dn(DistinguishedName),
    /// Bytes somebody has agreed upon.
    KeyId(Vec<u8>),
}

/// Text is no identity, or no pattern of identities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentitySyntax {
    /// There is nothing.
    #[error(
        "an identity is an address, a domain name, a mail address, a distinguished name or keyid:…"
    )]
    Empty,
    /// A name with characters it cannot have, or too long.
    #[error("{0:?} is not a name of 1 to 255 printable ASCII characters without white space")]
    Name(String),
    /// A star where none may be.
    #[error(
        "{0:?}: a * stands alone, as the first label of a domain, before @, or as a value in a distinguished name"
    )]
    Star(String),
    /// Not hexadecimal digits after `keyid:0x`.
    #[error("{0:?} is not an even number of hexadecimal digits, at most 510")]
    KeyId(String),
    /// A distinguished name that is none.
    #[error(transparent)]
    Dn(#[from] NameSyntax),
}

/// A peer's payload is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A type we do not know.
    #[error("identities of type {0} are not supported")]
    Type(u8),
    /// The data is not what its type says.
    #[error("the data is not {0}")]
    Data(&'static str),
}

impl Identity {
    /// From a peer's payload.
    pub fn from_payload(payload: &Identification) -> Result<Self, IdentityError> {
        let data = &payload.data[..];
        let text = |what| {
            let text = std::str::from_utf8(data).ok().filter(|text| is_name(text));
            text.map(str::to_owned).ok_or(IdentityError::Data(what))
        };
        match payload.kind {
            identity_type::IPV4_ADDR => <[u8; 4]>::try_from(data)
                .map(|bytes| Self::Ipv4(bytes.into()))
                .map_err(|_| IdentityError::Data("an IPv4 address")),
            identity_type::IPV6_ADDR => <[u8; 16]>::try_from(data)
                .map(|bytes| Self::Ipv6(bytes.into()))
                .map_err(|_| IdentityError::Data("an IPv6 address")),
            identity_type::FQDN => text("a domain name").map(Self::Fqdn),
            identity_type::RFC822_ADDR => text("a mail address").map(Self::Email),
            identity_type::DER_ASN1_DN => DistinguishedName::from_der(data)
                .filter(|name| !name.is_empty())
                .map(Self::Dn)
                .ok_or(IdentityError::Data("a distinguished name")),
            identity_type::KEY_ID if (1..=MAX_LEN).contains(&data.len()) => {
                Ok(Self::KeyId(data.to_vec()))
            }
            identity_type::KEY_ID => Err(IdentityError::Data("a key ID of 1 to 255 bytes")),
            other => Err(IdentityError::Type(other)),
        }
    }

    /// As a payload.
    pub fn to_payload(&self) -> Identification {
        let (kind, data) = match self {
            Self::Ipv4(address) => (identity_type::IPV4_ADDR, address.octets().to_vec()),
            Self::Ipv6(address) => (identity_type::IPV6_ADDR, address.octets().to_vec()),
            Self::Fqdn(name) => (identity_type::FQDN, name.as_bytes().to_vec()),
            Self::Email(name) => (identity_type::RFC822_ADDR, name.as_bytes().to_vec()),
            Self::Dn(name) => (identity_type::DER_ASN1_DN, name.der().to_vec()),
            Self::KeyId(bytes) => (identity_type::KEY_ID, bytes.clone()),
        };
        Identification { kind, data }
    }
}

impl From<IpAddr> for Identity {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ipv4(a), Self::Ipv4(b)) => a == b,
            (Self::Ipv6(a), Self::Ipv6(b)) => a == b,
            (Self::Fqdn(a), Self::Fqdn(b)) | (Self::Email(a), Self::Email(b)) => {
                a.eq_ignore_ascii_case(b)
            }
            (Self::Dn(a), Self::Dn(b)) => a == b,
            (Self::KeyId(a), Self::KeyId(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Identity {}

impl FromStr for Identity {
    type Err = IdentitySyntax;

    fn from_str(text: &str) -> Result<Self, IdentitySyntax> {
        let identity = parse(text)?;
        let star = match &identity {
            Self::Fqdn(name) | Self::Email(name) => name.contains('*'),
            Self::Ipv4(_) | Self::Ipv6(_) | Self::Dn(_) | Self::KeyId(_) => false,
        };
        if star { Err(IdentitySyntax::Star(text.to_owned())) } else { Ok(identity) }
    }
}

/// Reads back as the same identity. Nothing of it can be mistaken for the text around it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Fqdn(name) => named(f, "fqdn:", name, |i| matches!(i, Self::Fqdn(_))),
            Self::Email(name) => named(f, "email:", name, |i| matches!(i, Self::Email(_))),
            Self::Dn(name) => named(f, "dn:", &name.to_string(), |i| matches!(i, Self::Dn(_))),
            Self::KeyId(bytes) => {
                let text = std::str::from_utf8(bytes).ok();
                match text.filter(|text| is_name(text) && !text.starts_with("0x")) {
                    Some(text) => write!(f, "keyid:{text}"),
                    None => {
                        f.write_str("keyid:0x")?;
                        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                    }
                }
            }
        }
    }
}

/// Writes the prefix only where the text alone would be something else.
fn named(
    f: &mut fmt::Formatter<'_>,
    prefix: &str,
    text: &str,
    same: impl Fn(&Identity) -> bool,
) -> fmt::Result {
    let plain = parse(text).is_ok_and(|identity| same(&identity));
    f.write_str(if plain { "" } else { prefix })?;
    f.write_str(text)
}

/// What peers' identities may be.
///
/// Text is that of an identity, or `*` for every one, `*.example` for the domain names below
/// `example`, `*@example` for the mail addresses of `example`, or a distinguished name with `*` for
/// the value of some attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityPattern {
    /// Every one.
    Any,
    /// This one. In a distinguished name `*` stands for any value.
    Is(Identity),
    /// Domain names below this one, which begins with a dot.
    Below(String),
    /// Mail addresses with this end, which begins with `@`.
    At(String),
}

impl IdentityPattern {
    /// Whether `identity` is one of them.
    pub fn matches(&self, identity: &Identity) -> bool {
        let ends = |name: &str, end: &str| {
            let at = name.len().checked_sub(end.len());
            // the part before is what the star stands for: it is not empty
            let tail = at.filter(|at| *at > 0).and_then(|at| name.get(at..));
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        };
        match (self, identity) {
            (Self::Any, _) => true,
            (Self::Is(Identity::Dn(pattern)), Identity::Dn(name)) => pattern.matches(name),
            (Self::Is(one), other) => one == other,
            (Self::Below(domain), Identity::Fqdn(name)) => ends(name, domain),
            (Self::At(domain), Identity::Email(name)) => ends(name, domain),
            (Self::Below(_) | Self::At(_), _) => false,
        }
    }

    /// The one identity it matches, if it is only one: to ask a peer for it in IDr.
    pub fn single(&self) -> Option<&Identity> {
        match self {
            Self::Is(Identity::Dn(name)) if name.is_pattern() => None,
            Self::Is(identity) => Some(identity),
            Self::Any | Self::Below(_) | Self::At(_) => None,
        }
    }
}

impl FromStr for IdentityPattern {
    type Err = IdentitySyntax;

    fn from_str(text: &str) -> Result<Self, IdentitySyntax> {
        let text = text.trim();
        let star = || IdentitySyntax::Star(text.to_owned());
        let plain = |rest: &str| !rest.contains('*') && rest.len() > 1 && is_name(rest);
        if text == "*" {
            Ok(Self::Any)
        } else if let Some(domain) = text.strip_prefix('*').filter(|d| d.starts_with('.')) {
            plain(domain).then(|| Self::Below(domain.to_owned())).ok_or_else(star)
        } else if let Some(domain) = text.strip_prefix('*').filter(|d| d.starts_with('@')) {
            plain(domain).then(|| Self::At(domain.to_owned())).ok_or_else(star)
        } else {
            text.parse().map(Self::Is)
        }
    }
}

/// Reads back as the same pattern.
impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Is(identity) => identity.fmt(f),
            Self::Below(end) | Self::At(end) => write!(f, "*{end}"),
        }
    }
}

fn parse(text: &str) -> Result<Identity, IdentitySyntax> {
    let text = text.trim();
    let name = |name: &str| {
        if is_name(name) { Ok(name.to_owned()) } else { Err(IdentitySyntax::Name(name.to_owned())) }
    };
    if text.is_empty() {
        Err(IdentitySyntax::Empty)
    } else if let Some(id) = text.strip_prefix("keyid:") {
        key_id(id).map(Identity::KeyId).ok_or_else(|| IdentitySyntax::KeyId(id.to_owned()))
    } else if let Some(rest) = text.strip_prefix("fqdn:") {
        name(rest).map(Identity::Fqdn)
    } else if let Some(rest) = text.strip_prefix("email:") {
        name(rest).map(Identity::Email)
    } else if let Some(rest) = text.strip_prefix("dn:") {
        Ok(Identity::Dn(DistinguishedName::from_text(rest)?))
    } else if let Ok(address) = text.parse::<IpAddr>() {
        Ok(address.into())
    } else if text.contains('=') {
        Ok(Identity::Dn(DistinguishedName::from_text(text)?))
    } else if text.contains('@') {
        name(text).map(Identity::Email)
    } else {
        name(text).map(Identity::Fqdn)
    }
}

fn key_id(text: &str) -> Option<Vec<u8>> {
    let bytes = match text.strip_prefix("0x") {
        None => is_name(text).then(|| text.as_bytes().to_vec())?,
        Some(digits) => {
            let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
            let digit = |c: u8| char::from(c).to_digit(16);
            let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
            let bytes = pairs.iter().map(byte).collect::<Option<Vec<_>>>()?;
            rest.is_empty().then_some(bytes)?
        }
    };
    (1..=MAX_LEN).contains(&bytes.len()).then_some(bytes)
}

/// 1 to 255 printable ASCII characters without white space.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

const _: () = assert!(MAX_LEN < MAX_NAME);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> Identity {
        text.parse().expect("an identity")
    }

    fn pattern(text: &str) -> IdentityPattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn text_and_payloads_there_and_back() {
        for (text, kind) in [
            ("192.0.2.1", identity_type::IPV4_ADDR),
            ("2001:db8::1", identity_type::IPV6_ADDR),
            ("gw.example", identity_type::FQDN),
            ("fqdn:192.0.2.1", identity_type::FQDN),
            ("fqdn:a=b", identity_type::FQDN),
            ("user@example", identity_type::RFC822_ADDR),
            ("email:user", identity_type::RFC822_ADDR),
            ("C=DE, CN=gw", identity_type::DER_ASN1_DN),
            ("keyid:branch-7", identity_type::KEY_ID),
            ("keyid:0x00ff", identity_type::KEY_ID),
            ("keyid:0x3078", identity_type::KEY_ID),
        ] {
            let identity = id(text);
            assert_eq!(identity.to_string(), text);
            let payload = identity.to_payload();
            assert_eq!(payload.kind, kind, "{text}");
            assert_eq!(Identity::from_payload(&payload), Ok(identity));
        }
        assert_eq!(id("keyid:0x61"), id("keyid:a"));
        assert_eq!(id("GW.example"), id("gw.Example"));
        assert_ne!(id("gw.example"), id("keyid:gw.example"));
    }

    #[test]
    fn wrong_text_is_refused_with_what_was_expected() {
        let of = |text: &str| text.parse::<Identity>().expect_err("wrong").to_string();
        assert!(of(" ").contains("is an address, a domain name"));
        assert!(of("two words").contains("printable ASCII"));
        assert!(of("ümlaut.example").contains("printable ASCII"));
        assert!(of("*.example").contains("a * stands alone"));
        assert!(of("keyid:0x1").contains("hexadecimal"));
        assert!(of("keyid:").contains("hexadecimal"));
        assert!(of("CN=").contains("not an attribute with a value"));
        let of = |text: &str| text.parse::<IdentityPattern>().expect_err("wrong").to_string();
        for text in ["a.*.example", "*.", "*@", "**", "*.*", "a*"] {
            assert!(of(text).contains("a * stands alone"), "{text}");
        }
    }

    #[test]
    fn patterns_match_what_they_say() {
        let matches = |p: &str, i: &str| pattern(p).matches(&id(i));
        assert!(matches("*", "keyid:7") && matches("*", "192.0.2.1"));
        assert!(matches("192.0.2.1", "192.0.2.1") && !matches("192.0.2.1", "192.0.2.2"));
        assert!(matches("*.example", "a.example") && matches("*.example", "a.B.EXAMPLE"));
        for other in ["example", "fqdn:.example", "aexample", "a.example.net", "a@b.example"] {
            assert!(!matches("*.example", other), "{other}");
        }
        assert!(matches("*@example", "a@example") && !matches("*@example", "a@b.example"));
        assert!(!matches("*@example", "email:@example"));
        assert!(matches("O=x, CN=*", "O=x, CN=gw") && !matches("O=x, CN=*", "O=y, CN=gw"));
        for text in ["*", "*.example", "*@example", "O=x, CN=*", "gw.example"] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn only_a_pattern_of_one_has_a_single_identity() {
        assert_eq!(pattern("gw.example").single(), Some(&id("gw.example")));
        assert_eq!(pattern("CN=gw").single(), Some(&id("CN=gw")));
        for text in ["*", "*.example", "*@example", "O=x, CN=*"] {
            assert_eq!(pattern(text).single(), None, "{text}");
        }
    }

    #[test]
    fn payloads_that_are_not_what_they_say_are_refused() {
        let of = |kind, data: &[u8]| {
            Identity::from_payload(&Identification { kind, data: data.to_vec() }).err()
        };
        assert_eq!(of(4, b"x"), Some(IdentityError::Type(4)));
        assert_eq!(of(1, &[1; 5]), Some(IdentityError::Data("an IPv4 address")));
        assert_eq!(of(5, &[1; 4]), Some(IdentityError::Data("an IPv6 address")));
        for data in [&b""[..], b"a b", b"a\n", b"\xff", &[b'a'; 256]] {
            assert_eq!(of(2, data), Some(IdentityError::Data("a domain name")));
            assert_eq!(of(3, data), Some(IdentityError::Data("a mail address")));
        }
        assert_eq!(of(9, &[0x30, 0]), Some(IdentityError::Data("a distinguished name")));
        assert_eq!(of(9, &[0x30, 5]), Some(IdentityError::Data("a distinguished name")));
        assert!(of(11, &[]).is_some() && of(11, &[0; 256]).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_and_any_text_give_an_identity_or_none(
            kind in 0u8..16, data in any::<Vec<u8>>(), text in ".{0,40}"
        ) {
            if let Ok(identity) = Identity::from_payload(&Identification { kind, data }) {
                let shown = identity.to_string();
                prop_assert!(!shown.chars().any(char::is_control));
                if !shown.contains('*') {
                    prop_assert_eq!(shown.parse(), Ok(identity));
                }
            }
            if let Ok(pattern) = text.parse::<IdentityPattern>() {
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
        }
    }
}
