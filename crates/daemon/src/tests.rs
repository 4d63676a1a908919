//! The control plane against a gateway that only remembers what it was told.

use std::{
    fs,
    os::fd::RawFd,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use api::{ApiError, Backend, ConfigText, ExportKeys, KeyFormat, KeyTable, Request, Response};
use config::Config;
use wire::Time;

use crate::{Control, Forwarder, OpenError, Peer, Runner, StartError, instance::Instance};

/// What a fake gateway was told.
#[derive(Default)]
struct Told {
    configs: Vec<Arc<Config>>,
    exports: Vec<String>,
    refuse_next: bool,
}

struct Fake(Arc<Mutex<Told>>);

impl Backend for Fake {
    fn handle(&mut self, request: Request) -> Result<Response, ApiError> {
        match request {
            Request::ShowSystem => Ok(Response::System(api::SystemView::default())),
            other => Err(ApiError::not_found(format!("{other:?}"))),
        }
    }
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

    fn export_keys(&mut self, request: &ExportKeys, who: &str) -> Result<KeyTable, ApiError> {
        let told = format!("{who} {:?}", request.pick);
        self.0.lock().expect("no panic").exports.push(told);
        let text = zeroize::Zeroizing::new("# exported: a\nsecret row\n".to_owned());
        Ok(KeyTable { text, exported: vec!["a".into()], left_out: Vec::new() })
    }

    fn apply(&mut self, config: Arc<Config>, _: Time) -> Result<(), OpenError> {
        let mut told = self.0.lock().expect("no panic");
        if std::mem::take(&mut told.refuse_next) {
            return Err(OpenError::new(Some("wan".into()), "no such device"));
        }
        told.configs.push(config);
        Ok(())
    }
}

/// A gateway under test with its file.
struct Rig {
    control: Arc<Control>,
    forwarder: Forwarder,
    told: Arc<Mutex<Told>>,
    directory: PathBuf,
}

fn text(hostname: &str) -> String {
    format!("hostname = \"{hostname}\"\n")
}

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("lockgate-{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("made");
    directory
}

impl Rig {
    fn new(name: &str) -> Self {
        let directory = directory(name);
        let file = directory.join("lockgate.toml");
        fs::write(&file, text("first")).expect("written");
        let config = Arc::new(config::parse("first", &text("first")).expect("valid").config);
        let told = Arc::new(Mutex::new(Told::default()));
        let fake = Box::new(Fake(Arc::clone(&told)));
        let forwarder = Forwarder::start(fake, Instant::now()).expect("started");
        let control = Control::new(file, config, forwarder.handle());
        Self { control, forwarder, told, directory }
    }

    async fn ask(&self, request: Request) -> Result<Response, ApiError> {
        self.control.handle(request).await
    }

    async fn apply(&self, hostname: &str, confirm: Option<u32>) -> Result<Response, ApiError> {
        let request = Request::ConfigApply {
            source: "test".into(),
            text: text(hostname),
            confirm_seconds: confirm,
        };
        self.ask(request).await
    }

    async fn state(&self) -> api::ConfigStateView {
        match self.ask(Request::ShowSystem).await.expect("answered") {
            Response::System(view) => view.config,
            other => panic!("{other:?}"),
        }
    }

    /// Host names of the configurations the gateway was given.
    fn told(&self) -> Vec<String> {
        let told = self.told.lock().expect("no panic");
        told.configs.iter().map(|c| c.hostname.clone()).collect()
    }

    fn end(self) {
        self.forwarder.stop();
        fs::remove_dir_all(self.directory).expect("removed");
    }
}

fn outcome(response: Result<Response, ApiError>) -> String {
    match response.expect("applied") {
        Response::ConfigApplied(view) => view.outcome.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Keeps tokio's paused clock where it is while the forwarding thread, which it does not know,
/// works; dropped at the end of a test.
fn hold_the_clock() -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || receiver.recv());
    sender
}

#[tokio::test]
async fn requests_are_answered_and_completed_by_the_daemon() {
    let rig = Rig::new("answers");
    let Response::System(view) = rig.ask(Request::ShowSystem).await.expect("answered") else {
        panic!("another answer");
    };
    assert_eq!(view.config.generation, 1);
    assert!(view.resident_bytes.is_some() && view.busy.len() == 1);
    let error = rig.ask(Request::ShowPorts).await.expect_err("the fake has no ports");
    assert_eq!(error.exit_code(), api::ExitCode::NotFound);
    rig.end();
}

#[tokio::test]
async fn a_reload_that_fails_leaves_the_old_configuration_running() {
    let rig = Rig::new("reload");
    fs::write(rig.directory.join("lockgate.toml"), "hostname = \n").expect("written");
    let error = rig.ask(Request::ConfigReload).await.expect_err("broken");
    assert!(matches!(&error, ApiError::ConfigRefused { diagnostics } if diagnostics[0].line == 1));
    assert!(rig.told().is_empty(), "nothing reached the gateway");
    let state = rig.state().await;
    assert_eq!(state.generation, 1);
    assert!(state.last_failure.is_some());

    fs::write(rig.directory.join("lockgate.toml"), text("second")).expect("written");
    assert_eq!(outcome(rig.ask(Request::ConfigReload).await), "applied");
    assert_eq!(rig.told(), ["second"]);
    let state = rig.state().await;
    assert_eq!((state.generation, state.last_failure), (2, None));
    rig.end();
}

#[tokio::test]
async fn a_gateway_that_refuses_keeps_what_ran() {
    let rig = Rig::new("refuses");
    rig.told.lock().expect("no panic").refuse_next = true;
    let error = rig.apply("second", None).await.expect_err("refused");
    assert!(error.to_string().contains("port wan: no such device"), "{error}");
    assert_eq!(rig.state().await.generation, 1);
    assert_eq!(outcome(rig.apply("second", None).await), "applied");
    assert_eq!(outcome(rig.apply("second", None).await), "unchanged");
    assert_eq!(rig.told(), ["second"]);
    assert_eq!(outcome(rig.ask(Request::ConfigRevert).await), "reverted");
    assert_eq!(rig.told(), ["second", "first"]);
    rig.end();
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_change_is_taken_back_by_its_timer() {
    let _clock = hold_the_clock();
    let rig = Rig::new("timer");
    assert_eq!(outcome(rig.apply("second", Some(60)).await), "applied");
    assert_eq!(rig.state().await.reverts_in_ms, Some(60_000));
    let busy = rig.apply("third", None).await.expect_err("one change at a time");
    assert!(matches!(busy, ApiError::Busy { .. }), "{busy}");

    tokio::time::advance(Duration::from_secs(59)).await;
    tokio::task::yield_now().await;
    assert_eq!(rig.state().await.generation, 2, "not before its time");
    tokio::time::advance(Duration::from_secs(2)).await;
    while rig.state().await.generation == 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.told(), ["second", "first"]);
    assert_eq!(rig.state().await.reverts_in_ms, None);
    rig.end();
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_change_stays() {
    let _clock = hold_the_clock();
    let rig = Rig::new("confirm");
    assert_eq!(outcome(rig.apply("second", Some(60)).await), "applied");
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(outcome(rig.ask(Request::ConfigConfirm).await), "confirmed");
    tokio::time::advance(Duration::from_secs(120)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.told(), ["second"]);
    let error = rig.ask(Request::ConfigConfirm).await.expect_err("nothing waits");
    assert!(matches!(error, ApiError::NotFound { .. }), "{error}");
    // A second change with a timer of its own is not ended by the first one's.
    assert_eq!(outcome(rig.apply("third", Some(600)).await), "applied");
    tokio::time::advance(Duration::from_secs(300)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.told(), ["second", "third"]);
    rig.end();
}

#[tokio::test]
async fn checks_and_differences_change_nothing() {
    let rig = Rig::new("check");
    let good = ConfigText { source: "new.toml".into(), text: text("second") };
    let Response::ConfigDiff(diff) =
        rig.ask(Request::ConfigDiff(good.clone())).await.expect("valid")
    else {
        panic!("another answer");
    };
    assert_eq!(diff.changes.len(), 1);
    assert!(rig.ask(Request::ConfigCheck(good)).await.is_ok());
    let bad = ConfigText { source: "new.toml".into(), text: "hostnome = \"x\"\n".into() };
    let Err(ApiError::ConfigRefused { diagnostics }) = rig.ask(Request::ConfigCheck(bad)).await
    else {
        panic!("a key nobody knows is an error");
    };
    assert_eq!((diagnostics[0].line, diagnostics[0].file.as_str()), (1, "new.toml"));
    assert!(rig.told().is_empty());
    rig.end();
}

const KEYS_ALLOWED: &str = "[debug]\nexport-keys = true\n";

#[tokio::test]
async fn keys_are_for_root_alone_and_only_where_the_configuration_says_so() {
    let rig = Rig::new("keys");
    let peer = |uid| Peer { uid, pid: Some(7) };
    let ask = async |peer| {
        let request = ExportKeys {
            format: KeyFormat::Wireshark,
            of: Default::default(),
            pick: Some("site".into()),
        };
        rig.control.export_keys(peer, request).await
    };
    let error = ask(peer(Some(0))).await.expect_err("the switch is off");
    assert!(
        matches!(&error, ApiError::Forbidden { message } if message.contains("export-keys = true"))
    );
    let text = KEYS_ALLOWED.to_owned();
    let apply = Request::ConfigApply { source: "test".into(), text, confirm_seconds: None };
    assert_eq!(outcome(rig.ask(apply).await), "applied");
    for uid in [Some(1000), Some(65_534), None] {
        let error = ask(peer(uid)).await.expect_err("not root");
        assert!(matches!(&error, ApiError::Forbidden { message } if message.contains("only root")));
        assert_eq!((error.http_status(), error.exit_code()), (403, api::ExitCode::Failed));
    }
    assert!(rig.told.lock().expect("no panic").exports.is_empty(), "nothing reached the gateway");
    let table = ask(peer(Some(0))).await.expect("root, and allowed");
    assert_eq!(format!("{table:?}"), "KeyTable(1 SAs, 0 left out)");
    let told = rig.told.lock().expect("no panic").exports.clone();
    assert_eq!(told, ["uid 0 (process 7) Some(\"site\")"]);
    rig.end();
}

#[test]
fn a_socket_serves_one_gateway() {
    let directory = directory("instance");
    let socket = directory.join("ctl.sock");
    let first = Instance::acquire(&socket).expect("free");
    let listener = first.listen().expect("listens");
    let Err(error) = Instance::acquire(&socket) else { panic!("two gateways on one socket") };
    assert!(
        matches!(error, StartError::AlreadyRunning { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert_eq!(error.exit_code(), api::ExitCode::AlreadyRunning);
    assert!(error.remedy().contains("show system"));
    drop((listener, first));
    assert!(!socket.exists(), "the socket goes away with its gateway");
    // What a process that was killed leaves behind is in nobody's way.
    let stale = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    drop(stale);
    let second = Instance::acquire(&socket).expect("free again");
    second.listen().expect("takes the stale socket's place");
    drop(second);
    fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn a_forwarding_thread_that_panics_is_noticed() {
    struct Panics;
    impl Backend for Panics {
        fn handle(&mut self, _: Request) -> Result<Response, ApiError> {
            panic!("on purpose");
        }
    }
    impl Runner for Panics {
        fn step(&mut self, _: Time) -> usize {
            0
        }
        fn poll_timeout(&self) -> Option<Time> {
            None
        }
        fn poll_fds(&self) -> Vec<RawFd> {
            Vec::new()
        }
        fn apply(&mut self, _: Arc<Config>, _: Time) -> Result<(), OpenError> {
            Ok(())
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("made");
    runtime.block_on(async {
        let mut forwarder = Forwarder::start(Box::new(Panics), Instant::now()).expect("started");
        let handle = forwarder.handle();
        assert!(matches!(handle.ask(Request::ShowPorts).await, Err(ApiError::Failed { .. })));
        forwarder.ended().await;
        assert!(matches!(handle.ask(Request::ShowPorts).await, Err(ApiError::Failed { .. })));
        forwarder.stop();
    });
}
