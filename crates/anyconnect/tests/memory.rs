//! What an idle client costs: the memory of a process that serves many, each with a tunnel and a DTLS
//! association, while their far ends live in another process.
//!
//! `LOCKGATE_ANYCONNECT_CLIENTS=5000` serves more of them. `LOCKGATE_ANYCONNECT_FAR="ADDRESS:PORT COUNT CA.pem USERS"` is the far ends alone, for
//! another gateway: users `user0` to `userN` with the password `secret1`, the clients shared out among them.

extern crate dtls as lockgate_dtls;

#[path = "../../dtls/tests/common/mod.rs"]
mod dtls_client;
mod gateway;
mod pair;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    process::{Command as Process, Stdio},
    sync::Arc,
};

use dtls::Suite;
use dtls_client::{Client, Offer};
use gateway::Gateway;
use lockgate_anyconnect::{ClientCertificates, Settings, Tls};
use pair::{People, Pki};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

const FAR: &str = "LOCKGATE_ANYCONNECT_FAR";
const NAME: &str = "an_idle_client_costs_little";
/// Clients before memory is looked at: what the first ones need stays for all.
const FIRST: usize = 50;
/// Bytes of a client: 5,000 of them with their TCP connections are to fit 100 MB.
const LIMIT: usize = 12 * 1024;

#[test]
fn an_idle_client_costs_little() {
    if let Ok(what) = std::env::var(FAR) {
        far(&what);
        return;
    }
    let count = std::env::var("LOCKGATE_ANYCONNECT_CLIENTS").ok().and_then(|n| n.parse().ok());
    let count = FIRST + count.unwrap_or(500);
    let pki = Pki::new();
    let own = pki.issue("gw.test", &["gw.test"]);
    let none = ClientCertificates::None;
    let tls = Tls::from_pem(own.pem.as_bytes(), own.key_pem.as_bytes(), none, None).expect("TLS");
    let mut settings = Settings::new(tls, Arc::new(People));
    settings.limits.clients_per_user = count;
    let mut gateway = Gateway::new(settings, "127.0.0.1:0");
    let authority = std::env::temp_dir().join(format!("lockgate-ca-{}.pem", std::process::id()));
    std::fs::write(&authority, &pki.ca_pem).expect("written");
    let mut child = Process::new(std::env::current_exe().expect("this test"))
        .args(["--exact", NAME, "--nocapture"])
        .env(FAR, format!("{} {count} {}", gateway.address(), authority.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test again");
    let has = |gateway: &mut Gateway, wanted: usize| {
        gateway.events.clear();
        gateway.endpoint.stats().associations >= wanted as u64
    };
    gateway.serve_until("the first clients", |gateway| has(gateway, FIRST));
    let before = resident();
    gateway.serve_until("all clients", |gateway| has(gateway, count));
    let each = (resident() - before) / (count - FIRST);
    let idle = gateway.endpoint.views().filter(|view| view.association.is_some()).count();
    assert_eq!(idle, count);
    // the far end goes when nobody listens to it
    drop(child.stdin.take());
    assert!(child.wait().expect("ours").success());
    let _ = std::fs::remove_file(authority);
    assert!(each <= LIMIT, "{each} bytes for each of {count} clients");
    let mut output = std::io::stdout().lock();
    writeln!(output, "{each} bytes for each of {count} idle clients").expect("written");
}

/// Bytes of memory of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
    pages * 4096
}

/// The far ends, until standard input ends.
fn far(what: &str) {
    let mut words = what.split(' ');
    let mut word = || words.next().expect("address, count, authority");
    let address: SocketAddr = word().parse().expect("an address");
    let count: usize = word().parse().expect("a number");
    let pem = std::fs::read(word()).expect("an authority");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let users: Option<usize> = words.next().map(|n| n.parse().expect("a number"));
    let user = |i: usize| users.map_or("alice".to_owned(), |users| format!("user{}", i % users));
    let clients: Vec<_> =
        (0..count).map(|i| client(address, &config, &user(i), i as u64)).collect();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(clients);
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn client(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    user: &str,
    seed: u64,
) -> (Stream, UdpSocket) {
    let tls = ClientConnection::new(config.clone(), "gw.test".try_into().expect("a name"));
    let tcp = TcpStream::connect(address).expect("connected");
    tcp.set_nodelay(true).expect("set");
    let mut stream = StreamOwned::new(tls.expect("TLS"), tcp);
    let form = format!("username={user}&password=secret1");
    let len = form.len();
    write!(stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{form}")
        .expect("sent");
    let answer = answer(&mut stream);
    let cookie = pair::cookie_of(&answer).unwrap_or_else(|| panic!("{answer}"));
    write!(
        stream,
        "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: a\r\nCookie: webvpn={cookie}\r\n\
         X-CSTP-Base-MTU: 1500\r\nX-DTLS-CipherSuite: PSK-NEGOTIATE\r\n\r\n"
    )
    .expect("sent");
    let answer = self::answer(&mut stream);
    let id = answer.split_once("X-DTLS-App-ID: ").and_then(|(_, rest)| rest.get(..64));
    let id = id.unwrap_or_else(|| panic!("{answer}"));
    let session_id =
        (0..32).map(|i| u8::from_str_radix(&id[2 * i..][..2], 16).expect("hex")).collect();
    let psk = stream.conn.export_keying_material([0; 32], b"EXPORTER-openconnect-psk", None);
    let psk = psk.expect("exported").to_vec();
    let offer = Offer { session_id, psk, ..Offer::psk(Suite::PSK_AES_256_GCM) };
    let udp = UdpSocket::bind((stream.sock.local_addr().expect("bound").ip(), 0)).expect("a port");
    udp.connect(address).expect("connected");
    udp.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("set");
    let mut dtls = Client::new(seed, &udp.local_addr().expect("bound").to_string(), offer);
    udp.send(&dtls.start()).expect("sent");
    let mut buffer = [0; 2048];
    while !dtls.is_done() {
        let len = udp.recv(&mut buffer).expect("an answer");
        for datagram in dtls.handle(&buffer[..len]) {
            udp.send(&datagram).expect("sent");
        }
    }
    (stream, udp)
}

/// Head and body of an answer.
fn answer(stream: &mut Stream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut text).expect("a line") > 0, "{text}");
    }
    let len = text.split_once("Content-Length: ").and_then(|(_, rest)| rest.lines().next());
    let mut body = vec![0; len.map_or(0, |len| len.parse().expect("a number"))];
    reader.read_exact(&mut body).expect("a body");
    text + &String::from_utf8(body).expect("text")
}
