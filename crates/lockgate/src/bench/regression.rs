//! Ratios that a machine is to reach, in a file: two figures of one run, so that they hold on every machine of its kind.
//!
//! `{"at_least": [{"suite": "esp-encrypt", "what": "64 B, fast tier / slow tier", "value": 4.0}]}`

use std::path::Path;

use serde::Deserialize;

use super::{Figure, RATIO};

/// Bounds of one file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    at_least: Vec<Bound>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    suite: String,
    what: String,
    value: f64,
}

impl Bounds {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence when it cannot be read or is something else.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What is below its bound, or was not measured though its suite was; one sentence each. How many bounds were held
    /// against a figure comes with it.
    pub fn broken(&self, figures: &[Figure]) -> (usize, Vec<String>) {
        let (mut held, mut broken) = (0, Vec::new());
        for bound in &self.at_least {
            let mut of_suite = figures.iter().filter(|f| f.suite == bound.suite).peekable();
            if of_suite.peek().is_none() {
                continue;
            }
            let Bound { suite, what, value } = bound;
            match of_suite.find(|f| f.what == *what && f.unit == RATIO) {
                Some(figure) if figure.value >= *value => held += 1,
                Some(figure) => {
                    held += 1;
                    broken.push(format!(
                        "{suite} {what}: {:.2}, expected at least {value:.2}",
                        figure.value
                    ));
                }
                None => broken.push(format!(
                    "{suite} {what}: not measured; run the suite with all sizes, tunnels and flows"
                )),
            }
        }
        (held, broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(suite: &'static str, what: &str, value: f64, unit: &'static str) -> Figure {
        Figure { suite, what: what.into(), value, unit }
    }

    #[test]
    fn only_what_is_below_or_missing_is_told() {
        let bounds: Bounds = serde_json::from_str(
            r#"{"at_least": [{"suite": "a", "what": "x", "value": 2.0}, {"suite": "a", "what": "y", "value": 2.0},
                {"suite": "a", "what": "z", "value": 2.0}, {"suite": "b", "what": "x", "value": 2.0}]}"#,
        )
        .expect("valid");
        let figures = [
            figure("a", "x", 2.0, RATIO),
            figure("a", "y", 1.9, RATIO),
            figure("a", "z", 3.0, "pps"),
        ];
        let (held, broken) = bounds.broken(&figures);
        assert_eq!(held, 2);
        assert_eq!(broken.len(), 2);
        assert_eq!(broken[0], "a y: 1.90, expected at least 2.00");
        assert!(broken[1].starts_with("a z: not measured"), "{broken:?}");
    }

    #[test]
    fn the_file_of_the_project_is_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/ratios.json");
        let bounds = Bounds::read(&path).expect("valid");
        assert!(!bounds.at_least.is_empty());
        for bound in &bounds.at_least {
            assert!(super::super::SUITES.contains(&bound.suite.as_str()), "{bound:?}");
        }
    }

    #[test]
    fn another_file_is_refused_with_its_name() {
        let error = Bounds::read(Path::new("/nonexistent/ratios.json")).expect_err("none is there");
        assert!(error.starts_with("/nonexistent/ratios.json cannot be read"), "{error}");
    }
}
