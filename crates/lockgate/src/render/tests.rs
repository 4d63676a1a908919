//! Every renderer against a golden, as text and as JSON.
//!
//! The views are made by hand; what a person sees of them is in `snapshots/`.

mod captures;
mod changes;
mod ikes;
mod people;
mod profiles;
mod tunnels;
mod views;

use api::{Document, Response};

use super::{Style, response};

fn golden(name: &str, view: Response) {
    let text = response(&view, &Style::default());
    assert!(text.ends_with('\n'), "{name} ends its last line");
    assert!(text.lines().all(|line| line == line.trim_end()), "{name} has trailing blanks");
    let colored = response(&view, &Style { color: true });
    assert_eq!(strip(&colored), text, "{name}: colour changes nothing else");
    insta::assert_snapshot!(format!("{name}.text"), text);
    let document = Document::from(view);
    let json = serde_json::to_string_pretty(&document).expect("serialises");
    let back: Document = serde_json::from_str(&json).expect("is what it was");
    assert_eq!(back, document, "{name} survives JSON");
    insta::assert_snapshot!(format!("{name}.json"), json);
}

/// Takes ANSI escapes out.
fn strip(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("\x1b[") {
        out.push_str(&rest[..start]);
        let end = rest[start..].find('m').map_or(rest.len(), |m| start + m + 1);
        rest = &rest[end..];
    }
    out + rest
}

macro_rules! goldens {
    ($module:ident: $($name:ident)+) => {
        $(#[test]
        fn $name() {
            golden(stringify!($name), $module::$name());
        })+
    };
}

goldens! {
    views: ports interfaces sessions sessions_offload session_summary policies routes route_lookup
    neighbours nat_vips nat_pools engines offload_reasons counters system anomaly
    explain_session explain_flow policy_lookup trace_forwarded trace_dropped trace_polled
}

goldens! {
    changes: cleared cleared_ike rekeying events config_checked config_diff config_applied
}

goldens! {
    tunnels: tunnels sas
}

goldens! {
    ikes: ike explain_tunnel
}

goldens! {
    people: users address_pools remote_access dtls explain_dtls plan
}

goldens! {
    captures: capture_started capture_polled
}

#[test]
fn the_other_forms_of_sas_and_peers() {
    let plain = Style::default();
    let (sas, ike, dtls) = (tunnels::sas(), ikes::ike(), people::dtls());
    for (name, view, form) in [
        ("sas_offload", &sas, super::sas_offload as fn(&Response, &Style) -> String),
        ("sas_detail", &sas, super::sas_detail),
        ("ike_detail", &ike, super::ike_detail),
        ("dtls_detail", &dtls, super::dtls_detail),
    ] {
        let text = form(view, &plain);
        assert_eq!(strip(&form(view, &Style { color: true })), text, "{name}");
        insta::assert_snapshot!(format!("{name}.text"), text);
    }
}

#[test]
fn errors_name_the_next_command() {
    let errors = [
        api::ApiError::not_found("no session 7"),
        api::ApiError::BadFilter {
            message: "unknown word `prot`".into(),
            filter: "src 10.0.0.1 and prot 6".into(),
            column: 18,
            expected: "`proto`".into(),
        },
        api::ApiError::ConfigRefused { diagnostics: vec![changes::diagnostic("error")] },
        api::ApiError::busy("a change waits for `lockgate confirm`"),
        api::ApiError::bad_request("the destination needs a port"),
        api::ApiError::unsupported("this gateway has no kernel engine"),
        api::ApiError::forbidden("only root may have keys, not uid 1000"),
        api::ApiError::failed("the forwarding thread has ended"),
    ];
    let text: Vec<_> = errors.iter().map(|e| super::error(e, &Style::default())).collect();
    insta::assert_snapshot!("errors.text", text.join("\n"));
}
