//! What an engine held to a profile would take, and what profiles there are.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{DirectionView, FindingView, Name, ReasonCount, TupleView};

/// What would be offloaded under a profile. States that pass by themselves (an unresolved neighbour, an
/// open handshake) are left out: the plan is about rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// Name of the profile.
    pub profile: Name,
    /// The device, in a line.
    pub about: Name,
    /// The configuration asked about, as its file is named.
    pub config: String,
    /// Every SA, in the order of the tunnels; the outgoing one first.
    pub sas: Vec<PlanSaView>,
    /// What clients of remote access may have, in the order of the servers.
    #[serde(default)]
    pub associations: Vec<PlanAssociationView>,
    /// Sessions of the running gateway, as many as were asked for.
    pub sessions: Vec<PlanSessionView>,
    /// Everything counted, shown or not.
    pub totals: PlanTotals,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}

/// One SA under a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanSaView {
    /// Tunnel.
    pub tunnel: String,
    /// Line of the configuration.
    pub line: u32,
    /// `out` or `in`.
    pub direction: Name,
    /// Security parameters index, `0x00001001`.
    pub spi: String,
    /// Algorithms.
    pub suite: String,
    /// `tunnel` or `transport`.
    pub mode: Name,
    /// What stands against it, not-eligible and refusals; empty when it would be offloaded.
    pub against: Vec<FindingView>,
    /// What the peer may choose instead, where it is negotiated; not counted.
    pub instead: Vec<PlanSuiteView>,
}

/// The associations of clients of one server in one direction, under a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanAssociationView {
    /// Server.
    pub server: String,
    /// Line of the configuration.
    pub line: u32,
    /// Its address.
    pub address: IpAddr,
    /// `out` to clients, or `in`.
    pub direction: Name,
    /// Version of DTLS.
    pub version: Name,
    /// What protects the records, as the server likes it best.
    pub cipher: Name,
    /// What stands against them; empty when they would be offloaded.
    pub against: Vec<FindingView>,
    /// What a client may choose instead; not counted.
    pub instead: Vec<PlanSuiteView>,
}

/// Algorithms that an SA or an association may have instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanSuiteView {
    /// Algorithms; with `esn` behind them for extended sequence numbers.
    pub suite: String,
    /// What stands against it then.
    pub against: Vec<FindingView>,
}

/// One session under a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanSessionView {
    /// Id.
    pub id: u64,
    /// As the opener sends it, before translation.
    pub original: TupleView,
    /// What stands against its directions; empty when both would be offloaded.
    pub against: Vec<PlanFindingView>,
}

/// What stands against a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanFindingView {
    /// Direction; absent for both.
    pub direction: Option<DirectionView>,
    /// The reason.
    #[serde(flatten)]
    pub finding: FindingView,
}

/// A plan counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanTotals {
    /// SAs.
    pub sas: u64,
    /// SAs that would be offloaded.
    pub sas_offloaded: u64,
    /// SAs that each reason stands against.
    pub sa_reasons: Vec<ReasonCount>,
    /// Rows of associations: one for each direction and address of a server.
    #[serde(default)]
    pub associations: u64,
    /// Those that would be offloaded.
    #[serde(default)]
    pub associations_offloaded: u64,
    /// Those that each reason stands against.
    #[serde(default)]
    pub association_reasons: Vec<ReasonCount>,
    /// Sessions.
    pub sessions: u64,
    /// Sessions that would be offloaded in both directions.
    pub sessions_offloaded: u64,
    /// Sessions that each reason stands against.
    pub session_reasons: Vec<ReasonCount>,
}

impl PlanTotals {
    /// Counts what stands against an SA, each reason once.
    pub fn add_sa(&mut self, against: &[FindingView]) {
        self.sas += 1;
        self.sas_offloaded += u64::from(against.is_empty());
        against.iter().for_each(|finding| count(&mut self.sa_reasons, finding, 1));
    }

    /// Counts what stands against associations, each reason once.
    pub fn add_association(&mut self, against: &[FindingView]) {
        self.associations += 1;
        self.associations_offloaded += u64::from(against.is_empty());
        against.iter().for_each(|finding| count(&mut self.association_reasons, finding, 1));
    }

    /// Counts what stands against a session, each reason once.
    pub fn add_session(&mut self, against: &[PlanFindingView]) {
        self.sessions += 1;
        self.sessions_offloaded += u64::from(against.is_empty());
        for (n, found) in against.iter().enumerate() {
            let same = |other: &PlanFindingView| other.finding.reason.id == found.finding.reason.id;
            if !against.iter().take(n).any(same) {
                count(&mut self.session_reasons, &found.finding, 1);
            }
        }
    }

    /// Adds the totals of another page.
    pub fn add(&mut self, page: &Self) {
        self.sas += page.sas;
        self.sas_offloaded += page.sas_offloaded;
        self.associations += page.associations;
        self.associations_offloaded += page.associations_offloaded;
        self.sessions += page.sessions;
        self.sessions_offloaded += page.sessions_offloaded;
        for (mine, theirs) in [
            (&mut self.sa_reasons, &page.sa_reasons),
            (&mut self.association_reasons, &page.association_reasons),
            (&mut self.session_reasons, &page.session_reasons),
        ] {
            for row in theirs {
                match mine.iter_mut().find(|known| known.reason.id == row.reason.id) {
                    Some(known) => known.count += row.count,
                    None => mine.push(row.clone()),
                }
            }
        }
    }
}

fn count(rows: &mut Vec<ReasonCount>, finding: &FindingView, times: u64) {
    match rows.iter_mut().find(|row| row.reason.id == finding.reason.id) {
        Some(row) => row.count += times,
        None => {
            let reason = finding.reason.clone();
            rows.push(ReasonCount { reason, count: times, delta: None });
        }
    }
}

/// Every profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProfilesView {
    /// The software engine first.
    pub profiles: Vec<ProfileView>,
}

/// One profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProfileView {
    /// Name, as `engine.profile` takes it.
    pub name: Name,
    /// The device, in a line.
    pub about: Name,
    /// Documents its figures are from.
    pub sources: Name,
    /// What it can do: `("sa ciphers", "aes-gcm")`. One order for all profiles.
    pub properties: Vec<(Name, String)>,
}
