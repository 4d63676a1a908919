use core::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// A subject with everything set, all of it different.
struct Everything;

impl Subject for Everything {
    fn addresses(&self, end: End) -> [Option<IpAddr>; 2] {
        match end {
            End::Src => [ip("10.1.2.3"), ip("198.51.100.1")],
            End::Dst => [ip("203.0.113.9"), ip("192.168.0.80")],
            End::Either => unreachable!("never asked"),
        }
    }
    fn ports(&self, end: End) -> [Option<u16>; 2] {
        match end {
            End::Src => [Some(51000), Some(1025)],
            End::Dst => [Some(443), Some(8443)],
            End::Either => unreachable!("never asked"),
        }
    }
    fn protocol(&self) -> Option<u8> {
        Some(6)
    }
    fn translated(&self) -> [Option<IpAddr>; 2] {
        [ip("198.51.100.1"), ip("192.168.0.80")]
    }
    fn policy(&self) -> Option<u32> {
        Some(7)
    }
    fn state(&self) -> Option<&str> {
        Some("ESTABLISHED")
    }
    fn has_reason(&self, name: &str) -> bool {
        name == "disabled-by-policy"
    }
    fn has_tier(&self, name: &str) -> bool {
        name == "fast"
    }
    fn has_interface(&self, side: Side, name: &str) -> bool {
        name == if side == Side::Out { "wan0" } else { "lan0" }
    }
    fn has_zone(&self, side: Side, name: &str) -> bool {
        name == if side == Side::Out { "wan" } else { "my zone" }
    }
    fn has_virtual_router(&self, name: &str) -> bool {
        name == "default"
    }
    fn id(&self) -> Option<u64> {
        Some(0x1a2b)
    }
}

/// A subject of which nothing is known.
struct Nothing;

impl Subject for Nothing {
    fn addresses(&self, _: End) -> [Option<IpAddr>; 2] {
        [None; 2]
    }
    fn ports(&self, _: End) -> [Option<u16>; 2] {
        [None; 2]
    }
    fn protocol(&self) -> Option<u8> {
        None
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

#[test]
fn every_term_matches_what_it_names_and_nothing_without_it() {
    let rows = [
        ("ip", "ip6"),
        ("tcp", "udp"),
        ("proto tcp", "proto 17"),
        ("src 10.1.2.3", "src 10.1.2.4"),
        ("src 198.51.100.1", "src 203.0.113.9"),
        ("src host 10.1.2.3", "dst host 10.1.2.3"),
        ("src net 10.0.0.0/8", "src net 11.0.0.0/8"),
        ("dst 192.168.0.0/16", "dst 10.0.0.0/8"),
        ("host 203.0.113.9", "host 203.0.113.8"),
        ("10.1.2.3", "2001:db8::1"),
        ("net 0.0.0.0/0", "net ::/0"),
        ("port 443", "port 444"),
        ("port 1025", "port 0"),
        ("src port 51000", "src port 443"),
        ("dst port in 1-500", "dst port in 444-500,9000"),
        ("port in 1-2,8443", "port in 1-2,8444"),
        ("portrange 440-450", "portrange 444-450"),
        ("nat 198.51.100.0/24", "nat 10.1.2.3"),
        ("policy 7", "policy 8"),
        ("policy in 1-9", "policy in 8,9"),
        ("state established", "state syn-sent"),
        ("tier fast", "tier slow-setup"),
        ("reason disabled-by-policy", "reason policy-deny"),
        ("interface lan0", "interface wan1"),
        ("in lan0", "in wan0"),
        ("out wan0", "out lan0"),
        ("in zone \"my zone\"", "in zone my"),
        ("out zone wan", "zone wan"),
        ("vr default", "vr red"),
        ("id 1a2b", "id 1a2c"),
        ("id 0x1A2B", "id 0"),
    ];
    for (yes, no) in rows {
        let (yes, no) = (filter(yes), filter(no));
        assert!(yes.matches(&Everything), "{yes}");
        assert!(!no.matches(&Everything), "{no}");
        assert!(!yes.matches(&Nothing) && !no.matches(&Nothing), "{yes}; {no}");
    }
    assert!(filter("").matches(&Nothing));
}

#[test]
fn operators_bind_as_documented_and_the_normal_form_says_so() {
    let rows = [
        ("", ""),
        ("  ", ""),
        ("TCP  DST  Port 443", "tcp and dst port 443"),
        ("tcp || udp && port 53", "tcp or udp and port 53"),
        ("(tcp || udp) && port 53", "(tcp or udp) and port 53"),
        ("! (tcp or (udp or icmp))", "not (tcp or udp or icmp)"),
        ("not not tcp", "tcp"),
        ("not tcp udp", "not tcp and udp"),
        ("((tcp))", "tcp"),
        ("tcp and (ip and port 1)", "tcp and ip and port 1"),
        ("src net 10.1.2.3/8", "src 10.0.0.0/8"),
        ("net 2001:DB8:0::/32", "net 2001:db8::/32"),
        ("net 10.1.2.3/32", "host 10.1.2.3"),
        ("port 7,5,6,1-2,2-3", "port in 1-3,5-7"),
        ("port in 80-80", "port 80"),
        ("proto 6 or proto 89", "tcp or proto 89"),
        ("state SYN-SENT", "state syn-sent"),
        ("in zone", "in \"zone\""),
        ("in interface eth0", "in eth0"),
        ("out \"a \\\"b\\\\\"", "out \"a \\\"b\\\\\""),
    ];
    for (text, normal) in rows {
        if text == "in zone" {
            let error = Filter::parse(text).expect_err("the name is missing");
            assert_eq!(error.expected, "a zone");
            assert_eq!(filter(normal).to_string(), normal);
            continue;
        }
        assert_eq!(filter(text).to_string(), normal, "{text}");
        assert_eq!(filter(normal).to_string(), normal);
    }
    // and before or: a udp packet to another port matches only the first grouping
    assert!(filter("tcp or udp and port 53").matches(&Everything));
    assert!(!filter("(tcp or udp) and port 53").matches(&Everything));
    assert!(filter("not udp and not port 53").matches(&Everything));
}

#[test]
fn an_error_points_at_its_place() {
    let rows = [
        ("src 10.0.0.1 and port abc", 22, "`abc` cannot stand here"),
        ("polcy 7", 0, "`polcy` is no word of the filter language; did you mean `policy`?"),
        (
            "port 80 443",
            8,
            "`443` is no word of the filter language; several ports are written `port in 80,443`",
        ),
        ("(tcp or udp", 11, "the filter ends too early"),
        ("tcp)", 3, "`)` cannot stand here"),
        ("tcp and", 7, "the filter ends too early"),
        ("port 65536", 5, "`65536` cannot stand here"),
        ("port 9-1", 5, "`9-1` cannot stand here"),
        ("port +9", 5, "`+9` cannot stand here"),
        ("net 10.0.0.0/33", 4, "`10.0.0.0/33` cannot stand here"),
        ("host 10.0.0.0/8", 5, "`10.0.0.0/8` cannot stand here"),
        ("id xyz", 3, "`xyz` cannot stand here"),
        ("id 11112222333344445", 3, "`11112222333344445` cannot stand here"),
        ("reason because", 7, "no reason is called `because`"),
        ("tcp & udp", 4, "a single `&` means nothing here"),
        ("in \"lan0", 3, "the quotes are never closed"),
        ("tcp; udp", 3, "the character ';' has no meaning outside quotes"),
        ("ö ä§", 3, "the character '§' has no meaning outside quotes"),
        ("()", 1, "`)` cannot stand here"),
        ("\"tcp\"", 0, "a name in quotes cannot stand here"),
    ];
    for (text, at, message) in rows {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!((error.at, error.message.as_str()), (at, message), "{text}");
    }
    assert_eq!(
        Filter::parse("src 10.0.0.1 and port abc").expect_err("no number").to_string(),
        "`abc` cannot stand here\n\
         \x20 src 10.0.0.1 and port abc\n\
         \x20                       ^ expected a port number from 0 to 65535, or a range such as \
         1000-2000"
    );
}

#[test]
fn length_terms_and_depth_are_bounded() {
    let nested = |n: usize| format!("{}tcp{}", "(".repeat(n), ")".repeat(n));
    assert!(Filter::parse(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(Filter::parse(&nested(MAX_DEPTH)).is_err());
    assert!(Filter::parse(&format!("{}tcp", "not ".repeat(MAX_DEPTH))).is_err());
    assert!(Filter::parse(&"tcp ".repeat(MAX_TERMS)).is_ok());
    assert!(Filter::parse(&"tcp ".repeat(MAX_TERMS + 1)).is_err());
    assert!(Filter::parse(&" ".repeat(MAX_LENGTH + 1)).is_err());
}

#[test]
fn a_wanted_session_is_found_only_where_nothing_else_can_match() {
    for (text, id) in [
        ("id 1a2b", Some(0x1a2b)),
        ("tcp and id 7", Some(7)),
        ("tcp or id 7", None),
        ("not id 7", None),
        ("tcp", None),
    ] {
        assert_eq!(filter(text).wanted_id(), id, "{text}");
    }
}

#[test]
fn json_carries_the_text() {
    let filter: Filter = serde_json::from_str("\"tcp  port 80\"").expect("a filter");
    assert_eq!(serde_json::to_string(&filter).expect("json"), "\"tcp and port 80\"");
    assert!(serde_json::from_str::<Filter>("\"tcp port\"").is_err());
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Src), Just(End::Dst), Just(End::Either)]
}

fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::In), Just(Side::Out), Just(Side::Either)]
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    (any::<IpAddr>(), any::<u8>()).prop_map(|(address, len)| {
        let width = if address.is_ipv4() { 33 } else { 129 };
        Prefix::new(address, len % width).expect("the length fits")
    })
}

fn any_ranges(max: u32) -> impl Strategy<Value = Ranges> {
    let range = (0..=max, 0..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop::collection::vec(range, 1..5).prop_map(Ranges::new)
}

fn any_term() -> impl Strategy<Value = Term> {
    let name = || prop_oneof!["[a-z0-9.-]{1,8}", "\\PC{0,6}", Just("zone".to_owned())];
    prop_oneof![
        any::<bool>().prop_map(|v| Term::Version(if v { Version::V4 } else { Version::V6 })),
        any::<u8>().prop_map(Term::Protocol),
        (any_end(), any_prefix()).prop_map(|(end, prefix)| Term::Address(end, prefix)),
        (any_end(), any_ranges(65535)).prop_map(|(end, ports)| Term::Port(end, ports)),
        any_prefix().prop_map(Term::Nat),
        any_ranges(u32::MAX).prop_map(Term::Policy),
        "[a-z-]{1,12}".prop_map(Term::State),
        "[a-z-]{1,12}".prop_map(Term::Tier),
        Just(Term::Reason("fragment")),
        (any_side(), name()).prop_map(|(side, name)| Term::Interface(side, name)),
        (any_side(), name()).prop_map(|(side, name)| Term::Zone(side, name)),
        name().prop_map(Term::VirtualRouter),
        name().prop_map(Term::User),
        name().prop_map(Term::Group),
        any::<u64>().prop_map(Term::Id),
    ]
}

fn any_expr() -> impl Strategy<Value = Expr> {
    any_term().prop_map(Expr::Term).prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::all),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::any),
            inner.prop_map(Expr::negate),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(expr in any_expr()) {
        let filter = Filter::from(expr);
        let text = filter.to_string();
        prop_assert_eq!(Filter::parse(&text).map_err(|e| e.to_string()), Ok(filter), "{}", text);
    }

    #[test]
    fn any_text_gives_a_filter_or_an_error_in_bounds(text in "\\PC*") {
        check(&text)?;
    }

    #[test]
    fn any_words_give_a_filter_or_an_error_in_bounds(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "tcp", "src", "dst", "port", "in", "out", "zone", "net", "host", "and", "or",
                "not", "(", ")", ",", "!", "&&", "||", "1-2", "80", "10.0.0.0/8", "::1", "policy",
                "id", "ff", "reason", "fragment", "\"", "\\", "état",
            ]),
            0..20,
        )
    ) {
        check(&words.join(" "))?;
    }

    #[test]
    fn a_negated_filter_matches_the_rest(expr in any_expr()) {
        let (plain, negated) = (Filter::from(expr.clone()), Filter::from(Expr::negate(expr)));
        prop_assert_ne!(plain.matches(&Everything), negated.matches(&Everything));
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match Filter::parse(text) {
        Ok(filter) => {
            let normal = filter.to_string();
            prop_assert_eq!(Filter::parse(&normal).map_err(|e| e.to_string()), Ok(filter));
        }
        Err(error) => {
            prop_assert!(error.at <= text.chars().count());
            prop_assert!(!error.to_string().is_empty());
        }
    }
    Ok(())
}
