//! Texts that stand for values: addresses, ranges, durations, sizes, ports, times.

use core::{net::IpAddr, ops::RangeInclusive, time::Duration};

use ipnet::IpNet;

use crate::model::IpRange;

/// Why a text is not the value it should be, and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub message: String,
    pub expected: String,
    pub help: String,
}

impl Bad {
    pub fn new(
        message: impl Into<String>,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { message: message.into(), expected: expected.into(), help: help.into() }
    }
}

/// Longest name.
const NAME: usize = 63;

/// A name: letters, digits, `-`, `_`, `.`; begins with a letter or digit.
pub(crate) fn name(text: &str) -> Result<String, Bad> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.len() <= NAME && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    let cleaned: String = text.chars().map(|c| if fits(c) { c } else { '-' }).take(NAME).collect();
    let cleaned = cleaned.trim_start_matches(['-', '_', '.']);
    let help = match cleaned {
        "" => "choose a name such as \"lan\"".to_owned(),
        name => format!("write \"{name}\""),
    };
    let expected =
        "letters, digits, `-`, `_` and `.`, beginning with a letter or digit, 1 to 63 characters";
    Err(Bad::new("not a name", expected, help))
}

/// Longest name of a user or group, in bytes.
const PRINCIPAL: usize = 128;

/// The name of a user or group: what directories allow, but nothing that steers a terminal.
pub(crate) fn principal(text: &str) -> Result<String, Bad> {
    if is_principal(text) && !matches!(text, "any" | "known") {
        return Ok(text.to_owned());
    }
    let expected = format!("a name without spaces, commas and colons, 1 to {PRINCIPAL} bytes");
    let help =
        "write the name as the user logs in with it, such as \"alice\" or \"alice@example.com\"";
    Err(Bad::new("not the name of a user or group", expected, help))
}

/// Whether a text can be the name of a user or group.
pub fn is_principal(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | ':');
    (1..=PRINCIPAL).contains(&text.len()) && !text.contains(bad)
}

/// An address.
pub(crate) fn ip(text: &str) -> Result<IpAddr, Bad> {
    text.parse().map_err(|_| {
        let help = match text.split_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                format!("leave the prefix length out: \"{address}\"")
            }
            _ => "write an address such as \"192.0.2.1\" or \"2001:db8::1\"".to_owned(),
        };
        Bad::new(format!("\"{text}\" is not an IP address"), "an IPv4 or IPv6 address", help)
    })
}

/// A prefix without host bits.
pub(crate) fn prefix(text: &str) -> Result<IpNet, Bad> {
    let Ok(net) = text.parse::<IpNet>() else {
        let help = match text.parse::<IpAddr>() {
            Ok(ip) => format!("for this one address write \"{ip}/{}\"", bits(ip)),
            Err(_) if text == "default" || text == "any" => {
                "write \"0.0.0.0/0\" or \"::/0\"".to_owned()
            }
            Err(_) => "write a prefix such as \"10.0.0.0/8\" or \"2001:db8::/32\"".to_owned(),
        };
        return Err(Bad::new(format!("\"{text}\" is not a prefix"), "`address/length`", help));
    };
    if net.addr() == net.network() {
        return Ok(net);
    }
    let help = format!(
        "write \"{}\", or \"{}\" for the one address",
        net.trunc(),
        IpNet::from(net.addr())
    );
    Err(Bad::new(
        format!("\"{text}\" has bits beyond its prefix length"),
        "a prefix without host bits",
        help,
    ))
}

/// An address of an interface with its prefix length.
pub(crate) fn interface_address(text: &str) -> Result<IpNet, Bad> {
    const WHAT: &str = "an address of a host with prefix length";
    let Ok(net) = text.parse::<IpNet>() else {
        let help = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => format!("add the prefix length: \"{ip}/24\""),
            Ok(IpAddr::V6(ip)) => format!("add the prefix length: \"{ip}/64\""),
            Err(_) => "write an address such as \"10.1.0.1/24\" or \"2001:db8:1::1/64\"".to_owned(),
        };
        return Err(Bad::new(
            format!("\"{text}\" is not an address with prefix length"),
            WHAT,
            help,
        ));
    };
    let ip = net.addr();
    let first_host = match net {
        IpNet::V4(net) => net.hosts().next().map(IpAddr::V4),
        IpNet::V6(net) => Some(IpAddr::V6((u128::from(net.network()) | 1).into())),
    };
    let help = match first_host {
        Some(host) if host != ip && !is_never_a_host(host) => {
            format!("take an address of a host in it, such as \"{host}/{}\"", net.prefix_len())
        }
        _ => "take the address of a host, such as \"10.1.0.1/24\"".to_owned(),
    };
    if is_never_a_host(ip) {
        return Err(Bad::new(format!("{ip} can never be the address of an interface"), WHAT, help));
    }
    let roomy = net.prefix_len() + 1 < net.max_prefix_len();
    if roomy && ip == net.network() {
        let what = if ip.is_ipv4() { "network address" } else { "subnet-router anycast address" };
        return Err(Bad::new(format!("{ip} is the {what} of {}", net.trunc()), WHAT, help));
    }
    if roomy && ip.is_ipv4() && ip == net.broadcast() {
        return Err(Bad::new(
            format!("{ip} is the broadcast address of {}", net.trunc()),
            WHAT,
            help,
        ));
    }
    Ok(net)
}

/// Whether no host can have the address: unspecified, loopback, multicast or broadcast.
pub(crate) fn is_never_a_host(ip: IpAddr) -> bool {
    ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_multicast()
        || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets().first() == Some(&0))
}

/// An address, a prefix, or `first-last`.
pub(crate) fn range(text: &str) -> Result<IpRange, Bad> {
    if text.contains('/') {
        return prefix(text).map(|net| net_range(&net));
    }
    let Some((first, last)) = text.split_once('-') else {
        return ip(text).map(|ip| IpRange { first: ip, last: ip });
    };
    let (first, last) = (ip(first.trim())?, ip(last.trim())?);
    if first.is_ipv4() != last.is_ipv4() {
        return Err(Bad::new(
            "the range begins in one IP version and ends in the other",
            "two addresses of one IP version",
            "write one range for IPv4 and one for IPv6",
        ));
    }
    if last < first {
        return Err(Bad::new(
            "the range ends before it begins",
            "`first-last`",
            format!("write \"{last}-{first}\""),
        ));
    }
    Ok(IpRange { first, last })
}

/// The addresses of a prefix.
pub(crate) fn net_range(net: &IpNet) -> IpRange {
    IpRange { first: net.network(), last: net.broadcast() }
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Units of a duration with their milliseconds.
const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("sec", 1000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
    ("w", 604_800_000),
];

/// A duration: numbers with units, such as `90s`, `2h4m` or `1d 12h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Bad> {
    let bad = || {
        let help = match text.trim().parse::<u64>() {
            Ok(n) => format!("add a unit: \"{n}s\""),
            Err(_) => "write a duration such as \"30s\", \"5m\" or \"2h4m\"".to_owned(),
        };
        let expected = "numbers with units `ms`, `s`, `m`, `h`, `d` or `w`";
        Bad::new(format!("\"{text}\" is not a duration"), expected, help)
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit);
        (number, rest) = split_when(rest, |c| !c.is_ascii_digit());
        rest = rest.trim_start();
        (unit, rest) = split_when(rest, |c| !c.is_ascii_alphabetic());
        rest = rest.trim_start();
        let number: u64 = number.parse().map_err(|_| bad())?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        total =
            number.checked_mul(*scale).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
    }
    Ok(Duration::from_millis(total))
}

fn split_when(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// A duration as it is written: `2h4m`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut left = duration.as_millis() as u64;
    if left == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, scale) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    {
        if left / scale > 0 {
            out.push_str(&format!("{}{unit}", left / scale));
            left %= scale;
        }
    }
    out
}

/// Bytes: `65536`, `64KiB`, `4MiB`, `1GiB`.
pub(crate) fn size(text: &str) -> Result<u64, Bad> {
    let (number, unit) = split_when(text.trim(), |c| !c.is_ascii_digit());
    let scale = match unit.trim() {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1u64 << 30),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    number.zip(scale).and_then(|(n, scale)| n.checked_mul(scale)).ok_or_else(|| {
        let help = match number {
            Some(n) => format!("write \"{n}MiB\" or \"{n}KiB\""),
            None => "write a size such as \"4MiB\"".to_owned(),
        };
        Bad::new(format!("\"{text}\" is not a size"), "bytes, `KiB`, `MiB` or `GiB`", help)
    })
}

/// Ports: `443` or `8000-8010`.
pub(crate) fn ports(text: &str) -> Result<RangeInclusive<u16>, Bad> {
    const WHAT: &str = "a port from 0 to 65535, or `first-last`";
    let port = |text: &str| {
        text.trim().parse::<u16>().map_err(|_| {
            let help = "write a number such as 443, or a range such as 8000-8010";
            Bad::new(format!("\"{}\" is not a port", text.trim()), WHAT, help)
        })
    };
    let Some((first, last)) = text.split_once('-') else {
        let port = port(text)?;
        return Ok(port..=port);
    };
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        let help = format!("write {last}-{first}");
        return Err(Bad::new("the range of ports ends before it begins", WHAT, help));
    }
    Ok(first..=last)
}

/// Minute of the day: `08:00`; `24:00` is the end of the day.
pub(crate) fn time_of_day(text: &str) -> Result<u16, Bad> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let two = |t: &str| (t.len() == 2).then(|| t.parse::<u16>().ok()).flatten();
        let hour = if hour.len() == 1 { hour.parse().ok() } else { two(hour) }?;
        let minutes = hour * 60 + two(minute).filter(|m| *m < 60)?;
        (minutes <= 1440).then_some(minutes)
    });
    parsed.ok_or_else(|| {
        let help = "write a time of day such as \"08:00\"; the end of the day is \"24:00\"";
        Bad::new(format!("\"{text}\" is not a time of day"), "`hh:mm` from 00:00 to 24:00", help)
    })
}

/// Minutes east of UTC: `+01:00`, `-03:30`, `Z`.
pub(crate) fn utc_offset(text: &str) -> Result<i16, Bad> {
    let parsed = match text {
        "Z" | "UTC" => Some(0),
        _ => text.split_at_checked(1).and_then(|(sign, rest)| {
            let minutes = time_of_day(rest).ok().filter(|m| *m <= 14 * 60)? as i16;
            match sign {
                "+" => Some(minutes),
                "-" => Some(-minutes),
                _ => None,
            }
        }),
    };
    parsed.ok_or_else(|| {
        let help = "write an offset such as \"+01:00\", \"-05:00\" or \"Z\"";
        Bad::new(
            format!("\"{text}\" is not an offset from UTC"),
            "`+hh:mm` or `-hh:mm`, at most 14 hours",
            help,
        )
    })
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
pub(crate) fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // years that begin in March put the leap day last
    let years = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let era = years.div_euclid(400);
    let of_era = years.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_show() {
        for (text, secs) in [("30s", 30), ("2h4m", 7440), ("1d 12h", 129_600), ("5 min", 300)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for bad in ["", "30", "s", "3x", "-1s", "99999999999999999999s", "18446744073709551615w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(show_duration(Duration::from_millis(7_440_500)), "2h4m500ms");
    }

    #[test]
    fn dates_match_known_days() {
        assert_eq!(days_since_epoch(1970, 1, 1), 0);
        assert_eq!(days_since_epoch(2000, 3, 1), 11_017);
        assert_eq!(days_since_epoch(2026, 12, 31), 20_818);
        assert_eq!(days_since_epoch(1969, 12, 31), -1);
    }

    #[test]
    fn offsets_and_times() {
        assert_eq!(utc_offset("-03:30"), Ok(-210));
        assert_eq!(time_of_day("24:00"), Ok(1440));
        for bad in ["24:01", "8", "08:60", "0800", "é:00"] {
            assert!(time_of_day(bad).is_err(), "{bad}");
            assert!(utc_offset(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn network_and_broadcast_addresses_are_refused() {
        for bad in [
            "10.0.0.0/24",
            "10.0.0.255/24",
            "2001:db8::/64",
            "224.0.0.1/24",
            "127.0.0.1/8",
            "10.0.0.1",
        ] {
            assert!(interface_address(bad).is_err(), "{bad}");
        }
        for good in ["10.0.0.0/31", "10.0.0.1/32", "2001:db8::/127", "fe80::1/64"] {
            assert!(interface_address(good).is_ok(), "{good}");
        }
    }
}
