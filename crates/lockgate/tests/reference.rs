//! The reference pages of the documentation are generated; this holds them to the code.
//!
//! `UPDATE_DOCS=1 cargo test -p lockgate --test reference` writes them anew.

use std::{fs, path::Path};

fn hold(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page).expect("the page can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{} is out of date: run UPDATE_DOCS=1 cargo test -p lockgate --test reference",
        path.display()
    );
}

#[test]
fn the_page_of_reasons_is_what_the_registry_says() {
    hold("reasons.md", &reason::reference_page());
}

#[test]
fn the_page_of_the_configuration_is_what_the_parser_reads() {
    hold("config.md", &config::reference_page());
}
