//! `ip xfrm state`: SAs, as commands and as they are printed.

use core::net::IpAddr;

use esp::{KeyMaterial, Suite};
use zeroize::Zeroizing;

use super::{
    lex::Word,
    policy::{esp_only, mode},
    read::{Cursor, Dir, Fault, Sel, bad, shown},
};

const KEYS: &str = "src, dst, proto, spi, reqid, mode, aead, enc, auth, auth-trunc, replay-window, \
                    flag, encap, sel, limit, tfcpad, dir or offload";

/// An SA.
#[derive(Clone, Debug)]
pub struct Sa {
    /// Its line.
    pub line: u32,
    /// Its sender.
    pub src: IpAddr,
    /// Its receiver.
    pub dst: IpAddr,
    /// Security parameters index.
    pub spi: u32,
    /// What policies name it by; zero for nothing.
    pub reqid: u32,
    /// Tunnel mode.
    pub tunnel: bool,
    /// Algorithms.
    pub suite: Suite,
    /// Key material.
    pub key: KeyMaterial,
    /// What is not the SA's identity.
    pub more: More,
    /// What it takes, seen from the sender.
    pub sel: Option<Sel>,
    /// Which way it goes here, where `dir` or `offload … dir` says so.
    pub dir: Option<Dir>,
    /// Device it is offloaded to.
    pub offload: Option<String>,
    /// Sequence number of the last packet that the kernel sent with the key.
    pub sent: u64,
}

/// Parameters that both SAs of a pair, or one of them, give to the tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// UDP ports of sender and receiver.
    pub encap: Option<(u16, u16)>,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Outer IPv4 headers have no DF bit.
    pub no_pmtu: bool,
    /// Anti-replay window in packets.
    pub window: Option<u32>,
    /// Padding (TFC) in bytes.
    pub pad: Option<u64>,
    /// Soft limits: packets, bytes, seconds.
    pub soft: [Option<u64>; 3],
    /// Hard limits.
    pub hard: [Option<u64>; 3],
}

/// An algorithm as it is written.
struct Algorithm<'w, 't> {
    word: &'w Word<'t>,
    key: Zeroizing<Vec<u8>>,
    /// Bits of the ICV.
    icv: Option<u64>,
}

/// Reads an SA.
pub fn state(words: &mut Cursor<'_, '_>) -> Result<Sa, Fault> {
    let line = words.line;
    let (mut src, mut dst, mut spi, mut reqid, mut tunnel) = (None, None, None, 0, false);
    let (mut aead, mut enc, mut auth) = (None, None, None);
    let (mut more, mut sel, mut dir, mut offload, mut sent) =
        (More::default(), None, None, None, 0);
    let mut is_esp = false;
    while let Some(key) = words.key() {
        match &*key.text {
            "src" => src = Some(words.address("src")?),
            "dst" => dst = Some(words.address("dst")?),
            "proto" => {
                esp_only(words)?;
                is_esp = true;
            }
            "spi" => spi = Some(words.number("spi", 256..=u32::MAX.into())? as u32),
            "reqid" => reqid = words.number("reqid", 0..=u32::MAX.into())? as u32,
            "mode" => tunnel = mode(words)?,
            "aead" => aead = Some(algorithm(words, "aead", true)?),
            "enc" => enc = Some(algorithm(words, "enc", false)?),
            "auth" => auth = Some(algorithm(words, "auth", false)?),
            "auth-trunc" => auth = Some(algorithm(words, "auth-trunc", true)?),
            "comp" => {
                return Err(Fault::unsupported(
                    key,
                    "IP compression is not done",
                    "switch it off at both ends; it tells what is inside by its length",
                ));
            }
            "replay-window" => {
                more.window = Some(words.number("replay-window", 0..=8192)? as u32);
            }
            "tfcpad" => more.pad = Some(words.number("tfcpad", 64..=9000)?),
            "flag" => flags(words, &mut more)?,
            "encap" => more.encap = Some(encapsulation(words)?),
            "sel" => sel = Some(selector(words)?),
            "limit" => limit(words, &mut more)?,
            "dir" => dir = Some(words.direction()?),
            "offload" => {
                let _ = words.take("packet") || words.take("crypto");
                device(words, &mut dir, &mut offload)?;
            }
            "crypto" if words.take("offload") && words.take("parameters:") => {
                device(words, &mut dir, &mut offload)?;
            }
            "anti-replay" => sent = sent.max(replay_context(words)?),
            "replay-oseq" => sent = sent.max(words.number("replay-oseq", 0..=u64::MAX)?),
            "seq" | "replay-seq" | "replay-seq-hi" | "replay-oseq-hi" => {
                words.number(&key.text, 0..=u64::MAX)?;
            }
            "lastused" => words.skip_line(),
            "mark" | "if_id" | "output-mark" | "coa" | "ctx" | "security" | "extra-flag"
            | "pcpu-num" => {
                return Err(Fault::unsupported(
                    key,
                    format!("an SA with `{}`", key.text),
                    "leave it out; an [[interface]] with `tunnel = …` and routes steer as if_id does",
                ));
            }
            _ => {
                words.unknown(key, KEYS)?;
                break;
            }
        }
    }
    let missing = |what: &str| {
        Fault::new(line, "missing-value", format!("the SA has no `{what}`"))
            .found(format!("no `{what}`"))
            .expected(format!("`{what} …`"))
            .help("add it; is a line missing?")
    };
    if !is_esp {
        return Err(missing("proto esp"));
    }
    let (src, dst) = (src.ok_or_else(|| missing("src"))?, dst.ok_or_else(|| missing("dst"))?);
    let spi = spi.ok_or_else(|| missing("spi"))?;
    let (suite, key) = match (aead, enc, auth) {
        (Some(aead), None, None) => combined(&aead)?,
        (None, Some(enc), Some(auth)) => composed(&enc, &auth)?,
        (None, Some(_), None) => return Err(missing("auth-trunc")),
        (None, None, Some(_)) => return Err(missing("enc")),
        (None, None, None) => return Err(missing("aead")),
        (Some(aead), ..) => {
            return Err(bad(aead.word, "aead", "no `enc` and `auth` beside it".to_owned()));
        }
    };
    Ok(Sa { line, src, dst, spi, reqid, tunnel, suite, key, more, sel, dir, offload, sent })
}

fn selector(words: &mut Cursor<'_, '_>) -> Result<Sel, Fault> {
    let mut sel = Sel::default();
    while let Some(key) = words.key() {
        // behind the addresses of a selector, another `src` would be of something else
        let again = key.text == "src" && sel.src.is_some();
        if again || !sel.read(key, words)? {
            words.at -= 1;
            break;
        }
    }
    Ok(sel)
}

fn device(
    words: &mut Cursor<'_, '_>,
    dir: &mut Option<Dir>,
    offload: &mut Option<String>,
) -> Result<(), Fault> {
    loop {
        if words.take("dev") {
            *offload = Some(shown(&words.value("dev")?.text));
        } else if words.take("dir") {
            *dir = Some(words.direction()?);
        } else if offload.is_some() && words.take("mode") {
            // `mode crypto` or `mode packet`: how much the device does
            words.value("mode")?;
        } else {
            return Ok(());
        }
    }
}

fn flags(words: &mut Cursor<'_, '_>, more: &mut More) -> Result<(), Fault> {
    let mut any = false;
    while let Some(word) = words.peek() {
        match &*word.text {
            "esn" => more.esn = true,
            // any IP version inside, as every tunnel without selectors takes it
            "af-unspec" => {}
            "nopmtudisc" => more.no_pmtu = true,
            "noecn" | "decap-dscp" | "wildrecv" | "icmp" | "align4" => {
                return Err(Fault::unsupported(
                    word,
                    format!("flag {}", word.text),
                    "leave it out: ECN is carried (RFC 6040), the inner DSCP is kept, and every \
                     packet must match its SA",
                ));
            }
            _ if any => break,
            _ => return Err(bad(word, "flag", "esn, af-unspec or nopmtudisc".to_owned())),
        }
        any = true;
        words.at += 1;
    }
    Ok(())
}

fn encapsulation(words: &mut Cursor<'_, '_>) -> Result<(u16, u16), Fault> {
    words.take("type");
    let word = words.value("encap")?;
    if word.text != "espinudp" {
        return Err(Fault::unsupported(
            word,
            format!("encapsulation {}", shown(&word.text)),
            "use `encap espinudp` (RFC 3948) at both ends",
        ));
    }
    let mut port = |name: &str| {
        words.take(name);
        words.number(name, 1..=0xffff).map(|port| port as u16)
    };
    let ports = (port("sport")?, port("dport")?);
    words.take("addr");
    words.address("encap")?;
    Ok(ports)
}

fn limit(words: &mut Cursor<'_, '_>, more: &mut More) -> Result<(), Fault> {
    let word = words.value("limit")?;
    let slot = match &*word.text {
        "packet-soft" => &mut more.soft[0],
        "packet-hard" => &mut more.hard[0],
        "byte-soft" => &mut more.soft[1],
        "byte-hard" => &mut more.hard[1],
        "time-soft" => &mut more.soft[2],
        "time-hard" => &mut more.hard[2],
        "time-use-soft" | "time-use-hard" => {
            return Err(Fault::unsupported(
                word,
                "a lifetime that begins with the first packet",
                "use `time-soft` and `time-hard`",
            ));
        }
        _ => {
            return Err(bad(word, "limit", "time-, byte- or packet- with soft or hard".to_owned()));
        }
    };
    *slot = Some(words.number(&word.text, 1..=u64::MAX)?);
    Ok(())
}

/// The kernel's sequence numbers as they are printed; gives that of the last packet sent.
fn replay_context(words: &mut Cursor<'_, '_>) -> Result<u64, Fault> {
    let (mut low, mut high) = (0, 0);
    words.take("esn");
    words.take("context:");
    loop {
        if words.take("oseq") {
            low = words.number("oseq", 0..=u64::MAX)?;
        } else if words.take("oseq-hi") {
            high = words.number("oseq-hi", 0..=u32::MAX.into())?;
        } else if words.take("bitmap-length") {
            for _ in 0..words.number("bitmap-length", 0..=256)? {
                words.value("bitmap")?;
            }
        } else if words.take("seq")
            || words.take("seq-hi")
            || words.take("replay_window")
            || words.take("bitmap")
        {
            words.value("anti-replay")?;
        } else {
            return Ok(high << 32 | low & 0xffff_ffff);
        }
    }
}

fn algorithm<'w, 't>(
    words: &mut Cursor<'w, 't>,
    kind: &str,
    with_icv: bool,
) -> Result<Algorithm<'w, 't>, Fault> {
    let word = words.value(kind)?;
    let null = word.text.contains("cipher_null");
    let has_key = words.peek().is_some_and(|w| w.text.is_empty() || w.text.starts_with("0x"));
    // printed, the NULL cipher has no key at all
    let key = if null && !has_key { None } else { Some(words.value(kind)?) };
    let key = match key.map(|key| (key, key.text.strip_prefix("0x"))) {
        None => Zeroizing::default(),
        Some((_, None)) if null => Zeroizing::default(),
        Some((key, None)) => Zeroizing::new(key.text.as_bytes().to_vec()),
        Some((key, Some(digits))) => hexadecimal(digits).ok_or_else(|| {
            Fault::new(key.line, "bad-key", format!("the key of `{kind}` is no hexadecimal number"))
                .found("other characters, or an odd number of digits")
                .expected("`0x` and pairs of hexadecimal digits")
                .help("copy the whole key")
        })?,
    };
    let icv = if with_icv { Some(words.number(kind, 0..=1024)?) } else { None };
    Ok(Algorithm { word, key, icv })
}

fn hexadecimal(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    let digit = |c: u8| char::from(c).to_digit(16);
    for [high, low] in pairs {
        bytes.push((digit(*high)? << 4 | digit(*low)?) as u8);
    }
    rest.is_empty().then_some(bytes)
}

fn wrong_icv(word: &Word<'_>, bits: u64, wanted: usize) -> Fault {
    Fault::new(word.line, "unsupported-icv", format!("{}: that ICV is not done", shown(&word.text)))
        .found(format!("{bits} bits"))
        .expected(format!("{wanted} bits"))
        .help(format!("set {wanted} at both ends"))
}

fn wrong_key(word: &Word<'_>, bytes: usize, wanted: &str) -> Fault {
    Fault::new(
        word.line,
        "wrong-key-length",
        format!("{}: no key of that length", shown(&word.text)),
    )
    .found(format!("{bytes} bytes"))
    .expected(wanted)
    .help("make a new key for both ends")
}

fn unknown_algorithm(word: &Word<'_>, known: &str) -> Fault {
    Fault::new(word.line, "unknown-algorithm", "an algorithm that is not done")
        .found(format!("`{}`", shown(&word.text)))
        .expected(known)
        .help("use `aead 'rfc4106(gcm(aes))'` with a key of 36 bytes and 128 at both ends")
}

/// The suite of this name, which has to be there.
fn suite(name: &str) -> Suite {
    name.parse().expect("invariant: the name of a suite")
}

fn combined(aead: &Algorithm<'_, '_>) -> Result<(Suite, KeyMaterial), Fault> {
    const AES: &str = "20 or 36 bytes: the cipher's key and 4 of salt";
    let length = aead.key.len();
    let (names, lengths): ([&str; 2], &str) = match &*aead.word.text {
        "rfc4106(gcm(aes))" => (["aes128gcm16", "aes256gcm16"], AES),
        "rfc4543(gcm(aes))" => (["aes128gmac", "aes256gmac"], AES),
        "rfc7539esp(chacha20,poly1305)" => {
            (["chacha20poly1305"; 2], "36 bytes: 32 of the cipher's key and 4 of salt")
        }
        _ => {
            return Err(unknown_algorithm(
                aead.word,
                "rfc4106(gcm(aes)), rfc4543(gcm(aes)) or rfc7539esp(chacha20,poly1305)",
            ));
        }
    };
    let found = names.map(suite).into_iter().find(|suite| suite.key_len() == length);
    let suite = found.ok_or_else(|| wrong_key(aead.word, length, lengths))?;
    check_icv(aead, suite, 128)?;
    Ok((suite, KeyMaterial::from_bytes(&aead.key)))
}

/// The kernel's ICV of an algorithm must be the suite's.
fn check_icv(algorithm: &Algorithm<'_, '_>, suite: Suite, by_default: u64) -> Result<(), Fault> {
    let (bits, wanted) = (algorithm.icv.unwrap_or(by_default), suite.icv_len() * 8);
    if bits == wanted as u64 { Ok(()) } else { Err(wrong_icv(algorithm.word, bits, wanted)) }
}

fn composed(
    enc: &Algorithm<'_, '_>,
    auth: &Algorithm<'_, '_>,
) -> Result<(Suite, KeyMaterial), Fault> {
    let cipher = match (&*enc.word.text, enc.key.len()) {
        ("cbc(aes)" | "aes", 16) => "aes128",
        ("cbc(aes)" | "aes", 32) => "aes256",
        ("cbc(aes)" | "aes", length) => {
            return Err(wrong_key(enc.word, length, "16 or 32 bytes"));
        }
        ("ecb(cipher_null)" | "cipher_null", _) => "null",
        _ => return Err(unknown_algorithm(enc.word, "cbc(aes) or ecb(cipher_null)")),
    };
    // without `-trunc` the kernel cuts SHA-256 to 96 bits, as an old draft had it
    let (hash, by_default) = match &*auth.word.text {
        "hmac(sha1)" | "sha1" => ("sha1", 96),
        "hmac(sha256)" | "sha256" => ("sha256", 96),
        "hmac(sha384)" | "sha384" => ("sha384", 192),
        "hmac(sha512)" | "sha512" => ("sha512", 256),
        _ => {
            let known = "hmac(sha256), hmac(sha384), hmac(sha512) or hmac(sha1)";
            return Err(unknown_algorithm(auth.word, known));
        }
    };
    let suite = suite(&format!("{cipher}-{hash}"));
    if auth.key.len() != suite.integrity_key_len() {
        let wanted = format!("{} bytes", suite.integrity_key_len());
        return Err(wrong_key(auth.word, auth.key.len(), &wanted));
    }
    check_icv(auth, suite, by_default)?;
    Ok((suite, KeyMaterial::from_parts(&enc.key, &auth.key)))
}
