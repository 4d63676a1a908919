//! Commands from words to exit code, against a gateway in this process behind a real socket.

use std::{
    fs,
    os::fd::RawFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use api::{ApiError, Backend, ExitCode, Request, Response};
use clap::Parser;
use daemon::{Control, Forwarder, OpenError, Runner};
use tokio::net::UnixListener;
use wire::Time;

use crate::{
    app::{self, Terminal},
    cli::{Cli, Command},
    offline, plan,
    render::Style,
};

/// Neighbours the fake gateway has: more than one page.
const NEIGHBOURS: u64 = 700;

/// A gateway that answers from nothing.
struct Fake {
    traced: u64,
}

impl Backend for Fake {
    fn handle(&mut self, request: Request) -> Result<Response, ApiError> {
        match request {
            Request::ShowSystem => {
                let hostname = "fake".to_owned();
                Ok(Response::System(api::SystemView { hostname, ..Default::default() }))
            }
            Request::ShowNeighbours { limit, cursor } => Ok(neighbours(limit, cursor)),
            Request::ShowSessions { filter: Some(filter), .. } => Err(ApiError::BadFilter {
                message: "no such word".into(),
                filter,
                column: 1,
                expected: "`proto`".into(),
            }),
            Request::ShowSessions { .. } => Ok(Response::Sessions(api::SessionsView::default())),
            Request::ExplainSession(pick) => {
                Err(ApiError::not_found(format!("no session {}", pick.id.unwrap_or(0))))
            }
            Request::TraceStart { .. } => {
                Ok(Response::TraceStarted(api::TraceStartedView { trace: 7, marked_flows: 0 }))
            }
            Request::TracePoll { trace: 7 } => {
                self.traced += 1;
                let done = self.traced == 2;
                let view = api::TracePolledView { trace: 7, lost: 3, done, ..Default::default() };
                Ok(Response::TracePolled(view))
            }
            Request::ShowIke { peer: Some(_), messages: true } => {
                self.traced += 1;
                // one more each time, and the first is not kept for ever
                let messages = (self.traced..=self.traced + 1).map(said).collect();
                let peer =
                    api::IkePeerView { name: "paris".into(), messages, ..Default::default() };
                Ok(Response::Ike(api::IkeView { peers: vec![peer], ..Default::default() }))
            }
            Request::CaptureStart(spec) => {
                assert_eq!(spec.spi.as_deref(), Some("0x1001"));
                Ok(Response::CaptureStarted(api::CaptureStartedView {
                    capture: 9,
                    silence_ms: 5_000,
                }))
            }
            Request::CapturePoll { capture: 9 } => {
                self.traced += 1;
                Ok(Response::CapturePolled(captured(self.traced)))
            }
            Request::Events { since, .. } => {
                let (first, last) = (since.unwrap_or(0) + 1, 3);
                let event =
                    |seq| api::EventView { seq, event: "link".into(), ..Default::default() };
                let events = (first..=last).map(event).collect();
                Ok(Response::Events(api::EventsView { events, last, lost: 0, more: false }))
            }
            other => Err(ApiError::unsupported(format!("{other:?}"))),
        }
    }
}

/// A poll with two packets, then the last one with one more.
fn captured(poll: u64) -> api::CapturePolledView {
    let packet = |number, point, data: &[u8]| api::CapturedView {
        number,
        uptime_ns: number * 1_000,
        point,
        interface: "vpn".into(),
        tier: "fast".into(),
        spi: Some("0x00001001".into()),
        length: data.len() as u32 + 100,
        data: data.to_vec(),
        ..Default::default()
    };
    let packets = match poll {
        1 => vec![
            packet(1, api::CapturePoint::Encap, &[0x45, 1, 2]),
            packet(2, api::CapturePoint::Tx, &[2; 14]),
        ],
        _ => vec![packet(4, api::CapturePoint::Encap, &[0x45, 3])],
    };
    let (done, matched) = (poll == 2, 4);
    api::CapturePolledView { capture: 9, packets, matched, lost: 1, more: !done, done }
}

fn neighbours(limit: Option<u32>, cursor: Option<u64>) -> Response {
    let from = cursor.unwrap_or(0);
    let to = NEIGHBOURS.min(from + u64::from(limit.unwrap_or(api::PAGE).min(api::PAGE)));
    let row = |n: u64| api::NeighbourView {
        interface: "lan".into(),
        address: std::net::Ipv4Addr::from(0x0a00_0000 + n as u32).into(),
        mac: None,
        state: "reachable".into(),
        confirmed_ms: None,
        held: 0,
        flows: 0,
        line: 0,
    };
    Response::Neighbours(api::NeighboursView {
        neighbours: (from..to).map(row).collect(),
        total: NEIGHBOURS,
        capacity: 1000,
        next: (to < NEIGHBOURS).then_some(to),
    })
}

impl Runner for Fake {
    fn step(&mut self, _: Time) -> usize {
        0
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    fn poll_fds(&self) -> Vec<RawFd> {
        Vec::new()
    }

    fn apply(&mut self, _: Arc<config::Config>, _: Time) -> Result<(), OpenError> {
        Ok(())
    }

    fn export_keys(
        &mut self,
        request: &api::ExportKeys,
        _: &str,
    ) -> Result<api::KeyTable, ApiError> {
        assert_eq!(request.pick.as_deref(), Some("site"));
        let text =
            "# exported: site out 0x00001001 aes256gcm16\n# left out: site in: no such\nROW\n";
        Ok(api::KeyTable { text: text.to_owned().into(), exported: vec![], left_out: vec![] })
    }
}

/// What a command did.
struct Ran {
    out: String,
    err: String,
    code: ExitCode,
}

async fn run(socket: &Path, words: &[&str]) -> Ran {
    let cli = Cli::try_parse_from(["lockgate"].iter().chain(words)).expect("valid words");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal = Terminal {
        out: &mut out,
        err: &mut err,
        style: Style::default(),
        err_style: Style::default(),
        json: cli.global.json,
    };
    let code = match cli.command {
        Command::Check { file } => offline::check(&file, &mut terminal),
        Command::Plan(args) => plan::run(args, socket, &mut terminal).await,
        command => app::execute(command, socket, &mut terminal).await,
    };
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { out: text(out), err: text(err), code }
}

fn directory(name: &str) -> PathBuf {
    let directory =
        std::env::temp_dir().join(format!("lockgate-cli-{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("made");
    directory
}

/// Runs `test` against a gateway on a socket of its own.
async fn with_gateway(name: &str, test: impl AsyncFnOnce(&Path, &Path)) {
    let directory = directory(name);
    let (socket, file) = (directory.join("ctl.sock"), directory.join("lockgate.toml"));
    fs::write(&file, "hostname = \"first\"\n").expect("written");
    let config = config::parse("first", "hostname = \"first\"\n").expect("valid").config;
    let forwarder =
        Forwarder::start(Box::new(Fake { traced: 0 }), Instant::now()).expect("started");
    let control = Control::new(file.clone(), Arc::new(config), forwarder.handle());
    let listener = UnixListener::bind(&socket).expect("bound");
    let server = tokio::spawn(daemon::serve(listener, control, std::future::pending()));
    test(&socket, &file).await;
    server.abort();
    forwarder.stop();
    fs::remove_dir_all(directory).expect("removed");
}

#[tokio::test]
async fn an_answer_is_text_or_the_document_itself() {
    with_gateway("answer", async |socket, _| {
        let text = run(socket, &["show", "system"]).await;
        assert_eq!(text.code, ExitCode::Ok);
        assert!(text.out.starts_with("fake  lockgate") && text.err.is_empty(), "{}", text.out);
        let json = run(socket, &["show", "system", "--json"]).await;
        assert!(json.out.starts_with(r#"{"schema":1,"kind":"system","hostname":"fake""#));
        assert_eq!(json.out.lines().count(), 1);
    })
    .await;
}

#[tokio::test]
async fn long_lists_come_in_pages_up_to_the_limit() {
    with_gateway("pages", async |socket, _| {
        let rows = |out: &str| out.lines().filter(|l| l.starts_with("lan")).count() as u64;
        assert_eq!(rows(&run(socket, &["show", "neighbours"]).await.out), NEIGHBOURS);
        assert_eq!(rows(&run(socket, &["show", "neighbours", "--limit", "600"]).await.out), 600);
        let json = run(socket, &["show", "neighbours", "--json"]).await.out;
        assert_eq!(json.lines().count(), 2, "one document a page");
    })
    .await;
}

#[tokio::test]
async fn what_goes_wrong_has_its_exit_code_and_names_the_next_command() {
    with_gateway("wrong", async |socket, file| {
        let filter = run(socket, &["show", "sessions", "prot", "6"]).await;
        assert_eq!(filter.code, ExitCode::Usage);
        assert!(filter.err.contains("  prot 6\n  ^ expected `proto`\nnext: "), "{}", filter.err);
        let missing = run(socket, &["explain", "session", "42"]).await;
        assert_eq!(missing.code, ExitCode::NotFound);
        assert!(missing.err.contains("no session 42") && missing.err.contains("next: "));
        assert_eq!(run(socket, &["show", "ports"]).await.code, ExitCode::Failed);
        let usage = run(socket, &["policy", "lookup", "tcp", "10.0.0.1"]).await;
        assert_eq!(usage.code, ExitCode::Usage);
        let nothing = run(socket, &["confirm"]).await;
        assert_eq!(nothing.code, ExitCode::NotFound);

        fs::write(file, "[policy\n").expect("written");
        for command in [&["check"][..], &["apply"], &["diff"]] {
            let path = file.display().to_string();
            let words: Vec<&str> = command.iter().copied().chain([path.as_str()]).collect();
            let refused = run(socket, &words).await;
            assert_eq!(refused.code, ExitCode::ConfigRefused, "{words:?}");
            assert!(refused.err.contains(":1:"), "{}", refused.err);
            assert!(refused.out.is_empty());
        }
        assert_eq!(run(socket, &["reload"]).await.code, ExitCode::ConfigRefused);
        let json = run(socket, &["check", "--json", &file.display().to_string()]).await;
        assert!(json.out.starts_with(r#"{"schema":1,"error":"config-refused""#), "{}", json.out);
        assert_eq!(
            run(socket, &["check", "/nowhere/lockgate.toml"]).await.code,
            ExitCode::NotFound
        );
    })
    .await;
}

#[tokio::test]
async fn configuration_is_applied_and_taken_back() {
    with_gateway("config", async |socket, file| {
        fs::write(file, "hostname = \"second\"\n").expect("written");
        let path = file.display().to_string();
        let diff = run(socket, &["diff", &path]).await;
        assert!(diff.out.contains("hostname"), "{}", diff.out);
        let applied = run(socket, &["apply", &path, "--confirm", "600"]).await;
        assert_eq!(applied.code, ExitCode::Ok, "{}", applied.err);
        assert!(applied.out.contains("reverts in 600s unless you run `lockgate confirm`"));
        let busy = run(socket, &["reload"]).await;
        assert_eq!(busy.code, ExitCode::Failed);
        assert!(busy.err.contains("lockgate revert"), "{}", busy.err);
        assert!(run(socket, &["confirm"]).await.out.contains("confirmed; generation 2 runs"));
        assert!(run(socket, &["revert"]).await.out.contains("reverted; generation 3 runs"));
    })
    .await;
}

#[tokio::test]
async fn a_live_trace_is_polled_until_it_is_done() {
    with_gateway("trace", async |socket, _| {
        let trace = run(socket, &["trace", "--count", "3", "port", "443"]).await;
        assert_eq!(trace.code, ExitCode::Ok, "{}", trace.err);
        assert!(trace.err.starts_with("tracing the next 3 packets"), "{}", trace.err);
        assert!(trace.out.contains("3 of 0 matching packets were not seen"), "{}", trace.out);
    })
    .await;
}

fn said(number: u64) -> api::IkeMessageView {
    api::IkeMessageView {
        number,
        ago_ms: 1_000,
        ike: Some(3),
        path: "192.0.2.1:500 -> 198.51.100.7:500".into(),
        way: "sent".into(),
        message: format!("IKE_AUTH request {number}"),
        payloads: vec!["IDi gw.example".into(), "AUTH preshared key, 32 bytes".into()],
    }
}

#[tokio::test]
async fn messages_of_ike_are_followed_and_none_is_told_twice() {
    let words = ["trace", "--ike", "paris", "--count", "4"];
    with_gateway("trace-ike", async |socket, _| {
        let trace = run(socket, &words).await;
        assert_eq!(trace.code, ExitCode::Ok, "{}", trace.err);
        let expected: String = (1..=4)
            .map(|n| {
                format!(
                    "paris sent 1.0s ago: IKE_AUTH request {n}  IKE SA 3  192.0.2.1:500 -> \
                     198.51.100.7:500\n             IDi gw.example\n             AUTH preshared key, 32 \
                     bytes\n"
                )
            })
            .collect();
        assert_eq!(trace.out, expected);
    })
    .await;
    with_gateway("trace-ike-json", async |socket, _| {
        let trace = run(socket, &[&words[..], &["--json"]].concat()).await;
        assert_eq!(trace.out.lines().count(), 4);
        assert!(trace.out.contains(r#""kind":"ike-message""#), "{}", trace.out);
    })
    .await;
}

#[tokio::test]
async fn a_capture_is_lines_or_documents_or_a_file() {
    let words = ["capture", "--spi", "0x1001"];
    with_gateway("capture-lines", async |socket, _| {
        let lines = run(socket, &words).await;
        assert_eq!(lines.code, ExitCode::Ok, "{}", lines.err);
        assert_eq!(lines.out.lines().count(), 3, "{}", lines.out);
        assert!(lines.out.contains("encap vpn") && lines.out.contains("spi 0x00001001"));
        assert!(lines.err.starts_with("capture 9 has begun"), "{}", lines.err);
        assert!(
            lines
                .err
                .ends_with("3 packets captured, 1 lost because the gateway's buffer was full\n")
        );
    })
    .await;
    with_gateway("capture-json", async |socket, _| {
        let json = run(socket, &[&words[..], &["--json"]].concat()).await;
        assert_eq!(json.out.lines().count(), 2);
        assert!(json.out.contains(r#""data":"450102""#), "{}", json.out);
    })
    .await;
    with_gateway("capture-file", async |socket, file| {
        let path = file.with_file_name("sa.pcapng");
        let path = path.to_str().expect("text");
        let ran = run(socket, &[&words[..], &["-o", path]].concat()).await;
        assert!(
            ran.out.is_empty() && ran.err.contains("3 packets captured, 1 lost"),
            "{}",
            ran.err
        );
        let bytes = fs::read(path).expect("written");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o600);
        let text = String::from_utf8_lossy(&bytes);
        for word in ["vpn:encap", "vpn:tx", "point=tx tier=fast verdict=sent spi=0x00001001"] {
            assert!(text.contains(word), "{word}");
        }
        // a section, two interfaces, three packets
        assert_eq!(blocks(&bytes), [0x0a0d_0d0a, 1, 6, 1, 6, 6]);
    })
    .await;
}

#[tokio::test]
async fn keys_go_to_a_new_file_that_only_its_owner_reads() {
    with_gateway("keys", async |socket, file| {
        use std::os::unix::fs::PermissionsExt;
        let directory = file.with_file_name("wireshark");
        let path = directory.to_str().expect("text");
        let words = ["show", "sa", "--export-keys", "wireshark", "-o", path, "site"];
        let refused = run(socket, &words).await;
        assert_eq!(refused.code, ExitCode::Failed);
        assert!(refused.err.contains("`export-keys = true`"), "{}", refused.err);
        assert!(!directory.exists(), "nothing is written where nothing is given");

        let allowed = file.with_file_name("allowed.toml");
        fs::write(&allowed, "hostname = \"first\"\n[debug]\nexport-keys = true\n")
            .expect("written");
        let applied = run(socket, &["apply", allowed.to_str().expect("text")]).await;
        assert_eq!(applied.code, ExitCode::Ok, "{}", applied.err);
        if own_uid() != 0 {
            let refused = run(socket, &words).await;
            assert!(refused.err.contains("only root may have keys"), "{}", refused.err);
            return;
        }
        let ran = run(socket, &words).await;
        assert_eq!(ran.code, ExitCode::Ok, "{}", ran.err);
        assert!(
            ran.out.contains("  site out 0x00001001 aes256gcm16\nleft out: site in: no such\n")
        );
        assert!(!ran.out.contains("ROW") && ran.err.is_empty(), "{}", ran.out);
        let table = directory.join("esp_sa");
        assert!(fs::read_to_string(&table).expect("there").ends_with("\nROW\n"));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&table), mode(&directory)), (0o600, 0o700));
        let again = run(socket, &words).await;
        assert_eq!(again.code, ExitCode::Failed);
        assert!(again.err.contains("remove it first"), "{}", again.err);
        fs::remove_file(&table).expect("removed");
        let json = run(socket, &[&words[..], &["--json"]].concat()).await;
        assert!(
            json.out.contains(r#""kind":"keys-exported","left_out":["site in: no such"]"#),
            "{}",
            json.out
        );
    })
    .await;
}

/// The user this test runs as.
fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").expect("there").uid()
}

/// Types of the blocks of a pcapng file, written on this machine.
fn blocks(mut bytes: &[u8]) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_ne_bytes(*bytes.first_chunk().expect("four bytes"));
    let mut types = Vec::new();
    while !bytes.is_empty() {
        types.push(number(bytes));
        bytes = &bytes[number(&bytes[4..]) as usize..];
    }
    types
}

#[tokio::test]
async fn events_are_pages_or_a_stream_of_lines() {
    with_gateway("events", async |socket, _| {
        let page = run(socket, &["events", "--since", "1"]).await;
        assert_eq!(page.out.lines().count(), 2, "{}", page.out);
        let mut client = crate::client::Client::connect(socket).await.expect("connected");
        let mut seen = Vec::new();
        let each = |line: &str| {
            let event: api::EventView = serde_json::from_str(line).expect("an event");
            assert!(event.unix_ms.is_some(), "the daemon fills the wall clock in");
            seen.push(event.seq);
            seen.len() < 3
        };
        client.follow_events(None, each).await.expect("followed");
        assert_eq!(seen, [1, 2, 3]);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_said_not_to_be() {
    let directory = directory("nobody");
    let socket = directory.join("ctl.sock");
    let ran = run(&socket, &["show", "ports"]).await;
    assert_eq!(ran.code, ExitCode::Unreachable);
    assert!(ran.err.contains("no gateway answers on") && ran.err.contains("`lockgate run`"));
    drop(UnixListener::bind(&socket).expect("bound"));
    assert_eq!(
        run(&socket, &["show", "ports"]).await.code,
        ExitCode::Unreachable,
        "a stale socket"
    );
    fs::remove_dir_all(directory).expect("removed");
}

#[tokio::test]
async fn a_plan_needs_no_gateway_for_a_file() {
    let directory = directory("plan");
    let (socket, file) = (directory.join("ctl.sock"), directory.join("lockgate.toml"));
    let example = include_str!("../../../examples/two-sites-ipsec.toml");
    fs::write(&file, example).expect("written");
    let path = file.display().to_string();
    let soft = run(&socket, &["plan", "--config", &path]).await;
    assert_eq!(soft.code, ExitCode::Ok, "{}", soft.err);
    assert!(soft.out.ends_with("2 of 2 SAs would be offloaded\n"), "{}", soft.out);
    let words = ["plan", "--config", &path, "--profile", "secure-firewall-3100"];
    let cisco = run(&socket, &words).await;
    assert!(cisco.out.contains("replay-window-size (replay-window=1024 supported=0,64)"));
    assert!(cisco.out.contains("0 of 2 SAs would be offloaded; "), "{}", cisco.out);
    let json = run(&socket, &[&words[..], &["--json"]].concat()).await.out;
    assert!(json.starts_with(r#"{"schema":1,"kind":"plan","profile":"secure-firewall-3100""#));

    let unknown = run(&socket, &["plan", "--config", &path, "--profile", "np5"]).await;
    assert_eq!(unknown.code, ExitCode::Usage);
    assert!(unknown.err.contains("bluefield-2, or `list`"), "{}", unknown.err);
    assert_eq!(run(&socket, &["plan"]).await.code, ExitCode::Unreachable);
    fs::write(&file, "[engine]\nprofile = \"np5\"\n").expect("written");
    let refused = run(&socket, &["plan", "--config", &path]).await;
    assert_eq!(refused.code, ExitCode::ConfigRefused);
    assert!(refused.err.contains("did you mean \"np6\"?"), "{}", refused.err);
    fs::remove_dir_all(directory).expect("removed");
}

#[tokio::test]
async fn the_profiles_are_a_table() {
    let list = run(Path::new("nowhere"), &["plan", "--profile", "list"]).await;
    assert_eq!(list.code, ExitCode::Ok);
    insta::assert_snapshot!("profiles", list.out);
    assert_eq!(run(Path::new("nowhere"), &["plan", "--profiles"]).await.out, list.out);
}
