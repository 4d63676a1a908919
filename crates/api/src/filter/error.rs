//! What is wrong with a filter's text, and where.

use core::fmt;

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where it goes wrong: characters before that place, so 0 is the first.
    pub at: usize,
    /// What could stand there.
    pub expected: &'static str,
    /// What is wrong, in one sentence without the place.
    pub message: String,
    /// The text as it was given.
    pub text: String,
}

impl FilterError {
    pub(super) fn new(text: &str, byte: usize, expected: &'static str, message: String) -> Self {
        let at = text.get(..byte).unwrap_or(text).chars().count();
        Self { at, expected, message, text: text.to_owned() }
    }
}

/// The message, the text, and a caret under the place. Only the surroundings of the place are
/// shown of a long text.
impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BEFORE: usize = 60;
        const WIDTH: usize = 76;
        writeln!(f, "{}", self.message)?;
        let start = self.at.saturating_sub(BEFORE);
        let shown = self.text.chars().skip(start).take(WIDTH);
        // one column a character: what would move the caret is shown as a blank
        let shown: String = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(f, "  {}", shown.trim_end())?;
        write!(f, "  {:width$}^ expected {}", "", self.expected, width = self.at - start)
    }
}

impl std::error::Error for FilterError {}
