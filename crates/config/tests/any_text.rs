//! Any text gives a configuration or diagnostics, never a panic; and what is rendered is well formed.

use lockgate_config::{diff, keys::SECTIONS, parse, reference_page};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../examples/branch-office.toml");

/// Values of all types, right and wrong.
const VALUES: &[&str] = &[
    "1",
    "-1",
    "0",
    "99999999999999999999999",
    "0xff",
    "1.5",
    "nan",
    "true",
    "\"\"",
    "\"any\"",
    "\"off\"",
    "\"x\"",
    "\"é\"",
    "\"10.0.0.1/24\"",
    "\"10.0.0.0/8\"",
    "\"10.0.0.1-10.0.0.9\"",
    "\"::/0\"",
    "\"fe80::1\"",
    "\"0-65535\"",
    "\"tcp/80\"",
    "\"icmp\"",
    "\"24:00\"",
    "\"mon-sun\"",
    "\"-99:99\"",
    "[]",
    "[\"a\", \"any\"]",
    "[1, \"x\"]",
    "{}",
    "{ x = 1 }",
    "07:32:00",
    "1979-05-27T07:32:00Z",
    "0000-01-01",
    "\"",
    "[",
    "\"2h4m\"",
    "\"18446744073709551615w\"",
    "{ proto = \"tcp\", external-port = \"1-65535\", mapped-port = 65535 }",
];

fn line() -> impl Strategy<Value = String> {
    let section = prop::sample::select(SECTIONS.to_vec());
    let header = section.clone().prop_map(|section| match section.title() {
        title if title.starts_with('[') => format!("{title}\n").replace('*', "a"),
        _ => "[objects.address]\n".to_owned(),
    });
    let pair = (section, any::<prop::sample::Index>(), prop::sample::select(VALUES)).prop_map(
        |(section, index, value)| format!("{} = {value}\n", index.get(section.keys).name),
    );
    prop_oneof![2 => header, 8 => pair, 1 => "[ -~é\n]{0,20}\n"]
}

fn check(text: &str) {
    match parse("any", text) {
        Ok(parsed) => {
            assert!(diff(&parsed.config, &parsed.config).is_empty());
            assert!(parsed.warnings.iter().all(|warning| !warning.render(true).is_empty()));
        }
        Err(faults) => {
            assert!(faults.errors() > 0);
            for fault in faults.iter() {
                assert!(fault.place.end <= text.len());
                assert!(text.is_char_boundary(fault.place.start));
                assert!(!fault.render(false).contains('\x1b'));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn lines_of_known_words(lines in prop::collection::vec(line(), 0..24)) {
        check(&lines.concat());
    }

    #[test]
    fn any_characters(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn an_example_with_a_piece_replaced(
        from in any::<prop::sample::Index>(),
        length in 0usize..40,
        patch in prop_oneof![Just(String::new()), prop::sample::select(VALUES).prop_map(str::to_owned), "\\PC{0,8}"],
    ) {
        let start = from.index(EXAMPLE.len());
        let end = (start + length).min(EXAMPLE.len());
        // cut where characters begin
        let cut = |at: usize| (at..=EXAMPLE.len()).find(|at| EXAMPLE.is_char_boundary(*at)).unwrap_or(EXAMPLE.len());
        let text = format!("{}{patch}{}", &EXAMPLE[..cut(start)], &EXAMPLE[cut(end)..]);
        check(&text);
    }
}

#[test]
fn an_escape_in_a_value_does_not_reach_the_terminal() {
    check("hostname = \"a\\u001b[2Jb\"");
    check("[[interface]]\nname = \"lan\"\nport = \"\\u001b[2J\"");
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    for text in [
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}", "{a=".repeat(100_000)),
        (0..5000).fold("[objects.address]\n".to_owned(), |out, n| {
            out + &format!("a{n} = \"a{}\"\n", n + 1)
        }),
    ] {
        assert!(parse("deep", &text).is_err());
    }
}

#[test]
fn the_reference_is_generated() {
    assert!(reference_page().contains("## `[[policy]]`"));
}
