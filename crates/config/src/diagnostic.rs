//! What is wrong, where, and the fix: plain data, with a renderer for terminals.
//!
//! A [`Diagnostic`] carries its own source line, so it can be shown or serialised without the
//! text it came from.

use core::fmt::{self, Write};

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is accepted, but probably does not do what is meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// First byte.
    pub start: usize,
    /// First byte after.
    pub end: usize,
    /// The line itself, cut when it is very long.
    pub excerpt: String,
    /// How many characters of the excerpt the place covers, at least 1.
    pub width: u32,
    /// Where the place begins in the excerpt, in characters counted from 0.
    #[serde(skip)]
    pub indent: u32,
}

/// One fault or doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable kebab-case name of the kind of fault.
    pub code: &'static str,
    /// The file, as the caller named it.
    pub file: String,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// One line that says what is wrong.
    pub message: String,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub expected: String,
    /// The fix.
    pub help: String,
    /// Other places that have to do with it, each with a remark.
    pub related: Vec<(Place, String)>,
}

impl Diagnostic {
    /// The line it is about, counted from 1.
    pub fn line(&self) -> u32 {
        self.place.line
    }

    /// Text with source excerpt, several lines, ending in a newline. `color` adds ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        let paint = Paint(color);
        let tint = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        let gutter = core::iter::once(&self.place)
            .chain(self.related.iter().map(|(place, _)| place))
            .map(|place| place.line.to_string().len())
            .max()
            .unwrap_or(1);
        let mut out = String::new();
        let head = format!("{}[{}]", self.severity, self.code);
        let _ = writeln!(out, "{}: {}", paint.with(tint, &head), paint.with("1", &self.message));
        let remark = match (self.found.is_empty(), self.expected.is_empty()) {
            (_, true) => String::new(),
            (true, false) => format!("expected {}", self.expected),
            (false, false) => format!("found {}, expected {}", self.found, self.expected),
        };
        let arrow = paint.with("34", "-->");
        let _ = writeln!(
            out,
            "{:gutter$}{arrow} {}:{}:{}",
            "", self.file, self.place.line, self.place.column
        );
        excerpt(&mut out, paint, gutter, &self.place, '^', tint, &remark);
        for (place, remark) in &self.related {
            excerpt(&mut out, paint, gutter, place, '-', "34", remark);
        }
        let help = paint.with("1;36", "help");
        let _ = writeln!(out, "{:gutter$} {} {help}: {}", "", paint.with("34", "="), self.help);
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// All that is wrong with a text, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(crate) fn new(list: Vec<Diagnostic>) -> Self {
        Self { list }
    }

    /// The faults, warnings among them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// All of them as text with source excerpts and a closing count. `color` adds ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(&diagnostic.render(color));
            out.push('\n');
        }
        let errors = self.errors();
        let warnings = self.list.len() - errors;
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let _ = write!(out, "configuration refused: {errors} error{}", plural(errors));
        if warnings > 0 {
            let _ = write!(out, ", {warnings} warning{}", plural(warnings));
        }
        out.push('\n');
        out
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn excerpt(
    out: &mut String,
    paint: Paint,
    gutter: usize,
    place: &Place,
    mark: char,
    tint: &str,
    remark: &str,
) {
    let bar = paint.with("34", "|");
    let number = paint.with("34", &format!("{:>gutter$}", place.line));
    let _ = writeln!(out, "{:gutter$} {bar}", "");
    let _ = writeln!(out, "{number} {bar} {}", place.excerpt);
    let marks: String = core::iter::repeat_n(mark, place.width as usize).collect();
    let indent = place.indent as usize;
    let label = format!("{marks} {remark}");
    let _ =
        writeln!(out, "{:gutter$} {bar} {:indent$}{}", "", "", paint.with(tint, label.trim_end()));
}
