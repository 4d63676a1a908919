//! The export of keys, for somebody who looks for a fault with another program.
//!
//! Who may ask is for the daemon to judge; here it is written down that somebody did.

use api::{ApiError, ExportKeys, KeyFormat, KeyTable, KeysOf};
use offload::Direction;
use wire::Time;
use zeroize::Zeroizing;

use super::tunnels::parameters;
use crate::{
    Gateway,
    events::EventKind,
    tunnel::{Child, OUT},
};

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
        let pick = request.pick.as_deref();
        let table = match request.of {
            KeysOf::Esp => self.esp_keys(pick)?,
            KeysOf::Ike => self.ike_keys(pick)?,
        };
        let what = match table.exported.as_slice() {
            [] => "none".to_owned(),
            exported => exported.join(", "),
        };
        self.events.push(now, EventKind::KeysExported, format!("{who} has exported keys: {what}"));
        Ok(table)
    }

    fn esp_keys(&self, pick: Option<&str>) -> Result<KeyTable, ApiError> {
        let sas = self.picked_sas(pick)?;
        if sas.is_empty() {
            return Err(ApiError::not_found("there is no SA"));
        }
        let row = |(_, child, direction): (_, &Child, Direction)| {
            let sa = parameters(child, direction);
            let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0));
            let name = tunnel.map_or("?", |tunnel| tunnel.name.as_str());
            let way = if direction == OUT { "out" } else { "in" };
            let mut words = format!("{name} {way} {:#010x} {}", sa.spi, sa.suite);
            let row = esp::wireshark_row(sa);
            if row.is_some() && sa.esn {
                words.push_str(" (ESN: Wireshark decrypts, but takes every ICV for bad)");
            }
            (words, row)
        };
        Ok(table(sas.into_iter().map(row)))
    }

    fn ike_keys(&self, pick: Option<&str>) -> Result<KeyTable, ApiError> {
        let picked = |name: &&String| pick.is_none_or(|pick| **name == pick);
        let names = self.config.peers.iter().map(|peer| &peer.name).filter(picked);
        let sas = names.flat_map(|name| {
            let sas = self.ike.standing(name).into_iter().flat_map(|standing| standing.sas.iter());
            sas.map(move |(id, up, _)| (name, id, up))
        });
        let rows: Vec<_> = sas
            .map(|(name, id, up)| {
                let words =
                    format!("{name} {:#018x} {:#018x} {}", up.spis[0], up.spis[1], up.algorithms);
                (words, self.ike.wireshark_row(id))
            })
            .collect();
        match rows.is_empty() {
            true => Err(ApiError::not_found("there is no IKE SA")),
            false => Ok(table(rows.into_iter())),
        }
    }
}

/// A table of rows with words about each; without a row, Wireshark cannot be told.
fn table(sas: impl Iterator<Item = (String, Option<Zeroizing<String>>)>) -> KeyTable {
    let (mut rows, mut exported, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for (words, row) in sas {
        match row {
            Some(row) => {
                rows.push(row);
                exported.push(words);
            }
            None => left_out.push(format!("{words}: Wireshark has no such algorithm")),
        }
    }
    // all of it is reserved before: a text that grew would leave copies behind
    let comments = [(KeyTable::EXPORTED, &exported), (KeyTable::LEFT_OUT, &left_out)];
    let comments = || comments.iter().flat_map(|(head, list)| list.iter().map(move |w| (head, w)));
    let size = comments().map(|(head, words)| head.len() + words.len() + 1).sum::<usize>()
        + rows.iter().map(|row| row.len() + 1).sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(size));
    for (head, words) in comments() {
        text.extend([head, words.as_str(), "\n"]);
    }
    for row in &rows {
        text.extend([row.as_str(), "\n"]);
    }
    KeyTable { text, exported, left_out }
}
