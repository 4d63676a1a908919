//! `lockgate demo`: an office, a gateway and the internet, in one process and in simulated time.
//!
//! No root and no network: hosts with a TCP/IP stack of their own talk through a real gateway, the
//! same code that `lockgate run` runs, and the answers shown are those of its control API. Everything
//! that crosses a link is captured, and the gateway's inputs are recorded for `lockgate replay`.
//!
//! The demonstration checks itself: what it says must hold, or it fails.

use core::{net::SocketAddr, time::Duration};
use std::path::PathBuf;

use api::{Document, ExitCode, OffloadWord, Request, Response, SessionPick, TraceAction};
use testkit::{
    apps::{DatagramClient, Ping, StreamClient, Work},
    office::{self, Office, ip},
    recording,
    sim::AppId,
};

use crate::{
    app::Terminal,
    render::{self, Tone},
    replay,
};

/// What `lockgate demo` was asked for.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where the capture and the recording go.
    pub output: PathBuf,
}

const PICTURE: &str = r"
   anna   10.1.0.5 ─┐
   ben    10.1.0.6 ─┤         ┌─────────┐                    ┌─ internet  203.0.113.1, 198.51.100.7
   guest  VLAN 20  ─┼── LAN ──┤ gateway ├── 203.0.113.0/28 ──┤
   web    VLAN 30  ─┘         └─────────┘                    └─ world     203.0.113.9
                       10.1.0.1         203.0.113.2, and 203.0.113.10 for web

   Every host has IPv6 too. Staff and guests are hidden behind 203.0.113.2.
";

/// The gateway looks every simulated second whether the engine works for its sessions.
const WATCH: &str = "\n[offload]\naudit-interval = \"1s\"\n";

/// Put before the other policies in the middle of the demonstration.
const NEW_POLICY: &str = r#"
[[policy]]
id = 9
name = "staff-no-smtp"
from = "inside"
to = "outside"
service = "tcp/25"
action = "deny"
"#;

/// Anna's long conversation is found by its source port.
const CHAT: u16 = 50_000;

/// Anna's backup, whose policy keeps it off the engine.
const BACKUP: u16 = 50_873;

/// Bytes of the large downloads.
const BULK: u64 = 600_000;

/// Runs the demonstration.
pub fn run(options: &DemoOptions, terminal: &mut Terminal<'_>) -> ExitCode {
    let config = format!("{}{WATCH}", office::CONFIG);
    let mut demo = Demo {
        office: Office::unsaved(&config, 2),
        terminal,
        config,
        missed: Vec::new(),
        checks: 0,
    };
    demo.introduction();
    let chat = demo.first_packet();
    let bulk = demo.traffic(chat);
    demo.policy_change();
    demo.never_offloaded();
    demo.denied();
    demo.all_arrived(&[chat]);
    demo.all_arrived(&bulk);
    demo.files(options)
}

struct Demo<'a, 'b> {
    office: Office,
    terminal: &'a mut Terminal<'b>,
    config: String,
    /// Expectations that did not hold.
    missed: Vec<String>,
    checks: u32,
}

impl Demo<'_, '_> {
    fn introduction(&mut self) {
        self.head("A branch office");
        self.say(PICTURE.trim_start_matches('\n'));
    }

    /// Anna opens a connection; its first packet is traced.
    fn first_packet(&mut self) -> AppId {
        self.head("1  The first packet of a connection, phase by phase");
        self.say(
            "Anna connects to 198.51.100.7, port 8080. The gateway has never seen this flow.\n\n",
        );
        let filter = format!("src port {CHAT}");
        let gateway = self.office.gateway;
        let trace = self.office.net.trace_start(gateway, &filter, 1);
        let server = self.office.server(false, office::STREAMS);
        let client = StreamClient::new(server, CHAT, Work::Echo(160_000));
        let chat =
            self.office.net.start(self.office.anna, client.paced(1_000, Duration::from_millis(50)));
        self.office.net.run_for(Duration::from_millis(40));
        let packets = self.office.net.trace_stop(gateway, trace);
        self.expect(packets.len() == 1, "the first packet is traced");
        for packet in packets {
            self.expect(packet.action == TraceAction::Forwarded, "the first packet is forwarded");
            self.expect(packet.first_missing_phase.is_none(), "it misses no phase");
            self.show(&format!("trace {filter} --count 1"), Response::Trace(Box::new(packet)));
        }
        chat
    }

    /// Everybody works; the conversation is promoted.
    fn traffic(&mut self, chat: AppId) -> Vec<AppId> {
        self.head("2  Promotion");
        self.say(
            "Everybody works now: downloads, a web server behind a VIP, name look-ups, IPv4 and IPv6.\n\
             What is established is compiled and served by the engine from then on.\n\n",
        );
        let office = &mut self.office;
        let (v4, v6) =
            (office.server(false, office::STREAMS), office.server(true, office::STREAMS));
        let vip = SocketAddr::new(ip("203.0.113.10"), office::WEB);
        let mut apps = vec![
            office.net.start(office.ben, StreamClient::new(v4, 51_000, Work::Download(BULK))),
            office.net.start(office.guest, StreamClient::new(v6, 51_001, Work::Download(BULK))),
            office.net.start(office.ben, StreamClient::new(v6, 51_002, Work::Upload(BULK / 2))),
            office
                .net
                .start(office.world, StreamClient::new(vip, 51_003, Work::Download(BULK / 2))),
        ];
        for (host, port, family) in [(office.anna, 40_000, false), (office.guest, 40_001, true)] {
            let server = office.server(family, office::DATAGRAMS);
            let client = DatagramClient::new(server, port, 60, Duration::from_millis(20));
            apps.push(office.net.start(host, client));
        }
        office.net.run_for(Duration::from_millis(3_200));
        let received = office.net.report(chat).received_bytes;
        self.expect(received > 0, "the conversation goes on");
        self.explain_chat();
        self.say("\nWho served how many packets:\n\n");
        let counters = self.office.net.counters(self.office.gateway);
        let packets = |tier: &str| {
            counters
                .ladder
                .iter()
                .filter(|step| step.tier == tier)
                .map(|s| s.traffic.packets)
                .sum::<u64>()
        };
        let (fast, slow) = (packets("fast"), packets("slow-established") + packets("slow-setup"));
        self.expect(fast > 10 * slow, "the engine serves ten times what the slow path does");
        self.show("show counters", Response::Counters(counters));
        apps
    }

    fn explain_chat(&mut self) {
        let filter = format!("src port {CHAT}");
        let explained = self.office.net.explain(self.office.gateway, &filter);
        let session = &explained.session;
        self.expect(session.offload == OffloadWord::Full, "both directions are on the engine");
        let hitting = session.placements.iter().all(|p| p.hitting.holds);
        self.expect(hitting, "the engine's own counters rise");
        self.show(&format!("explain session {filter}"), Response::Explained(Box::new(explained)));
    }

    /// A policy is added; sessions are asked again.
    fn policy_change(&mut self) {
        self.head("3  A change of policy under running sessions");
        self.say(
            "A policy is put before the others. Every session leaves the engine, is asked again, and\n\
             comes back with its next packet; no connection is lost.\n\n",
        );
        let (before, after) =
            self.config.split_once("[[policy]]").expect("invariant: the office has policies");
        let config = format!("{before}{NEW_POLICY}\n[[policy]]{after}");
        let gateway = self.office.gateway;
        let applied = self.office.net.apply(gateway, &config);
        self.expect(applied.is_ok(), "the new configuration is accepted");
        self.office.net.run_for(Duration::from_micros(200));
        let reasons = self.office.net.offload_reasons(gateway);
        let demoted =
            reasons.demotions.iter().any(|d| d.reason.name == "policy-changed" && d.count > 0);
        self.expect(demoted, "sessions are demoted with policy-changed");
        self.show("show offload reasons", Response::OffloadReasons(reasons));
        self.office.net.run_for(Duration::from_millis(1_200));
        self.say("\nA second later:\n\n");
        self.explain_chat();
    }

    /// What can never be served by the engine, and why.
    fn never_offloaded(&mut self) {
        self.head("4  What the engine never gets, and why");
        self.say(
            "The policy of Anna's backup says `offload = \"off\"`, and Ben pings the gateway itself.\n\n",
        );
        let office = &mut self.office;
        let server = office.server(false, office::BACKUP);
        let work = StreamClient::new(server, BACKUP, Work::Echo(60_000));
        office.net.start(office.anna, work.paced(1_000, Duration::from_millis(50)));
        let ping = Ping::new(ip("10.1.0.1"), 7, 5, Duration::from_millis(50));
        let ping = office.net.start(office.ben, ping);
        office.net.run_for(Duration::from_millis(600));
        let answered = office.net.report(ping).received;
        self.expect(answered == 5, "the gateway answers pings");
        let filter = format!("src port {BACKUP}");
        let gateway = self.office.gateway;
        let pick = SessionPick { id: None, filter: Some(filter.clone()) };
        let response = self.office.net.answered(gateway, Request::ExplainSession(pick));
        if let Response::Explained(view) = &response {
            let why: Vec<_> = view.session.offload_reasons.clone();
            self.expect(why == ["disabled-by-policy"], "the backup's one reason is its policy");
        }
        self.show(&format!("explain session {filter}"), response);
        let reasons = self.office.net.offload_reasons(gateway);
        let local = reasons.standing.iter().any(|row| row.reason.name == "local-destination");
        self.expect(local, "the pings' reason is counted");
        self.say("\n");
        self.show("show offload reasons", Response::OffloadReasons(reasons));
    }

    /// A connection that no policy lets pass.
    fn denied(&mut self) {
        self.head("5  A packet that does not get through");
        self.say("Ben tries telnet. The trace names the rule, its line, and the first phase never reached.\n\n");
        let filter = "dst port 23";
        let gateway = self.office.gateway;
        let trace = self.office.net.trace_start(gateway, filter, 1);
        let server = self.office.server(false, 23);
        self.office.net.start(self.office.ben, StreamClient::new(server, 52_000, Work::Echo(1)));
        self.office.net.run_for(Duration::from_millis(40));
        let packets = self.office.net.trace_stop(gateway, trace);
        self.expect(packets.len() == 1, "the denied packet is traced");
        for packet in packets {
            let reason = packet.reason.as_ref().map(|reason| reason.name.to_string());
            self.expect(reason.as_deref() == Some("policy-deny"), "a policy denies it");
            let missing = packet.first_missing_phase.as_ref().map(|missing| missing.stage.name());
            self.expect(missing == Some("snat"), "the first missing phase is snat");
            self.show(&format!("trace {filter} --count 1"), Response::Trace(Box::new(packet)));
        }
    }

    /// Every byte of every application must have arrived.
    fn all_arrived(&mut self, apps: &[AppId]) {
        let limit = Duration::from_secs(60);
        self.office.net.run_until(limit, |net| apps.iter().all(|app| net.report(*app).done));
        for app in apps {
            let report = self.office.net.report(*app).clone();
            let whole = report.succeeded() && report.duplicates == 0 && report.reordered == 0;
            self.expect(whole && report.received == report.sent, "every byte arrives, in order");
        }
    }

    /// Writes capture and recording, replays the recording, says what to do next.
    fn files(mut self, options: &DemoOptions) -> ExitCode {
        self.head("6  Again, bit for bit");
        let recording =
            self.office.net.gateway(self.office.gateway).recording().unwrap_or_default();
        let capture = options.output.join("demo.pcapng");
        let file = options.output.join("demo.lockrec");
        let saved = std::fs::create_dir_all(&options.output)
            .and_then(|()| self.office.net.save_capture(&capture))
            .and_then(|()| std::fs::write(&file, &recording));
        if let Err(error) = saved {
            let place = options.output.display();
            self.terminal.talk(&format!("error: cannot write to {place}: {error}\n"));
            return ExitCode::Failed;
        }
        match recording::replay(&recording) {
            Ok(replayed) => {
                self.say(&replay::text(&replayed));
                self.expect(replayed.difference.is_none(), "the recording replays bit for bit");
            }
            Err(error) => self.expect(false, &format!("the recording can be read: {error}")),
        }
        self.say(&format!(
            "\nwritten: {}   every packet at both ends of every link\n         {}   what the gateway was given and sent\n\
             \nnext:    lockgate replay {}\n         tshark -r {}\n         lockgate run --config examples/branch-office.toml\n",
            capture.display(),
            file.display(),
            file.display(),
            capture.display(),
        ));
        self.verdict()
    }

    fn verdict(&mut self) -> ExitCode {
        if self.missed.is_empty() {
            let text = format!("\nall {} expectations of this demonstration hold\n", self.checks);
            let text = self.terminal.style.paint(Tone::Good, text);
            self.say(&text);
            return ExitCode::Ok;
        }
        for missed in std::mem::take(&mut self.missed) {
            self.terminal.talk(&format!("error: expected, and it does not hold: {missed}\n"));
        }
        ExitCode::Failed
    }

    fn head(&mut self, text: &str) {
        let text = self.terminal.style.paint(Tone::Head, text);
        self.say(&format!("\n{text}\n\n"));
    }

    /// Text between the documents; left out where documents are asked for.
    fn say(&mut self, text: &str) {
        if !self.terminal.json {
            self.terminal.print(text);
        }
    }

    /// An answer of the gateway as the command line shows it.
    fn show(&mut self, command: &str, response: Response) {
        if self.terminal.json {
            let document = serde_json::to_string(&Document::from(response)).unwrap_or_default();
            self.terminal.print(&format!("{document}\n"));
            return;
        }
        let prompt = self.terminal.style.paint(Tone::Dim, format!("$ lockgate {command}"));
        let text = render::response(&response, &self.terminal.style);
        self.terminal.print(&format!("{prompt}\n{text}"));
    }

    fn expect(&mut self, holds: bool, what: &str) {
        self.checks += 1;
        if !holds {
            self.missed.push(what.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Style;

    fn demonstrated(json: bool, name: &str) -> (ExitCode, String, PathBuf) {
        let output = std::env::temp_dir().join(format!("lockgate-{name}-{}", std::process::id()));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let style = Style::default();
        let mut terminal = Terminal { out: &mut out, err: &mut err, style, err_style: style, json };
        let code = run(&DemoOptions { output: output.clone() }, &mut terminal);
        assert_eq!(String::from_utf8_lossy(&err), "");
        (code, String::from_utf8(out).expect("text"), output)
    }

    #[test]
    fn the_demonstration_holds_and_its_recording_replays() {
        let (code, text, output) = demonstrated(false, "demo");
        assert_eq!(code, ExitCode::Ok, "{text}");
        for word in ["slow-setup", "hitting", "policy-changed", "disabled-by-policy", "policy-deny"]
        {
            assert!(text.contains(word), "{word} is shown");
        }
        assert!(!text.contains('\u{1b}'), "no colours where none are wanted");
        let recording = output.join("demo.lockrec");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let style = Style::default();
        let mut terminal =
            Terminal { out: &mut out, err: &mut err, style, err_style: style, json: false };
        assert_eq!(replay::run(&recording, &mut terminal), ExitCode::Ok);

        let mut bytes = std::fs::read(&recording).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        let damaged = output.join("damaged.lockrec");
        std::fs::write(&damaged, bytes).expect("it can be written");
        assert_eq!(replay::run(&damaged, &mut terminal), ExitCode::Failed);
        std::fs::remove_dir_all(output).expect("it can be removed");
    }

    #[test]
    fn documents_are_all_that_is_printed_where_documents_are_wanted() {
        let (code, text, output) = demonstrated(true, "demo-json");
        assert_eq!(code, ExitCode::Ok);
        assert!(text.lines().count() >= 6);
        for line in text.lines() {
            assert!(serde_json::from_str::<Document>(line).is_ok(), "{line}");
        }
        std::fs::remove_dir_all(output).expect("it can be removed");
    }
}
