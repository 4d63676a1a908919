//! Against programs nobody here wrote: OpenSSL and GnuTLS as clients over real sockets, and tshark, which
//! decrypts what was sent from the line of our key log.
//!
//! Needs the Debian packages openssl, gnutls-bin and tshark; without them the tests fail and say so.

mod common;

use std::{
    env, fs,
    io::Write as _,
    net::UdpSocket,
    path::{Path as FilePath, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use association::KeyMaterial;
use common::{Chaos, MASTER, PSK};
use lockgate_dtls::{Event, Mode, Path, Secret, Server, Settings, Suite};
use pcap_file::{
    DataLink,
    pcap::{PcapHeader, PcapPacket, PcapWriter},
};
use wire::Time;

const OPENSSL: &str = "/usr/bin/openssl";
const GNUTLS: &str = "/usr/bin/gnutls-cli";
const TSHARK: &str = "/usr/bin/tshark";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const SESSION: &[u8; 32] = b"the session id of the test is so";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What a server has seen.
#[derive(Default)]
struct Seen {
    established: Vec<(Mode, Suite)>,
    closed: usize,
    key_log: String,
    /// UDP payloads with whether we sent them, as they went.
    datagrams: Vec<(bool, Vec<u8>)>,
    ignored: Vec<String>,
}

/// A server on a socket of its own that echoes what it gets.
struct Peer {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Peer {
    fn new(secret: Secret) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("it can wait");
        let local = socket.local_addr().expect("it has an address");
        let (seen, stop) =
            (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (seen.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let mut server =
                Server::new(Settings::default(), Box::new(Chaos(u64::from(local.port()))));
            let find = |_: &[u8]| Some(secret.clone());
            let start = Instant::now();
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                let received = socket.recv_from(&mut buffer);
                let now = Time::from_secs(1000) + start.elapsed();
                let mut seen = noted.lock().expect("nobody panics with it");
                if let Ok((len, remote)) = received {
                    seen.datagrams.push((false, buffer[..len].to_vec()));
                    let path = Path { local, remote };
                    if let Err(why) = server.handle_datagram(now, path, &mut buffer[..len], &find) {
                        seen.ignored.push(why.to_string());
                    }
                }
                server.handle_timeout(now);
                while let Some(event) = server.poll_event() {
                    match event {
                        Event::Established { id, mode, suite, .. } => {
                            seen.established.push((mode, suite));
                            seen.key_log.push_str(&server.key_log_line(id).expect("it stands"));
                            seen.key_log.push('\n');
                        }
                        Event::Data { id, bytes } => {
                            server
                                .send(now, id, &[b"echo of ", &bytes[..]].concat())
                                .expect("it stands");
                        }
                        Event::Closed { .. } => seen.closed += 1,
                        other => seen.ignored.push(format!("{other:?}")),
                    }
                }
                while let Some(datagram) = server.poll_transmit() {
                    socket.send_to(&datagram.bytes, datagram.path.remote).expect("it can send");
                    seen.datagrams.push((true, datagram.bytes));
                }
            }
        });
        Self { port: local.port(), seen, stop, thread: Some(thread) }
    }

    /// Ends the server; what it has seen.
    fn end(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("it did not panic");
        std::mem::take(&mut self.seen.lock().expect("nobody panics with it"))
    }
}

/// Runs a client until it has got the echo of a line, then closes its input and waits for its end.
fn talk(peer: &Peer, command: &mut Command) -> String {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the client runs");
    let output = Arc::new(Mutex::new(Vec::new()));
    let readers = [
        reader(child.stdout.take().expect("piped"), &output),
        reader(child.stderr.take().expect("piped"), &output),
    ];
    let text = || String::from_utf8_lossy(&output.lock().expect("no panic")).into_owned();
    let mut stdin = child.stdin.take().expect("piped");
    wait(&mut child, "a handshake", &text, || {
        !peer.seen.lock().expect("no panic").established.is_empty()
    });
    stdin.write_all(b"a line of the client's\n").expect("it reads");
    wait(&mut child, "the echo", &text, || text().contains("echo of a line of the client's"));
    drop(stdin);
    wait(&mut child, "close_notify", &text, || peer.seen.lock().expect("no panic").closed == 1);
    child.kill().expect("it can be ended");
    child.wait().expect("it ends");
    readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
    text()
}

fn reader(
    mut from: impl std::io::Read + Send + 'static,
    output: &Arc<Mutex<Vec<u8>>>,
) -> thread::JoinHandle<()> {
    let output = output.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            output.lock().expect("no panic").extend(&buffer[..n]);
        }
    })
}

fn wait(child: &mut Child, what: &str, text: &dyn Fn() -> String, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what} did not come:\n{}", text());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn needs(program: &str) {
    assert!(FilePath::new(program).exists(), "{program} is missing: see the head of this file");
}

fn psk() -> Secret {
    Secret::Psk(KeyMaterial::from_bytes(&PSK))
}

#[test]
fn openssl_does_the_psk_handshake_with_every_suite() {
    needs(OPENSSL);
    for suite in Suite::PSK {
        let peer = Peer::new(psk());
        let output = talk(
            &peer,
            Command::new(OPENSSL)
                .args(["s_client", "-dtls1_2", "-connect", &format!("127.0.0.1:{}", peer.port)])
                .args(["-psk", &hex(&PSK), "-psk_identity", "psk", "-cipher", suite.name()]),
        );
        let seen = peer.end();
        assert_eq!(seen.established, [(Mode::Psk, suite)], "{output}\n{:?}", seen.ignored);
        assert!(output.contains("Extended master secret: yes"), "{output}");
        assert!(output.contains("Secure Renegotiation IS supported"), "{output}");
    }
}

#[test]
fn gnutls_does_the_psk_handshake_with_every_suite() {
    needs(GNUTLS);
    for (suite, cipher) in
        Suite::PSK.into_iter().zip(["AES-256-GCM", "CHACHA20-POLY1305", "AES-128-GCM"])
    {
        let peer = Peer::new(psk());
        let priority = format!("NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+{cipher}");
        let output = talk(
            &peer,
            Command::new(GNUTLS)
                .args(["--udp", "--port", &peer.port.to_string(), "--priority", &priority])
                .args(["--pskusername", "psk", "--pskkey", &hex(&PSK), "127.0.0.1"]),
        );
        let seen = peer.end();
        assert_eq!(seen.established, [(Mode::Psk, suite)], "{output}\n{:?}", seen.ignored);
        assert!(output.contains(&format!("(PSK)-({cipher})")), "{output}");
    }
}

/// A session of OpenSSL's, as `SSL_SESSION` is written in ASN.1, that was never negotiated.
fn session_file(suite: Suite, name: &str) -> PathBuf {
    let field = |tag: u8, value: &[u8]| [&[tag, value.len() as u8], value].concat();
    let mut fields = field(2, &[1]);
    fields.extend(field(2, &[0, 0xfe, 0xfd]));
    fields.extend(field(4, &suite.id().to_be_bytes()));
    fields.extend(field(4, SESSION));
    fields.extend(field(4, &MASTER));
    // the time it was made, and how long it is good: long enough
    let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    fields.extend(field(0xa1, &field(2, &seconds.to_be_bytes()[4..])));
    fields.extend(field(0xa2, &field(2, &7200u16.to_be_bytes())));
    let der = [&[0x30, 0x81, fields.len() as u8], &fields[..]].concat();
    let file = env::temp_dir().join(format!("lockgate-dtls-{}-{name}", std::process::id()));
    fs::write(&file, der).expect("a file");
    let encoded =
        Command::new(OPENSSL).args(["base64", "-in"]).arg(&file).output().expect("it runs");
    let text = String::from_utf8(encoded.stdout).expect("base64");
    let label = "SSL SESSION PARAMETERS";
    fs::write(&file, format!("-----BEGIN {label}-----\n{text}-----END {label}-----\n"))
        .expect("a file");
    file
}

#[test]
fn openssl_resumes_a_session_whose_secret_it_was_told() {
    needs(OPENSSL);
    for name in ["AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"]
    {
        let suite = Suite::resumed_by_name(name).expect("it is one");
        let secret = Secret::Resumption { master: KeyMaterial::from_bytes(&MASTER), suite };
        let file = session_file(suite, name);
        let peer = Peer::new(secret);
        let output = talk(
            &peer,
            Command::new(OPENSSL)
                .args(["s_client", "-dtls1_2", "-connect", &format!("127.0.0.1:{}", peer.port)])
                .args(["-cipher", name, "-sess_in"])
                .arg(&file),
        );
        let seen = peer.end();
        assert_eq!(seen.established, [(Mode::Resumption, suite)], "{output}\n{:?}", seen.ignored);
        assert!(
            output.contains("Reused, TLSv1.2") || output.contains("Reused, DTLSv1.2"),
            "{output}"
        );
        fs::remove_file(file).expect("it was there");
    }
}

#[test]
fn tshark_decrypts_both_directions_from_our_key_log() {
    needs(OPENSSL);
    needs(TSHARK);
    // tshark 4.0 does not decrypt ChaCha20-Poly1305 in DTLS, whoever sent it
    for suite in [Suite::PSK_AES_256_GCM, Suite::PSK_AES_128_GCM] {
        let peer = Peer::new(psk());
        talk(
            &peer,
            Command::new(OPENSSL)
                .args(["s_client", "-dtls1_2", "-connect", &format!("127.0.0.1:{}", peer.port)])
                .args(["-psk", &hex(&PSK), "-psk_identity", "psk", "-cipher", suite.name()]),
        );
        let seen = peer.end();
        let name = format!("lockgate-dtls-tshark-{}-{}", std::process::id(), suite.id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let (capture, keys) = (folder.join("dtls.pcap"), folder.join("keys.txt"));
        fs::write(&keys, &seen.key_log).expect("a file");
        let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
        let file = fs::File::create(&capture).expect("a file");
        let mut writer = PcapWriter::with_header(file, header).expect("a capture");
        for (ours, bytes) in &seen.datagrams {
            let data = packet(*ours, bytes);
            let packet = PcapPacket::new(Duration::ZERO, data.len() as u32, &data);
            writer.write_packet(&packet).expect("it can be written");
        }
        drop(writer);
        let output = Command::new(TSHARK)
            .arg("-r")
            .arg(&capture)
            .args([
                "-o",
                &format!("tls.keylog_file:{}", keys.display()),
                "-d",
                "udp.port==4433,dtls",
                "-x",
            ])
            .output()
            .expect("tshark runs");
        let text = String::from_utf8_lossy(&output.stdout);
        // the text of both directions, as a dump shows it
        let dumped: String = text.lines().filter_map(|line| line.get(56..)).collect();
        assert!(dumped.matches("a line of the client's").count() >= 2, "{suite}\n{text}");
        assert!(dumped.contains("echo of a line of the client's"), "{suite}\n{text}");
        assert!(text.matches("Decrypted DTLS").count() >= 4, "{suite}\n{text}");
        fs::remove_dir_all(&folder).expect("it was there");
    }
}

/// The datagram in UDP and IPv4.
fn packet(ours: bool, payload: &[u8]) -> Vec<u8> {
    let udp = (8 + payload.len()) as u16;
    let ends = [[192, 0, 2, 1], [192, 0, 2, 2]];
    let ports: [u16; 2] = [4433, 50_000];
    let (from, to) = if ours { (0, 1) } else { (1, 0) };
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(ends[from]);
    packet.extend(ends[to]);
    packet.extend([ports[from], ports[to], udp, 0].iter().flat_map(|word| word.to_be_bytes()));
    packet.extend(payload);
    packet
}
