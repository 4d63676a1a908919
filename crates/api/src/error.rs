//! Why a request was not answered, with the exit code and HTTP status that go with it.

use serde::{Deserialize, Serialize};

use crate::DiagnosticView;

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "kebab-case")]
pub enum ApiError {
    /// Nothing by that name, id or tuple.
    #[error("{message}")]
    NotFound {
        /// What was not found.
        message: String,
    },
    /// The filter expression is wrong.
    #[error("filter: {message} (column {column})")]
    BadFilter {
        /// What is wrong.
        message: String,
        /// The filter as it came.
        filter: String,
        /// Column in characters, counted from 1.
        column: u32,
        /// What could stand there; empty when nothing is known.
        expected: String,
    },
    /// The request itself is wrong.
    #[error("{message}")]
    BadRequest {
        /// What is wrong.
        message: String,
    },
    /// The configuration is refused; the running one is untouched.
    #[error("configuration refused: {}", one_line(.diagnostics))]
    ConfigRefused {
        /// Everything that is wrong with it.
        diagnostics: Vec<DiagnosticView>,
    },
    /// Something else has to end first.
    #[error("{message}")]
    Busy {
        /// What it is.
        message: String,
    },
    /// Whoever asks may not have that, or nobody may.
    #[error("{message}")]
    Forbidden {
        /// Who may, or what would allow it.
        message: String,
    },
    /// This gateway cannot do that.
    #[error("{message}")]
    Unsupported {
        /// What it cannot do.
        message: String,
    },
    /// It went wrong on the gateway's side.
    #[error("{message}")]
    Failed {
        /// What went wrong.
        message: String,
    },
}

fn one_line(diagnostics: &[DiagnosticView]) -> String {
    let errors = diagnostics.iter().filter(|d| d.severity == "error").count();
    match diagnostics.iter().find(|d| d.severity == "error") {
        Some(first) => {
            let more = if errors > 1 { format!(" and {} more", errors - 1) } else { String::new() };
            format!("line {}: {}{more}", first.line, first.message)
        }
        None => "no reason given".to_owned(),
    }
}

impl ApiError {
    /// A [`ApiError::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::NotFound { message: message.into() }
    }

    /// A [`ApiError::BadRequest`].
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into() }
    }

    /// A [`ApiError::Busy`].
    pub fn busy(message: impl Into<String>) -> Self {
        Self::Busy { message: message.into() }
    }

    /// A [`ApiError::Forbidden`].
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::Forbidden { message: message.into() }
    }

    /// A [`ApiError::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::Unsupported { message: message.into() }
    }

    /// A [`ApiError::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into() }
    }

    /// The exit code of a command that ends with this.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotFound { .. } => ExitCode::NotFound,
            Self::BadFilter { .. } | Self::BadRequest { .. } => ExitCode::Usage,
            Self::ConfigRefused { .. } => ExitCode::ConfigRefused,
            Self::Busy { .. }
            | Self::Forbidden { .. }
            | Self::Unsupported { .. }
            | Self::Failed { .. } => ExitCode::Failed,
        }
    }

    /// The HTTP status of an answer that carries this.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::BadFilter { .. } | Self::BadRequest { .. } => 400,
            Self::ConfigRefused { .. } => 422,
            Self::Busy { .. } => 409,
            Self::Forbidden { .. } => 403,
            Self::Unsupported { .. } => 501,
            Self::Failed { .. } => 500,
        }
    }
}

/// An [`ApiError`] as it goes over the wire: `{"schema":1,"error":"not-found","message":…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// The error.
    #[serde(flatten)]
    pub error: ApiError,
}

impl From<ApiError> for ErrorDocument {
    fn from(error: ApiError) -> Self {
        Self { schema: crate::SCHEMA, error }
    }
}

/// Exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// Failed, with a message that says why.
    Failed = 1,
    /// The command line or a filter is wrong.
    Usage = 2,
    /// Nothing by that name, id or tuple.
    NotFound = 3,
    /// No daemon answers on the socket.
    Unreachable = 4,
    /// The configuration is refused.
    ConfigRefused = 5,
    /// Another gateway already runs on the socket.
    AlreadyRunning = 6,
    /// A capability is missing.
    MissingCapability = 7,
    /// A port could not be opened.
    PortFailed = 8,
}
