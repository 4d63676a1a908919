//! From text to expression, by recursive descent.
//!
//! ```text
//! any  := all ('or' all)*
//! all  := not (['and'] not)*
//! not  := 'not' not | '(' any ')' | term
//! ```

use core::net::IpAddr;

use reason::Class;

use super::{
    End, Expr, FilterError, MAX_DEPTH, MAX_LENGTH, MAX_TERMS, Prefix, Ranges, Side, Term, Version,
    expr::PROTOCOLS,
    token::{Kind, Token, tokens},
};

const WORDS: [&str; 29] = [
    "and",
    "or",
    "not",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "sctp",
    "gre",
    "esp",
    "proto",
    "src",
    "dst",
    "host",
    "net",
    "port",
    "nat",
    "policy",
    "state",
    "tier",
    "reason",
    "interface",
    "zone",
    "vr",
    "user",
    "group",
    "id",
];

const CLASSES: [Class; 5] =
    [Class::Drop, Class::NotEligible, Class::Refusal, Class::Demotion, Class::Punt];

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<Expr, FilterError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the filter is longer than {MAX_LENGTH} bytes");
        return Err(FilterError::new(text, 0, "a shorter filter", message));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens: &tokens, next: 0, terms: 0 };
    if tokens.is_empty() {
        return Ok(Expr::everything());
    }
    let expr = parser.any(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.error("`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut parts = vec![self.all(depth)?];
        while self.accept_operator(&Kind::Or, "or") {
            parts.push(self.all(depth)?);
        }
        Ok(Expr::any(parts))
    }

    fn all(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut parts = vec![self.not(depth)?];
        while self.accept_operator(&Kind::And, "and") || self.at_operand() {
            parts.push(self.not(depth)?);
        }
        Ok(Expr::all(parts))
    }

    fn not(&mut self, depth: usize) -> Result<Expr, FilterError> {
        if depth >= MAX_DEPTH {
            let message = format!("the filter nests deeper than {MAX_DEPTH} levels");
            return Err(self.error_at(self.here(), "a flatter filter", message));
        }
        if self.accept_operator(&Kind::Not, "not") {
            return Ok(Expr::negate(self.not(depth + 1)?));
        }
        if self.accept(&Kind::Open) {
            let inner = self.any(depth + 1)?;
            return if self.accept(&Kind::Close) { Ok(inner) } else { Err(self.error("`)`")) };
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            let message = format!("the filter has more than {MAX_TERMS} terms");
            return Err(self.error_at(self.here(), "fewer terms", message));
        }
        self.term().map(Expr::Term)
    }

    fn term(&mut self) -> Result<Term, FilterError> {
        const TERM: &str = "a word of the filter language, such as `src`, `port` or `policy`";
        let at = self.here();
        let Some(Kind::Word(word)) = self.peek() else {
            return Err(self.error(TERM));
        };
        self.next += 1;
        let word = word.to_ascii_lowercase();
        if let Some((_, number)) = PROTOCOLS.iter().find(|(name, _)| *name == word) {
            return Ok(Term::Protocol(*number));
        }
        match word.as_str() {
            "ip" => Ok(Term::Version(Version::V4)),
            "ip6" => Ok(Term::Version(Version::V6)),
            "proto" => self.protocol(),
            "src" => self.end(End::Src),
            "dst" => self.end(End::Dst),
            "host" => Ok(Term::Address(End::Either, self.host()?)),
            "net" => Ok(Term::Address(End::Either, self.prefix()?)),
            "port" | "portrange" => Ok(Term::Port(End::Either, self.ports()?)),
            "nat" => Ok(Term::Nat(self.prefix()?)),
            "policy" => Ok(Term::Policy(self.ranges(u32::MAX, "a policy number")?)),
            "state" => Ok(Term::State(self.name("a state")?.to_ascii_lowercase())),
            "tier" => Ok(Term::Tier(self.name("a tier")?.to_ascii_lowercase())),
            "reason" => self.reason(),
            "interface" => Ok(Term::Interface(Side::Either, self.name("an interface")?)),
            "in" => self.side(Side::In),
            "out" => self.side(Side::Out),
            "zone" => Ok(Term::Zone(Side::Either, self.name("a zone")?)),
            "vr" => Ok(Term::VirtualRouter(self.name("a virtual router")?)),
            "user" => Ok(Term::User(self.name("a user")?)),
            "group" => Ok(Term::Group(self.name("a group")?)),
            "id" => self.id(),
            other => match prefix(other) {
                Some(prefix) => Ok(Term::Address(End::Either, prefix)),
                None => {
                    let mut message = format!("`{other}` is no word of the filter language");
                    if other.parse::<u16>().is_ok() {
                        message += "; several ports are written `port in 80,443`";
                    } else if let Some(near) = nearest(other, WORDS.into_iter()) {
                        message += &format!("; did you mean `{near}`?");
                    }
                    Err(self.error_at(at, TERM, message))
                }
            },
        }
    }

    fn end(&mut self, end: End) -> Result<Term, FilterError> {
        if self.accept_word("port") || self.accept_word("portrange") {
            Ok(Term::Port(end, self.ports()?))
        } else if self.accept_word("host") {
            Ok(Term::Address(end, self.host()?))
        } else {
            self.accept_word("net");
            Ok(Term::Address(end, self.prefix()?))
        }
    }

    fn side(&mut self, side: Side) -> Result<Term, FilterError> {
        if self.accept_word("zone") {
            Ok(Term::Zone(side, self.name("a zone")?))
        } else {
            self.accept_word("interface");
            Ok(Term::Interface(side, self.name("an interface, or `zone` and a zone")?))
        }
    }

    fn host(&mut self) -> Result<Prefix, FilterError> {
        const HOST: &str = "an IP address";
        let found = self.word().and_then(|word| word.parse().ok());
        self.take(found, HOST).map(Prefix::host)
    }

    fn prefix(&mut self) -> Result<Prefix, FilterError> {
        let found = self.word().and_then(prefix);
        self.take(found, "an IP address, or a prefix such as 10.0.0.0/8")
    }

    fn protocol(&mut self) -> Result<Term, FilterError> {
        let found = self.word().and_then(|word| {
            let named = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            named.map(|(_, n)| *n).or_else(|| number(word)?.try_into().ok())
        });
        self.take(found, "a protocol by name or number, such as `tcp` or 89").map(Term::Protocol)
    }

    fn reason(&mut self) -> Result<Term, FilterError> {
        const REASON: &str = "the name of a reason, as `show offload reasons` prints it";
        let Some(word) = self.word() else {
            return Err(self.error(REASON));
        };
        let word = word.to_ascii_lowercase();
        if let Some(row) = CLASSES.iter().find_map(|class| reason::by_name(*class, &word)) {
            self.next += 1;
            return Ok(Term::Reason(row.name));
        }
        Err(self.error_at(self.here(), REASON, format!("no reason is called `{word}`")))
    }

    fn id(&mut self) -> Result<Term, FilterError> {
        let found = self.word().and_then(|word| {
            let digits = word.strip_prefix("0x").unwrap_or(word);
            let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
            if hexadecimal { u64::from_str_radix(digits, 16).ok() } else { None }
        });
        self.take(found, "a session's id in hexadecimal, such as 1a2b").map(Term::Id)
    }

    fn ports(&mut self) -> Result<Ranges, FilterError> {
        self.ranges(u16::MAX.into(), "a port number from 0 to 65535, or a range such as 1000-2000")
    }

    fn ranges(&mut self, max: u32, expected: &'static str) -> Result<Ranges, FilterError> {
        self.accept_word("in");
        let mut ranges = Vec::new();
        loop {
            let found = self.word().and_then(|word| range(word, max));
            ranges.push(self.take(found, expected)?);
            if !self.accept(&Kind::Comma) {
                return Ok(Ranges::new(ranges));
            }
        }
    }

    fn name(&mut self, expected: &'static str) -> Result<String, FilterError> {
        let found = match self.peek() {
            Some(Kind::Word(name) | Kind::Quoted(name)) => Some(name.clone()),
            _ => None,
        };
        self.take(found, expected)
    }

    /// Steps over the next token if something was found in it.
    fn take<T>(&mut self, found: Option<T>, expected: &'static str) -> Result<T, FilterError> {
        let value = found.ok_or_else(|| self.error(expected))?;
        self.next += 1;
        Ok(value)
    }

    fn peek(&self) -> Option<&'a Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn word(&self) -> Option<&'a str> {
        match self.peek() {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn accept(&mut self, kind: &Kind) -> bool {
        let found = self.peek() == Some(kind);
        self.next += usize::from(found);
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.word().is_some_and(|w| w.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn accept_operator(&mut self, kind: &Kind, word: &str) -> bool {
        self.accept(kind) || self.accept_word(word)
    }

    /// Whether another operand follows without an `and`.
    fn at_operand(&self) -> bool {
        match self.peek() {
            Some(Kind::Word(word)) => !word.eq_ignore_ascii_case("or"),
            Some(Kind::Open | Kind::Not) => true,
            Some(Kind::Quoted(_) | Kind::Close | Kind::Comma | Kind::And | Kind::Or) | None => {
                false
            }
        }
    }

    fn here(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.trim_end().len(), |token| token.at)
    }

    fn error(&self, expected: &'static str) -> FilterError {
        let found = match self.peek() {
            None => "the filter ends too early".to_owned(),
            Some(Kind::Word(word)) => format!("`{word}` cannot stand here"),
            Some(Kind::Quoted(_)) => "a name in quotes cannot stand here".to_owned(),
            Some(Kind::Open) => "`(` cannot stand here".to_owned(),
            Some(Kind::Close) => "`)` cannot stand here".to_owned(),
            Some(Kind::Comma) => "`,` cannot stand here".to_owned(),
            Some(Kind::Not) => "`!` cannot stand here".to_owned(),
            Some(Kind::And) => "`&&` cannot stand here".to_owned(),
            Some(Kind::Or) => "`||` cannot stand here".to_owned(),
        };
        self.error_at(self.here(), expected, found)
    }

    fn error_at(&self, at: usize, expected: &'static str, message: String) -> FilterError {
        FilterError::new(self.text, at, expected, message)
    }
}

fn prefix(word: &str) -> Option<Prefix> {
    match word.split_once('/') {
        None => word.parse::<IpAddr>().ok().map(Prefix::host),
        Some((address, len)) => Prefix::new(address.parse().ok()?, number(len)?.try_into().ok()?),
    }
}

fn range(word: &str, max: u32) -> Option<(u32, u32)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last <= max).then_some((first, last))
}

/// Digits only: `u32::from_str` also takes a plus sign.
fn number(word: &str) -> Option<u32> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// The word that differs least, if it differs by two letters at most.
fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 16;
    if word.len() > LONGEST {
        return None;
    }
    let (distance, near) = words.map(|w| (distance(word, w), w)).min()?;
    (distance <= 2 && distance < near.len()).then_some(near)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = core::mem::replace(cell, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
