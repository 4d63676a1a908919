//! Aligned tables.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

use super::style::{Style, Tone};

/// One cell: text and what it means.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// A table whose columns are as wide as their widest cell; columns without content are left out.
pub struct Table {
    heads: Vec<(Cow<'static, str>, Align)>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

impl Table {
    /// A table with these heads; one that begins with `>` makes its column right-aligned.
    pub fn new(heads: &[&'static str]) -> Self {
        let head = |head: &&'static str| match head.strip_prefix('>') {
            Some(rest) => (Cow::Borrowed(rest), Align::Right),
            None => (Cow::Borrowed(*head), Align::Left),
        };
        Self { heads: heads.iter().map(head).collect(), rows: Vec::new(), indent: 0 }
    }

    /// One more column on the right.
    pub fn column(mut self, head: impl Into<Cow<'static, str>>) -> Self {
        self.heads.push((head.into(), Align::Left));
        self
    }

    /// Every line begins with this many blanks.
    pub fn indent(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row; it must have a cell for each head.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        debug_assert_eq!(cells.len(), self.heads.len());
        self.rows.push(cells);
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, each ending in a newline and without blanks before it.
    pub fn render(&self, style: &Style) -> String {
        let content: Vec<usize> = (0..self.heads.len())
            .map(|i| self.rows.iter().map(|r| r[i].text.width()).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        let heads =
            self.heads.iter().map(|(h, _)| Cell::new(Tone::Head, h.as_ref())).collect::<Vec<_>>();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = " ".repeat(self.indent);
            let mut pending = 0;
            let mut first = true;
            for (i, cell) in row.iter().enumerate().filter(|(i, _)| content[*i] > 0) {
                let (head, align) = &self.heads[i];
                let gap = content[i].max(head.width()) - cell.text.width();
                if !first {
                    pending += 2;
                }
                first = false;
                if *align == Align::Right {
                    pending += gap;
                }
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(pending));
                    line.push_str(&style.paint(cell.tone, &cell.text));
                    pending = 0;
                } else {
                    pending += cell.text.width();
                }
                if *align == Align::Left {
                    pending += gap;
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_display_width_and_empty_ones_vanish() {
        let mut table = Table::new(&["NAME", ">COUNT", "NOTE", "LAST"]);
        table.row(["büro".into(), "1".into(), "".into(), "x".into()]);
        table.row(["日本".into(), "1200".into(), "".into(), "".into()]);
        let text = table.render(&Style::default());
        assert_eq!(text, "NAME  COUNT  LAST\nbüro      1  x\n日本   1200\n");
    }

    #[test]
    fn colour_does_not_shift_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::new(Tone::Good, "up"), "1".into()]);
        table.row(["down".into(), "2".into()]);
        let text = table.render(&Style { color: true });
        assert!(text.contains("\x1b[32mup\x1b[0m    1\n"), "{text:?}");
        assert!(text.contains("down  2\n"), "{text:?}");
    }
}
