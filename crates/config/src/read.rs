//! Typed reading of TOML tables: every value keeps its span, every fault is recorded and reading
//! goes on.
//!
//! A getter that fails records a diagnostic and returns a stand-in or nothing; the caller builds
//! on, and the whole configuration is refused at the end.

use core::{cell::RefCell, ops::Range, time::Duration};
use std::{io, path::Path};

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use crate::{
    diagnostic::{Diagnostic, Place, Severity},
    keys::{Form, Key, Kind, Section},
    model::Line,
    suggest::{listed, nearest},
    values::{self, Bad},
};

/// Bytes of the text.
pub(crate) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub value: T,
    pub span: Span,
}

/// Reads a file that the configuration names.
pub type Files<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// The text being read and what was found wrong with it.
pub(crate) struct Doc<'a> {
    name: &'a str,
    text: &'a str,
    files: Files<'a>,
    now: u64,
    starts: Vec<usize>,
    found: RefCell<Vec<Diagnostic>>,
}

/// Longest excerpt of a line, in characters.
const EXCERPT: usize = 160;

impl<'a> Doc<'a> {
    pub fn new(name: &'a str, text: &'a str, files: Files<'a>, now: u64) -> Self {
        let starts = core::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
            .collect();
        Self { name, text, files, now, starts, found: RefCell::default() }
    }

    /// The name of the file.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The contents of a file that the text names.
    pub fn file(&self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        (self.files)(path).map(Zeroizing::new)
    }

    /// Now, in seconds of Unix time.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The line a byte is on.
    pub fn line(&self, byte: usize) -> Line {
        Line(self.starts.partition_point(|start| *start <= byte).max(1) as u32)
    }

    /// How many errors there are so far.
    pub fn errors(&self) -> usize {
        self.found.borrow().iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// Begins an error.
    pub fn error(&self, code: &'static str, span: &Span, message: impl Into<String>) -> Draft<'_> {
        self.draft(Severity::Error, code, span, message.into())
    }

    /// Begins a warning.
    pub fn warning(
        &self,
        code: &'static str,
        span: &Span,
        message: impl Into<String>,
    ) -> Draft<'_> {
        self.draft(Severity::Warning, code, span, message.into())
    }

    fn draft(
        &self,
        severity: Severity,
        code: &'static str,
        span: &Span,
        message: String,
    ) -> Draft<'_> {
        let place = self.place(span);
        let file = self.name.to_owned();
        let (found, expected, help) = Default::default();
        let diagnostic = Diagnostic {
            severity,
            code,
            file,
            place,
            message,
            found,
            expected,
            help,
            related: Vec::new(),
        };
        Draft { doc: self, diagnostic }
    }

    /// Records a fault that the TOML parser found.
    pub fn syntax(&self, fault: &toml::de::Error) {
        let span = fault.span().unwrap_or(0..0);
        let message = fault.message().lines().collect::<Vec<_>>().join("; ");
        let code = if message.contains("duplicate key") { "duplicate-key" } else { "syntax" };
        let help = if code == "duplicate-key" {
            "keep one of the two; a list takes several values: `key = [\"a\", \"b\"]`"
        } else if message.contains("string") || message.contains("quot") {
            "put text between double quotes and close them on the same line"
        } else {
            "write `key = value`, one a line, with text in double quotes and lists in [brackets]"
        };
        self.error(code, &span, format!("not valid TOML: {message}"))
            .found(self.snippet(&span))
            .expected("TOML")
            .help(help)
            .emit();
    }

    /// All diagnostics, in the order of the text.
    pub fn finish(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|d| (d.place.start, d.severity));
        found.dedup();
        found
    }

    /// The text of a span in backquotes, cut to one short line; empty where the span is.
    pub fn snippet(&self, span: &Span) -> String {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let line = &masked(text.lines().next().unwrap_or_default());
        match line.chars().count() {
            0 => String::new(),
            1..=60 => format!("`{line}`"),
            _ => format!("`{}…`", line.chars().take(60).collect::<String>()),
        }
    }

    fn place(&self, span: &Span) -> Place {
        let start = self.floor(span.start);
        let end = self.floor(span.end).max(start);
        let line = self.line(start);
        let first = self.starts.get(line.0 as usize - 1).copied().unwrap_or(0);
        let whole = self.text.get(first..).unwrap_or_default();
        let whole = whole.lines().next().unwrap_or_default();
        let column = self.text.get(first..start).unwrap_or_default().chars().count() + 1;
        let covered = self.text.get(start..end).unwrap_or_default();
        let covered = covered.lines().next().unwrap_or_default().chars().count();
        // a line too long for a terminal is shown from a little before the place
        let skip = if whole.chars().count() > EXCERPT { column.saturating_sub(40) } else { 0 };
        let excerpt: String = masked(whole)
            .chars()
            .skip(skip)
            .take(EXCERPT)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let room = (excerpt.chars().count() + 1).saturating_sub(column - skip - 1).max(1);
        Place {
            line: line.0,
            column: column as u32,
            indent: (column - skip - 1) as u32,
            start,
            end,
            excerpt,
            width: covered.clamp(1, room) as u32,
        }
    }

    fn floor(&self, byte: usize) -> usize {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    }
}

/// A diagnostic being written.
#[must_use]
pub(crate) struct Draft<'d> {
    doc: &'d Doc<'d>,
    diagnostic: Diagnostic,
}

impl Draft<'_> {
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.diagnostic.found = found.into();
        self
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.diagnostic.expected = expected.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.diagnostic.help = help.into();
        self
    }

    pub fn related(mut self, span: &Span, remark: impl Into<String>) -> Self {
        self.diagnostic.related.push((self.doc.place(span), remark.into()));
        self
    }

    /// What it repeats of the text must not steer a terminal: values may have escapes in them.
    pub fn emit(mut self) {
        let Diagnostic { message, found, expected, help, .. } = &mut self.diagnostic;
        for line in [message, found, expected, help] {
            if line.contains(char::is_control) {
                *line = line.replace(char::is_control, " ");
            }
        }
        self.doc.found.borrow_mut().push(self.diagnostic);
    }
}

/// A table of a known section.
pub(crate) struct Tab<'d, 'i> {
    pub doc: &'d Doc<'d>,
    pub section: &'static Section,
    table: &'d DeTable<'i>,
    /// The header, or the whole inline table.
    pub span: Span,
}

/// A value of a table.
pub(crate) struct Val<'d, 'i> {
    pub key: &'static Key,
    pub value: &'d DeValue<'i>,
    pub span: Span,
}

impl<'d, 'i> Tab<'d, 'i> {
    /// Takes a table and reports the keys that its section does not have.
    pub fn new(
        doc: &'d Doc<'d>,
        section: &'static Section,
        table: &'d DeTable<'i>,
        span: Span,
    ) -> Self {
        let tab = Self { doc, section, table, span };
        for key in table.keys() {
            if section.key(key.get_ref()).is_none() {
                tab.unknown(key.get_ref(), &key.span());
            }
        }
        tab
    }

    fn unknown(&self, key: &str, span: &Span) {
        let known = self.section.keys.iter().map(|k| k.name);
        let help = match nearest(key, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match crate::keys::sections_with(key).as_slice() {
                [] => "remove it, or see the reference of keys".to_owned(),
                others => format!("`{key}` is a key of {}", others.join(", ")),
            },
        };
        self.doc
            .error("unknown-key", span, format!("unknown key `{key}` in {}", self.section.title()))
            .found(format!("`{key}`"))
            .expected(format!("one of {}", listed(known)))
            .help(help)
            .emit();
    }

    /// The line of the table.
    pub fn line(&self) -> Line {
        self.doc.line(self.span.start)
    }

    /// The value of a key of the section, when it is there.
    pub fn get(&self, name: &str) -> Option<Val<'d, 'i>> {
        let key = self.key(name);
        self.table.iter().find(|(k, _)| k.get_ref() == name).map(|(_, value)| Val {
            key,
            value: value.get_ref(),
            span: value.span(),
        })
    }

    /// The span of a key's value, or of the table when the key is not there.
    pub fn span_of(&self, name: &str) -> Span {
        self.get(name).map_or_else(|| self.span.clone(), |val| val.span)
    }

    fn key(&self, name: &str) -> &'static Key {
        self.section.key(name).expect("invariant: the parser asks for keys of its own table only")
    }

    /// Reports that a key is not there.
    pub fn missing(&self, name: &str) {
        let key = self.key(name);
        self.doc
            .error("missing-key", &self.span, format!("{} has no `{name}`", self.section.title()))
            .found("nothing")
            .expected(format!("`{name}`: {}", key.kind.describe()))
            .help(format!("add `{name} = {}`", key.example))
            .emit();
    }

    /// Reports a value of another type than the key's.
    pub fn mistyped(&self, val: &Val<'_, '_>) {
        self.mistyped_at(val.key, val.value, &val.span);
    }

    fn mistyped_at(&self, key: &Key, value: &DeValue<'_>, span: &Span) {
        self.doc
            .error("wrong-type", span, format!("`{}` takes {}", key.name, key.kind.describe()))
            .found(format!("{} {}", article(value.type_str()), self.doc.snippet(span)).trim())
            .expected(key.kind.describe())
            .help(format!("write `{} = {}`", key.name, key.example))
            .emit();
    }

    /// Reports a text that does not read as the key's kind of value.
    pub fn bad(&self, name: &str, span: &Span, bad: Bad) {
        self.doc
            .error("bad-value", span, format!("`{name}`: {}", bad.message))
            .found(match SECRETS.contains(&name) {
                true => "a text that is not shown".to_owned(),
                false => self.doc.snippet(span),
            })
            .expected(bad.expected)
            .help(bad.help)
            .emit();
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<At<&'d str>> {
        let val = self.get(name)?;
        match val.value.as_str() {
            Some(value) => Some(At { value, span: val.span }),
            None => {
                self.mistyped(&val);
                None
            }
        }
    }

    /// A text that must be there.
    pub fn required(&self, name: &str) -> Option<At<&'d str>> {
        if self.get(name).is_none() {
            self.missing(name);
        }
        self.text(name)
    }

    /// A text read by `parse`.
    pub fn value<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Bad>) -> Option<At<T>> {
        let text = self.text(name)?;
        self.read(name, &text, parse)
    }

    /// Reads a text by `parse` and reports what is wrong with it.
    pub fn read<T>(
        &self,
        name: &str,
        text: &At<&str>,
        parse: impl Fn(&str) -> Result<T, Bad>,
    ) -> Option<At<T>> {
        match parse(text.value) {
            Ok(value) => Some(At { value, span: text.span.clone() }),
            Err(bad) => {
                self.bad(name, &text.span, bad);
                None
            }
        }
    }

    /// A list of texts; a single text stands for a list of one.
    pub fn list(&self, name: &str) -> Vec<At<&'d str>> {
        let Some(val) = self.get(name) else {
            return Vec::new();
        };
        match val.value {
            DeValue::String(text) => vec![At { value: text.as_ref(), span: val.span }],
            DeValue::Array(items) => {
                if items.is_empty() {
                    self.empty(&val);
                }
                items
                    .iter()
                    .filter_map(|item| match item.get_ref() {
                        DeValue::String(text) => {
                            Some(At { value: text.as_ref(), span: item.span() })
                        }
                        other => {
                            self.mistyped_at(val.key, other, &item.span());
                            None
                        }
                    })
                    .collect()
            }
            _ => {
                self.mistyped(&val);
                Vec::new()
            }
        }
    }

    fn empty(&self, val: &Val<'_, '_>) {
        self.doc
            .error("empty-list", &val.span, format!("`{}` is an empty list", val.key.name))
            .found("`[]`")
            .expected(val.key.kind.describe())
            .help(format!("write `{} = {}`, or leave the key out", val.key.name, val.key.example))
            .emit();
    }

    /// Yes or no, with the default of the table of keys.
    pub fn flag(&self, name: &str) -> bool {
        let default = self.key(name).default == "true";
        let Some(val) = self.get(name) else {
            return default;
        };
        val.value.as_bool().unwrap_or_else(|| {
            self.mistyped(&val);
            default
        })
    }

    /// An integer in the range of the table of keys.
    pub fn int(&self, name: &str) -> Option<At<u64>> {
        let val = self.get(name)?;
        let Some(number) = val.value.as_integer() else {
            self.mistyped(&val);
            return None;
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).ok();
        self.within(&val, value)
    }

    /// An integer, or the default of the table of keys.
    pub fn int_or_default(&self, name: &str) -> u64 {
        let default = || self.key(name).default.parse().unwrap_or_default();
        self.int(name).map_or_else(default, |at| at.value)
    }

    /// Bytes: an integer or a text with a unit.
    pub fn size(&self, name: &str) -> u64 {
        let default = || values::size(self.key(name).default).unwrap_or_default();
        let Some(val) = self.get(name) else {
            return default();
        };
        let value = match val.value {
            DeValue::Integer(_) => return self.int(name).map_or_else(default, |at| at.value),
            DeValue::String(text) => {
                self.read(name, &At { value: text, span: val.span.clone() }, values::size)
            }
            _ => {
                self.mistyped(&val);
                None
            }
        };
        value
            .and_then(|at| self.within(&val, Some(i128::from(at.value))))
            .map_or_else(default, |at| at.value)
    }

    fn within(&self, val: &Val<'_, '_>, value: Option<i128>) -> Option<At<u64>> {
        let (min, max) = match val.key.kind {
            Kind::Int { min, max } | Kind::Size { min, max } => (min, max),
            _ => (0, u64::MAX),
        };
        match value {
            Some(value) if value >= i128::from(min) && value <= i128::from(max) => {
                Some(At { value: value as u64, span: val.span.clone() })
            }
            _ => {
                let nearest = if value.is_some_and(|v| v < i128::from(min)) { min } else { max };
                self.doc
                    .error("out-of-range", &val.span, format!("`{}` is out of range", val.key.name))
                    .found(self.doc.snippet(&val.span))
                    .expected(format!("{min} to {max}"))
                    .help(format!("the nearest value allowed is {nearest}"))
                    .emit();
                None
            }
        }
    }

    /// A duration in the range of the table of keys, or its default.
    pub fn duration(&self, name: &str) -> At<Duration> {
        let key = self.key(name);
        let default = || At {
            value: values::duration(key.default).unwrap_or_default(),
            span: self.span_of(name),
        };
        if let Some(val) = self.get(name)
            && let DeValue::Integer(number) = val.value
        {
            let bad = Bad::new(
                "a duration needs its unit",
                key.kind.describe(),
                format!("write `{name} = \"{number}s\"`"),
            );
            self.bad(name, &val.span, bad);
            return default();
        }
        let Some(at) = self.value(name, values::duration) else {
            return default();
        };
        let Kind::Duration { min, max } = key.kind else {
            return at;
        };
        let (low, high) = (Duration::from_secs(min), Duration::from_secs(max));
        if at.value >= low && at.value <= high {
            return at;
        }
        let nearest = if at.value < low { low } else { high };
        self.doc
            .error("out-of-range", &at.span, format!("`{name}` is out of range"))
            .found(self.doc.snippet(&at.span))
            .expected(format!("{} to {}", values::show_duration(low), values::show_duration(high)))
            .help(format!("the nearest value allowed is \"{}\"", values::show_duration(nearest)))
            .emit();
        default()
    }

    /// One of the words of the table of keys, by its position; the default where it is absent.
    pub fn word(&self, name: &str) -> &'static str {
        let key = self.key(name);
        let Kind::Words(words) = key.kind else {
            return key.default;
        };
        let Some(text) = self.text(name) else {
            return key.default;
        };
        self.pick(name, &text, words).unwrap_or(key.default)
    }

    /// One of some words.
    pub fn pick(
        &self,
        name: &str,
        text: &At<&str>,
        words: &[&'static str],
    ) -> Option<&'static str> {
        if let Some(word) = words.iter().find(|word| **word == text.value) {
            return Some(word);
        }
        let help = match nearest(text.value, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of {}", listed(words.iter().copied())),
        };
        self.doc
            .error("unknown-word", &text.span, format!("`{name}` cannot be \"{}\"", text.value))
            .found(self.doc.snippet(&text.span))
            .expected(format!("one of {}", listed(words.iter().copied())))
            .help(help)
            .emit();
        None
    }

    /// The table under a key.
    pub fn table(&self, name: &str, section: &'static Section) -> Option<Tab<'d, 'i>> {
        let val = self.get(name)?;
        match val.value {
            DeValue::Table(table) => Some(Tab::new(self.doc, section, table, val.span)),
            other => {
                self.misshapen(section, other, &val.span);
                None
            }
        }
    }

    /// The tables under a key that takes an array of tables.
    pub fn tables(&self, name: &str, section: &'static Section) -> Vec<Tab<'d, 'i>> {
        let Some(val) = self.get(name) else {
            return Vec::new();
        };
        let DeValue::Array(items) = val.value else {
            self.misshapen(section, val.value, &val.span);
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| match item.get_ref() {
                DeValue::Table(table) => Some(Tab::new(self.doc, section, table, item.span())),
                other => {
                    self.misshapen(section, other, &item.span());
                    None
                }
            })
            .collect()
    }

    /// Every key of a table whose keys are names, with its value.
    pub fn entries(&self, name: &str) -> Vec<(At<&'d str>, Val<'d, 'i>)> {
        let Some(val) = self.get(name) else {
            return Vec::new();
        };
        let DeValue::Table(table) = val.value else {
            self.mistyped(&val);
            return Vec::new();
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let named = At { value: key.get_ref().as_ref(), span: key.span() };
                (named, Val { key: val.key, value: value.get_ref(), span: value.span() })
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    fn misshapen(&self, section: &'static Section, value: &DeValue<'_>, span: &Span) {
        let help = match section.form {
            Form::Array => format!("write {} with two brackets, once for each", section.title()),
            Form::Table => format!("write {} with one bracket, once", section.title()),
            Form::Inline => format!("write `{} = {{ … }}`", section.path),
        };
        self.doc
            .error("wrong-type", span, format!("`{}` must be {}", section.path, section.title()))
            .found(article(value.type_str()))
            .expected(section.form.describe())
            .help(help)
            .emit();
    }
}

/// Keys whose text is a secret.
const SECRETS: [&str; 3] = ["key", "psk", "ppk"];

/// A line without the key material in it: runs of hexadecimal digits as long as a key, whatever stands
/// behind `key =` and its like, and what follows the first line of a private key. Every character hidden leaves a mark, so that columns stay.
fn masked(line: &str) -> String {
    /// Digits of the shortest key of a cipher, 128 bits.
    const KEY_DIGITS: usize = 32;
    let mut out: Vec<char> = line.chars().collect();
    let mut run = 0;
    for at in 0..=out.len() {
        if out.get(at).is_some_and(char::is_ascii_hexdigit) {
            run += 1;
            continue;
        }
        if run >= KEY_DIGITS {
            out[at - run..at].fill(HIDDEN);
        }
        run = 0;
    }
    if let Some(at) = line.find(PRIVATE_KEY) {
        let begins = line[..at + PRIVATE_KEY.len()].chars().count();
        out[begins..].fill(HIDDEN);
    }
    let is_name = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let length = out.len();
    for (word, at) in SECRETS.iter().flat_map(|word| (0..length).map(move |at| (word, at))) {
        let rest = at + word.len();
        let begins = at == 0 || !is_name(&out[at - 1]);
        if !begins || rest > out.len() || !out[at..rest].iter().copied().eq(word.chars()) {
            continue;
        }
        let Some(quote) = out[rest..].iter().position(|c| !matches!(c, ' ' | '\t' | '=')) else {
            continue;
        };
        let quote = rest + quote;
        let mark = out[quote];
        if matches!(mark, '"' | '\'') {
            // three marks begin a text that may end on another line
            let marks = out[quote..].iter().take(3).take_while(|c| **c == mark).count();
            let text = out[quote + if marks == 3 { 3 } else { 1 }..].iter_mut();
            for c in text.take_while(|c| **c != mark) {
                *c = HIDDEN;
            }
        }
    }
    out.into_iter().collect()
}

/// What the first line of a private key in PEM says.
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// Stands for a character of a key.
const HIDDEN: char = '•';

pub(crate) fn article(type_name: &str) -> String {
    match type_name.chars().next() {
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {type_name}"),
        _ => format!("a {type_name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_quoted_in_messages() {
        let line = r#"out = { spi = 0x1000, key = "secret", algorithm = "aes" } # 00112233445566778899aabbccddeeff"#;
        let shown = masked(line);
        assert_eq!(shown.chars().count(), line.chars().count());
        assert!(shown.contains(r#"spi = 0x1000, key = "••••••", algorithm = "aes""#), "{shown}");
        assert!(!shown.contains("0011"), "{shown}");
        assert_eq!(masked("monkey = \"banana\""), "monkey = \"banana\"");
        assert_eq!(masked("psk = \"a b\" # c"), "psk = \"•••\" # c");
        assert_eq!(masked("psk = \"\"\"a b"), "psk = \"\"\"•••");
        assert_eq!(masked("psk = \"\", x = \"y\""), "psk = \"\", x = \"y\"");
        assert_eq!(masked("psk-file = \"/a\""), "psk-file = \"/a\"");
        let pem = masked("private-key = \"-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEE\"");
        assert!(pem.ends_with("BEGIN EC PRIVATE KEY-----•••••••••••"), "{pem}");
        assert_eq!(masked("key"), "key");
        assert_eq!(masked("key ="), "key =");
    }
}
