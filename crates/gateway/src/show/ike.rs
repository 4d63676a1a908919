//! IKE as views: peers, what they said, and why a tunnel is up or not. Secrets are not in them.

use api::{
    ApiError, ContentCount, IkeChildView, IkeFailureView, IkeMessageView, IkePeerView, IkeSaView,
    IkeView, TunnelExplainedView,
};
use config::model::{Peer, TunnelId};
use ike::{Failure, IkeId, IkeUp};
use wire::Time;

use super::convert::ago;
use crate::{
    Gateway,
    tunnel::{Failed, Logged, Note, Phase, Standing},
};

impl Gateway {
    pub(super) fn show_ike(
        &self,
        pick: Option<&str>,
        messages: bool,
        now: Time,
    ) -> Result<IkeView, ApiError> {
        let picked = |peer: &&Peer| pick.is_none_or(|pick| peer.name == pick);
        let peers: Vec<_> = self.config.peers.iter().filter(picked).collect();
        pick.map_or(Ok(()), |pick| self.has_peer(pick))?;
        let strangers = self.ike.strangers.iter().rev().filter(|_| pick.is_none());
        Ok(IkeView {
            peers: peers.into_iter().map(|peer| self.ike_peer(peer, messages, now)).collect(),
            strangers: strangers.map(|failed| failure(failed, now)).collect(),
            ignored: self
                .ike
                .ignored
                .iter()
                .filter(|_| pick.is_none())
                .map(|(cause, count)| ContentCount { what: cause.clone().into(), count: *count })
                .collect(),
        })
    }

    pub(super) fn has_peer(&self, name: &str) -> Result<(), ApiError> {
        match self.config.peers.iter().any(|peer| peer.name == name) {
            true => Ok(()),
            false => Err(ApiError::not_found(format!("no IKE peer is `{name}`"))),
        }
    }

    fn ike_peer(&self, peer: &Peer, messages: bool, now: Time) -> IkePeerView {
        let mut view = IkePeerView {
            name: peer.name.clone(),
            line: peer.line.0,
            local: Some(peer.local),
            remote: peer.remote,
            local_id: peer.local_id.to_string(),
            remote_id: peer.remote_id.to_string(),
            auth: peer.auth.to_string(),
            remote_auth: peer.remote_auth.to_string(),
            start: peer.start.to_string().into(),
            ..IkePeerView::default()
        };
        let Some(standing) = self.ike.standing(&peer.name) else { return view };
        view.state = match standing.unanswered() {
            Some(_) => "no-answer",
            None => phase(standing.phase),
        }
        .into();
        view.since_ms = ago(now, standing.since);
        view.retry_ms =
            standing.retry.filter(|_| standing.phase != Phase::Up).map(|at| ago(at, now));
        view.sas = standing.sas.iter().map(|(id, up, at)| self.ike_sa(id, up, at, now)).collect();
        view.failure = standing.trouble().map(|failed| failure(failed, now));
        if messages {
            let records = standing.log.iter().map(|entry| logged(entry, now));
            view.messages = records.collect();
        }
        view
    }

    fn ike_sa(&self, id: IkeId, up: &IkeUp, at: Time, now: Time) -> IkeSaView {
        let children = self.tunnels.children().filter_map(|(number, child)| {
            let negotiated = child.ike().filter(|negotiated| negotiated.ike == id)?;
            let tunnel = self.config.tunnels.get(usize::from(child.tunnel.0))?;
            Some(IkeChildView {
                tunnel: tunnel.name.clone(),
                name: negotiated.name.to_string(),
                spi_in: format!("{:#010x}", child.inbound.parameters().spi),
                spi_out: format!("{:#010x}", child.outbound.parameters().spi),
                suite: child.outbound.parameters().suite.to_string(),
                local: negotiated.local.iter().map(ToString::to_string).collect(),
                remote: negotiated.remote.iter().map(ToString::to_string).collect(),
                sends: self.tunnels.senders(child.tunnel).contains(&number),
                age_ms: ago(now, child.created),
            })
        });
        IkeSaView {
            id: id.number(),
            initiator: up.initiator,
            spis: (format!("{:#018x}", up.spis[0]), format!("{:#018x}", up.spis[1])),
            remote_id: up.remote_identity.to_string(),
            authentication: up.remote_authentication.to_string(),
            algorithms: up.algorithms.to_string(),
            ppk: up.ppk,
            path: up.path.to_string(),
            nat: match (up.local_nat, up.remote_nat) {
                (false, false) => "none",
                (true, false) => "local",
                (false, true) => "remote",
                (true, true) => "both",
            }
            .into(),
            addresses: words(&up.addresses),
            dns: words(&up.dns),
            age_ms: ago(now, at),
            children: children.collect(),
        }
    }

    pub(super) fn explain_tunnel(
        &self,
        name: &str,
        now: Time,
    ) -> Result<TunnelExplainedView, ApiError> {
        let found = self.config.tunnels.iter().position(|tunnel| tunnel.name == name);
        let Some((index, tunnel)) = found.and_then(|i| Some((i, self.config.tunnels.get(i)?)))
        else {
            return Err(ApiError::not_found(format!("no tunnel is `{name}`")));
        };
        let view = self.tunnel_view(TunnelId(index as u16), tunnel, now);
        let peer = tunnel.negotiated().and_then(|negotiated| self.config.peer(negotiated.peer));
        let standing = peer.and_then(|peer| self.ike.standing(&peer.name));
        let (verdict, remedy) = verdict(&view, peer, standing, now);
        Ok(TunnelExplainedView {
            verdict,
            remedy,
            peer: peer.map(|peer| self.ike_peer(peer, false, now)),
            waiting: self.ike.waiting(name) as u64,
            tunnel: view,
        })
    }
}

/// How a tunnel stands, and what to do about it.
fn verdict(
    view: &api::TunnelView,
    peer: Option<&Peer>,
    standing: Option<&Standing>,
    now: Time,
) -> (String, String) {
    let failed = standing.and_then(Standing::trouble);
    let why = |what: &str| match failed {
        Some(failed) => (format!("{what}: {}", failed.failure), remedy(&failed.failure).to_owned()),
        None => (what.to_owned(), String::new()),
    };
    match view.state.as_ref() {
        "up" => ("it carries packets".to_owned(), String::new()),
        "partial" => why("some of its pairs of SAs are missing"),
        "disabled" => (
            "its interface is switched off".to_owned(),
            format!("set `enabled = true` in [[interface]] {}", view.interface),
        ),
        "no-route" => (
            "no route leads to the far end".to_owned(),
            format!(
                "add a [[route]] to {}",
                view.remote.map_or_else(String::new, |ip| ip.to_string())
            ),
        ),
        "negotiating" => why("IKE is negotiating"),
        "no-answer" => why("the peer does not answer, and is asked again"),
        "down" => {
            let retry = standing.and_then(|standing| standing.retry).map(|at| ago(at, now) / 1000);
            match retry {
                Some(seconds) => why(&format!("IKE failed, and tries again in {seconds} s")),
                None => why("IKE failed"),
            }
        }
        "idle" => match peer.map(|peer| peer.start) {
            Some(config::model::Start::Traffic) => {
                ("no packet has asked for it yet".to_owned(), "send one".to_owned())
            }
            Some(config::model::Start::Wait) => (
                "it waits for the peer to begin".to_owned(),
                "begin at the peer, or set `start = \"load\"`".to_owned(),
            ),
            Some(config::model::Start::Load) | None => why("nobody has begun yet"),
        },
        _ => ("its SAs could not be made".to_owned(), "`lockgate events` tells why".to_owned()),
    }
}

/// A message or a failure.
fn logged(entry: &Note, now: Time) -> IkeMessageView {
    let (ike, way, message, path, payloads) = match &entry.what {
        Logged::Message(record) => {
            let kind = if record.is_response { "response" } else { "request" };
            (
                Some(record.ike.number()),
                if record.sent { "sent" } else { "received" },
                format!("{} {kind} {}", record.exchange, record.message_id),
                record.path,
                record.payloads.clone(),
            )
        }
        Logged::Failed(failed) => {
            let remedy = remedy(&failed.failure).to_owned();
            (None, "failed", failed.failure.to_string(), failed.path, vec![remedy])
        }
    };
    IkeMessageView {
        number: entry.number,
        ago_ms: ago(now, entry.at),
        ike,
        path: path.to_string(),
        way: way.into(),
        message,
        payloads,
    }
}

/// The phase in a word.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Negotiating => "negotiating",
        Phase::Up => "up",
        Phase::Down => "down",
    }
}

fn failure(failed: &Failed, now: Time) -> IkeFailureView {
    let (ours, theirs, mismatch) = sides(&failed.failure);
    IkeFailureView {
        text: failed.failure.to_string(),
        remedy: remedy(&failed.failure).to_owned(),
        path: failed.path.to_string(),
        ago_ms: ago(now, failed.at),
        ours,
        theirs,
        mismatch,
    }
}

fn words<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// What each side has, side by side, and the first difference.
fn sides(failure: &Failure) -> (Vec<String>, Vec<String>, Option<String>) {
    match failure {
        Failure::NoProposal(none) => {
            let either = |list: Vec<String>| match list.is_empty() {
                true => "none".to_owned(),
                false => list.join(", "),
            };
            let mismatch = format!(
                "we have {}, the peer has {}",
                either(words(&none.our_transforms)),
                either(words(&none.their_transforms))
            );
            (words(&none.ours), words(&none.theirs), Some(mismatch))
        }
        Failure::ProposalRefused(ours) => (words(ours), Vec::new(), None),
        Failure::NotOffered { chosen } => (Vec::new(), words(chosen), None),
        Failure::Selectors { local, remote, their_local, their_remote } => {
            let pair = |a: &[_], b: &[_]| {
                vec![format!("{} -> {}", words(a).join(", "), words(b).join(", "))]
            };
            (pair(local, remote), pair(their_remote, their_local), None)
        }
        Failure::SelectorsRefused { local, remote } => {
            let pair = format!("{} -> {}", words(local).join(", "), words(remote).join(", "));
            (vec![pair], Vec::new(), None)
        }
        Failure::Mode { ours, theirs } => (vec![ours.to_string()], vec![theirs.to_string()], None),
        Failure::Timeout { .. }
        | Failure::NoConnection
        | Failure::NoPeer { .. }
        | Failure::KeyExchange(_)
        | Failure::KeyExchangeMethod(_)
        | Failure::Authentication { .. }
        | Failure::LocalAuthentication(_)
        | Failure::AuthenticationRefused { .. }
        | Failure::Peer(_)
        | Failure::Protocol(_)
        | Failure::Ppk(_)
        | Failure::NoAddress
        | Failure::NoAddressGiven
        | Failure::Expired => (Vec::new(), Vec::new(), None),
    }
}

/// What to do about a failure.
fn remedy(failure: &Failure) -> &'static str {
    match failure {
        Failure::Timeout { .. } => {
            "Look whether UDP 500 and 4500 pass both ways, and whether the peer runs and knows our address."
        }
        Failure::NoConnection => "Add a [[phase1]] with these addresses, or see who knocks.",
        Failure::NoPeer { .. } => {
            "Make `remote-id` what the peer says it is, and `local-id` what it wants."
        }
        Failure::NoProposal(_) => "Add what the peer has to `proposals`, or the other way round.",
        Failure::ProposalRefused(_) => {
            "Give both ends a proposal in common; the peer's log tells what it has."
        }
        Failure::NotOffered { .. } | Failure::Protocol(_) => {
            "The peer breaks RFC 7296; report it there."
        }
        Failure::KeyExchange(_) => "The peer's public value is not valid; report it there.",
        Failure::KeyExchangeMethod(_) => "Add the peer's key exchange to `proposals`.",
        Failure::Selectors { .. } | Failure::SelectorsRefused { .. } => {
            "Make the selectors of both ends meet: our `local` is the peer's `remote`."
        }
        Failure::Mode { .. } => "Set the same `mode` at both ends.",
        Failure::Authentication { .. } => {
            "Compare the pre-shared keys or certificates and the identities of both ends."
        }
        Failure::LocalAuthentication(_) => "Look at our own key or certificate in [[phase1]].",
        Failure::AuthenticationRefused { .. } => {
            "Compare the pre-shared keys, or see whether the peer knows the authority of our certificate; make `local-id` what it expects."
        }
        Failure::Peer(_) => "The peer's log tells more.",
        Failure::Ppk(_) => "Give both ends the same postquantum preshared key.",
        Failure::NoAddress => "Make the [[address-pool]] larger, at the end that gives.",
        Failure::NoAddressGiven => {
            "Configure addresses for us at the peer, or leave `request-address` out."
        }
        Failure::Expired => "The peer began and did not go on; its log tells why.",
    }
}
