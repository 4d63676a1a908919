//! The export of keys: the one thing that leaves the process and is no view.
//!
//! It has a path of its own, `POST /v1/export-keys`, and the answer is the file itself, so that keys
//! never stand in a [`crate::Response`], which is cloned, printed and kept by many.

use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportKeys {
    /// For which program.
    pub format: KeyFormat,
    /// Keys of what.
    #[serde(default)]
    pub of: KeysOf,
    /// Only of this tunnel, or with this SPI (`0x…`); of IKE, only with this peer.
    #[serde(default)]
    pub pick: Option<String>,
}

/// Keys of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeysOf {
    /// SAs of ESP.
    #[default]
    Esp,
    /// IKE SAs.
    Ike,
}

/// For which program keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFormat {
    /// Wireshark's tables `esp_sa` and `ikev2_decryption_table`.
    Wireshark,
}

/// Keys as another program reads them. **The text holds them**; it is wiped when dropped.
pub struct KeyTable {
    /// The file. Lines of comment say what is in it and what is left out.
    pub text: Zeroizing<String>,
    /// The SAs in it, in words without keys.
    pub exported: Vec<String>,
    /// The SAs that the program cannot be told, and why.
    pub left_out: Vec<String>,
}

impl KeyTable {
    /// What a line of comment begins with that names an SA in the file.
    pub const EXPORTED: &str = "# exported: ";
    /// What a line of comment begins with that names an SA that is left out.
    pub const LEFT_OUT: &str = "# left out: ";
}

/// Says how many SAs there are, and nothing of their keys.
impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTable({} SAs, {} left out)", self.exported.len(), self.left_out.len())
    }
}
