//! The small value types every crate shares.

use core::{fmt, net::IpAddr, ops, str::FromStr, time::Duration};

/// A point in time: nanoseconds since an arbitrary start that is the same for one gateway.
///
/// The cores read no clock; `now` is passed in. Simulations start at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The point `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// The point `secs` seconds after the start.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.as_nanos().min(u128::from(u64::MAX)) as u64))
    }
}

impl ops::Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(d.as_nanos().min(u128::from(u64::MAX)) as u64))
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set: multicast or broadcast.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether all bits are zero.
    pub const fn is_zero(self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not six hexadecimal bytes separated by colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacSyntax;

impl fmt::Display for MacSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a MAC address such as 02:00:5e:10:00:01")
    }
}

impl std::error::Error for MacSyntax {}

impl FromStr for Mac {
    type Err = MacSyntax;

    fn from_str(s: &str) -> Result<Self, MacSyntax> {
        let mut bytes = [0; 6];
        let mut parts = s.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or(MacSyntax)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacSyntax)?;
        }
        if parts.next().is_some() { Err(MacSyntax) } else { Ok(Self(bytes)) }
    }
}

/// An 802.1Q VLAN identifier, 1 to 4094.
pub type VlanId = u16;

/// IP protocol numbers (IANA) that the gateway knows by name.
pub mod proto {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// GRE.
    pub const GRE: u8 = 47;
    /// ESP.
    pub const ESP: u8 = 50;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// What identifies one direction of a conversation.
///
/// For TCP, UDP and SCTP the ports are the ports. For an ICMP echo request `src_port` is the
/// identifier and `dst_port` is zero; for an echo reply it is the other way round, so that
/// [`Tuple::reversed`] of a request is the tuple of its reply. For everything else both are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port or ICMP identifier.
    pub src_port: u16,
    /// Destination port or ICMP identifier.
    pub dst_port: u16,
    /// IP protocol number; for IPv6 the upper-layer protocol after extension headers.
    pub proto: u8,
}

impl Tuple {
    /// The tuple of a packet going the other way.
    pub const fn reversed(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
            proto: self.proto,
        }
    }

    /// Whether the addresses are IPv6.
    pub const fn is_v6(self) -> bool {
        matches!(self.src, IpAddr::V6(_))
    }
}

/// `tcp 10.0.0.5:51000 -> 203.0.113.9:443`; addresses only for protocols without ports.
impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |f: &mut fmt::Formatter<'_>, ip: IpAddr, port: u16| match ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{port}"),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{port}"),
        };
        match self.proto {
            proto::TCP | proto::UDP | proto::SCTP => {
                let name = match self.proto {
                    proto::TCP => "tcp",
                    proto::UDP => "udp",
                    _ => "sctp",
                };
                write!(f, "{name} ")?;
                end(f, self.src, self.src_port)?;
                f.write_str(" -> ")?;
                end(f, self.dst, self.dst_port)
            }
            proto::ICMP | proto::ICMPV6 => {
                let id = self.src_port | self.dst_port;
                write!(f, "icmp {} -> {} id {id}", self.src, self.dst)
            }
            proto::GRE => write!(f, "gre {} -> {}", self.src, self.dst),
            other => write!(f, "proto-{other} {} -> {}", self.src, self.dst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_survives_text() {
        let mac: Mac = "02:00:5e:10:00:ff".parse().expect("valid");
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
        for bad in
            ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff", "02-00-5e-10-00-ff"]
        {
            assert_eq!(bad.parse::<Mac>(), Err(MacSyntax), "{bad}");
        }
    }

    #[test]
    fn time_never_wraps() {
        assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
        assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time::ZERO.since(Time::from_secs(1)), Duration::ZERO);
    }
}
