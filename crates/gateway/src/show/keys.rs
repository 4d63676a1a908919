//! The export of keys, for somebody who looks for a fault with another program.
//!
//! Who may ask is for the daemon to judge; here it is written down that somebody did.

use api::{ApiError, ExportKeys, KeyFormat, KeyTable};
use wire::Time;
use zeroize::Zeroizing;

use super::tunnels::parameters;
use crate::{Gateway, events::EventKind, tunnel::OUT};

impl Gateway {
    /// The keys of the SAs that are picked, all where none are, as another program reads them. An event
    /// says that `who` has them.
    ///
    /// # Errors
    /// No SA is picked.
    pub fn export_keys(
        &mut self,
        request: &ExportKeys,
        who: &str,
        now: Time,
    ) -> Result<KeyTable, ApiError> {
        let KeyFormat::Wireshark = request.format;
        let sas = self.picked_sas(request.pick.as_deref())?;
        if sas.is_empty() {
            return Err(ApiError::not_found("there is no SA"));
        }
        let (mut rows, mut exported, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (_, child, direction) in sas {
            let sa = parameters(child, direction);
            let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
            let name = tunnel.map_or("?", |tunnel| tunnel.name.as_str());
            let way = if direction == OUT { "out" } else { "in" };
            let mut words = format!("{name} {way} {:#010x} {}", sa.spi, sa.suite);
            match esp::wireshark_row(sa) {
                Some(row) => {
                    if sa.esn {
                        words.push_str(" (ESN: Wireshark decrypts, but takes every ICV for bad)");
                    }
                    rows.push(row);
                    exported.push(words);
                }
                None => left_out.push(format!("{words}: Wireshark has no such algorithm")),
            }
        }
        // all of it is reserved before: a text that grew would leave copies behind
        let comments = [(KeyTable::EXPORTED, &exported), (KeyTable::LEFT_OUT, &left_out)];
        let comments =
            || comments.iter().flat_map(|(head, list)| list.iter().map(move |w| (head, w)));
        let size = comments().map(|(head, words)| head.len() + words.len() + 1).sum::<usize>()
            + rows.iter().map(|row| row.len() + 1).sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(size));
        for (head, words) in comments() {
            text.extend([head, words.as_str(), "\n"]);
        }
        for row in &rows {
            text.extend([row.as_str(), "\n"]);
        }
        let what = if exported.is_empty() { "none".into() } else { exported.join(", ") };
        let event = format!("{who} has exported keys: {what}");
        self.events.push(now, EventKind::KeysExported, event);
        Ok(KeyTable { text, exported, left_out })
    }
}
