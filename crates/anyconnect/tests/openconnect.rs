//! openconnect as client, over real sockets in two network namespaces: logins by password, certificate and
//! group, DTLS with each cipher and handshake, CSTP alone, rekeying under ping, reconnecting, endings.
//!
//! Inside of the tunnel the endpoint's owner answers pings itself, so no packet needs a route.
//!
//! Needs root, `ip`, `ping`, TUN and openconnect. Without them it fails and says so;
//! `LOCKGATE_SKIP_KERNEL_TESTS=1` skips it.

mod gateway;
mod pair;

use std::{
    io::{Read as _, Write as _},
    path::{Path as FilePath, PathBuf},
    process::{Child, Command as Process, Stdio},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gateway::Gateway;
use lockgate_anyconnect::{
    Channel, ClientCertificates, Event, Group, LoginFailure, LoginMethod, Reason, Settings, Tls,
    auth::{PasswordHash, User, Users},
};
use pair::{Chaos, Pki};

const SPACES: [&str; 2] = ["lgacs", "lgacc"];
const INSIDE: &str = "LOCKGATE_ANYCONNECT_INSIDE";
const NAME: &str = "openconnect_agrees_with_us";
const GATEWAY: &str = "192.0.2.1";
/// The gateway's address in the tunnel, which answers pings.
const INNER: &str = "10.99.0.1";
/// The log of a client that was there when something went wrong.
const LAST: &str = "last.log";

/// Runs this test again inside of the first namespace; openconnect runs in the second.
#[test]
fn openconnect_agrees_with_us() {
    if std::env::var_os("LOCKGATE_SKIP_KERNEL_TESTS").is_some() {
        return;
    }
    if let Some(directory) = std::env::var_os(INSIDE) {
        inside(&PathBuf::from(directory));
        return;
    }
    let version = Process::new("openconnect").arg("--version").output();
    assert!(version.is_ok(), "this test needs openconnect; it is not installed");
    let spaces = Spaces::new();
    let status = Process::new("ip")
        .args(["netns", "exec", SPACES[0]])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, &spaces.directory)
        .status()
        .expect("ip");
    let log = std::fs::read_to_string(spaces.directory.join(LAST)).unwrap_or_default();
    assert!(status.success(), "openconnect says:\n{log}");
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
        let name = format!("lockgate-anyconnect-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for the test");
        remove_spaces();
        for space in SPACES {
            run(&["ip", "netns", "add", space]);
            run(&["ip", "-n", space, "link", "set", "lo", "up"]);
        }
        let spaces = Self { directory };
        run(&[
            "ip", "-n", SPACES[0], "link", "add", "e0", "type", "veth", "peer", "name", "e0",
            "netns", SPACES[1],
        ]);
        for (space, address) in SPACES.iter().zip([GATEWAY, "192.0.2.2"]) {
            run(&["ip", "-n", space, "addr", "add", &format!("{address}/24"), "dev", "e0"]);
            run(&["ip", "-n", space, "link", "set", "e0", "up"]);
        }
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

/// A running openconnect.
struct OpenConnect {
    child: Child,
    log: PathBuf,
    /// Its script makes this file when packets have a way.
    up: PathBuf,
}

impl OpenConnect {
    fn start(directory: &FilePath, scenario: &'static str, args: &[&str], password: &str) -> Self {
        let log = directory.join(format!("{scenario}.log"));
        let up = directory.join("up");
        let _ = std::fs::remove_file(&up);
        let output = std::fs::File::create(&log).expect("a log");
        let mut child = Process::new("ip")
            .args(["netns", "exec", SPACES[1], "openconnect", "--protocol=anyconnect", "-vv"])
            .args(["--non-inter", "--interface=lgtun0", "--no-system-trust"])
            .arg(format!("--cafile={}", directory.join("ca.pem").display()))
            .arg(format!("--script={}", directory.join("vpnc.sh").display()))
            .args(args)
            .arg(format!("https://{GATEWAY}/"))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a handle"))
            .stderr(output)
            .spawn()
            .expect("ip");
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "{password}").expect("openconnect reads");
        Self { child, log, up }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn is_up(&self) -> bool {
        self.up.exists()
    }

    fn has_ended(&mut self) -> Option<bool> {
        self.child.try_wait().expect("a child of ours").map(|status| status.success())
    }

    /// It says goodbye, and is gone. Before it is up it would go without a word.
    fn interrupt(mut self, gateway: &mut Gateway) {
        run(&["kill", "-INT", &self.child.id().to_string()]);
        gateway.serve_until("openconnect ends", |_| self.has_ended().is_some());
        gateway.serve_until("the client ends", |gateway| {
            gateway.has(|event| matches!(event, Event::Ended { reason: Reason::Client(_), .. }))
        });
    }
}

impl Drop for OpenConnect {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // who started this process shows it
            let _ = std::fs::copy(&self.log, self.up.with_file_name(LAST));
        }
    }
}

/// Pings through the tunnel while the gateway serves: how many were answered.
fn ping(gateway: &mut Gateway, count: u32, interval: &str, size: u32) -> u32 {
    let mut child = Process::new("ip")
        .args(["netns", "exec", SPACES[1], "ping", "-n", "-M", "do", "-W", "2", "-i", interval])
        .args(["-c", &count.to_string(), "-s", &size.to_string(), INNER])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ping");
    gateway.serve_until("ping ends", |_| child.try_wait().expect("ours").is_some());
    let mut text = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
    let (before, _) = text.split_once(" received").unwrap_or_else(|| panic!("{text}"));
    before.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

fn settings(directory: &FilePath, pki: &Pki) -> Settings {
    let own = pki.issue(GATEWAY, &[GATEWAY]);
    let tls = Tls::from_pem(
        own.pem.as_bytes(),
        own.key_pem.as_bytes(),
        ClientCertificates::Optional(pki.authorities()),
        None,
    );
    let alice = pki.issue("alice", &[]);
    for (name, text) in [
        ("ca.pem", &pki.ca_pem),
        ("alice.pem", &alice.pem),
        ("alice.key", &alice.key_pem),
        (
            "vpnc.sh",
            &format!(
                "#!/bin/sh\ncase \"$reason\" in connect|reconnect)\n\
                 ip link set dev \"$TUNDEV\" up mtu \"$INTERNAL_IP4_MTU\"\n\
                 ip addr replace \"$INTERNAL_IP4_ADDRESS/32\" dev \"$TUNDEV\"\n\
                 ip route replace {}/32 dev \"$TUNDEV\"\n\
                 touch {} ;; esac\n",
                INNER,
                directory.join("up").display(),
            ),
        ),
    ] {
        std::fs::write(directory.join(name), text).expect("written");
    }
    run(&["chmod", "+x", &directory.join("vpnc.sh").display().to_string()]);
    let mut users = Users::default();
    for name in ["alice", "bob"] {
        let hash = PasswordHash::new("secret1", &mut Chaos(7));
        let groups = vec!["staff".into()];
        users.insert(name, User { groups, hash: Some(hash) }).expect("names");
    }
    let mut settings = Settings::new(tls.expect("TLS"), Arc::new(users));
    settings.method = LoginMethod::CertificateOrPassword;
    settings.unix_time_at_zero = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    // the test's own failures are no reason to lock it out
    settings.lockout.per_address = 1000;
    settings
}

fn inside(directory: &FilePath) {
    let pki = Pki::new();
    let mut settings = settings(directory, &pki);
    let mut gateway = Gateway::new(settings.clone(), &format!("{GATEWAY}:443"));
    let password = ["--user=alice", "--passwd-on-stdin"];

    // each cipher of each handshake, and none
    for (scenario, more, cipher, channel) in [
        ("psk-aes-256", &[][..], "(DTLS1.2)-(PSK)-(AES-256-GCM)", Channel::Dtls),
        (
            "psk-chacha",
            &["--gnutls-priority=NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305"],
            "(DTLS1.2)-(PSK)-(CHACHA20-POLY1305)",
            Channel::Dtls,
        ),
        (
            "psk-aes-128",
            &["--gnutls-priority=NORMAL:-CIPHER-ALL:+AES-128-GCM"],
            "(DTLS1.2)-(PSK)-(AES-128-GCM)",
            Channel::Dtls,
        ),
        (
            "resumption-256",
            &["--dtls-ciphers=NONE", "--dtls12-ciphers=AES256-GCM-SHA384"],
            "AES-256-GCM",
            Channel::Dtls,
        ),
        (
            "resumption-128",
            &["--dtls-ciphers=NONE", "--dtls12-ciphers=AES128-GCM-SHA256"],
            "AES-128-GCM",
            Channel::Dtls,
        ),
        ("resumption-old", &["--dtls-ciphers=OC-DTLS1_2-AES256-GCM"], "AES-256-GCM", Channel::Dtls),
        (
            "dtls-1.0-only",
            &["--dtls-ciphers=AES256-SHA", "--dtls12-ciphers=NONE"],
            "",
            Channel::Cstp,
        ),
        ("no-dtls", &["--no-dtls"], "", Channel::Cstp),
        ("no-xmlpost", &["--no-xmlpost"], "(PSK)", Channel::Dtls),
        ("tls-1.2", &["--gnutls-priority=NORMAL:-VERS-TLS1.3"], "(PSK)", Channel::Dtls),
    ] {
        let args = [&password[..], more].concat();
        let client = OpenConnect::start(directory, scenario, &args, "secret1");
        gateway.serve_until("a tunnel", |gateway| {
            let view = gateway.client();
            view.is_some_and(|view| view.channel == Some(channel)) && client.is_up()
        });
        let log = client.log();
        if channel == Channel::Dtls {
            assert!(log.contains("Established DTLS connection"), "{scenario}");
            assert!(log.contains("Configured as 10.99.0.50"), "{scenario}");
            assert!(log.contains(cipher), "{scenario}: {cipher}");
            // the probe of the MTU came back as it was sent
            gateway.serve_until("the MTU", |_| client.log().contains("No change in MTU"));
        }
        let view = gateway.client().expect("a client");
        let mtu = u32::from(view.mtu.expect("connected"));
        let before = gateway.pings;
        assert_eq!(ping(&mut gateway, 5, "0.05", 56), 5, "{scenario}");
        // the largest packet there is, in one piece
        assert_eq!(ping(&mut gateway, 2, "0.05", mtu - 28), 2, "{scenario} with {mtu} bytes");
        let by = usize::from(channel == Channel::Dtls);
        assert_eq!(gateway.pings[by] - before[by], 7, "{scenario}");
        let view = gateway.client().expect("a client");
        assert_eq!((view.counts.packets_out, &*view.user), (7, "alice"), "{scenario}");
        if scenario == "tls-1.2" {
            assert!(view.tls.expect("TLS").starts_with("TLS 1.2 "));
        }
        client.interrupt(&mut gateway);
        gateway.events.clear();
    }

    // a certificate, and a user who has none
    let certificate = format!("--certificate={}", directory.join("alice.pem").display());
    let key = format!("--sslkey={}", directory.join("alice.key").display());
    let client = OpenConnect::start(directory, "certificate", &[&certificate, &key], "");
    gateway.serve_until("a tunnel", |gateway| gateway.client().is_some() && client.is_up());
    assert_eq!(&*gateway.client().expect("a client").user, "alice");
    client.interrupt(&mut gateway);
    gateway.events.clear();

    // a wrong password
    let mut client = OpenConnect::start(directory, "wrong-password", &password, "wrong");
    gateway.serve_until("openconnect gives up", |_| client.has_ended().is_some());
    assert_eq!(client.has_ended(), Some(false));
    assert!(gateway.has(|event| {
        matches!(event, Event::LoginFailed { failure: LoginFailure::Credentials, .. })
    }));
    assert!(gateway.client().is_none());
    drop(client);
    gateway.events.clear();

    // rekeying every two seconds under ping
    gateway.tunnel.rekey = Some(Duration::from_secs(2));
    let client = OpenConnect::start(directory, "rekey", &password, "secret1");
    let has_dtls = |gateway: &mut Gateway| {
        gateway.client().is_some_and(|view| view.channel == Some(Channel::Dtls))
    };
    gateway.serve_until("a tunnel", |gateway| has_dtls(gateway) && client.is_up());
    // of each rekey one answer may be lost at openconnect's end, which closes its old association with the
    // answer on the way
    let answers = ping(&mut gateway, 80, "0.1", 56);
    assert!((77..=80).contains(&answers), "{answers} of 80 over rekeys");
    assert_eq!(gateway.endpoint.stats().packets_not_read, 0, "here none is");
    let count = |gateway: &Gateway, wanted: fn(&Event) -> bool| {
        gateway.events.iter().filter(|event| wanted(event)).count()
    };
    let rekeys = count(&gateway, |event| matches!(event, Event::Connected(c) if c.again));
    assert!(rekeys >= 3, "{rekeys} rekeys");
    let associations = count(&gateway, |event| matches!(event, Event::AssociationReady(_)));
    assert!(associations >= 3, "{associations} associations");
    assert!(
        !gateway.has(|event| matches!(event, Event::Disconnected { .. })) || {
            // between its connections the client may be away for a moment
            count(&gateway, |event| matches!(event, Event::Ended { .. })) == 0
        }
    );
    client.interrupt(&mut gateway);
    gateway.events.clear();
    gateway.tunnel.rekey = None;

    // the connection is cut: the same client, the same address
    let client = OpenConnect::start(directory, "cut", &password, "secret1");
    gateway.serve_until("a tunnel", |gateway| has_dtls(gateway) && client.is_up());
    let first = gateway.client().expect("a client").client;
    let tokens: Vec<_> = gateway.streams.keys().copied().collect();
    for token in tokens {
        let (now, conn) = (gateway.now(), gateway.streams[&token].conn);
        gateway.endpoint.handle_closed(now, conn);
        gateway.close(token);
    }
    gateway.serve_until("it comes again", |gateway| {
        gateway.has(|event| matches!(event, Event::Connected(c) if c.again))
    });
    gateway.serve_until("DTLS comes again", has_dtls);
    assert_eq!(gateway.client().expect("a client").client, first);
    assert_eq!(ping(&mut gateway, 5, "0.1", 56), 5, "after the cut");

    // UDP is blocked: packets go by CSTP when the client finds out
    let now = gateway.now();
    assert!(gateway.endpoint.disconnect(now, first));
    let mut client = client;
    gateway.serve_until("openconnect is sent away", |_| client.has_ended().is_some());
    assert!(client.log().contains("erver terminate") || client.log().contains("Server request"));
    drop(client);
    gateway.events.clear();
    gateway.udp_is_blocked = true;
    let client = OpenConnect::start(directory, "udp-blocked", &password, "secret1");
    gateway.serve_until("a tunnel", |gateway| gateway.client().is_some() && client.is_up());
    assert_eq!(ping(&mut gateway, 3, "0.1", 56), 3, "with UDP blocked");
    client.interrupt(&mut gateway);
    gateway.events.clear();
    gateway.udp_is_blocked = false;

    // groups
    let group = |name: &str| Group { name: name.into(), label: name.to_uppercase() };
    settings.groups = vec![group("guests"), group("staff")];
    gateway.endpoint.apply(settings);
    let args = [&password[..], &["--authgroup=staff"]].concat();
    let client = OpenConnect::start(directory, "group", &args, "secret1");
    gateway.serve_until("a tunnel", |gateway| gateway.client().is_some() && client.is_up());
    let view = gateway.client().expect("a client");
    assert_eq!(view.group.as_deref(), Some("staff"));
    assert!(
        view.version.contains("OpenConnect") || view.version.contains("AnyConnect"),
        "{}",
        view.version
    );
    client.interrupt(&mut gateway);
}
