//! strongSwan as peer, over real sockets in two network namespaces: both roles, a preshared key with a
//! PPK, certificates in fragments, another key exchange, rekeying by either end, deletion.
//!
//! Needs root, `ip` and strongSwan (`charon-systemd`, `strongswan-swanctl`, and its plugin
//! kernel-libipsec). Without them it fails and says so; `LOCKGATE_SKIP_KERNEL_TESTS=1` skips it.

mod pair;

use std::{
    io::ErrorKind,
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Command as Process, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use lockgate_ike::{
    Command, Connection, Endpoint, Event, IkeId, LocalAuth, Path, PpkSettings, RemoteAuth,
    Settings, Task,
    auth::{Certificate, Credential, RsaPadding, Trust},
    crypto::{Ppk, Secret},
};
use pair::{A, ADDRESSES, B, Chaos};
use wire::Time;

const SPACES: [&str; 2] = ["lgia", "lgib"];
const INSIDE: &str = "LOCKGATE_IKE_INSIDE";

/// Runs this test again inside of the first namespace, with strongSwan in the second.
#[test]
fn strongswan_agrees_with_us_in_both_roles() {
    if std::env::var_os("LOCKGATE_SKIP_KERNEL_TESTS").is_some() {
        return;
    }
    if let Some(directory) = std::env::var_os(INSIDE) {
        inside(PathBuf::from(directory));
        return;
    }
    let spaces = Spaces::new();
    let directory = spaces.directory.clone();
    let _charon = Charon::start(&directory);
    let status = Process::new("ip")
        .args(["netns", "exec", SPACES[A]])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "strongswan_agrees_with_us_in_both_roles", "--nocapture"])
        .env(INSIDE, &directory)
        .status()
        .expect("ip");
    let log = std::fs::read_to_string(directory.join("charon.log")).unwrap_or_default();
    assert!(status.success(), "strongSwan says:\n{log}");
}

fn run(command: &[&str]) {
    let output = Process::new(command[0]).args(&command[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} (this test needs root): {text}");
}

struct Spaces {
    directory: PathBuf,
}

impl Spaces {
    fn new() -> Self {
        let name = format!("lockgate-ike-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for the test");
        remove_spaces();
        for space in SPACES {
            run(&["ip", "netns", "add", space]);
            run(&["ip", "-n", space, "link", "set", "lo", "up"]);
        }
        let spaces = Self { directory };
        run(&[
            "ip", "-n", SPACES[A], "link", "add", "e0", "type", "veth", "peer", "name", "e0",
            "netns", SPACES[B],
        ]);
        for (space, address) in SPACES.iter().zip(ADDRESSES) {
            run(&["ip", "-n", space, "addr", "add", &format!("{address}/24"), "dev", "e0"]);
            run(&["ip", "-n", space, "link", "set", "e0", "up"]);
        }
        run(&["ip", "-n", SPACES[B], "addr", "add", "10.2.0.1/24", "dev", "lo"]);
        spaces
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        remove_spaces();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn remove_spaces() {
    for space in SPACES {
        let _ = Process::new("ip").args(["netns", "del", space]).stderr(Stdio::null()).status();
    }
}

struct Charon(Child);

impl Charon {
    fn start(directory: &std::path::Path) -> Self {
        let at = |name: &str| directory.join(name).display().to_string();
        let settings = format!(
            "charon-systemd {{
               load = random nonce openssl kdf pem pkcs1 pkcs8 x509 pubkey revocation constraints kernel-libipsec kernel-netlink socket-default vici
               cookie_threshold_ip = 1
               fragment_size = 576
               plugins {{ vici {{ socket = unix://{} }} }}
               filelog {{ l {{ path = {}
                 flush_line = yes
                 default = 1
                 ike = 2 }} }}
               journal {{ default = -1 }} }}\n",
            at("vici"),
            at("charon.log"),
        );
        std::fs::write(directory.join("strongswan.conf"), settings).expect("written");
        let connections = "connections { s2s { version = 2
              local_addrs = 198.51.100.2
              remote_addrs = 198.51.100.1
              proposals = aes256gcm16-prfsha384-ecp256,aes256-sha256-modp2048
              ppk_id = one
              ppk_required = no
              local { auth = psk
                      id = b.test }
              remote { auth = psk
                       id = a.test }
              children { net { local_ts = 10.2.0.0/24
                               remote_ts = 10.1.0.0/24
                               esp_proposals = aes256gcm16-ecp256
                               rekey_time = 1h } } }
              certificates { version = 2
              local_addrs = 198.51.100.2
              remote_addrs = 198.51.100.1
              proposals = aes256-sha256-modp2048
              fragmentation = force
              local { auth = pubkey
                      certs = b.pem
                      id = b.certified.test }
              remote { auth = pubkey
                       cacerts = ca.pem
                       id = a.certified.test }
              children { other { local_ts = 10.2.0.0/24
                                 remote_ts = 10.1.0.0/24
                                 esp_proposals = aes256-sha256
                                 rekey_time = 1h } } } }
            secrets { ppk-1 { id-1 = one
              secret = quantum }
              ike-1 { id-a = a.test
              id-b = b.test
              secret = \"correct horse battery staple\" } }\n";
        std::fs::write(directory.join("swanctl.conf"), connections).expect("written");
        certify(directory);
        let child = Process::new("ip")
            .args(["netns", "exec", SPACES[B], "charon-systemd"])
            .env("STRONGSWAN_CONF", at("strongswan.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ip");
        let charon = Self(child);
        let started = Instant::now();
        while !directory.join("vici").exists() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "charon-systemd does not start: are strongswan-swanctl and charon-systemd installed?"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let file = at("swanctl.conf");
        swanctl(directory, &["--load-all", "--noprompt", "--file", &file]);
        charon
    }
}

/// An authority, and a certificate for each end; strongSwan looks for its own beside its configuration.
fn certify(directory: &std::path::Path) {
    let write = |name: &str, text: String| {
        let file = directory.join(name);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(file, text).expect("written");
    };
    let params = |name: &str, alternatives: Vec<String>| {
        let mut params = rcgen::CertificateParams::new(alternatives).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    };
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = params("Test CA", Vec::new());
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    write("x509ca/ca.pem", ca.self_signed(&key).expect("signed").pem());
    let issuer = rcgen::Issuer::new(ca, key);
    for (end, place) in [("b", "x509/b.pem"), ("a", "a.pem")] {
        let name = format!("{end}.certified.test");
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params(&name, vec![name.clone()]).signed_by(&key, &issuer);
        write(place, certificate.expect("signed").pem());
        let place = if end == "b" { "private/b.pem" } else { "a.key" };
        write(place, key.serialize_pem());
    }
}

/// Our connection with certificates.
fn certified(directory: &std::path::Path) -> Connection {
    let read = |name: &str| std::fs::read(directory.join(name)).expect("written before");
    let authorities = Certificate::all_from_pem(&read("x509ca/ca.pem")).expect("certificates");
    let trust = Trust::new(authorities).expect("an authority");
    let credential = Credential::from_pem(&read("a.pem"), &read("a.key")).expect("they fit");
    let mut connection = pair::connection(A);
    connection.name = "certificates".into();
    connection.offers = vec!["aes256-sha256-modp2048".parse().expect("an offer")];
    connection.children[0].offers = vec!["aes256-sha256".parse().expect("an offer")];
    connection.local_identity = "a.certified.test".parse().expect("an identity");
    connection.remote_identity = "b.certified.test".parse().expect("an identity");
    connection.local_auth =
        LocalAuth::Certificate { credentials: vec![credential], padding: RsaPadding::Pkcs1 };
    connection.remote_auth = RemoteAuth::Certificate(Arc::new(trust));
    connection
}

impl Drop for Charon {
    fn drop(&mut self) {
        let _ = Process::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn swanctl(directory: &std::path::Path, arguments: &[&str]) {
    let uri = format!("unix://{}", directory.join("vici").display());
    let mut command = vec!["swanctl"];
    command.extend(arguments);
    command.extend(["--uri", &uri]);
    run(&command);
}

/// Our end, with sockets and a clock.
struct Ours {
    endpoint: Endpoint,
    sockets: [UdpSocket; 2],
    start: Instant,
    events: Vec<Event>,
    /// Sent and received.
    fragments: [usize; 2],
}

impl Ours {
    fn new(connections: Vec<Connection>) -> Self {
        let start = Instant::now();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let settings = Settings {
            fragment_size: 576,
            unix_time_at_zero: unix.as_secs(),
            trace: true,
            ..Settings::default()
        };
        let random = Chaos(u64::from(std::process::id()));
        let mut endpoint = Endpoint::new(settings, Box::new(random));
        endpoint.apply(Time::ZERO, connections);
        let sockets = [500, 4500].map(|port| {
            let socket = UdpSocket::bind((ADDRESSES[A], port)).expect("a port of ours");
            socket.set_nonblocking(true).expect("a socket");
            socket
        });
        Self { endpoint, sockets, start, events: Vec::new(), fragments: [0, 0] }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Goes on until `done` says so.
    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !done(self) {
            if started.elapsed() > Duration::from_secs(20) {
                let line = |event: &Event| match event {
                    Event::Message(record) => record.to_string(),
                    other => format!("{other:?}"),
                };
                let log: Vec<_> = self.events.iter().map(line).collect();
                panic!("not within 20 s: {what}: {log:#?}");
            }
            self.step();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn step(&mut self) {
        let mut buffer = [0; 4096];
        for socket in &self.sockets {
            loop {
                let (length, remote) = match socket.recv_from(&mut buffer) {
                    Ok(got) => got,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("receive: {error}"),
                };
                let path = Path { local: socket.local_addr().expect("bound"), remote };
                let now = Time::ZERO + self.start.elapsed();
                self.fragments[1] += usize::from(is_fragment(&buffer[..length]));
                // ESP of strongSwan comes here too, and is not ours
                let _ = self.endpoint.handle_datagram(now, path, &buffer[..length]);
            }
        }
        let now = self.now();
        if self.endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        while let Some(job) = self.endpoint.poll_job() {
            self.endpoint.handle_done(now, job.run());
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.events.push(event);
        }
        while let Some(sent) = self.endpoint.poll_transmit() {
            self.fragments[0] += usize::from(is_fragment(&sent.bytes));
            let socket = &self.sockets[usize::from(sent.path.local.port() == 4500)];
            socket.send_to(&sent.bytes, sent.path.remote).expect("sent");
        }
    }

    fn count(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| which(event)).count()
    }

    fn rekeyed(&self) -> usize {
        self.count(|event| matches!(event, Event::ChildRekeyed { .. }))
    }

    fn ike_rekeyed(&self) -> usize {
        self.count(|event| matches!(event, Event::IkeRekeyed { .. }))
    }

    fn up(&self) -> usize {
        self.count(|event| matches!(event, Event::ChildUp { .. }))
    }

    fn gone(&self) -> usize {
        self.count(|event| matches!(event, Event::ChildGone { .. }))
    }

    fn ike(&self) -> IkeId {
        let up = self.endpoint.views().filter(|view| view.state == "up");
        up.last().expect("one that is up").ike
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        self.endpoint.handle_command(now, command).expect("there");
    }
}

fn inside(directory: PathBuf) {
    let mut connection = pair::connection(A);
    // the first group is not strongSwan's, so that it asks for another
    connection.offers = vec!["aes256gcm16-prfsha384-x25519-ecp256".parse().expect("an offer")];
    connection.children[0].offers = vec!["aes256gcm16-ecp256".parse().expect("an offer")];
    let (id, key) = (b"one".to_vec(), Ppk(Secret::from_bytes(b"quantum")));
    connection.ppk = Some(PpkSettings { id, key, required: true });
    let mut ours = Ours::new(vec![connection, certified(&directory)]);
    let path = Path {
        local: format!("{}:500", ADDRESSES[A]).parse().expect("an address"),
        remote: format!("{}:500", ADDRESSES[B]).parse().expect("an address"),
    };

    ours.command(Command::Connect { connection: "peer".into(), path });
    ours.until("we connect", |ours| ours.up() == 1);
    let child = ours.endpoint.views().next().expect("up").children[0];
    ours.command(Command::RekeyChild(child));
    ours.until("we rekey the child", |ours| ours.rekeyed() == 1 && ours.gone() == 1);
    swan(&directory, &mut ours, &["--rekey", "--child", "net"]);
    ours.until("it rekeys the child", |ours| ours.rekeyed() == 2 && ours.gone() == 2);
    let ike = ours.ike();
    ours.command(Command::Ike { ike, task: Task::RekeyIke });
    ours.until("we rekey the IKE SA", |ours| ours.ike_rekeyed() == 1);
    ours.until("the old one is gone", |ours| ours.endpoint.views().count() == 1);
    swan(&directory, &mut ours, &["--rekey", "--ike", "s2s"]);
    ours.until("it rekeys the IKE SA", |ours| ours.ike_rekeyed() == 2);
    ours.until("the old one is gone", |ours| ours.endpoint.views().count() == 1);
    let ike = ours.ike();
    ours.command(Command::Ike { ike, task: Task::Check });
    ours.command(Command::Ike { ike, task: Task::DeleteIke });
    ours.until("we delete it all", |ours| ours.endpoint.views().count() == 0);

    let before = ours.up();
    swan(&directory, &mut ours, &["--initiate", "--child", "net"]);
    ours.until("it connects", |ours| ours.up() == before + 1);
    let child = ours.endpoint.views().next().expect("up").children[0];
    ours.command(Command::RekeyChild(child));
    ours.until("we rekey its child", |ours| ours.rekeyed() == 3);
    swan(&directory, &mut ours, &["--terminate", "--ike", "s2s"]);
    ours.until("it deletes it all", |ours| ours.endpoint.views().count() == 0);

    // certificates do not fit into 576 bytes, either way
    for by_us in [true, false] {
        let before = ours.up();
        if by_us {
            ours.command(Command::Connect { connection: "certificates".into(), path });
        } else {
            swan(&directory, &mut ours, &["--initiate", "--child", "other"]);
        }
        ours.until("certificates", |ours| ours.up() == before + 1);
        let ike = ours.ike();
        ours.command(Command::Ike { ike, task: Task::DeleteIke });
        ours.until("we delete it all", |ours| ours.endpoint.views().count() == 0);
    }
    let ups = ours.events.iter().filter_map(|event| match event {
        Event::IkeUp(up) => Some((up.ppk, up.remote_authentication.starts_with("certificate"))),
        _ => None,
    });
    let expected = [(true, false), (true, false), (false, true), (false, true)];
    assert_eq!(ups.collect::<Vec<_>>(), expected);
    assert!(ours.fragments[0] > 0 && ours.fragments[1] > 0, "{:?}", ours.fragments);
    let failures = ours.count(|event| matches!(event, Event::Failed { .. }));
    assert_eq!(failures, 0, "{:#?}", ours.events);
}

/// Whether a datagram of either port is a fragment (RFC 7383 §2.5).
fn is_fragment(bytes: &[u8]) -> bool {
    bytes.strip_prefix(&[0; 4]).unwrap_or(bytes).get(16) == Some(&53)
}

/// Has strongSwan do something, which needs our answers.
fn swan(directory: &std::path::Path, ours: &mut Ours, arguments: &[&str]) {
    let (directory, arguments): (PathBuf, Vec<String>) =
        (directory.into(), arguments.iter().map(|a| (*a).to_owned()).collect());
    let thread = std::thread::spawn(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        swanctl(&directory, &arguments);
    });
    while !thread.is_finished() {
        ours.step();
        std::thread::sleep(Duration::from_millis(2));
    }
    thread.join().expect("swanctl does it");
}
