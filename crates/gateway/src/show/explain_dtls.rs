//! `explain dtls`: what the packets of a client go by and why, where its association stands at the engine, since
//! when, how that came, and what would help.

use ::anyconnect::{Channel, ClientState, ClientView};
use api::{
    DtlsDirectionView, DtlsExplainView, DtlsExplainsView, FindingView, ReasonView, RecordsView,
};
use offload::Direction;
use reason::NotEligible;
use wire::Time;

use super::{
    at_engine::{AtEngine, remedies},
    remote::{association_view, client_view},
    rows,
};
use crate::{
    Gateway,
    tunnel::{ClientNumber, IN, OUT, Server, served_by_engine},
};

impl Gateway {
    pub(super) fn explain_dtls(
        &self,
        user: Option<&str>,
        limit: Option<u32>,
        cursor: Option<u64>,
        now: Time,
    ) -> DtlsExplainsView {
        let mut view = DtlsExplainsView::default();
        let all = self
            .remote
            .servers()
            .flat_map(|server| server.endpoint.views().map(move |client| (server, client)))
            .filter(|(_, client)| user.is_none_or(|user| *client.user == *user));
        let (from, most) = (cursor.unwrap_or(0), rows(limit) as u64);
        for (n, (server, client)) in (0..).zip(all) {
            view.total += 1;
            if n < from {
                continue;
            }
            if n - from < most {
                view.clients.push(self.explain_client(server, &client, now));
            } else {
                view.next.get_or_insert(n);
            }
        }
        view
    }

    fn explain_client(&self, server: &Server, client: &ClientView, now: Time) -> DtlsExplainView {
        let association =
            client.association.as_ref().map(|of| association_view(server, &client.user, of, now));
        let known = server.clients.get(&client.client);
        let number = known.and_then(|known| known.number);
        let directions = match (number, &association) {
            (Some(number), Some(records)) => [(OUT, &records.outbound), (IN, &records.inbound)]
                .into_iter()
                .filter_map(|(way, records)| {
                    self.explain_direction(number, way, records, client.since, now)
                })
                .collect(),
            (None, _) | (_, None) => Vec::new(),
        };
        DtlsExplainView {
            cstp: cstp(client, now),
            client: client_view(server, client, now),
            association,
            engine: self.engine.name().into(),
            profile: self.config.engine.profile.name().into(),
            directions,
            history_lost: self.clients.ledger().history().forgotten(),
        }
    }

    /// `None` while packets do not go by the association.
    fn explain_direction(
        &self,
        number: ClientNumber,
        way: Direction,
        records: &RecordsView,
        created: Time,
        now: Time,
    ) -> Option<DtlsDirectionView> {
        let client = self.clients.get(number)?;
        let switches = self.client_facts(number, way)?.findings;
        let record = *client.ledger.direction(way);
        let served = served_by_engine(client, way).packets;
        let standing =
            AtEngine::of(self.clients.ledger(), number.0, (way, record), created, served);
        let facts = standing.facts((switches.is_empty(), created.max(self.switched)), now);
        let refusal = standing.refusal(now);
        let against = self.client_findings(number, way);
        Some(DtlsDirectionView {
            direction: if way == OUT { "out" } else { "in" }.into(),
            requested: facts.requested,
            eligible: facts.eligible,
            installed: facts.installed,
            hitting: facts.hitting,
            remedies: remedies(&against, refusal.as_ref(), self.engine.name()),
            against,
            refusal,
            demotion: standing.demotion(now),
            records: records.clone(),
            history: standing.history(self.engine.name()),
        })
    }
}

/// Why the packets of a client that is there go by CSTP, if they do.
fn cstp(client: &ClientView, now: Time) -> Option<FindingView> {
    if client.state != ClientState::Connected || client.channel == Some(Channel::Dtls) {
        return None;
    }
    let evidence = match &client.association {
        None => {
            "no DTLS handshake was finished: the client does not want DTLS, or UDP does not pass"
                .to_owned()
        }
        Some(of) => format!(
            "nothing was heard by DTLS from {} for {} s",
            of.path.remote,
            now.since(of.heard).as_secs()
        ),
    };
    let reason = ReasonView::of(NotEligible::RemoteAccessNotOffloaded);
    Some(FindingView { reason, layer: "core".into(), evidence })
}
