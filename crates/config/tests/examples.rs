//! The examples people start from are in order, without a warning. The files they name are made here.

mod pki;

use pki::{NOW, Pki};

#[test]
fn every_example_is_in_order() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let (pki, mut seen) = (Pki::new(), 0);
    for entry in std::fs::read_dir(folder).expect("examples/") {
        let path = entry.expect("entry").path();
        if path.extension().is_none_or(|ext| ext != "toml") {
            continue;
        }
        seen += 1;
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let parsed = lockgate_config::parse_with(&name, &text, &|path| pki.read(path), NOW)
            .unwrap_or_else(|faults| panic!("{faults}"));
        let warnings: String = parsed.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.is_empty(), "{warnings}");
        assert!(!parsed.config.policies.is_empty(), "{name}");
    }
    assert!(seen >= 1, "the examples are gone");
}
