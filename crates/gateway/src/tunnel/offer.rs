//! How the offer of SAs to the engine stands, in words, for traces.

use offload::{Direction, ledger::State};

use super::{ChildId, ClientNumber, IN, OUT};
use crate::Gateway;

impl Gateway {
    /// How both SAs of a pair stand, each by itself:
    /// `soft: out 0x00002001 not offered (cipher-unsupported), in 0x00001001 installed`.
    pub(crate) fn offers(&self, id: ChildId) -> String {
        let Some(child) = self.tunnels.child(id) else { return String::new() };
        let side = |way: Direction| {
            let (word, parameters) = match way {
                OUT => ("out", child.outbound.parameters()),
                IN => ("in", child.inbound.parameters()),
            };
            let stands = stands(child.ledger.direction(way).state());
            format!("{word} {:#010x} {stands}", parameters.spi)
        };
        format!("{}: {}, {}", self.engine.name(), side(OUT), side(IN))
    }
    /// The same of the association of a client: `soft: out installed, in installed`.
    pub(crate) fn client_offers(&self, number: ClientNumber) -> String {
        let Some(client) = self.clients.get(number) else { return String::new() };
        let side = |way: Direction| stands(client.ledger.direction(way).state());
        format!("{}: out {}, in {}", self.engine.name(), side(OUT), side(IN))
    }
}

fn stands(state: State) -> String {
    match state {
        State::NotEvaluated => "not offered yet".to_owned(),
        State::Eligible => "eligible".to_owned(),
        State::NotEligible(against) => format!("not offered ({against})"),
        State::Refused(reason) => format!("refused ({reason})"),
        State::Installed(_) | State::Hitting(_) => "installed".to_owned(),
        State::Retiring(_, reason) => format!("leaving ({reason})"),
    }
}
