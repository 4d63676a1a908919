//! Colour, or none.

use std::fmt::Display;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Use ANSI colours.
    pub color: bool,
}

/// What a piece of text means; colours follow from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// A heading.
    Head,
    /// As it should be.
    Good,
    /// Worth a look.
    Notice,
    /// Traffic or speed is lost.
    Bad,
    /// Of little importance.
    Dim,
    /// A name to use in other commands.
    Name,
}

impl Tone {
    /// The tone of a severity's name.
    pub fn of_severity(severity: &str) -> Self {
        match severity {
            "error" => Self::Bad,
            "warning" => Self::Notice,
            _ => Self::Plain,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "1",
            Self::Good => "32",
            Self::Notice => "33",
            Self::Bad => "31",
            Self::Dim => "2",
            Self::Name => "36",
        }
    }
}

impl Style {
    /// The text in its tone.
    pub fn paint(&self, tone: Tone, text: impl Display) -> String {
        match (self.color, tone.code()) {
            (false, _) | (true, "") => text.to_string(),
            (true, code) => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
