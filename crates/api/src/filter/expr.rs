//! The expression: its parts, its normal form, and what it matches.

use core::{fmt, net::IpAddr};

use super::{Subject, token};

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4, `ip`.
    V4,
    /// IPv6, `ip6`.
    V6,
}

/// An end of a conversation or packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Src,
    /// Where it goes to.
    Dst,
    /// One of the two.
    Either,
}

/// Which of the interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// By which it comes in.
    In,
    /// By which it leaves.
    Out,
    /// One of the two.
    Either,
}

/// Addresses that begin alike. The bits beyond the length are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

impl Prefix {
    /// The prefix of that length around an address; `None` if the length is too great.
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(ip) if len <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                IpAddr::V4((u32::from(ip) & mask).into())
            }
            IpAddr::V6(ip) if len <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                IpAddr::V6((u128::from(ip) & mask).into())
            }
            _ => return None,
        };
        Some(Self { address, len })
    }

    /// A single address.
    pub fn host(address: IpAddr) -> Self {
        Self { address, len: width(address) }
    }

    /// Whether it is a single address.
    pub fn is_host(&self) -> bool {
        self.len == width(self.address)
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.len).is_some_and(|other| other.address == self.address)
            && address.is_ipv4() == self.address.is_ipv4()
    }
}

/// `10.0.0.5` or `10.0.0.0/8`
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.is_host() { Ok(()) } else { write!(f, "/{}", self.len) }
    }
}

/// Numbers: sorted ranges that neither overlap nor touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// The numbers in the given inclusive ranges; ranges that end before they start count as empty.
    pub fn new(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether a number is among them.
    pub fn contains(&self, n: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= n);
        after.checked_sub(1).and_then(|i| self.0.get(i)).is_some_and(|(_, last)| n <= *last)
    }
}

/// `443`, or `in 80,1000-2000`
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(first, last)] = self.0[..]
            && first == last
        {
            return write!(f, "{first}");
        }
        for (i, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "in " } else { "," })?;
            write!(f, "{first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

/// A single condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// IP version.
    Version(Version),
    /// IP protocol.
    Protocol(u8),
    /// An address of that end lies in the prefix.
    Address(End, Prefix),
    /// A port of that end is among the numbers.
    Port(End, Ranges),
    /// Translation put in an address of the prefix.
    Nat(Prefix),
    /// The policy's number is among them.
    Policy(Ranges),
    /// State, in lower case.
    State(String),
    /// Tier, in lower case.
    Tier(String),
    /// A reason of the registry.
    Reason(&'static str),
    /// An interface by name.
    Interface(Side, String),
    /// A zone by name.
    Zone(Side, String),
    /// A virtual router by name.
    VirtualRouter(String),
    /// The user behind the opener's address.
    User(String),
    /// A group of that user.
    Group(String),
    /// A session's number.
    Id(u64),
}

/// Conditions joined together. Built by [`Expr::all`], [`Expr::any`] and [`Expr::negate`], so that
/// equal filters have equal expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Every part matches; without parts, everything does.
    All(Vec<Expr>),
    /// One of the parts matches.
    Any(Vec<Expr>),
    /// The part does not match.
    Not(Box<Expr>),
    /// A condition.
    Term(Term),
}

impl Expr {
    /// What everything matches.
    pub fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// Whether it is [`Expr::everything`].
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    /// The parts joined by `and`.
    pub fn all(parts: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { Self::All(flat) }
    }

    /// The parts joined by `or`; without parts, or with one that everything matches, everything.
    pub fn any(parts: Vec<Self>) -> Self {
        if parts.iter().any(Self::is_everything) {
            return Self::everything();
        }
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Any(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::everything(),
            1 => flat.remove(0),
            _ => Self::Any(flat),
        }
    }

    /// The part after `not`.
    pub fn negate(part: Self) -> Self {
        match part {
            Self::Not(inner) => *inner,
            part => Self::Not(Box::new(part)),
        }
    }

    /// Whether something matches.
    pub fn matches(&self, subject: &impl Subject) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(subject)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(subject)),
            Self::Not(part) => !part.matches(subject),
            Self::Term(term) => term.matches(subject),
        }
    }
}

impl Term {
    /// Whether something matches.
    pub fn matches(&self, subject: &impl Subject) -> bool {
        let address = |end, test: &dyn Fn(IpAddr) -> bool| {
            ends(end).iter().flat_map(|end| subject.addresses(*end)).flatten().any(test)
        };
        match self {
            Self::Version(version) => {
                address(End::Either, &|ip| ip.is_ipv4() == (*version == Version::V4))
            }
            Self::Protocol(number) => subject.protocol() == Some(*number),
            Self::Address(end, prefix) => address(*end, &|ip| prefix.contains(ip)),
            Self::Port(end, ports) => {
                let mut found = ends(*end).iter().flat_map(|end| subject.ports(*end)).flatten();
                found.any(|port| ports.contains(port.into()))
            }
            Self::Nat(prefix) => {
                subject.translated().into_iter().flatten().any(|ip| prefix.contains(ip))
            }
            Self::Policy(numbers) => subject.policy().is_some_and(|n| numbers.contains(n)),
            Self::State(name) => subject.state().is_some_and(|s| s.eq_ignore_ascii_case(name)),
            Self::Tier(name) => subject.has_tier(name),
            Self::Reason(name) => subject.has_reason(name),
            Self::Interface(side, name) => subject.has_interface(*side, name),
            Self::Zone(side, name) => subject.has_zone(*side, name),
            Self::VirtualRouter(name) => subject.has_virtual_router(name),
            Self::User(name) => subject.has_user(name),
            Self::Group(name) => subject.has_group(name),
            Self::Id(id) => subject.id() == Some(*id),
        }
    }
}

impl From<Term> for Expr {
    fn from(term: Term) -> Self {
        Self::Term(term)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" and ")?;
                    }
                    match part {
                        Self::Any(_) | Self::All(_) => write!(f, "({part})")?,
                        Self::Not(_) | Self::Term(_) => write!(f, "{part}")?,
                    }
                }
                Ok(())
            }
            Self::Any(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" or ")?;
                    }
                    match part {
                        Self::Any(_) => write!(f, "({part})")?,
                        Self::All(_) | Self::Not(_) | Self::Term(_) => write!(f, "{part}")?,
                    }
                }
                Ok(())
            }
            Self::Not(part) => match &**part {
                Self::Term(term) => write!(f, "not {term}"),
                part => write!(f, "not ({part})"),
            },
            Self::Term(term) => fmt::Display::fmt(term, f),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(Version::V4) => f.write_str("ip"),
            Self::Version(Version::V6) => f.write_str("ip6"),
            Self::Protocol(number) => match protocol_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "proto {number}"),
            },
            Self::Address(End::Src, prefix) => write!(f, "src {prefix}"),
            Self::Address(End::Dst, prefix) => write!(f, "dst {prefix}"),
            Self::Address(End::Either, prefix) if prefix.is_host() => write!(f, "host {prefix}"),
            Self::Address(End::Either, prefix) => write!(f, "net {prefix}"),
            Self::Port(End::Src, ports) => write!(f, "src port {ports}"),
            Self::Port(End::Dst, ports) => write!(f, "dst port {ports}"),
            Self::Port(End::Either, ports) => write!(f, "port {ports}"),
            Self::Nat(prefix) => write!(f, "nat {prefix}"),
            Self::Policy(numbers) => write!(f, "policy {numbers}"),
            Self::State(name) => write!(f, "state {}", Name(name)),
            Self::Tier(name) => write!(f, "tier {}", Name(name)),
            Self::Reason(name) => write!(f, "reason {name}"),
            Self::Interface(Side::In, name) => write!(f, "in {}", Name(name)),
            Self::Interface(Side::Out, name) => write!(f, "out {}", Name(name)),
            Self::Interface(Side::Either, name) => write!(f, "interface {}", Name(name)),
            Self::Zone(Side::In, name) => write!(f, "in zone {}", Name(name)),
            Self::Zone(Side::Out, name) => write!(f, "out zone {}", Name(name)),
            Self::Zone(Side::Either, name) => write!(f, "zone {}", Name(name)),
            Self::VirtualRouter(name) => write!(f, "vr {}", Name(name)),
            Self::User(name) => write!(f, "user {}", Name(name)),
            Self::Group(name) => write!(f, "group {}", Name(name)),
            Self::Id(id) => write!(f, "id {id:x}"),
        }
    }
}

/// A name, in quotes where it needs them.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // after `in` and `out` a bare `zone` would be read as the word
        if token::is_plain(self.0) && !self.0.eq_ignore_ascii_case("zone") {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

/// Protocols with a word of their own (IANA numbers).
pub(super) const PROTOCOLS: [(&str, u8); 7] =
    [("tcp", 6), ("udp", 17), ("icmp", 1), ("icmp6", 58), ("sctp", 132), ("gre", 47), ("esp", 50)];

fn protocol_name(number: u8) -> Option<&'static str> {
    PROTOCOLS.iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
}

fn ends(end: End) -> &'static [End] {
    match end {
        End::Src => &[End::Src],
        End::Dst => &[End::Dst],
        End::Either => &[End::Src, End::Dst],
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
