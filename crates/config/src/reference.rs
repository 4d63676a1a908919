//! The reference page of the configuration, generated from the table of keys.

use core::fmt::Write;

use crate::{
    keys::{Form, SECTIONS, Section},
    services::PREDEFINED,
};

/// The reference of sections and keys as Markdown.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Configuration\n\nThe file is TOML, by default `/etc/lockgate/lockgate.toml`. The page is \
         generated from the table that the parser uses. `lockgate check` reads a file and says what \
         is wrong with it; nothing takes effect unless all of it is right.\n\n\
         Where a key takes a list, one text may stand for a list of one. Durations are numbers with \
         units: `500ms`, `30s`, `5m`, `2h4m`, `1d`. Addresses are written `192.0.2.1`, \
         `192.0.2.0/24` or `192.0.2.5-192.0.2.9`, IPv6 alike.\n",
    );
    for section in SECTIONS {
        describe(&mut page, section);
    }
    page.push_str("\n## Predefined services\n\n| name | stands for |\n|---|---|\n");
    for (name, texts) in PREDEFINED {
        let _ = writeln!(page, "| `{name}` | `{}` |", texts.join("`, `"));
    }
    page
}

fn describe(page: &mut String, section: &Section) {
    let title = match (section.path, section.form) {
        ("", _) => "Top of the file".to_owned(),
        (_, Form::Inline) => format!("`{} = {{ … }}`", section.path),
        _ => format!("`{}`", section.title()),
    };
    let _ = write!(page, "\n## {title}\n\n{}\n", section.about);
    page.push_str("\n| key | takes | default | meaning |\n|---|---|---|---|\n");
    for key in section.keys {
        let default = match key.default {
            "" => "–".to_owned(),
            "required" => "**required**".to_owned(),
            text => format!("`{text}`"),
        };
        let takes = key.kind.describe();
        let _ = writeln!(page, "| `{}` | {takes} | {default} | {} |", key.name, key.meaning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_every_section_is_in_the_page() {
        let page = reference_page();
        for section in SECTIONS {
            assert!(page.contains(section.about), "{}", section.path);
            for key in section.keys {
                assert!(page.contains(&format!("| `{}` | ", key.name)), "{}", key.name);
                assert!(page.contains(key.meaning), "{}", key.name);
            }
        }
    }

    #[test]
    fn no_cell_breaks_its_table() {
        for line in reference_page().lines().filter(|line| line.starts_with('|')) {
            let bars = line.matches('|').count();
            assert!(bars == 5 || bars == 3, "{line}");
        }
    }
}
