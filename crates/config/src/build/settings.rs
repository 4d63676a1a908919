//! `[control]`, `[debug]`, `[timeouts]`, `[engine]`, `[offload]`, `[limits]`, `[anomaly]`.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::OnceLock};

use core::time::Duration;

use offload::Profile;
use reason::{Class, PuntCause, Reason};
use toml::de::{DeTable, DeValue};

use crate::{
    keys::{self, Section},
    model::{
        Anomaly, Control, Debug, Engine, Limits, Offload, OffloadMode, Sensor, SensorAction,
        Timeouts, Weakening,
    },
    read::Tab,
    suggest::{listed, nearest},
    values::Bad,
};

/// The table of a section, or an empty one where it is not written.
fn section<'d, 'i>(top: &Tab<'d, 'i>, section: &'static Section) -> Tab<'d, 'i> {
    static EMPTY: OnceLock<DeTable<'static>> = OnceLock::new();
    top.table(section.path, section)
        .unwrap_or_else(|| Tab::new(top.doc, section, EMPTY.get_or_init(DeTable::new), 0..0))
}

pub(super) fn control(top: &Tab<'_, '_>) -> Control {
    let tab = section(top, &keys::CONTROL);
    let socket = tab.value("socket", |text| match text.starts_with('/') {
        true => Ok(PathBuf::from(text)),
        false => Err(Bad::new(
            format!("\"{text}\" is not an absolute path"),
            "a path that begins with `/`",
            "write \"/run/lockgate/ctl.sock\"",
        )),
    });
    let metrics = tab.value("metrics", |text| {
        text.parse::<SocketAddr>().map_err(|_| {
            let help = match text.parse::<u16>() {
                Ok(port) => format!("write \"127.0.0.1:{port}\""),
                Err(_) => "write an address and a port, such as \"127.0.0.1:9342\"".to_owned(),
            };
            Bad::new(format!("\"{text}\" is not `address:port`"), "`address:port`", help)
        })
    });
    let default = || PathBuf::from(keys::CONTROL.key("socket").map_or("", |key| key.default));
    Control {
        socket: socket.map_or_else(default, |at| at.value),
        metrics: metrics.map(|at| at.value),
    }
}

pub(super) fn debug(top: &Tab<'_, '_>) -> Debug {
    let tab = section(top, &keys::DEBUG);
    let export_keys = tab.flag("export-keys");
    if export_keys {
        tab.doc
            .warning("key-export", &tab.span_of("export-keys"), "root may export the keys of SAs")
            .found("export-keys = true")
            .expected("false, unless a fault is being looked for")
            .help("take the line out when you are done")
            .emit();
    }
    Debug { export_keys }
}

pub(super) fn timeouts(top: &Tab<'_, '_>) -> Timeouts {
    let tab = section(top, &keys::TIMEOUTS);
    let at_least = |name: &str, least: u64, rfc: &str| {
        let at = tab.duration(name);
        let least = Duration::from_secs(least);
        if at.value < least {
            let written = crate::values::show_duration(least);
            tab.doc
                .warning("short-timeout", &at.span, format!("`{name}` is shorter than {rfc} asks"))
                .found(tab.doc.snippet(&at.span))
                .expected(format!("at least {written}"))
                .help(format!("write `{name} = \"{written}\"` unless sessions must end sooner"))
                .emit();
        }
        at.value
    };
    let plain = |name: &str| tab.duration(name).value;
    Timeouts {
        tcp_syn_sent: plain("tcp-syn-sent"),
        tcp_syn_received: plain("tcp-syn-received"),
        tcp_established: at_least("tcp-established", 7440, "RFC 5382 §5 REQ-5"),
        tcp_fin_wait: at_least("tcp-fin-wait", 240, "RFC 5382 §5 REQ-5"),
        tcp_time_wait: plain("tcp-time-wait"),
        udp_one_way: plain("udp-one-way"),
        udp: at_least("udp", 120, "RFC 4787 §4.3 REQ-5"),
        icmp: at_least("icmp", 60, "RFC 5508 §3.2 REQ-2"),
        sctp: plain("sctp"),
        generic: plain("generic"),
        reassembly: plain("reassembly"),
        neighbour_reachable: plain("neighbour-reachable"),
        neighbour_stale: plain("neighbour-stale"),
    }
}

pub(super) fn engine(top: &Tab<'_, '_>) -> Engine {
    let name = section(top, &keys::ENGINE).word("profile");
    Profile::named(name).map_or_else(Engine::default, |profile| Engine { profile })
}

/// An offload switch.
pub(super) fn mode(tab: &Tab<'_, '_>, key: &str) -> OffloadMode {
    match tab.word(key) {
        "require" => OffloadMode::Require,
        "off" => OffloadMode::Off,
        _ => OffloadMode::Auto,
    }
}

pub(super) fn offload(top: &Tab<'_, '_>) -> Offload {
    let tab = section(top, &keys::OFFLOAD);
    let mut weaken = Vec::new();
    for text in tab.list("weaken") {
        if tab.pick("weaken", &text, &["tcp-window"]).is_some()
            && !weaken.contains(&Weakening::TcpWindow)
        {
            weaken.push(Weakening::TcpWindow);
        }
    }
    Offload {
        mode: mode(&tab, "mode"),
        after_packets: tab.int_or_default("after-packets") as u32,
        one_way_packets: tab.int_or_default("one-way-packets") as u32,
        egress_optimisation: tab.flag("egress-optimisation"),
        weaken,
        audit_interval: tab.duration("audit-interval").value,
    }
}

pub(super) fn limits(top: &Tab<'_, '_>) -> Limits {
    let tab = section(top, &keys::LIMITS);
    let int = |name: &str| tab.int_or_default(name) as u32;
    let sessions = int("sessions");
    let or = |name: &str, other: u32| tab.int(name).map_or(other, |at| at.value as u32);
    let flows = or("flows", sessions.saturating_mul(2));
    if flows < sessions {
        tab.doc
            .warning("flows-below-sessions", &tab.span_of("flows"), "fewer flows than sessions")
            .found(flows.to_string())
            .expected(format!("{}, two for each session", sessions.saturating_mul(2)))
            .help("leave `flows` out to have room for every session")
            .emit();
    }
    let half_open = or("half-open", (sessions / 4).max(16));
    if half_open > sessions {
        tab.doc
            .error(
                "out-of-range",
                &tab.span_of("half-open"),
                "more half-open sessions than sessions",
            )
            .found(half_open.to_string())
            .expected(format!("at most {sessions}"))
            .help(format!("write `half-open = {}`, or raise `sessions`", sessions / 4))
            .emit();
    }
    Limits {
        sessions,
        flows,
        sas: int("sas"),
        users: int("users"),
        half_open,
        neighbours: int("neighbours"),
        neighbour_queue: int("neighbour-queue") as u8,
        reassembly_memory: tab.size("reassembly-memory") as u32,
        fragments_per_packet: int("fragments-per-packet") as u16,
        frames: int("frames"),
        super_frames: int("super-frames"),
        punt_ring: int("punt-ring"),
        workers: int("workers"),
        busy_poll: int("busy-poll"),
        punt: punt(&tab),
        icmp_errors_per_second: int("icmp-errors-per-second"),
        events: int("events"),
    }
}

fn punt(tab: &Tab<'_, '_>) -> BTreeMap<String, u32> {
    let mut punt = BTreeMap::new();
    for (cause, val) in tab.entries("punt") {
        if reason::by_name(Class::Punt, cause.value).is_none() {
            let known = || PuntCause::ALL.iter().map(|cause| cause.name());
            let help = match nearest(cause.value, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "see `lockgate show reasons` for the punt causes".to_owned(),
            };
            tab.doc
                .error(
                    "unknown-name",
                    &cause.span,
                    format!("there is no punt cause `{}`", cause.value),
                )
                .found(tab.doc.snippet(&cause.span))
                .expected(format!("one of {}", listed(known())))
                .help(help)
                .emit();
            continue;
        }
        let rate = match val.value {
            DeValue::Integer(number) => {
                number.as_str().parse::<u32>().ok().filter(|_| number.radix() == 10)
            }
            _ => None,
        };
        match rate {
            Some(rate) => {
                punt.insert(cause.value.to_owned(), rate);
            }
            None => tab
                .doc
                .error(
                    "wrong-type",
                    &val.span,
                    format!("`{}` takes packets per second", cause.value),
                )
                .found(tab.doc.snippet(&val.span))
                .expected(format!("an integer from 0 to {}", u32::MAX))
                .help(format!("write `{} = 100000`, or leave it out for no limit", cause.value))
                .emit(),
        }
    }
    punt
}

pub(super) fn anomaly(top: &Tab<'_, '_>) -> Anomaly {
    let tab = section(top, &keys::ANOMALY);
    let sensor = |name: &str| {
        let inner = tab.table(name, &keys::SENSOR)?;
        if inner.get("per-second").is_none() {
            inner.missing("per-second");
        }
        let action = match inner.word("action") {
            "monitor" => SensorAction::Monitor,
            _ => SensorAction::Block,
        };
        Some(Sensor { per_second: inner.int("per-second")?.value as u32, action })
    };
    Anomaly { syn: sensor("syn"), udp: sensor("udp"), icmp: sensor("icmp"), scan: sensor("scan") }
}
