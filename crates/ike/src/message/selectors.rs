//! Traffic selectors (RFC 7296 §3.13).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use super::{MAX_SELECTORS, reader::Reader};
use crate::DecodeError;

const IPV4_RANGE: u8 = 7;
const IPV6_RANGE: u8 = 8;

/// What one side of a packet may be: addresses, protocol, ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrafficSelector {
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same version and not before the first.
    pub last: IpAddr,
    /// IP protocol number; 0 for all.
    pub protocol: u8,
    /// First port; for ICMP the type in its high and the code in its low byte.
    pub first_port: u16,
    /// Last port. First 65535 and last 0 mean that the port must not be seen: OPAQUE.
    pub last_port: u16,
}

impl TrafficSelector {
    /// All protocols and ports of a range of addresses.
    ///
    /// # Panics
    /// When the range is none: two versions, or the last before the first.
    pub fn addresses(range: RangeInclusive<IpAddr>) -> Self {
        let (first, last) = range.into_inner();
        assert!(first.is_ipv4() == last.is_ipv4() && first <= last, "a range of addresses");
        Self { first, last, protocol: 0, first_port: 0, last_port: u16::MAX }
    }

    /// All protocols and ports of a prefix; bits beyond the prefix are ignored.
    pub fn prefix(address: IpAddr, length: u8) -> Self {
        let (first, last) = match address {
            IpAddr::V4(a) => {
                let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                let a = u32::from(a);
                (Ipv4Addr::from(a & !host).into(), Ipv4Addr::from(a | host).into())
            }
            IpAddr::V6(a) => {
                let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                let a = u128::from(a);
                (Ipv6Addr::from(a & !host).into(), Ipv6Addr::from(a | host).into())
            }
        };
        Self::addresses(first..=last)
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        Self::addresses(address..=address)
    }

    /// Whether ports are OPAQUE.
    pub const fn is_opaque(&self) -> bool {
        self.first_port == u16::MAX && self.last_port == 0
    }

    pub(super) fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(bytes, "a traffic selector");
        let [count, _, _, _] = reader.array()?;
        let mut selectors = Vec::with_capacity(count.into());
        for _ in 0..count {
            let [kind, protocol] = reader.array()?;
            let length = reader.u16()?;
            let mut body = Reader::new(reader.body(length, 4)?, "a traffic selector");
            let (first_port, last_port) = (body.u16()?, body.u16()?);
            let (first, last): (IpAddr, IpAddr) = match kind {
                IPV4_RANGE => (body.array::<4>()?.into(), body.array::<4>()?.into()),
                IPV6_RANGE => (body.array::<16>()?.into(), body.array::<16>()?.into()),
                // RFC 7296 §2.9: types that are not known are left out
                _ => continue,
            };
            body.end()?;
            let selector = Self { first, last, protocol, first_port, last_port };
            if first > last || first_port > last_port && !selector.is_opaque() {
                return Err(DecodeError::Value("the range of a traffic selector"));
            }
            selectors.push(selector);
        }
        reader.end()?;
        Ok(selectors)
    }

    /// Encodes a list of at most [`MAX_SELECTORS`]; what is beyond is left out.
    pub(super) fn encode_all(selectors: &[Self], out: &mut Vec<u8>) {
        let selectors = &selectors[..selectors.len().min(MAX_SELECTORS)];
        out.extend([selectors.len() as u8, 0, 0, 0]);
        for selector in selectors {
            let (kind, length) =
                if selector.first.is_ipv4() { (IPV4_RANGE, 16) } else { (IPV6_RANGE, 40) };
            out.extend([kind, selector.protocol, 0, length]);
            out.extend(selector.first_port.to_be_bytes());
            out.extend(selector.last_port.to_be_bytes());
            for address in [selector.first, selector.last] {
                match address {
                    IpAddr::V4(a) => out.extend(a.octets()),
                    IpAddr::V6(a) => out.extend(a.octets()),
                }
            }
        }
    }

    /// The prefix that is exactly the range of addresses, if one is.
    pub fn as_prefix(&self) -> Option<(IpAddr, u8)> {
        let bits = |first: u128, last: u128, width: u32| {
            let host = first ^ last;
            let exact = host & host.wrapping_add(1) == 0 && first & host == 0;
            exact.then(|| (width - (u128::BITS - host.leading_zeros())) as u8)
        };
        let length = match (self.first, self.last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => bits(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => bits(a.into(), b.into(), 128),
            _ => None,
        };
        length.map(|length| (self.first, length))
    }
}

/// `10.1.0.0/24`, `10.0.0.1-10.0.0.9`, `10.1.0.0/24[tcp/443]`, `[17]`, `[udp/1000-2000]`.
impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_prefix() {
            Some((address, length)) => write!(f, "{address}/{length}")?,
            None => write!(f, "{}-{}", self.first, self.last)?,
        }
        if self.protocol == 0 && (self.first_port, self.last_port) == (0, u16::MAX) {
            return Ok(());
        }
        match self.protocol {
            0 => f.write_str("[any")?,
            1 => f.write_str("[icmp")?,
            6 => f.write_str("[tcp")?,
            17 => f.write_str("[udp")?,
            58 => f.write_str("[icmpv6")?,
            other => write!(f, "[{other}")?,
        }
        if self.is_opaque() {
            f.write_str("/opaque]")
        } else if (self.first_port, self.last_port) == (0, u16::MAX) {
            f.write_str("]")
        } else if self.first_port == self.last_port {
            write!(f, "/{}]", self.first_port)
        } else {
            write!(f, "/{}-{}]", self.first_port, self.last_port)
        }
    }
}
