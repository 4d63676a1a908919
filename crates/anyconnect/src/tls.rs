//! TLS of the control channel, by `rustls` with `aws-lc-rs`: versions 1.2 and 1.3.
//!
//! Sessions are not resumed: a resumed one would skip the client's certificate, and clients come
//! again only every few hours. The time that certificates are checked against is the owner's. Randomness is
//! drawn from the operating system, as the library has no other way. Once a connection carries a tunnel,
//! [`records`](crate::records) goes on with its keys.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls::{
    ExtractedSecrets, KeyLog, RootCertStore, ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    time_provider::TimeProvider,
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime, pem::PemObject as _,
};
use zeroize::Zeroizing;

/// Label of the exporter that gives the key of DTLS (RFC 5705, RFC 8446 §7.5).
const EXPORTER: &[u8] = b"EXPORTER-openconnect-psk";

/// The key of DTLS, in bytes.
const PSK_LEN: usize = 32;

/// Whether clients show certificates.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    None,
    /// They are asked, and may have none.
    Optional(Authorities),
    /// Without one there is no TLS.
    Required(Authorities),
}

/// Whose certificates of clients are taken.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// What TLS is served with: certificates, key and authorities. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    clock: Arc<Clock>,
    asks: bool,
}

/// Files do not make a TLS server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the file.
    #[error("there is no certificate; a PEM file with -----BEGIN CERTIFICATE----- was expected")]
    NoCertificate,
    /// No private key in the file.
    #[error("there is no private key; a PEM file with -----BEGIN PRIVATE KEY----- was expected")]
    NoKey,
    /// An authority's certificate is none.
    #[error("authority {0} of the file is no certificate that can be used: {1}")]
    Authority(usize, String),
    /// A revocation list is none.
    #[error("the revocation list is damaged: {0}")]
    RevocationList(String),
    /// The library does not take them, as when the key belongs to another certificate.
    #[error("certificate and private key cannot be used: {0}")]
    Refused(String),
}

impl Authorities {
    /// From the certificates of a PEM file, and PEM files of revocation lists. A certificate whose
    /// authority has no list is not revoked.
    pub fn from_pem(certificates: &[u8], revocation_lists: &[&[u8]]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for (i, der) in CertificateDer::pem_slice_iter(certificates).enumerate() {
            let der = der.map_err(|e| TlsError::Authority(i + 1, e.to_string()))?;
            roots.add(der).map_err(|e| TlsError::Authority(i + 1, e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let lists = revocation_lists
            .iter()
            .flat_map(|pem| CertificateRevocationListDer::pem_slice_iter(pem));
        let revoked = lists.collect::<Result<_, _>>();
        let revoked = revoked.map_err(|e| TlsError::RevocationList(e.to_string()))?;
        Ok(Self { roots: Arc::new(roots), revoked })
    }
}

impl Tls {
    /// From PEM files: our certificate with those that lead to its authority, and its private key.
    /// `key_log` is told the secrets of every connection.
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        clients: ClientCertificates,
        key_log: Option<Arc<dyn KeyLog>>,
    ) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let refused = |error: rustls::Error| TlsError::Refused(error.to_string());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clock = Arc::new(Clock::default());
        let builder = ServerConfig::builder_with_details(provider.clone(), clock.clone())
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let asks = !matches!(clients, ClientCertificates::None);
        let verifier = |authorities: Authorities, required: bool| {
            let builder =
                WebPkiClientVerifier::builder_with_provider(authorities.roots, provider.clone())
                    .with_crls(authorities.revoked)
                    .allow_unknown_revocation_status();
            let builder = if required { builder } else { builder.allow_unauthenticated() };
            builder.build().map_err(|error| TlsError::RevocationList(error.to_string()))
        };
        let builder = match clients {
            ClientCertificates::None => builder.with_no_client_auth(),
            ClientCertificates::Optional(authorities) => {
                builder.with_client_cert_verifier(verifier(authorities, false)?)
            }
            ClientCertificates::Required(authorities) => {
                builder.with_client_cert_verifier(verifier(authorities, true)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(refused)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.enable_secret_extraction = true;
        if let Some(key_log) = key_log {
            config.key_log = key_log;
        }
        Ok(Self { config: Arc::new(config), clock, asks })
    }

    /// Whether clients are asked for certificates.
    pub fn asks_for_certificates(&self) -> bool {
        self.asks
    }

    /// A connection that begins. `None` if the library would not begin it.
    pub(crate) fn accept(&self) -> Option<Box<Connection>> {
        let traffic =
            Arc::new(Traffic { secrets: Default::default(), log: self.config.key_log.clone() });
        let mut config = (*self.config).clone();
        config.key_log = traffic.clone();
        let mut inner = ServerConnection::new(Arc::new(config)).ok()?;
        // what is to be sent is limited where it is made
        inner.set_buffer_limit(None);
        Some(Box::new(Connection { inner, traffic }))
    }

    pub(crate) fn set_time(&self, unix_time: Duration) {
        self.clock.0.store(unix_time.as_secs(), Ordering::Relaxed);
    }
}

/// A connection while the library has it.
pub(crate) struct Connection {
    inner: ServerConnection,
    traffic: Arc<Traffic>,
}

impl Connection {
    /// Takes in a whole record: the library keeps nothing of it then but what it decrypted, so that
    /// somebody else can read the next one.
    pub(crate) fn read_record(&mut self, mut record: &[u8]) -> Result<rustls::IoState, String> {
        loop {
            match self.inner.read_tls(&mut record) {
                Ok(0) => return Err("the record is too long".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
            let state = self.inner.process_new_packets().map_err(|error| error.to_string())?;
            if record.is_empty() {
                return Ok(state);
            }
        }
    }

    /// What goes on with it needs: sequence numbers and keys, and in TLS 1.3 the secrets of client and
    /// server that the next keys come from. `None` while it has something to say, or no keys.
    pub(crate) fn into_secrets(self) -> Option<(ExtractedSecrets, [Option<TrafficSecret>; 2])> {
        let secrets = self.inner.dangerous_extract_secrets().ok()?;
        let next = [0, 1].map(|i| self.traffic.secrets[i].get().cloned());
        Some((secrets, next))
    }
}

impl Deref for Connection {
    type Target = ServerConnection;

    fn deref(&self) -> &ServerConnection {
        &self.inner
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ServerConnection {
        &mut self.inner
    }
}

/// A secret that keys of one direction come from (RFC 8446 §7.1): as long as the hash of the suite.
#[derive(Clone)]
pub(crate) struct TrafficSecret {
    bytes: Zeroizing<[u8; Self::MAX_LEN]>,
    len: usize,
}

impl TrafficSecret {
    /// As long as SHA-384, in bytes.
    pub(crate) const MAX_LEN: usize = 48;

    /// Longer ones there are none: the rest is cut off.
    pub(crate) fn new(secret: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; Self::MAX_LEN]);
        let len = secret.len().min(Self::MAX_LEN);
        bytes[..len].copy_from_slice(&secret[..len]);
        Self { bytes, len }
    }
}

impl AsRef<[u8]> for TrafficSecret {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Remembers the traffic secrets of one connection, which the library gives to nobody but key logs.
struct Traffic {
    secrets: [OnceLock<TrafficSecret>; 2],
    log: Arc<dyn KeyLog>,
}

impl Traffic {
    const LABELS: [&str; 2] = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"];
}

impl KeyLog for Traffic {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if let Some(i) = Self::LABELS.iter().position(|known| *known == label) {
            self.secrets[i].get_or_init(|| TrafficSecret::new(secret));
        }
        if self.log.will_log(label) {
            self.log.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        Self::LABELS.contains(&label) || self.log.will_log(label)
    }
}

/// Says nothing of the secrets.
impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("asks", &self.asks).finish_non_exhaustive()
    }
}

/// Seconds of Unix time, as the owner says.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

/// The key of DTLS that both ends of a connection know.
pub(crate) fn export_psk(connection: &ServerConnection) -> Option<Zeroizing<[u8; PSK_LEN]>> {
    let mut key = Zeroizing::new([0; PSK_LEN]);
    connection.export_keying_material(&mut key[..], EXPORTER, None).ok()?;
    Some(key)
}

/// Version and suite, as people call them.
pub(crate) fn describe(connection: &ServerConnection) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS",
    };
    match connection.negotiated_cipher_suite() {
        Some(suite) => format!("{version} {:?}", suite.suite()),
        None => version.to_owned(),
    }
}

/// Bytes that a record of this connection has beside its text: header, nonce, content type, tag
/// (RFC 8446 §5.2, RFC 5288 §3, RFC 7905 §2).
pub(crate) fn record_overhead(connection: &ServerConnection) -> u16 {
    match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => 5 + 1 + 16,
        _ => 5 + 8 + 16,
    }
}

/// Moves what TLS has to say.
pub(crate) fn take_output(connection: &mut ServerConnection, output: &mut Vec<u8>) {
    while connection.wants_write() {
        match connection.write_tls(output) {
            Ok(1..) => {}
            // a vector takes everything
            Ok(0) | Err(_) => break,
        }
    }
}
