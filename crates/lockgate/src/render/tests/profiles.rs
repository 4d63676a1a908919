//! Every limit of the profiles, seen live: a gateway held to each, with tunnels that violate its limits
//! one by one and carry traffic all the same, and what `explain sa` says of them.

use api::{Request, Response};
use testkit::rig::Rig;
use wire::{Tuple, proto};

use super::super::{Style, response};

/// A tunnel of a case: name, suite, further keys of its table.
type Tunnel = (&'static str, &'static str, &'static str);

/// Name, profile, further configuration, tunnels.
type Case = (&'static str, &'static str, &'static str, &'static [Tunnel]);

const CASES: &[Case] = &[
    (
        "secure-firewall-3100",
        "secure-firewall-3100",
        "",
        &[
            ("fine", "aes256gcm16", "replay-window = 64"),
            ("transport", "aes256gcm16", "replay-window = 64\nmode = \"transport\""),
            ("cut-after", "aes256gcm16", "replay-window = 64\nfragmentation = \"after\""),
            ("window", "aes256gcm16", "replay-window = 1024"),
            ("volume", "aes256gcm16", "replay-window = 64\nhard-lifetime = { bytes = 9000000 }"),
            ("filter", "aes256gcm16", "replay-window = 64\nsteering = \"routes\""),
        ],
    ),
    (
        "secure-firewall-3100-contexts",
        "secure-firewall-3100",
        "[[virtual-router]]\nname = \"guest\"\n",
        &[("fine", "aes256gcm16", "replay-window = 64")],
    ),
    (
        "np6",
        "np6",
        "",
        &[
            ("fine", "aes256-sha256", "replay-window = 1024"),
            ("counter-mode", "aes256gcm16", "esn = true"),
        ],
    ),
    (
        "np7",
        "np7",
        "",
        &[
            ("fine", "aes128gcm16", "replay-window = 1024"),
            ("chacha", "chacha20poly1305", "replay-window = 1024"),
        ],
    ),
    (
        "connectx-6dx",
        "connectx-6dx",
        "",
        &[
            ("fine", "aes128gcm16", "replay-window = 1024"),
            ("composed", "aes256-sha384", "replay-window = 1024"),
            ("in-udp", "aes128gcm16", "udp-encapsulation = true"),
            ("padded", "aes128gcm16", "pad-to = 600"),
            ("everything", "aes128-sha1", "udp-encapsulation = true\npad-to = 600"),
        ],
    ),
    (
        "bluefield-2",
        "bluefield-2",
        "",
        &[
            ("fine", "aes128gcm16", "esn = true\nreplay-window = 256"),
            ("window", "aes128gcm16", "esn = true\nreplay-window = 1024"),
            ("no-esn", "aes128gcm16", "replay-window = 64"),
            ("in-udp", "aes128gcm16", "esn = true\nreplay-window = 64\nudp-encapsulation = true"),
            (
                "lifetime",
                "aes128gcm16",
                "esn = true\nreplay-window = 64\nhard-lifetime = { bytes = 9000000 }",
            ),
        ],
    ),
    // Refused for configuration, and for room: of the four SAs that remain two fit.
    (
        "resources",
        "soft",
        "[limits]\nsas = 2\n",
        &[
            ("switched-off", "aes256gcm16", "offload = \"off\""),
            ("first", "aes256gcm16", ""),
            ("second", "aes256gcm16", ""),
        ],
    ),
];

/// The other side of tunnel `n`, and whom we send to there.
fn far(n: usize, transport: bool) -> [String; 2] {
    match transport {
        true => ["203.0.113.1/32".into(), "203.0.113.1".into()],
        false => [format!("10.{}.0.0/24", 20 + n), format!("10.{}.0.7", 20 + n)],
    }
}

fn table(n: usize, (name, suite, more): Tunnel) -> String {
    let length = suite.parse::<esp::Suite>().expect("a suite").key_len();
    let key = |digit: usize| format!("{:x}", (digit % 16)).repeat(2 * length);
    let (transport, routed) = (more.contains("transport"), more.contains("routes"));
    let [net, _] = far(n, transport);
    let (local, inside, remote) = match transport {
        true => ("10.1.0.5", "10.1.0.5/32", "203.0.113.1"),
        false => ("203.0.113.2", "10.1.0.0/24", "203.0.113.9"),
    };
    let zone = if routed { "" } else { "zone = \"vpn\"" };
    let mut text = format!(
        r#"
[[ipsec]]
name = "{name}"
local = "{local}"
remote = "{remote}"
selectors = [{{ local = "{inside}", remote = "{net}" }}]
{zone}
out = {{ spi = {}, algorithm = "{suite}", key = "{}" }}
in = {{ spi = {}, algorithm = "{suite}", key = "{}" }}
{more}
"#,
        0x1000 + n,
        key(2 * n + 1),
        0x2000 + n,
        key(2 * n + 2),
    );
    if routed {
        text += &format!(
            "[[interface]]\nname = \"{name}\"\ntunnel = \"{name}\"\nzone = \"vpn\"\n\
             [[route]]\nto = \"{net}\"\ninterface = \"{name}\"\n"
        );
    }
    text
}

fn config((_, profile, more, tunnels): &Case) -> String {
    let tunnels: String = tunnels.iter().enumerate().map(|(n, t)| table(n, *t)).collect();
    format!(
        r#"
[engine]
profile = "{profile}"
[offload]
after-packets = 1
one-way-packets = 1
{more}
[[policy]]
id = 1
from = "inside"
to = "vpn"
action = "allow"
{tunnels}
"#
    )
}

/// Three packets into each tunnel: whatever stands against its SAs, they come out as ESP.
fn exercise(rig: &mut Rig, tunnels: &[Tunnel]) {
    for (n, (name, _, more)) in tunnels.iter().enumerate() {
        let [_, to] = far(n, more.contains("transport"));
        let ip = |text: &str| text.parse().expect("an address");
        let (src, dst) = (ip("10.1.0.5"), ip(&to));
        let tuple = Tuple { src, dst, src_port: 4000, dst_port: 53, proto: proto::UDP };
        for _ in 0..3 {
            rig.send("lan0", &rig.packet("lan0", tuple).payload(b"x"));
            let sent = rig.one("wan0");
            let expected = if more.contains("udp") { proto::UDP } else { proto::ESP };
            assert_eq!(sent[23], expected, "{name}: traffic never stops");
        }
    }
}

#[test]
fn every_limit_is_explained_live_and_traffic_goes_on() {
    for case in CASES {
        let (name, _, _, tunnels) = case;
        let mut rig = Rig::new(&format!("profile-{name}"), &config(case));
        exercise(&mut rig, tunnels);
        let request = Request::ExplainSas { pick: None, limit: None, cursor: None };
        let answer = rig.net.answered(rig.gateway, request);
        let text = response(&answer, &Style::default());
        assert!(text.lines().all(|line| line == line.trim_end()), "{name} has trailing blanks");
        insta::assert_snapshot!(format!("explain_sa_{name}"), text);
        // The plan for what runs says the same of the same SAs.
        let Response::ExplainedSas(explained) = answer else { panic!("{answer:?}") };
        let request = Request::PlanSas { profile: None, limit: None, cursor: None };
        let Response::Plan(plan) = rig.net.answered(rig.gateway, request) else { panic!() };
        let room = "sa-table-full";
        let (mut full, mut planned_full) = (0, 0);
        for (planned, explained) in plan.sas.iter().zip(&explained.sas) {
            let sa = &explained.sa;
            assert_eq!((&planned.tunnel, &planned.spi), (&sa.tunnel, &sa.spi));
            let live: Vec<_> = sa.against.iter().map(|f| &f.reason.name).collect();
            let of_plan = planned.against.iter().map(|f| &f.reason.name);
            let of_plan: Vec<_> = of_plan.filter(|name| *name != room).collect();
            assert_eq!(of_plan, live, "{name} {} {}", sa.tunnel, sa.direction);
            // Which SAs find room depends on who came first, how many do does not.
            full += sa.refusal.iter().filter(|r| r.reason.name == room).count();
            planned_full += planned.against.iter().filter(|f| f.reason.name == room).count();
        }
        assert_eq!(planned_full, full, "{name}");
    }
}

#[test]
fn the_plan_of_what_runs_counts_sas_and_sessions() {
    let mut rig = Rig::new("profile-plan", &config(&CASES[3]));
    exercise(&mut rig, CASES[3].3);
    let profile = || Some("secure-firewall-3100".to_owned());
    let request = Request::PlanSas { profile: profile(), limit: Some(3), cursor: None };
    let Response::Plan(mut view) = rig.net.answered(rig.gateway, request) else { panic!() };
    let request = Request::PlanSas { profile: profile(), limit: Some(3), cursor: view.next };
    let Response::Plan(rest) = rig.net.answered(rig.gateway, request) else { panic!() };
    let request =
        Request::PlanSessions { profile: profile(), filter: None, limit: None, cursor: None };
    let Response::Plan(sessions) = rig.net.answered(rig.gateway, request) else { panic!() };
    assert_eq!((view.sas.len(), rest.sas.len(), rest.next), (3, 1, None));
    for page in [rest, sessions] {
        view.totals.add(&page.totals);
        view.sas.extend(page.sas);
        view.sessions.extend(page.sessions);
    }
    view.next = None;
    insta::assert_snapshot!("plan_running", response(&Response::Plan(view), &Style::default()));

    let unknown = Request::PlanSas { profile: Some("np5".into()), limit: None, cursor: None };
    let error = rig.net.ask(rig.gateway, unknown).expect_err("no such profile");
    assert!(error.to_string().contains("secure-firewall-3100"), "{error}");
}
