//! Distinguished names (RFC 5280 §4.1.2.4): from certificates, from payloads, from text.
//!
//! Text has the attributes in the order of the certificate, separated by commas, as
//! `C=DE, O=Example, CN=gw.example`. RFC 4514 has it the other way round, and many tools too; so that
//! nobody is locked out by an order, names are compared both ways.

use std::fmt;

use x509_cert::{
    attr::AttributeTypeAndValue,
    der::{
        Decode as _, Encode as _, Tag, Tagged as _,
        asn1::{Any, ObjectIdentifier},
        oid::db::DB,
    },
    name::{RdnSequence, RelativeDistinguishedName},
};

/// The longest name we take, in bytes of its DER encoding.
pub(super) const MAX_NAME: usize = 2048;

/// A distinguished name.
///
/// Equal are names whose attributes are equal but for case and runs of white space, in this order or
/// in the reverse one (RFC 5280 §7.1).
#[derive(Clone)]
pub struct DistinguishedName {
    der: Vec<u8>,
    /// Relative names, each a set of attributes.
    relative: Vec<Vec<Attribute>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Attribute {
    kind: ObjectIdentifier,
    value: Value,
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    /// The DER encoding of what is no text.
    Other(Vec<u8>),
}

/// What is wrong with the text of a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameSyntax {
    /// It has no attribute.
    #[error("a distinguished name needs an attribute, such as CN=gw.example")]
    Empty,
    /// A part is not an attribute with a value.
    #[error("{0:?} is not an attribute with a value, such as CN=gw.example")]
    NoValue(String),
    /// Nobody knows the attribute.
    #[error(
        "{0:?} is no attribute; known are C, ST, L, O, OU, CN, DC, UID, emailAddress, serialNumber and OIDs"
    )]
    Attribute(String),
    /// The value cannot be written.
    #[error("the value of {0:?} is not one the attribute may have")]
    Value(String),
    /// It is longer than 2048 bytes.
    #[error("the name is longer than 2048 bytes")]
    TooLong,
}

impl DistinguishedName {
    /// From DER: a payload's data, or a name of a certificate.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        if der.len() > MAX_NAME {
            return None;
        }
        let sequence = RdnSequence::from_der(der).ok()?;
        let attribute = |a: &AttributeTypeAndValue| {
            Some(Attribute { kind: a.oid, value: Value::of(&a.value)? })
        };
        let relative = sequence
            .iter()
            .map(|rdn| rdn.iter().map(attribute).collect::<Option<Vec<_>>>())
            .collect::<Option<_>>()?;
        Some(Self { der: der.to_vec(), relative })
    }

    /// From text.
    pub(super) fn from_text(text: &str) -> Result<Self, NameSyntax> {
        if text.len() > MAX_NAME {
            return Err(NameSyntax::TooLong);
        }
        let mut sequence = RdnSequence::default();
        for relative in split(text, ',') {
            let attributes: Result<Vec<_>, _> = split(relative, '+').map(attribute).collect();
            let set = RelativeDistinguishedName::try_from(attributes?);
            sequence.push(set.map_err(|_| NameSyntax::Value(relative.to_owned()))?);
        }
        if sequence.is_empty() {
            return Err(NameSyntax::Empty);
        }
        let value = |_| NameSyntax::Value(text.to_owned());
        let der = sequence.to_der().map_err(value)?;
        Self::from_der(&der).ok_or(NameSyntax::TooLong)
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it has no attribute, as the subject of a certificate may.
    pub fn is_empty(&self) -> bool {
        self.relative.is_empty()
    }

    /// Whether, as a pattern, it matches other names than itself.
    pub(super) fn is_pattern(&self) -> bool {
        let star = |a: &Attribute| matches!(&a.value, Value::Text(text) if text == "*");
        self.relative.iter().flatten().any(star)
    }

    /// Whether `name` has these attributes, where `*` as a value stands for any value.
    pub(super) fn matches(&self, name: &Self) -> bool {
        let fits = |pair: (&Vec<Attribute>, &Vec<Attribute>)| {
            let (pattern, name) = pair;
            pattern.len() == name.len()
                && pattern.iter().all(|p| name.iter().any(|n| p.matches(n)))
                && name.iter().all(|n| pattern.iter().any(|p| p.matches(n)))
        };
        self.relative.len() == name.relative.len()
            && (self.relative.iter().zip(&name.relative).all(fits)
                || self.relative.iter().zip(name.relative.iter().rev()).all(fits))
    }
}

impl Attribute {
    fn matches(&self, other: &Self) -> bool {
        let value = match (&self.value, &other.value) {
            (Value::Text(pattern), _) if pattern == "*" => true,
            (Value::Text(a), Value::Text(b)) => fold(a) == fold(b),
            (a, b) => a == b,
        };
        self.kind == other.kind && value
    }
}

impl Value {
    fn of(any: &Any) -> Option<Self> {
        let bytes = any.value();
        Some(match any.tag() {
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
                Self::Text(String::from_utf8(bytes.to_vec()).ok()?)
            }
            Tag::TeletexString => Self::Text(bytes.iter().map(|b| char::from(*b)).collect()),
            Tag::BmpString => {
                let (pairs, rest) = bytes.as_chunks();
                let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
                let text = char::decode_utf16(units).collect::<Result<String, _>>().ok()?;
                rest.is_empty().then_some(Self::Text(text))?
            }
            _ => Self::Other(any.to_der().ok()?),
        })
    }
}

/// Case and runs of white space do not count (RFC 4518 §2, in short).
fn fold(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// Splits at a character that is not escaped; parts lose the white space around them.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    let parts = text.split(move |c| {
        let here = c == at && !escaped;
        escaped = c == '\\' && !escaped;
        here
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn attribute(text: &str) -> Result<AttributeTypeAndValue, NameSyntax> {
    let (kind, value) = text.split_once('=').ok_or_else(|| NameSyntax::NoValue(text.to_owned()))?;
    let (kind, value) = (kind.trim(), value.trim());
    // OpenSSL's short name for it
    let kind = if kind.eq_ignore_ascii_case("E") { "emailAddress" } else { kind };
    let known = DB.by_name(kind).is_some() || ObjectIdentifier::new(kind).is_ok();
    if value.is_empty() {
        return Err(NameSyntax::NoValue(text.to_owned()));
    }
    if !known {
        return Err(NameSyntax::Attribute(kind.to_owned()));
    }
    let parsed: Result<AttributeTypeAndValue, _> = format!("{kind}={value}").parse();
    let attribute = parsed.map_err(|_| NameSyntax::Value(text.to_owned()))?;
    // the library takes any bytes for a string; what is not one would be refused by the peer
    let string = Value::of(&attribute.value).is_some();
    let ascii = attribute.value.tag() == Tag::Utf8String || attribute.value.value().is_ascii();
    if string && ascii { Ok(attribute) } else { Err(NameSyntax::Value(text.to_owned())) }
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &Self) -> bool {
        // a name with a `*` in it is a pattern of itself only
        self.matches(other) && other.matches(self)
    }
}

impl Eq for DistinguishedName {}

/// As it is written in a configuration. Characters that could deceive are escaped.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, relative) in self.relative.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            for (j, attribute) in relative.iter().enumerate() {
                f.write_str(if j == 0 { "" } else { "+" })?;
                let names = DB.find_names_for_oid(attribute.kind);
                match names.min_by_key(|name| name.len()) {
                    // the usual way to write C, CN, O, DC and the like
                    Some(name) if name.len() <= 3 => f.write_str(&name.to_ascii_uppercase())?,
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "{}", attribute.kind)?,
                }
                f.write_str("=")?;
                match &attribute.value {
                    Value::Text(text) => escape(text, f)?,
                    Value::Other(der) => {
                        f.write_str("#")?;
                        der.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// RFC 4514 §2.4, and everything that is not to be seen by its bytes.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (i, c) in text.chars().enumerate() {
        let edge = (c == ' ' && (i == 0 || i == last)) || (c == '#' && i == 0);
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') || (edge && c == '#') {
            write!(f, "\\{c}")?;
        } else if c.is_control() || edge || (c.is_whitespace() && c != ' ') || is_format(c) {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            bytes.into_iter().try_for_each(|byte| write!(f, "\\{byte:02X}"))?;
        } else {
            write!(f, "{c}")?;
        }
    }
    Ok(())
}

/// Characters that change how those around them look (Unicode's bidirectional controls and such).
const fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::from_text(text).expect("a name")
    }

    #[test]
    fn text_there_and_back() {
        for text in [
            "C=DE, O=Example, CN=gw.example",
            "DC=example, DC=net, CN=a\\, b\\=c\\+d",
            "CN=Grüße\\20",
            "CN=b+OU=a",
            "CN=\\#1",
            "UID=x",
            "1.2.3.4=#04020102",
        ] {
            let name = name(text);
            assert_eq!(name.to_string(), text);
            assert_eq!(DistinguishedName::from_der(name.der()).as_ref(), Some(&name));
        }
        assert_eq!(name("cn = a ,o=b").to_string(), "CN=a, O=b");
        assert_eq!(name("E=a@b.example"), name("emailAddress=a@b.example"));
    }

    #[test]
    fn case_white_space_and_order_do_not_count() {
        let right = name("C=DE, O=My  Example, CN=gw");
        assert_eq!(right, name("C=de, O=my example, CN=GW"));
        assert_eq!(right, name("CN=gw,O=My Example,C=DE"));
        assert_eq!(name("OU=a+CN=b"), name("CN=b+OU=a"));
        for other in
            ["C=DE, O=My Example", "C=DE, CN=gw, O=My Example", "C=DE, OU=My Example, CN=gw"]
        {
            assert_ne!(right, name(other), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_any_value_of_its_attribute() {
        let pattern = name("C=DE, O=Example, CN=*");
        assert!(pattern.matches(&name("C=DE, O=Example, CN=gw")));
        assert!(pattern.matches(&name("CN=gw, O=Example, C=DE")));
        assert!(!pattern.matches(&name("C=DE, O=Other, CN=gw")));
        assert!(!pattern.matches(&name("C=DE, O=Example, OU=gw")));
        assert!(!pattern.matches(&name("C=DE, O=Example, CN=gw, CN=gw")));
        assert_ne!(pattern, name("C=DE, O=Example, CN=gw"));
    }

    #[test]
    fn wrong_text_is_refused_with_what_was_expected() {
        let of = |text: &str| DistinguishedName::from_text(text).expect_err("wrong").to_string();
        assert!(of("").contains("needs an attribute"));
        assert!(of("CN").contains("\"CN\" is not an attribute with a value"));
        assert!(of("CN=").contains("not an attribute with a value"));
        assert!(of("XX=a").contains("\"XX\" is no attribute; known are C, ST"));
        assert!(of("CN=\\zz").contains("not one the attribute may have"));
        assert!(of("C=Ü").contains("not one the attribute may have"));
        assert!(of(&format!("CN={}", "a".repeat(3000))).contains("longer than 2048"));
    }

    #[test]
    fn what_could_deceive_is_escaped() {
        let name = name("CN=a\\0Ab\\E2\\80\\AEc");
        assert_eq!(name.to_string(), "CN=a\\0Ab\\E2\\80\\AEc");
    }

    proptest! {
        #[test]
        fn any_text_and_any_bytes_give_a_name_or_none(text in ".{0,60}", bytes in any::<Vec<u8>>()) {
            if let Ok(name) = DistinguishedName::from_text(&text) {
                prop_assert_eq!(DistinguishedName::from_text(&name.to_string()), Ok(name));
            }
            let _ = DistinguishedName::from_der(&bytes);
        }
    }
}
