//! Remote access for AnyConnect and openconnect clients.

use core::{fmt, net::IpAddr, time::Duration};
use std::path::PathBuf;

use ike::crypto::Secret;
use ipnet::IpNet;

use super::AddressPoolId;

/// A gateway for clients (`[[remote-access]]`). Its clients are behind one interface.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteAccess {
    /// Own addresses that clients connect to; never empty.
    pub addresses: Vec<IpAddr>,
    /// TCP port of TLS, and UDP port of DTLS.
    pub port: u16,
    /// Certificates and keys.
    pub tls: RemoteTls,
    /// How clients prove who they are.
    pub login: Login,
    /// What of a certificate is the user's name.
    pub certificate_user: CertificateUser,
    /// File of users.
    pub users_file: PathBuf,
    /// What is in it; never shown.
    pub users: Secret,
    /// Groups that clients choose from when they log in; nothing to choose without.
    pub groups: Vec<String>,
    /// Where clients' addresses come from, the first that has one.
    pub pools: Vec<AddressPoolId>,
    /// Name servers for clients; those of the pools where there are none.
    pub dns: Vec<IpAddr>,
    /// Domain of names without a dot.
    pub domain: Option<String>,
    /// Domains whose names alone are asked of the name servers; all without.
    pub split_dns: Vec<String>,
    /// Networks that clients reach by the tunnel; all without.
    pub split_include: Vec<IpNet>,
    /// Networks that they do not.
    pub split_exclude: Vec<IpNet>,
    /// What users read when they have logged in.
    pub banner: Option<String>,
    /// What users read when they log in.
    pub message: Option<String>,
    /// How long a client may be silent before it is asked whether it lives.
    pub dpd: Duration,
    /// How often a client says something, so that NATs remember it.
    pub keepalive: Duration,
    /// How long a client may carry no packet.
    pub idle_timeout: Option<Duration>,
    /// How long a client may stay.
    pub session_timeout: Option<Duration>,
    /// After how long a client makes its keys anew.
    pub rekey: Option<Duration>,
    /// How long a login is good for a client that lost its connection.
    pub reconnect_within: Duration,
    /// Whether packets may go by DTLS.
    pub dtls: bool,
    /// Whether an engine may have what goes out to clients.
    pub egress_optimisation: bool,
    /// When guessing is too much.
    pub lockout: FailedLogins,
    /// Clients at most.
    pub clients: u32,
}

/// Certificates and keys of TLS, as their PEM files have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTls {
    /// File of our certificate, and of those that lead to its authority.
    pub certificate_file: PathBuf,
    /// File of its private key.
    pub key_file: PathBuf,
    /// Ours first.
    pub certificate: Vec<u8>,
    /// Its private key; never shown.
    pub key: Secret,
    /// Files of the authorities of clients.
    pub ca_files: Vec<PathBuf>,
    /// All of them.
    pub ca: Vec<u8>,
    /// Files of lists of revoked certificates.
    pub crl_files: Vec<PathBuf>,
    /// All of them.
    pub crl: Vec<Vec<u8>>,
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// A password.
    #[default]
    Password,
    /// A certificate.
    Certificate,
    /// A certificate, or else a password.
    CertificateOrPassword,
    /// Both, of the same user.
    CertificateAndPassword,
}

impl Login {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Password,
        Self::Certificate,
        Self::CertificateOrPassword,
        Self::CertificateAndPassword,
    ];

    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Certificate => "certificate",
            Self::CertificateOrPassword => "certificate-or-password",
            Self::CertificateAndPassword => "certificate-and-password",
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What of a client's certificate is the user's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateUser {
    /// The common name of its subject.
    #[default]
    CommonName,
    /// The user ID of its subject.
    UserId,
    /// The first e-mail address of its alternative names.
    Email,
}

impl CertificateUser {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CommonName, Self::UserId, Self::Email];

    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommonName => "common-name",
            Self::UserId => "user-id",
            Self::Email => "email",
        }
    }
}

impl fmt::Display for CertificateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How many failed logins are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedLogins {
    /// Of a user name.
    pub per_user: u32,
    /// From an address.
    pub per_address: u32,
    /// Within this time.
    pub period: Duration,
    /// How long nobody is let in then.
    pub duration: Duration,
}
