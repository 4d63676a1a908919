//! Conversations in words: `tcp 10.1.1.5:51000 8.8.8.8:443`.

use std::net::{IpAddr, SocketAddr};

use api::{LookupKey, PacketSpec, TcpFlagsSpec};

use crate::cli::{FlowArgs, TraceArgs};

/// ICMP echo request (RFC 792) and its ICMPv6 counterpart (RFC 4443 §4.1).
const ECHO_REQUEST: [u16; 2] = [8, 128];

/// The key behind the words.
///
/// # Errors
/// One sentence that says which word is wrong and what it should look like.
pub fn key(flow: &FlowArgs) -> Result<LookupKey, String> {
    parse(&flow.words, flow.interface.clone(), flow.vr.clone())
}

/// The made-up packet behind `trace --simulate`.
///
/// # Errors
/// One sentence that says which word is wrong and what it should look like.
pub fn packet(args: &TraceArgs) -> Result<PacketSpec, String> {
    let key = parse(&args.words, args.interface.clone(), args.vr.clone())?;
    if args.flags.is_some() && key.proto != 6 {
        return Err("--flags is for tcp".to_owned());
    }
    Ok(PacketSpec {
        key,
        length: args.length,
        ttl: args.ttl,
        dont_fragment: args.may_fragment.then_some(false),
        tcp_flags: args.flags,
    })
}

/// Flags by their letters, in any order: `SA`, or `.` for none.
///
/// # Errors
/// Names the letter that is no flag.
pub fn tcp_flags(text: &str) -> Result<TcpFlagsSpec, String> {
    let mut flags = TcpFlagsSpec::default();
    for letter in text.chars().filter(|c| *c != '.') {
        match letter.to_ascii_uppercase() {
            'S' => flags.syn = true,
            'A' => flags.ack = true,
            'F' => flags.fin = true,
            'R' => flags.rst = true,
            'P' => flags.psh = true,
            'U' => flags.urg = true,
            other => return Err(format!("`{other}` is no flag; they are S, A, F, R, P and U")),
        }
    }
    Ok(flags)
}

fn parse(
    words: &[String],
    mut interface: Option<String>,
    mut vr: Option<String>,
) -> Result<LookupKey, String> {
    let words: Vec<&str> =
        words.iter().flat_map(|w| w.split_whitespace()).filter(|w| *w != "->").collect();
    let [proto, src, dst, ref rest @ ..] = words[..] else {
        return Err(format!(
            "expected a protocol, a source and a destination, such as \
             `tcp 10.1.1.5:51000 8.8.8.8:443 in lan`; got `{}`",
            words.join(" ")
        ));
    };
    for pair in rest.chunks(2) {
        match *pair {
            ["in", name] => interface = Some(name.to_owned()),
            ["vr", name] => vr = Some(name.to_owned()),
            [word, ..] => {
                return Err(format!(
                    "`{word}` is not known here; after the destination come `in INTERFACE` and `vr NAME`"
                ));
            }
            [] => {}
        }
    }
    let (src, src_port) = end(src)?;
    let (dst, dst_port) = end(dst)?;
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(format!("{src} and {dst} are not of the same IP version"));
    }
    let proto = protocol(proto, src.is_ipv6())?;
    let (src_port, dst_port) = match proto {
        6 | 17 | 132 => match (src_port, dst_port) {
            (_, None) => return Err(format!("the destination needs a port: `{dst}` has none")),
            (src_port, Some(dst_port)) => (src_port.unwrap_or(50_000), dst_port),
        },
        1 | 58 => (src_port.unwrap_or(0), ECHO_REQUEST[usize::from(src.is_ipv6())]),
        _ => match (src_port, dst_port) {
            (None, None) => (0, 0),
            _ => return Err("only tcp, udp and sctp have ports".to_owned()),
        },
    };
    Ok(LookupKey { interface, vr, src, dst, proto, src_port, dst_port })
}

fn protocol(word: &str, v6: bool) -> Result<u8, String> {
    Ok(match word {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        "gre" => 47,
        "esp" => 50,
        "icmp" | "icmp6" | "icmpv6" => {
            if v6 {
                58
            } else {
                1
            }
        }
        number => number.parse().map_err(|_| {
            format!("`{word}` is no protocol; use tcp, udp, icmp, sctp, gre, esp or a number")
        })?,
    })
}

fn end(word: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Ok((ip, None));
    }
    if let Ok(socket) = word.parse::<SocketAddr>() {
        return Ok((socket.ip(), Some(socket.port())));
    }
    let bare = word.strip_prefix('[').and_then(|w| w.strip_suffix(']'));
    if let Some(Ok(ip)) = bare.map(str::parse::<IpAddr>) {
        return Ok((ip, None));
    }
    Err(format!("`{word}` is no address; write `10.1.1.5:443` or `[2001:db8::1]:443`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<LookupKey, String> {
        parse(&[text.to_owned()], None, None)
    }

    #[test]
    fn words_become_a_key() {
        let tcp = key("tcp 10.1.1.5:51000 -> 8.8.8.8:443").expect("valid");
        assert_eq!((tcp.proto, tcp.src_port, tcp.dst_port), (6, 51_000, 443));
        let v6 = key("udp [2001:db8::1]:5000 [2001:db8::2]:53").expect("valid");
        assert_eq!((v6.dst.to_string().as_str(), v6.dst_port), ("2001:db8::2", 53));
        let ping = key("icmp 2001:db8::1 2001:db8::2").expect("valid");
        assert_eq!((ping.proto, ping.dst_port), (58, 128));
        let named = key("tcp 10.0.0.1:1 -> 10.0.0.2:2 in lan vr blue").expect("valid");
        assert_eq!((named.interface.as_deref(), named.vr.as_deref()), (Some("lan"), Some("blue")));
        assert_eq!(key("89 10.0.0.1 10.0.0.2").expect("valid").proto, 89);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("tcp 10.1.1.5", "expected a protocol"),
            ("tcp 10.1.1.5 8.8.8.8", "needs a port"),
            ("tpc 10.1.1.5 8.8.8.8:1", "`tpc` is no protocol"),
            ("tcp 10.1.1 8.8.8.8:1", "`10.1.1` is no address"),
            ("tcp 10.1.1.5 8.8.8.8:1 via lan", "`via` is not known"),
            ("tcp 10.1.1.5 8.8.8.8:1 in", "`in` is not known"),
            ("udp 10.1.1.5 [::1]:1", "same IP version"),
            ("gre 10.1.1.5:1 8.8.8.8", "have ports"),
        ] {
            let error = key(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(tcp_flags("SX").is_err());
    }
}
