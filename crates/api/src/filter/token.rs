//! Words of a filter's text.

use super::FilterError;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters, digits and `-_.:/@+*`, as written.
    Word(String),
    /// A name in double quotes, without them.
    Quoted(String),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `!`
    Not,
    /// `&&`
    And,
    /// `||`
    Or,
}

/// A token and the byte it starts at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub at: usize,
    pub kind: Kind,
}

/// Whether a name may stand without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(in_word)
}

/// Cuts a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut found = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let kind = match c {
            c if c.is_whitespace() => continue,
            '(' => Kind::Open,
            ')' => Kind::Close,
            ',' => Kind::Comma,
            '!' => Kind::Not,
            '&' | '|' => {
                if chars.next_if(|(_, next)| *next == c).is_none() {
                    let message = format!("a single `{c}` means nothing here");
                    return Err(FilterError::new(text, at, "`&&` or `||`", message));
                }
                if c == '&' { Kind::And } else { Kind::Or }
            }
            '"' => Kind::Quoted(quoted(text, at, &mut chars)?),
            c if in_word(c) => {
                let mut word = String::from(c);
                while let Some((_, c)) = chars.next_if(|(_, c)| in_word(*c)) {
                    word.push(c);
                }
                Kind::Word(word)
            }
            c => {
                let message = format!("the character {c:?} has no meaning outside quotes");
                return Err(FilterError::new(text, at, "a word", message));
            }
        };
        found.push(Token { at, kind });
    }
    Ok(found)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || "-_.:/@+*".contains(c)
}

fn quoted(
    text: &str,
    at: usize,
    chars: &mut impl Iterator<Item = (usize, char)>,
) -> Result<String, FilterError> {
    let mut name = String::new();
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => return Ok(name),
            '\\' => match chars.next() {
                Some((_, escaped)) => name.push(escaped),
                None => break,
            },
            c => name.push(c),
        }
    }
    Err(FilterError::new(text, at, "a closing `\"`", "the quotes are never closed".into()))
}
