//! Pairs of SAs as `[[ipsec]]` tables.

use core::fmt::Write;

use zeroize::Zeroizing;

use super::{
    pair::Pair,
    read::{Fault, Sel},
    state::Sa,
};

/// Windows below are taken as this many packets (RFC 4303 §3.4.3).
const SMALLEST_WINDOW: u32 = 32;

/// Bytes that a pair takes at most without its selectors: the text never moves, so that it leaves no
/// copies of keys behind.
const PAIR: usize = 4096;

/// The text.
pub fn toml(source: &str, pairs: &[Pair]) -> Result<Zeroizing<String>, Vec<Fault>> {
    let selectors: usize =
        pairs.iter().map(|pair| pair.selectors.len() + pair.policies.len()).sum();
    let size = PAIR * (pairs.len() + 1) + 256 * selectors + source.len();
    let mut text = Zeroizing::new(String::with_capacity(size));
    let _ = writeln!(
        text,
        "# Made from {source} by `lockgate sa import`. It holds keys: mode 0600.\n\
         # The tunnels' zones have their names; [[policy]] tables say what may pass between zones."
    );
    let mut names = Vec::new();
    let mut faults = Vec::new();
    for pair in pairs {
        if let Err(fault) = table(&mut text, pair, &mut names) {
            faults.push(fault);
        }
    }
    if faults.is_empty() { Ok(text) } else { Err(faults) }
}

fn table(text: &mut String, pair: &Pair, names: &mut Vec<String>) -> Result<(), Fault> {
    let Pair { outbound: out, inbound: inn, selectors, policies } = pair;
    agree(out, inn)?;
    let name = name(&out.dst.to_string(), names);
    let mut put = |line: core::fmt::Arguments<'_>| {
        let _ = text.write_fmt(line);
        text.push('\n');
    };
    put(format_args!(
        "\n# SAs of lines {} (out) and {} (in){}",
        out.line,
        inn.line,
        listed(policies)
    ));
    put(format_args!("[[ipsec]]\nname = \"{name}\""));
    put(format_args!("local = \"{}\"\nremote = \"{}\"", out.src, out.dst));
    put(format_args!("mode = \"{}\"", if out.tunnel { "tunnel" } else { "transport" }));
    if !selectors.is_empty() {
        put(format_args!("steering = \"selectors\"\nselectors = ["));
        for selector in selectors {
            put(format_args!("  {},", inline(selector, out)));
        }
        put(format_args!("]"));
    }
    if let Some((sport, dport)) = out.more.encap {
        put(format_args!("udp-encapsulation = true\nlocal-port = {sport}\nremote-port = {dport}"));
    }
    if out.more.esn {
        put(format_args!("esn = true"));
    }
    match inn.more.window {
        None => {
            put(format_args!(
                "# no replay-window: the kernel would take replays; 1024 is the default"
            ));
        }
        Some(window) if (1..SMALLEST_WINDOW).contains(&window) => {
            put(format_args!("# replay-window {window}: {SMALLEST_WINDOW} is the least"));
            put(format_args!("replay-window = {SMALLEST_WINDOW}"));
        }
        Some(window) => put(format_args!("replay-window = {window}")),
    }
    if out.more.no_pmtu {
        put(format_args!("df = \"clear\""));
    }
    if let Some(pad) = out.more.pad {
        put(format_args!("pad-to = {pad}"));
    }
    for (key, limits) in [("soft-lifetime", out.more.soft), ("hard-lifetime", out.more.hard)] {
        let names = ["packets", "bytes", "seconds"];
        let parts = names.iter().zip(limits).filter_map(|(n, l)| Some(format!("{n} = {}", l?)));
        let parts: Vec<String> = parts.collect();
        if !parts.is_empty() {
            put(format_args!("{key} = {{ {} }}", parts.join(", ")));
        }
    }
    for (sa, way) in [(out, "out"), (inn, "in")] {
        if let Some(device) = &sa.offload {
            put(format_args!(
                "# `offload dev {device} dir {way}` is not needed: with \"auto\" the gateway puts \
                 SAs on its engine\n# by itself; see `lockgate show sa --offload`"
            ));
        }
    }
    put(format_args!("offload = \"auto\""));
    if out.suite.is_null() || inn.suite.is_null() {
        put(format_args!("allow-null = true  # nothing is encrypted"));
    }
    for (sa, way) in [(out, "out"), (inn, "in")] {
        let key = sa.key.expose_hex();
        let (spi, suite) = (sa.spi, sa.suite);
        put(format_args!(
            "{way} = {{ spi = {spi:#x}, algorithm = \"{suite}\", key = \"0x{}\" }}",
            *key
        ));
    }
    Ok(())
}

/// What one `[[ipsec]]` says for both SAs must be the same for both.
fn agree(out: &Sa, inn: &Sa) -> Result<(), Fault> {
    let lifetimes = (out.more.soft, out.more.hard) == (inn.more.soft, inn.more.hard);
    let what = match (out.more.esn == inn.more.esn, lifetimes) {
        (true, true) => return Ok(()),
        (false, _) => "`flag esn`",
        (true, false) => "`limit`",
    };
    Err(Fault::new(inn.line, "different-sas", format!("{what} is not the same in both directions"))
        .found(format!("another {what} than on line {}", out.line))
        .expected("the same for both SAs of the pair")
        .help("make them agree, at both ends"))
}

fn listed(lines: &[u32]) -> String {
    let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
    match lines.as_slice() {
        [] => String::new(),
        [one] => format!(", policy of line {one}"),
        several => format!(", policies of lines {}", several.join(", ")),
    }
}

/// A name that no tunnel before has.
fn name(remote: &str, names: &mut Vec<String>) -> String {
    let base = format!("to-{}", remote.replace(':', "-"));
    let twins = names.iter().filter(|name| **name == base).count();
    let full = if twins == 0 { base.clone() } else { format!("{base}-{}", twins + 1) };
    names.push(base);
    full
}

fn inline(sel: &Sel, out: &Sa) -> String {
    let any = match (sel.src.or(sel.dst).map(|net| net.addr()), out.src.is_ipv4()) {
        (Some(address), _) if address.is_ipv4() => "0.0.0.0/0",
        (None, true) => "0.0.0.0/0",
        (Some(_), _) | (None, false) => "::/0",
    };
    let net = |net: Option<ipnet::IpNet>| net.map_or_else(|| any.to_owned(), |net| net.to_string());
    let mut text = format!("{{ local = \"{}\", remote = \"{}\"", net(sel.src), net(sel.dst));
    if let Some(proto) = sel.proto {
        let _ = write!(text, ", protocol = {proto}");
    }
    for (key, port) in [("local-ports", sel.sport), ("remote-ports", sel.dport)] {
        if let Some(port) = port {
            let _ = write!(text, ", {key} = {port}");
        }
    }
    text + " }"
}
