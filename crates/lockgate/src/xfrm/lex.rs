//! Words of shell text, with their lines: quotes, comments, continuations, and words that a web page
//! has broken over lines or glued together.
//!
//! A page that colours numbers loses the line structure when it is copied: `192.168.` stands on one
//! line and `1.64/` on the next, `24dst` is two words. Such words are mended here; nothing else is
//! guessed.
//!
//! Limits: no variables, no substitutions, no escapes but a backslash at the end of a line.

use std::borrow::Cow;

/// Words that may be glued to the number before them.
const KEYWORDS: [&str; 27] = [
    "src",
    "dst",
    "proto",
    "spi",
    "reqid",
    "mode",
    "auth",
    "auth-trunc",
    "enc",
    "aead",
    "comp",
    "offload",
    "sel",
    "encap",
    "flag",
    "extra-flag",
    "replay-window",
    "limit",
    "dir",
    "tmpl",
    "priority",
    "index",
    "ptype",
    "action",
    "level",
    "sport",
    "dport",
];

/// How a word stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// After another word of its line.
    Inside,
    /// The first of a line, at its very beginning.
    Line,
    /// The first of a line, indented.
    Indented,
}

/// A word.
#[derive(Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// Its text, without quotes.
    pub text: Cow<'a, str>,
    /// Its line, counted from 1.
    pub line: u32,
    /// Where in the line.
    pub place: Place,
    /// It ends a command: `+`, `;`, `&&`, `||` or `|`.
    pub is_break: bool,
}

/// The words of a text.
pub fn words(text: &str) -> Vec<Word<'_>> {
    let mut raw = Vec::new();
    let mut continued = false;
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (body, continues) = match line.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (line, false),
        };
        split_line(body, number as u32 + 1, continued, &mut raw);
        continued = continues;
    }
    mend(raw)
}

fn split_line<'a>(line: &'a str, number: u32, continued: bool, words: &mut Vec<Word<'a>>) {
    let mut place = match line.starts_with(char::is_whitespace) {
        _ if continued => Place::Inside,
        true => Place::Indented,
        false => Place::Line,
    };
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (text, after) = first_word(rest);
        words.push(Word { text, line: number, place, is_break: false });
        place = Place::Inside;
        rest = after.trim_start();
    }
}

/// The first word and what is behind it. A quote that is never closed is an ordinary character.
fn first_word(text: &str) -> (Cow<'_, str>, &str) {
    let mut pieces: Vec<&str> = Vec::new();
    let mut rest = text;
    loop {
        let plain = rest.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | ';'));
        let end = plain.unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        if !piece.is_empty() {
            pieces.push(piece);
        }
        rest = after;
        let quote = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => quote,
            Some(';') if pieces.is_empty() => return (Cow::Borrowed(";"), &rest[1..]),
            Some(_) | None => break,
        };
        match rest[1..].find(quote) {
            Some(length) => {
                pieces.push(&rest[1..1 + length]);
                rest = &rest[length + 2..];
            }
            None => {
                pieces.push(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    match pieces.as_slice() {
        [one] => (Cow::Borrowed(one), rest),
        several => (Cow::Owned(several.concat()), rest),
    }
}

/// Joins what was broken, cuts what was glued, and marks what ends a command.
fn mend(raw: Vec<Word<'_>>) -> Vec<Word<'_>> {
    let mut joined: Vec<Word<'_>> = Vec::with_capacity(raw.len());
    for word in raw {
        match joined.last_mut() {
            Some(last) if word.place != Place::Inside && is_broken(&last.text, &word.text) => {
                last.text = Cow::Owned(format!("{}{}", last.text, word.text));
            }
            Some(_) | None => joined.push(word),
        }
    }
    let mut mended = Vec::with_capacity(joined.len());
    for word in joined {
        cut(word, &mut mended);
    }
    mended
}

/// An address that ends in the middle, and goes on with digits.
fn is_broken(word: &str, next: &str) -> bool {
    word.ends_with(['.', '/'])
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/'))
        && next.starts_with(|c: char| c.is_ascii_digit())
}

fn cut<'a>(word: Word<'a>, into: &mut Vec<Word<'a>>) {
    if matches!(&*word.text, "+" | ";" | "&&" | "||" | "|") {
        into.push(Word { is_break: true, ..word });
        return;
    }
    let plus = word.text.ends_with('+');
    let whole = if plus { word.text.len() - 1 } else { word.text.len() };
    let number = number_before_keyword(&word.text[..whole]);
    let part = |from: usize, to: usize| match &word.text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
        Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
    };
    let (line, place) = (word.line, word.place);
    let inside = |text, is_break| Word { text, line, place: Place::Inside, is_break };
    match number {
        Some(at) => {
            into.push(Word { text: part(0, at), line, place, is_break: false });
            into.push(inside(part(at, whole), false));
        }
        None => into.push(Word { text: part(0, whole), line, place, is_break: false }),
    }
    if plus {
        into.push(inside(Cow::Borrowed("+"), true));
    }
}

/// Where the number ends in a word that is a number with a keyword behind it.
fn number_before_keyword(text: &str) -> Option<usize> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let keyword = KEYWORDS.iter().filter(|keyword| text.ends_with(**keyword));
    let at = text.len() - keyword.map(|keyword| keyword.len()).max()?;
    let (number, keyword) = text.split_at(at);
    let is_number = match number.strip_prefix("0x") {
        // a keyword of hexadecimal digits might as well be the end of the number
        Some(digits) => {
            digits.chars().all(|c| c.is_ascii_hexdigit())
                && !keyword.chars().all(|c| c.is_ascii_hexdigit())
        }
        None => number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/')),
    };
    is_number.then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).iter().map(|word| word.text.to_string()).collect()
    }

    #[test]
    fn broken_addresses_are_joined_and_glued_words_cut() {
        let text = "src\n192.0.\n2.64/\n24dst\n192.0.\n2.65+ sudo 0x46dc6204reqid\n128offload";
        let expected =
            ["src", "192.0.2.64/24", "dst", "192.0.2.65", "+", "sudo", "0x46dc6204", "reqid"];
        assert_eq!(texts(text)[..8], expected);
        assert_eq!(texts(text)[8..], ["128", "offload"]);
    }

    #[test]
    fn what_could_be_a_number_stays_whole() {
        assert_eq!(
            texts("0x12aead 2001:db8::1 4500 0xfeed"),
            ["0x12aead", "2001:db8::1", "4500", "0xfeed"]
        );
        assert_eq!(texts("as told above.\n192.0.2.1"), ["as", "told", "above.", "192.0.2.1"]);
    }

    #[test]
    fn quotes_comments_and_continuations() {
        let text = "aead 'rfc4106(gcm(aes))' \"0xab\" \\\n  128 # the key\nenc '' don't; x";
        let found = words(text);
        let texts: Vec<&str> = found.iter().map(|word| &*word.text).collect();
        assert_eq!(
            texts,
            ["aead", "rfc4106(gcm(aes))", "0xab", "128", "enc", "", "don't", ";", "x"]
        );
        assert_eq!((found[3].line, found[3].place), (2, Place::Inside));
        assert_eq!((found[4].line, found[4].place), (3, Place::Line));
        assert!(found[7].is_break);
    }

    #[test]
    fn any_text_gives_words() {
        for text in ["'", "\"'\\", "+", "++", "0x", "9+", "\\", "é'ü\"", "1.\n", "/\n1"] {
            let _ = texts(text);
        }
    }
}
