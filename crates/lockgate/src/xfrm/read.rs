//! A cursor over words, and the values that both states and policies have.
//!
//! A command goes on over lines as long as known words follow, because that is how it looks when it
//! was copied from a web page; a line that begins with something else ends it.

use core::net::IpAddr;

use ipnet::IpNet;

use super::lex::{Place, Word};

/// What cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its line.
    pub line: u32,
    /// Stable kebab-case name of the kind of fault.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What stands there; never a key.
    pub found: String,
    /// What could stand there.
    pub expected: String,
    /// The fix.
    pub help: String,
}

impl Fault {
    /// A fault.
    pub fn new(line: u32, code: &'static str, message: impl Into<String>) -> Self {
        let (found, expected, help) = Default::default();
        Self { line, code, message: message.into(), found, expected, help }
    }

    /// With what stands there.
    pub fn found(self, found: impl Into<String>) -> Self {
        Self { found: found.into(), ..self }
    }

    /// With what could stand there.
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), ..self }
    }

    /// With the fix.
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// Something of the kernel that Lockgate has not.
    pub fn unsupported(word: &Word<'_>, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(word.line, "not-taken", what)
            .found(format!("`{}`", shown(&word.text)))
            .expected("an SA or policy without it")
            .help(help)
    }
}

/// A word as it may be shown: what might be a key is not, nor are control characters.
pub fn shown(text: &str) -> String {
    const MOST: usize = 48;
    let hexadecimal = text.chars().all(|c| c.is_ascii_hexdigit());
    if text.len() > 16 && (text.starts_with("0x") || hexadecimal) {
        return HIDDEN.to_owned();
    }
    text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A line as it may be shown: the word behind the name of an algorithm is its key.
pub fn shown_line(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut to_key = 0;
    for word in line.split_whitespace() {
        to_key = match word {
            "aead" | "enc" | "auth" | "auth-trunc" | "comp" => 2,
            _ if to_key > 0 => {
                words.push(if to_key == 1 { HIDDEN.to_owned() } else { shown(word) });
                to_key -= 1;
                continue;
            }
            _ => 0,
        };
        words.push(shown(word));
    }
    words.join(" ")
}

/// What stands for a key.
const HIDDEN: &str = "(a key)";

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dir {
    /// Into this host.
    In,
    /// Out of this host.
    Out,
    /// Through this host, after it came in.
    Forward,
}

/// A selector as `ip xfrm` has it, seen from the sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sel {
    /// Source; any when absent.
    pub src: Option<IpNet>,
    /// Destination; any when absent.
    pub dst: Option<IpNet>,
    /// Protocol; any when absent.
    pub proto: Option<u8>,
    /// Source port; any when absent.
    pub sport: Option<u16>,
    /// Destination port; any when absent.
    pub dport: Option<u16>,
}

impl Sel {
    /// It takes everything.
    pub fn is_any(&self) -> bool {
        let any = |net: &Option<IpNet>| net.is_none_or(|net| net.prefix_len() == 0);
        any(&self.src) && any(&self.dst) && self.proto.is_none() && self.ports() == (None, None)
    }

    fn ports(&self) -> (Option<u16>, Option<u16>) {
        (self.sport, self.dport)
    }

    /// The same for the other direction.
    pub fn reversed(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            proto: self.proto,
            sport: self.dport,
            dport: self.sport,
        }
    }

    /// All that `other` takes it takes too.
    pub fn covers(&self, other: &Self) -> bool {
        let net = |ours: &Option<IpNet>, theirs: &Option<IpNet>| match (ours, theirs) {
            (None, _) => true,
            (Some(ours), Some(theirs)) => ours.contains(theirs),
            (Some(ours), None) => ours.prefix_len() == 0,
        };
        let port = |ours: Option<u16>, theirs| ours.is_none() || ours == theirs;
        net(&self.src, &other.src)
            && net(&self.dst, &other.dst)
            && (self.proto.is_none() || self.proto == other.proto)
            && port(self.sport, other.sport)
            && port(self.dport, other.dport)
    }

    /// Takes `key` when it is one of a selector's; gives whether it was.
    pub fn read(&mut self, key: &Word<'_>, words: &mut Cursor<'_, '_>) -> Result<bool, Fault> {
        match &*key.text {
            "src" => self.src = Some(words.prefix("src")?),
            "dst" => self.dst = Some(words.prefix("dst")?),
            "proto" => self.proto = words.protocol()?,
            "sport" => self.sport = Some(words.number("sport", 1..=0xffff)? as u16),
            "dport" => self.dport = Some(words.number("dport", 1..=0xffff)? as u16),
            "dev" | "type" | "code" | "key" => {
                return Err(Fault::unsupported(
                    key,
                    format!("a selector by `{}`", key.text),
                    "select by addresses, protocol and ports, or by a policy of the gateway",
                ));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Goes through the words.
pub struct Cursor<'w, 't> {
    words: &'w [Word<'t>],
    /// The next word.
    pub at: usize,
    /// Reads what `ip xfrm state` prints: the next entry begins with `src`.
    dump: bool,
    /// Where the entry begins.
    start: usize,
    /// The line of the entry.
    pub line: u32,
}

impl<'w, 't> Cursor<'w, 't> {
    /// At the first word.
    pub fn new(words: &'w [Word<'t>]) -> Self {
        Self { words, at: 0, dump: false, start: 0, line: 1 }
    }

    /// An entry begins here: a command, or in what `ip xfrm` prints.
    pub fn begin(&mut self, line: u32, dump: bool) {
        (self.line, self.dump, self.start) = (line, dump, self.at);
    }

    /// The next word, whatever it is.
    pub fn peek(&self) -> Option<&'w Word<'t>> {
        self.words.get(self.at)
    }

    /// The word `ahead` of the next.
    pub fn peek_at(&self, ahead: usize) -> Option<&'w Word<'t>> {
        self.words.get(self.at + ahead)
    }

    /// Where the words behind `ip xfrm` begin, when these come next.
    pub fn behind_ip_xfrm(&self) -> Option<usize> {
        let ip = self.peek()?;
        if ip.text != "ip" && !ip.text.ends_with("/ip") {
            return None;
        }
        let rest = self.words.get(self.at + 1..)?;
        let options = rest.iter().take_while(|word| word.text.starts_with('-')).count();
        rest.get(options).filter(|word| word.text == "xfrm").map(|_| self.at + options + 2)
    }

    /// Whether the next word begins an entry of `ip xfrm state` or `ip xfrm policy`.
    pub fn begins_dump_entry(&self) -> bool {
        self.peek().is_some_and(|word| word.text == "src" && word.place != Place::Inside)
            && self.peek_at(2).is_some_and(|word| word.text == "dst")
    }

    fn ends(&self) -> bool {
        self.peek().is_none_or(|word| word.is_break || word.text == "sudo")
            || self.behind_ip_xfrm().is_some()
            || (self.dump && self.at > self.start && self.begins_dump_entry())
    }

    /// The next word of the entry.
    pub fn key(&mut self) -> Option<&'w Word<'t>> {
        if self.ends() {
            return None;
        }
        self.at += 1;
        self.words.get(self.at - 1)
    }

    /// The next word of the entry when it is this one.
    pub fn take(&mut self, text: &str) -> bool {
        let found = !self.ends() && self.peek().is_some_and(|word| word.text == text);
        self.at += usize::from(found);
        found
    }

    /// The rest of the line.
    pub fn skip_line(&mut self) {
        while !self.ends() && self.peek().is_some_and(|word| word.place == Place::Inside) {
            self.at += 1;
        }
    }

    /// A word nobody knows: the end when it begins a line, else a fault.
    pub fn unknown(&mut self, word: &Word<'_>, known: &str) -> Result<(), Fault> {
        if word.place == Place::Line {
            self.at -= 1;
            return Ok(());
        }
        let help = if word.text.starts_with('(') || word.text == "lifetime" {
            "print it with `ip xfrm state`, without `-s`"
        } else {
            "see ip-xfrm(8); put a `;` or a line break where the command ends"
        };
        Err(Fault::new(word.line, "unknown-word", "a word that is not known here")
            .found(format!("`{}`", shown(&word.text)))
            .expected(known)
            .help(help))
    }

    /// The value of `key`.
    pub fn value(&mut self, key: &str) -> Result<&'w Word<'t>, Fault> {
        let line = self.line;
        self.key().ok_or_else(|| {
            Fault::new(line, "missing-value", format!("`{key}` has no value"))
                .found("the end of the command")
                .expected(format!("a value of `{key}`"))
                .help("add it; is a line missing?")
        })
    }

    /// A number, decimal or with `0x`.
    pub fn number(
        &mut self,
        key: &str,
        range: core::ops::RangeInclusive<u64>,
    ) -> Result<u64, Fault> {
        let word = self.value(key)?;
        let text = word.text.trim_end_matches(',');
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.ok().filter(|number| range.contains(number)).ok_or_else(|| {
            bad(word, key, format!("a number from {} to {}", range.start(), range.end()))
        })
    }

    /// An address; a prefix length behind it says nothing.
    pub fn address(&mut self, key: &str) -> Result<IpAddr, Fault> {
        let word = self.value(key)?;
        let address = word.text.split('/').next().unwrap_or_default();
        address.parse().map_err(|_| bad(word, key, "an address such as 192.0.2.1".to_owned()))
    }

    /// A prefix, or an address alone.
    pub fn prefix(&mut self, key: &str) -> Result<IpNet, Fault> {
        let word = self.value(key)?;
        let net = word.text.parse::<IpNet>().map(|net| net.trunc());
        net.or_else(|_| word.text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| bad(word, key, "a prefix such as 192.0.2.0/24".to_owned()))
    }

    fn protocol(&mut self) -> Result<Option<u8>, Fault> {
        const NAMES: [(&str, u8); 9] = [
            ("icmp", 1),
            ("igmp", 2),
            ("ipip", 4),
            ("tcp", 6),
            ("udp", 17),
            ("gre", 47),
            ("ipv6-icmp", 58),
            ("icmp6", 58),
            ("sctp", 132),
        ];
        let word = self.value("proto")?;
        if word.text == "any" {
            return Ok(None);
        }
        let named = NAMES.iter().find(|(name, _)| *name == word.text).map(|(_, number)| *number);
        match named.or_else(|| word.text.parse().ok()) {
            Some(0 | 255) => Ok(None),
            Some(number) => Ok(Some(number)),
            None => Err(bad(word, "proto", "a protocol such as tcp, or its number".to_owned())),
        }
    }

    /// `in`, `out` or `fwd`.
    pub fn direction(&mut self) -> Result<Dir, Fault> {
        let word = self.value("dir")?;
        match &*word.text {
            "in" => Ok(Dir::In),
            "out" => Ok(Dir::Out),
            "fwd" => Ok(Dir::Forward),
            _ => Err(bad(word, "dir", "in, out or fwd".to_owned())),
        }
    }
}

/// A value that is none.
pub fn bad(word: &Word<'_>, key: &str, expected: String) -> Fault {
    Fault::new(word.line, "bad-value", format!("`{key}` cannot be that"))
        .found(format!("`{}`", shown(&word.text)))
        .expected(expected)
        .help("write the value itself; variables of the shell are not known here")
}
