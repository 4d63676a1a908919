//! The table of sections and keys: names, types, ranges, defaults, meanings.
//!
//! The parser asks it for ranges, defaults and what is known; the reference page prints it. So a
//! key that is not here does not exist, and what is printed is what is checked.

#[rustfmt::skip] // a table reads best with a row to a line
mod table;

pub use table::*;

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `[name]`, once.
    Table,
    /// `[[name]]`, once for each.
    Array,
    /// `name = { … }` inside another section.
    Inline,
}

impl Form {
    /// What the form is in words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Table => "a table",
            Self::Array => "an array of tables",
            Self::Inline => "an inline table",
        }
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// An integer in a range.
    Int {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// Bytes in a range: an integer, or text such as `"4MiB"`.
    Size {
        /// Least value in bytes.
        min: u64,
        /// Greatest value in bytes.
        max: u64,
    },
    /// Text such as `"30s"`, in a range.
    Duration {
        /// Least value in seconds.
        min: u64,
        /// Greatest value in seconds.
        max: u64,
    },
    /// One of some words.
    Words(&'static [&'static str]),
    /// Text of the kind described.
    Text(&'static str),
    /// One text or a list of them, of the kind described.
    List(&'static str),
    /// Something of its own, described.
    Other(&'static str),
}

impl Kind {
    /// The type in words, with its range.
    pub fn describe(&self) -> String {
        let span = |secs| crate::values::show_duration(core::time::Duration::from_secs(secs));
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::Size { min, max } => {
                format!("bytes from {min} to {max}, or text such as \"4MiB\"")
            }
            Self::Duration { min, max } => {
                format!("a duration such as \"30s\" or \"2h4m\", {} to {}", span(*min), span(*max))
            }
            Self::Words(words) => {
                format!("one of {}", crate::suggest::listed(words.iter().copied()))
            }
            Self::Text(what) | Self::Other(what) => (*what).to_owned(),
            Self::List(what) => format!("{what}, one or a list"),
        }
    }
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default as it would be written without quotes; empty where there is none, `required`
    /// where it must be written.
    pub default: &'static str,
    /// A value as it is written in TOML.
    pub example: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Name of the table; `*` stands for a name of the user's choice.
    pub path: &'static str,
    /// How it is written.
    pub form: Form,
    /// What it is for.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

impl Section {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The section as it is written: `[limits]`, `[[policy]]`, `forward`, or words for the top.
    pub fn title(&self) -> String {
        match self.form {
            _ if self.path.is_empty() => "the file".to_owned(),
            Form::Inline if self.path.ends_with(".*") => {
                format!("an entry of [{}]", self.path.trim_end_matches(".*"))
            }
            Form::Table => format!("[{}]", self.path),
            Form::Array => format!("[[{}]]", self.path),
            Form::Inline => format!("`{}`", self.path),
        }
    }
}

/// Titles of the sections that have a key of that name.
pub(crate) fn sections_with(key: &str) -> Vec<String> {
    SECTIONS
        .iter()
        .filter(|section| !section.path.is_empty() && section.key(key).is_some())
        .map(|section| section.title())
        .take(4)
        .collect()
}
