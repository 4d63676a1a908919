//! An endpoint and its clients in simulated time: TCP is byte order without loss, jobs run where they stand.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io::{Read as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use dtls::Path;
use lockgate_anyconnect::{
    AddressWanted, Authorities, ClientCertificates, ClientId, ConnId, Endpoint, Event, Grant,
    Settings, Tls, TunnelSettings,
    auth::{Authenticator, Identity, Refused},
    cstp::{Frame, HEADER_LEN, Kind},
};
use rand_core::{TryCryptoRng, TryRng};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use wire::Time;

/// SplitMix64; not fit for keys, and not meant to be.
#[derive(Clone)]
pub struct Chaos(pub u64);

impl Chaos {
    pub fn below(&mut self, bound: u64) -> u64 {
        let Ok(number) = self.try_next_u64();
        number % bound
    }
}

impl TryRng for Chaos {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| (n >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Chaos {}

/// Users without hashes: what is slow about passwords is tested where they are.
pub struct People;

impl Authenticator for People {
    fn password(&self, user: &str, password: &str) -> Result<Identity, Refused> {
        match (user, password) {
            ("down", _) => Err(Refused::Unavailable("nobody answers".to_owned())),
            (_, "secret1") => self.certified(user),
            _ => Err(Refused::Credentials),
        }
    }

    fn certified(&self, user: &str) -> Result<Identity, Refused> {
        let groups: &[&str] = match user {
            "alice" => &["staff", "admins"],
            "bob" => &["guests"],
            _ => return Err(Refused::Credentials),
        };
        let groups = groups.iter().map(|group| Arc::from(*group)).collect();
        Ok(Identity { user: user.into(), groups })
    }
}

/// An authority, and what it signed.
pub struct Pki {
    pub ca_pem: String,
    ca: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Certified {
    pub pem: String,
    pub key_pem: String,
    der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Pki {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = named("Test CA", &[]);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages =
            vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        let (ca_pem, ca) = (certificate.pem(), certificate.der().clone());
        Self { ca_pem, ca, issuer: rcgen::Issuer::new(params, key) }
    }

    pub fn issue(&self, name: &str, alternative: &[&str]) -> Certified {
        self.issue_with(named(name, alternative))
    }

    pub fn issue_with(&self, params: rcgen::CertificateParams) -> Certified {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certified {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// A revocation list with a serial number on it.
    pub fn revoke(&self, serial: u64) -> String {
        let revoked = rcgen::RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2040, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub fn authorities(&self) -> Authorities {
        Authorities::from_pem(self.ca_pem.as_bytes(), &[]).unwrap()
    }
}

pub fn named(name: &str, alternative: &[&str]) -> rcgen::CertificateParams {
    let alternative: Vec<_> = alternative.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(alternative).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

pub const SERVER: &str = "192.0.2.1:443";
pub const HOME: &str = "198.51.100.7:50000";
/// Unix time of the simulations: certificates of `rcgen` are valid then.
pub const NOW: Duration = Duration::from_secs(1_790_000_000);

pub fn path(remote: &str) -> Path {
    Path { local: SERVER.parse().unwrap(), remote: remote.parse().unwrap() }
}

pub struct Pair {
    pub endpoint: Endpoint,
    pub now: Time,
    pub pki: Pki,
    pub clients: BTreeMap<ConnId, Client>,
    pub events: VecDeque<Event>,
    /// What came of clients.
    pub packets: Vec<(ClientId, Vec<u8>)>,
    /// Datagrams to clients.
    pub datagrams: VecDeque<dtls::Datagram>,
    /// What clients are granted.
    pub tunnel: TunnelSettings,
    pub grants: bool,
    pub wanted: Vec<AddressWanted>,
    /// Bytes of a piece of TCP.
    pub piece: usize,
    /// Time that the endpoint's end took.
    pub spent: Duration,
}

/// The far end of a connection.
pub struct Client {
    pub tls: ClientConnection,
    pub text: Vec<u8>,
    /// Bytes for the endpoint that it has not taken.
    pub unsent: Vec<u8>,
    /// It reads what comes.
    pub reads: bool,
    pub closed: bool,
    pub failed: Option<rustls::Error>,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(|_, _| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings, &Pki)) -> Self {
        Self::with_clients(|_| ClientCertificates::None, change)
    }

    pub fn with_clients(
        certificates: impl FnOnce(&Pki) -> ClientCertificates,
        change: impl FnOnce(&mut Settings, &Pki),
    ) -> Self {
        let pki = Pki::new();
        let own = pki.issue("gw.test", &["gw.test"]);
        let asks = certificates(&pki);
        let tls = Tls::from_pem(own.pem.as_bytes(), own.key_pem.as_bytes(), asks, None).unwrap();
        let mut settings = Settings::new(tls, Arc::new(People));
        settings.unix_time_at_zero = NOW;
        change(&mut settings, &pki);
        let dtls = dtls::Settings::default();
        let endpoint = Endpoint::new(settings, dtls, Box::new(Chaos(1)), Box::new(Chaos(2)));
        Self {
            endpoint,
            now: Time::from_secs(1),
            pki,
            clients: BTreeMap::new(),
            events: VecDeque::new(),
            packets: Vec::new(),
            datagrams: VecDeque::new(),
            tunnel: TunnelSettings::default(),
            grants: true,
            wanted: Vec::new(),
            piece: usize::MAX,
            spent: Duration::ZERO,
        }
    }

    /// A client's TLS connection, when its handshake is done or has failed.
    pub fn connect(&mut self, remote: &str) -> ConnId {
        self.connect_with(remote, None, rustls::DEFAULT_VERSIONS)
    }

    pub fn connect_with(
        &mut self,
        remote: &str,
        certificate: Option<&Certified>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ConnId {
        let conn = self.begin(remote, certificate, versions);
        self.run();
        conn
    }

    /// A client's TLS connection that has not said anything yet.
    pub fn begin(
        &mut self,
        remote: &str,
        certificate: Option<&Certified>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ConnId {
        let now = self.now;
        let conn = self.timed(|endpoint| endpoint.handle_connected(now, path(remote))).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.pki.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certified) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.key.clone()));
                builder.with_client_auth_cert(vec![certified.der.clone()], key).unwrap()
            }
        };
        let tls = ClientConnection::new(Arc::new(config), "gw.test".try_into().unwrap()).unwrap();
        let client = Client {
            tls,
            text: Vec::new(),
            unsent: Vec::new(),
            reads: true,
            closed: false,
            failed: None,
        };
        self.clients.insert(conn, client);
        conn
    }

    /// Does all there is to do at this time.
    pub fn run(&mut self) {
        loop {
            let mut quiet = true;
            self.endpoint.handle_timeout(self.now);
            while let Some(job) = self.endpoint.poll_job() {
                assert!(!format!("{job:?}").contains("secret1"));
                let now = self.now;
                self.timed(|endpoint| endpoint.handle_job_done(now, job.run()));
                quiet = false;
            }
            while let Some(event) = self.endpoint.poll_event() {
                quiet = false;
                if let Event::AddressWanted(wanted) = &event {
                    self.wanted.push((**wanted).clone());
                    if self.grants {
                        let grant = self.grant(wanted.client);
                        let now = self.now;
                        self.timed(|endpoint| endpoint.handle_grant(now, wanted.client, Ok(grant)));
                    }
                    continue;
                }
                self.events.push_back(event);
            }
            while let Some(datagram) = self.endpoint.poll_datagram() {
                self.datagrams.push_back(datagram);
            }
            while let Some(conn) = self.endpoint.poll_ready() {
                quiet = false;
                self.service(conn);
            }
            let conns: Vec<_> = self.clients.keys().copied().collect();
            for conn in conns {
                quiet &= !self.service(conn);
            }
            if quiet && self.endpoint.poll_timeout().is_none_or(|at| at > self.now) {
                return;
            }
        }
    }

    /// Does something at the endpoint's end, and takes the time.
    fn timed<T>(&mut self, does: impl FnOnce(&mut Endpoint) -> T) -> T {
        let begin = Instant::now();
        let result = does(&mut self.endpoint);
        self.spent += begin.elapsed();
        result
    }

    /// Addresses by the client's number.
    pub fn grant(&self, client: ClientId) -> Grant {
        let number = client.number();
        Grant {
            ipv4: Some(([10, 99, 0, number as u8].into(), 24)),
            ipv6: Some((format!("2001:db8:99::{number:x}").parse().unwrap(), 64)),
            tunnel: Arc::new(self.tunnel.clone()),
        }
    }

    /// Moves bytes between both ends; whether there were any.
    fn service(&mut self, conn: ConnId) -> bool {
        let Some(client) = self.clients.get_mut(&conn) else { return false };
        let mut moved = false;
        if client.reads && client.failed.is_none() {
            let output = self.endpoint.output(conn);
            let len = output.len().min(self.piece);
            if len > 0 {
                let output = output[..len].to_vec();
                client.read(&output);
                self.endpoint.handle_sent(conn, len);
                moved = true;
            }
        }
        let client = self.clients.get_mut(&conn).expect("it is there");
        while client.tls.wants_write() {
            client.tls.write_tls(&mut client.unsent).unwrap();
        }
        let len = client.unsent.len().min(self.piece);
        let packets = &mut self.packets;
        let mut sink = |id, packet: &[u8]| packets.push((id, packet.to_vec()));
        let begin = Instant::now();
        let taken = self.endpoint.handle_stream(self.now, conn, &client.unsent[..len], &mut sink);
        self.spent += begin.elapsed();
        client.unsent.drain(..taken);
        if self.endpoint.is_finished(conn)
            && !client.closed
            && self.endpoint.output(conn).is_empty()
        {
            client.closed = true;
            moved = true;
        }
        moved || taken > 0
    }

    pub fn client(&mut self, conn: ConnId) -> &mut Client {
        self.clients.get_mut(&conn).expect("a client of ours")
    }

    /// Says something and takes what is answered.
    pub fn ask(&mut self, conn: ConnId, text: &str) -> String {
        let client = self.client(conn);
        client.text.clear();
        client.tls.writer().write_all(text.as_bytes()).unwrap();
        self.run();
        String::from_utf8(std::mem::take(&mut self.client(conn).text)).unwrap()
    }

    pub fn post(&mut self, conn: ConnId, path: &str, body: &str) -> String {
        self.ask(
            conn,
            &format!(
                "POST {path} HTTP/1.1\r\nHost: gw.test\r\nUser-Agent: Test v1\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
    }

    pub fn init(&mut self, conn: ConnId, more: &str) -> String {
        self.post(
            conn,
            "/",
            &format!("<config-auth client=\"vpn\" type=\"init\">{more}</config-auth>"),
        )
    }

    pub fn reply(&mut self, conn: ConnId, user: &str, password: &str, more: &str) -> String {
        let body = format!(
            "<config-auth client=\"vpn\" type=\"auth-reply\"><auth><username>{user}</username>\
             <password>{password}</password></auth>{more}</config-auth>"
        );
        self.post(conn, "/auth", &body)
    }

    /// The cookie of somebody who logs in.
    pub fn log_in(&mut self, conn: ConnId, user: &str) -> String {
        let answer = self.reply(conn, user, "secret1", "");
        cookie_of(&answer).unwrap_or_else(|| panic!("no cookie in\n{answer}"))
    }

    pub fn tunnel(&mut self, conn: ConnId, cookie: &str, more: &str) -> String {
        self.ask(
            conn,
            &format!(
                "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: gw.test\r\nUser-Agent: Test v1\r\n\
                 Cookie: webvpn={cookie}\r\nX-CSTP-Version: 1\r\nX-CSTP-Base-MTU: 1500\r\n\
                 X-CSTP-Hostname: laptop\r\nX-CSTP-Address-Type: IPv6,IPv4\r\n\
                 X-CSTP-Full-IPv6-Capability: true\r\n{more}\r\n"
            ),
        )
    }

    /// A client with a tunnel by CSTP: its connection, cookie and number.
    pub fn established(&mut self, user: &str) -> (ConnId, String, ClientId) {
        let conn = self.connect(HOME);
        let cookie = self.log_in(conn, user);
        let answer = self.tunnel(conn, &cookie, "");
        assert!(answer.starts_with("HTTP/1.1 200 CONNECTED\r\n"), "{answer}");
        (conn, cookie, self.wanted.last().expect("it asked").client)
    }

    pub fn send(&mut self, conn: ConnId, kind: Kind, payload: &[u8]) {
        let frame = [&kind.header(payload.len())[..], payload].concat();
        self.client(conn).tls.writer().write_all(&frame).unwrap();
        self.run();
    }

    /// Frames that came to a client.
    pub fn frames(&mut self, conn: ConnId) -> Vec<(Kind, Vec<u8>)> {
        let text = std::mem::take(&mut self.client(conn).text);
        let mut rest = text.as_slice();
        let mut frames = Vec::new();
        while let Some((frame, len)) = Frame::from_stream(rest).unwrap() {
            frames.push((frame.kind, frame.payload.to_vec()));
            rest = &rest[len..];
        }
        self.client(conn).text = rest.to_vec();
        frames
    }

    /// A packet to a client.
    pub fn packet(
        &mut self,
        client: ClientId,
        packet: &[u8],
    ) -> Result<lockgate_anyconnect::Channel, lockgate_anyconnect::NotSent> {
        self.endpoint.handle_packet(self.now, client, packet)
    }

    /// Lets time pass, doing what is due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.run();
        }
        self.now = end;
        self.run();
    }

    /// Whether the endpoint has closed the connection, and said all.
    pub fn is_closed(&mut self, conn: ConnId) -> bool {
        self.client(conn).closed
    }

    pub fn events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// A datagram of a client.
    pub fn datagram(&mut self, remote: SocketAddr, bytes: &[u8]) -> Result<(), dtls::Ignored> {
        let packets = &mut self.packets;
        let mut sink = |id, packet: &[u8]| packets.push((id, packet.to_vec()));
        let path = Path { local: SERVER.parse().unwrap(), remote };
        let outcome = self.endpoint.handle_datagram(self.now, path, &mut bytes.to_vec(), &mut sink);
        self.run();
        outcome
    }
}

impl Client {
    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if !matches!(self.tls.read_tls(&mut bytes), Ok(1..)) {
                return;
            }
            match self.tls.process_new_packets() {
                Ok(_) => {
                    let _ = self.tls.reader().read_to_end(&mut self.text);
                }
                Err(error) => {
                    self.failed = Some(error);
                    return;
                }
            }
        }
    }
}

#[derive(Debug)]
struct Clock;

impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        Some(rustls_pki_types::UnixTime::since_unix_epoch(NOW))
    }
}

/// The value of `webvpn` that an answer sets.
pub fn cookie_of(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once("Set-Cookie: webvpn=")?;
    rest.split(';').next().map(str::to_owned)
}

/// Bytes of a frame around a payload.
pub const AROUND: usize = HEADER_LEN;
