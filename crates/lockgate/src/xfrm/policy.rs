//! `ip xfrm policy`: what belongs into an SA.

use core::net::IpAddr;

use super::read::{Cursor, Dir, Fault, Sel, bad};

const KEYS: &str = "src, dst, proto, sport, dport, dir, index, ptype, action, priority or tmpl";

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its line.
    pub line: u32,
    /// What it is about, seen from the sender.
    pub sel: Sel,
    /// Which packets.
    pub dir: Dir,
    /// Its SA.
    pub tmpl: Tmpl,
}

/// The SA that a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpl {
    /// Its ends; any when absent or unspecified.
    pub ends: (Option<IpAddr>, Option<IpAddr>),
    /// Its number; any when zero.
    pub reqid: u32,
    /// Its SPI; any when zero.
    pub spi: u32,
    /// Tunnel mode.
    pub tunnel: bool,
}

/// Reads a policy; none where it is a socket's own (a daemon that keys SAs has one, to stay outside).
pub fn policy(words: &mut Cursor<'_, '_>) -> Result<Option<Policy>, Fault> {
    let line = words.line;
    let (mut sel, mut dir, mut tmpl) = (Sel::default(), None, None);
    while let Some(key) = words.key() {
        if sel.read(key, words)? {
            continue;
        }
        match &*key.text {
            "dir" => dir = Some(words.direction()?),
            "socket" => {
                words.skip_line();
                return Ok(None);
            }
            "priority" | "index" => drop(words.value(&key.text)?),
            "ptype" => {
                let word = words.value("ptype")?;
                if word.text != "main" {
                    return Err(Fault::unsupported(
                        word,
                        "a policy of another table",
                        "import those of `ptype main`",
                    ));
                }
            }
            "action" => {
                let word = words.value("action")?;
                if word.text != "allow" {
                    return Err(Fault::unsupported(
                        word,
                        "a policy that blocks packets",
                        "leave it out and write a [[policy]] with `action = \"deny\"`",
                    ));
                }
            }
            "flag" | "mark" | "if_id" | "ctx" | "security" | "offload" | "crypto" | "limit" => {
                return Err(Fault::unsupported(
                    key,
                    format!("a policy with `{}`", key.text),
                    "leave it out; an [[interface]] with `tunnel = …` and routes steer as if_id does",
                ));
            }
            "tmpl" if tmpl.is_some() => {
                return Err(Fault::unsupported(
                    key,
                    "SAs inside one another",
                    "write one tunnel inside the other, each with its own [[ipsec]]",
                ));
            }
            "tmpl" => tmpl = Some(template(words)?),
            _ => {
                words.unknown(key, KEYS)?;
                break;
            }
        }
    }
    let Some(dir) = dir else {
        return Err(Fault::new(line, "missing-value", "the policy has no direction")
            .found("no `dir`")
            .expected("`dir in`, `dir out` or `dir fwd`")
            .help("add it"));
    };
    let Some(tmpl) = tmpl else {
        return Err(Fault::new(line, "not-taken", "a policy that lets packets pass in clear")
            .found("no `tmpl`")
            .expected("`tmpl … proto esp …`")
            .help("leave it out, and narrow the policies it is an exception of"));
    };
    Ok(Some(Policy { line, sel, dir, tmpl }))
}

fn template(words: &mut Cursor<'_, '_>) -> Result<Tmpl, Fault> {
    let mut tmpl = Tmpl { ends: (None, None), reqid: 0, spi: 0, tunnel: false };
    let given = |address: IpAddr| (!address.is_unspecified()).then_some(address);
    while let Some(key) = words.peek().cloned() {
        match &*key.text {
            "src" if !words.begins_dump_entry() => {
                words.at += 1;
                tmpl.ends.0 = given(words.address("src")?);
            }
            "dst" => {
                words.at += 1;
                tmpl.ends.1 = given(words.address("dst")?);
            }
            "proto" => {
                words.at += 1;
                esp_only(words)?;
            }
            "spi" => {
                words.at += 1;
                tmpl.spi = words.number("spi", 0..=u32::MAX.into())? as u32;
            }
            "reqid" => {
                words.at += 1;
                tmpl.reqid = words.number("reqid", 0..=u32::MAX.into())? as u32;
            }
            "mode" => {
                words.at += 1;
                tmpl.tunnel = mode(words)?;
            }
            "level" => {
                words.at += 1;
                let word = words.value("level")?;
                if word.text != "required" {
                    return Err(Fault::unsupported(
                        word,
                        "packets that pass in clear while there is no SA",
                        "write `level required`",
                    ));
                }
            }
            _ => break,
        }
    }
    Ok(tmpl)
}

/// `proto esp`; the others are none of ours.
pub fn esp_only(words: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    let word = words.value("proto")?;
    match &*word.text {
        "esp" | "50" => Ok(()),
        "ah" | "51" => Err(Fault::unsupported(
            word,
            "AH is not done",
            "use ESP; `aes256gmac` (RFC 4543) where nothing may be encrypted",
        )),
        "comp" | "108" => Err(Fault::unsupported(
            word,
            "IP compression is not done",
            "switch it off at both ends; it tells what is inside by its length",
        )),
        _ => Err(bad(word, "proto", "esp".to_owned())),
    }
}

/// Whether it is tunnel mode.
pub fn mode(words: &mut Cursor<'_, '_>) -> Result<bool, Fault> {
    let word = words.value("mode")?;
    match &*word.text {
        "tunnel" => Ok(true),
        "transport" => Ok(false),
        "beet" | "ro" | "in_trigger" | "iptfs" => Err(Fault::unsupported(
            word,
            format!("mode {} is not done", word.text),
            "use `mode tunnel` or `mode transport` at both ends",
        )),
        _ => Err(bad(word, "mode", "tunnel or transport".to_owned())),
    }
}
