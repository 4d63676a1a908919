//! Why the daemon did not start, or ended.

use std::{io, path::PathBuf};

use api::{ApiError, DiagnosticView, ExitCode};

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file cannot be read.
    #[error("{}: {source}", path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The configuration is refused.
    #[error("{}", ApiError::ConfigRefused { diagnostics: diagnostics.clone() })]
    ConfigRefused {
        /// Everything that is wrong with it.
        diagnostics: Vec<DiagnosticView>,
    },
    /// Another gateway holds the lock beside the socket.
    #[error("a gateway already runs on {}{}", socket.display(), pid.map(|p| format!(" (process {p})")).unwrap_or_default())]
    AlreadyRunning {
        /// The socket.
        socket: PathBuf,
        /// Its process, as far as the lock file tells.
        pid: Option<u32>,
    },
    /// The process lacks a capability that a port needs.
    #[error("missing {capability}, which port {port} needs")]
    MissingCapability {
        /// The capability.
        capability: &'static str,
        /// The first port that needs it.
        port: String,
    },
    /// A port could not be opened.
    #[error("{0}")]
    Port(crate::OpenError),
    /// The control socket could not be made.
    #[error("control socket {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The metrics listener could not be made.
    #[error("metrics on {address}: {source}")]
    Metrics {
        /// Its address.
        address: std::net::SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// The system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The forwarding thread ended by itself.
    #[error("the forwarding thread ended unexpectedly")]
    ForwardingEnded,
}

impl From<crate::OpenError> for StartError {
    fn from(error: crate::OpenError) -> Self {
        match (error.capability, &error.port) {
            (Some(capability), Some(port)) => {
                Self::MissingCapability { capability, port: port.clone() }
            }
            _ => Self::Port(error),
        }
    }
}

impl StartError {
    /// What to run next.
    pub fn remedy(&self) -> String {
        match self {
            Self::ConfigUnreadable { .. } => {
                "name the file with `lockgate run --config FILE`".into()
            }
            Self::ConfigRefused { .. } => "mend the lines above, then `lockgate check FILE`".into(),
            Self::AlreadyRunning { socket, .. } => format!(
                "talk to it with `lockgate --socket {} show system`, or give this one another --socket",
                socket.display()
            ),
            Self::MissingCapability { .. } => {
                "run it as root, by packaging/lockgate.service, or after \
                 `setcap cap_net_raw,cap_net_admin+ep $(command -v lockgate)` \
                 (with cap_bpf where a port is of kind `xdp`)"
                    .into()
            }
            Self::Port(_) => {
                "look at the device with `ip link`, and at the port with `lockgate check`".into()
            }
            Self::Socket { .. } => "name a directory this user may write to with --socket".into(),
            Self::Metrics { .. } => "give `control.metrics` a free address".into(),
            Self::System { .. } | Self::ForwardingEnded => "the log above says more".into(),
        }
    }

    /// The exit code of a process that ends with this.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::ConfigUnreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ExitCode::NotFound
            }
            Self::ConfigRefused { .. } => ExitCode::ConfigRefused,
            Self::AlreadyRunning { .. } => ExitCode::AlreadyRunning,
            Self::MissingCapability { .. } => ExitCode::MissingCapability,
            Self::Port(_) => ExitCode::PortFailed,
            Self::ConfigUnreadable { .. }
            | Self::Socket { .. }
            | Self::Metrics { .. }
            | Self::System { .. }
            | Self::ForwardingEnded => ExitCode::Failed,
        }
    }
}
