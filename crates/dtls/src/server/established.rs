//! An association that stands.

use std::sync::Arc;

use association::KeyMaterial;
use wire::Time;
use zeroize::Zeroizing;

use super::{
    event::{Mode, Path},
    handshake::SLOW_PATH,
};
use crate::{Inbound, Outbound, Suite, message, record::ContentType};

/// An association that stands.
pub(super) struct Association {
    pub(super) path: Path,
    pub(super) session_id: Vec<u8>,
    pub(super) mode: Mode,
    pub(super) suite: Suite,
    pub(super) client_random: [u8; 32],
    pub(super) master: KeyMaterial,
    pub(super) inbound: Arc<Inbound>,
    pub(super) outbound: Arc<Outbound>,
    /// The server's Finished, where it was the last message: sent again when the client's comes again.
    pub(super) finished: Option<Vec<u8>>,
    pub(super) next_clear: u64,
    pub(super) since: Time,
}

impl Association {
    /// The server's last flight in new records, where the server has the last word.
    pub(super) fn last_flight(&mut self, now: Time) -> Option<Vec<u8>> {
        let finished = self.finished.as_ref()?;
        let sealed =
            self.outbound.seal_record(ContentType::Handshake, finished, SLOW_PATH, now).ok()?;
        let mut bytes = message::clear_record(ContentType::ChangeCipherSpec, self.next_clear, &[1]);
        self.next_clear += 1;
        bytes.extend(sealed);
        Some(bytes)
    }

    /// A line of a key log as Wireshark reads it. **It holds the master secret.**
    pub(super) fn key_log_line(&self) -> Zeroizing<String> {
        let random = KeyMaterial::from_bytes(&self.client_random).expose_hex();
        let master = self.master.expose_hex();
        Zeroizing::new(format!("CLIENT_RANDOM {} {}", *random, *master))
    }
}
