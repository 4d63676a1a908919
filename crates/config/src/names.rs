//! Names of one kind of thing: collected first, looked up by whoever refers to them.

use std::collections::BTreeMap;

use crate::{
    read::{At, Doc, Span, Tab, article},
    suggest::{listed, nearest},
    values,
};

/// Names that mean something of their own where a name may stand.
const RESERVED: &[&str] = &["any", "off", "interface", "all", "none"];

/// The most things of one kind; their positions are 16 bits wide.
const MOST: usize = 65_535;

/// The names of one kind of thing, with their positions.
pub(crate) struct Names {
    what: &'static str,
    section: String,
    map: BTreeMap<String, (usize, Span)>,
}

impl Names {
    /// Collects the `name` of every table; reports missing, malformed, reserved and double ones.
    /// Gives a name for every table, in order.
    pub fn collect(doc: &Doc<'_>, what: &'static str, tabs: &[Tab<'_, '_>]) -> (Self, Vec<String>) {
        let section = tabs.first().map_or_else(|| format!("[[{what}]]"), |tab| tab.section.title());
        let mut names = Self { what, section, map: BTreeMap::new() };
        if let Some(tab) = tabs.get(MOST) {
            doc.error("too-many", &tab.span, format!("more than {MOST} {what}s"))
                .found(tabs.len().to_string())
                .expected(format!("at most {MOST}"))
                .help("split the configuration over several gateways")
                .emit();
        }
        let all = tabs
            .iter()
            .enumerate()
            .map(|(position, tab)| {
                let Some(text) = tab.required("name") else {
                    return String::new();
                };
                if let Some(name) = tab.read("name", &text, values::name) {
                    names.add(doc, &At { value: &name.value, span: name.span }, position);
                }
                text.value.to_owned()
            })
            .collect();
        (names, all)
    }

    /// No names yet.
    pub fn new(what: &'static str, section: &str) -> Self {
        Self { what, section: section.to_owned(), map: BTreeMap::new() }
    }

    /// Adds a name, or reports that it is taken or reserved.
    pub fn add(&mut self, doc: &Doc<'_>, name: &At<&str>, position: usize) {
        if RESERVED.contains(&name.value) {
            doc.error("reserved-name", &name.span, format!("`{}` is a reserved word", name.value))
                .found(doc.snippet(&name.span))
                .expected(format!("a name other than {}", listed(RESERVED.iter().copied())))
                .help(format!(
                    "choose another name, such as \"{}-{}\"",
                    self.what.replace(' ', "-"),
                    name.value
                ))
                .emit();
            return;
        }
        if let Some((_, first)) = self.map.get(name.value) {
            doc.error(
                "duplicate-name",
                &name.span,
                format!("two {}s are named `{}`", self.what, name.value),
            )
            .found(doc.snippet(&name.span))
            .expected("a name of its own")
            .help(format!("rename one of them, or remove it; such as \"{}-2\"", name.value))
            .related(first, "the first is here")
            .emit();
            return;
        }
        self.map.insert(name.value.to_owned(), (position, name.span.clone()));
    }

    /// The position of a name, without a report.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.map.get(name).map(|(position, _)| *position)
    }

    /// Where a name is given.
    pub fn span(&self, name: &str) -> Option<&Span> {
        self.map.get(name).map(|(_, span)| span)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// All names, sorted.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// The position of a name; reports when there is none of it.
    pub fn find(&self, doc: &Doc<'_>, at: &At<&str>) -> Option<usize> {
        let found = self.get(at.value);
        if found.is_none() {
            let help = match nearest(at.value, self.all()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("add {} with `name = \"{}\"`", self.section, at.value),
            };
            self.unknown(doc, at, help);
        }
        found
    }

    /// Reports that there is nothing of that name.
    pub fn unknown(&self, doc: &Doc<'_>, at: &At<&str>, help: String) {
        doc.error("unknown-name", &at.span, format!("there is no {} `{}`", self.what, at.value))
            .found(doc.snippet(&at.span))
            .expected(match self.is_empty() {
                true => format!("{}; none is configured", article(self.what)),
                false => format!("one of {}", listed(self.all())),
            })
            .help(help)
            .emit();
    }
}
