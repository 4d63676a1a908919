//! Users, addresses given to peers, and clients of remote access as views.

use api::{
    AddressPoolView, AddressPoolsView, AssociationView, DemotionView, DtlsDirectionView,
    DtlsExplainView, DtlsExplainsView, DtlsView, FactView, FindingView, HistoryView,
    PlanAssociationView, PlanSuiteView, PlanView, ReasonView, RecordErrors, RecordsView,
    RemedyView, RemoteAccessView, RemoteClientView, RemoteServerView, RemoteTransportView,
    Response, Traffic, UserView, UsersView,
};
use reason::{DemotionReason, NotEligible};

pub fn users() -> Response {
    let alice = UserView {
        user: "alice".into(),
        groups: vec!["admins".into(), "staff".into()],
        address: "10.1.1.5".parse().expect("an address"),
        vr: "default".into(),
        by: "api".into(),
        age_ms: 3_600_000,
        expires_ms: Some(25_200_000),
    };
    let guest = UserView {
        user: "guest@example.com".into(),
        groups: Vec::new(),
        address: "2001:db8:7::9".parse().expect("an address"),
        vr: "guest".into(),
        by: "api".into(),
        age_ms: 800,
        expires_ms: None,
    };
    Response::Users(UsersView { users: vec![alice, guest], total: 2, capacity: 16_384, next: None })
}

pub fn address_pools() -> Response {
    let full = AddressPoolView {
        name: "branches".into(),
        line: 30,
        addresses: vec!["10.9.0.1-10.9.0.2".into()],
        size: 2,
        held: 2,
        remembered: 0,
    };
    let staff = AddressPoolView {
        name: "staff".into(),
        line: 34,
        addresses: vec!["10.9.1.1-10.9.1.254".into(), "2001:db8:9::1-2001:db8:9::ffff".into()],
        size: 65_789,
        held: 40,
        remembered: 7,
    };
    Response::AddressPools(AddressPoolsView { pools: vec![full, staff] })
}

pub fn remote_access() -> Response {
    let server = RemoteServerView {
        name: "office".into(),
        line: 40,
        addresses: vec!["203.0.113.2".parse().expect("an address")],
        port: 443,
        login: "password".into(),
        interface: "office".into(),
        clients: 2,
        capacity: 5_000,
        connections: 3,
        logins: 41,
        logins_failed: 7,
        locked: 1,
        handshakes_failed: 12,
        tunnels: 44,
        associations: 40,
        channel_moves: 9,
    };
    let transport = RemoteTransportView {
        connections: 3,
        half_open: 1,
        evicted: 0,
        refused_of_source: 4,
        refused_full: 0,
        malformed: 2,
        datagrams_ignored: 17,
    };
    let alice = RemoteClientView {
        access: "office".into(),
        id: 12,
        user: "alice".into(),
        group: Some("staff".into()),
        groups: vec!["admins".into(), "staff".into()],
        state: "connected".into(),
        addresses: ["10.9.0.1", "2001:db8:9::1"].map(|ip| ip.parse().expect("an address")).into(),
        remote: "198.51.100.7:41000".into(),
        version: "Open AnyConnect VPN Agent v9.12".into(),
        hostname: "laptop".into(),
        tls: Some("TLS 1.3 AES-256-GCM-SHA384".into()),
        channel: Some("DTLS".into()),
        dtls: Some("PSK-AES256-GCM-SHA384".into()),
        mtu: Some(1400),
        age_ms: 7_200_000,
        connected_ms: Some(7_190_000),
        rekeyed_ms: Some(600_000),
        idle_ms: Some(40),
        expires_ms: None,
        received: Traffic { packets: 120_000, bytes: 90_000_000 },
        sent: Traffic { packets: 240_000, bytes: 310_000_000 },
    };
    let bob = RemoteClientView {
        access: "office".into(),
        id: 15,
        user: "bob".into(),
        groups: vec!["guests".into()],
        state: "away".into(),
        addresses: vec!["10.9.0.2".parse().expect("an address")],
        remote: "198.51.100.9:50100".into(),
        version: "Open AnyConnect VPN Agent v9.01".into(),
        age_ms: 3_600_000,
        connected_ms: Some(3_599_000),
        idle_ms: None,
        expires_ms: Some(240_000),
        ..RemoteClientView::default()
    };
    Response::RemoteAccess(RemoteAccessView {
        servers: vec![server],
        transport,
        clients: vec![alice, bob],
        total: 2,
        next: None,
    })
}

pub fn dtls() -> Response {
    let records = |packets, fast, numbers| RecordsView {
        traffic: Traffic { packets, bytes: packets * 1_000 },
        fast: Traffic { packets: fast, bytes: fast * 1_000 },
        control: 14,
        numbers,
        errors: Vec::new(),
    };
    let inbound = RecordsView {
        errors: vec![RecordErrors { reason: "dtls-replayed".into(), records: 3 }],
        ..records(120_000, 119_000, 120_020)
    };
    let association = AssociationView {
        id: 40,
        access: "office".into(),
        user: "alice".into(),
        local: "203.0.113.2:443".into(),
        remote: "198.51.100.7:41022".into(),
        suite: "PSK-AES256-GCM-SHA384".into(),
        age_ms: 600_000,
        heard_ms: 40,
        inbound,
        outbound: records(240_000, 239_900, 240_015),
    };
    Response::Dtls(DtlsView { associations: vec![association], next: None })
}

/// One whose records the engine opens, but may not seal; one by CSTP; one that is not there.
pub fn explain_dtls() -> Response {
    let Response::RemoteAccess(access) = remote_access() else { panic!("remote access") };
    let Response::Dtls(dtls) = dtls() else { panic!("associations") };
    let [alice, bob] = access.clients.try_into().expect("two clients");
    let association = dtls.associations.into_iter().next().expect("an association");
    let fact = |holds, for_ms| FactView { holds, for_ms: Some(for_ms) };
    let step =
        |at_ms, step: &'static str, reason: Option<&'static str>, evidence: &str| HistoryView {
            at_ms,
            direction: None,
            engine: (step != "created").then(|| "soft".into()),
            step: step.into(),
            reason: reason.map(Into::into),
            evidence: evidence.into(),
        };
    let inbound = DtlsDirectionView {
        direction: "in".into(),
        requested: fact(true, 7_190_000),
        eligible: fact(true, 600_000),
        installed: fact(true, 600_000),
        hitting: fact(true, 598_000),
        against: Vec::new(),
        refusal: None,
        demotion: Some(DemotionView {
            reason: ReasonView::of(DemotionReason::SaRekeyed),
            evidence: String::new(),
            ago_ms: 600_000,
        }),
        records: association.inbound.clone(),
        history: vec![
            step(0, "created", None, ""),
            step(40, "installed", None, ""),
            step(6_600_000, "demoted", Some("sa-rekeyed"), ""),
            step(6_600_000, "installed", None, ""),
            step(6_602_000, "hitting", None, ""),
        ],
        remedies: Vec::new(),
    };
    let off = ReasonView::of(NotEligible::EgressOptimisationOff);
    let outbound = DtlsDirectionView {
        direction: "out".into(),
        eligible: fact(false, 7_190_000),
        installed: fact(false, 7_190_000),
        hitting: fact(false, 7_190_000),
        against: vec![FindingView {
            reason: off.clone(),
            layer: "config".into(),
            evidence: String::new(),
        }],
        demotion: None,
        records: RecordsView { fast: Traffic::default(), ..association.outbound.clone() },
        history: vec![
            step(0, "created", None, ""),
            step(40, "not-eligible", Some("egress-optimisation-off"), ""),
        ],
        remedies: vec![RemedyView {
            reason: off,
            direction: None,
            engine: Some("soft".into()),
            retry_in_ms: None,
            retry: "with every change of the configuration".into(),
        }],
        ..inbound.clone()
    };
    let of = |client, association, directions| DtlsExplainView {
        client,
        association,
        cstp: None,
        engine: "soft".into(),
        profile: "secure-firewall-3100".into(),
        directions,
        history_lost: 0,
    };
    let by_cstp = DtlsExplainView {
        cstp: Some(FindingView {
            reason: ReasonView::of(NotEligible::RemoteAccessNotOffloaded),
            layer: "core".into(),
            evidence: "nothing was heard by DTLS from 198.51.100.7:41022 for 31 s".into(),
        }),
        ..of(
            RemoteClientView {
                user: "carol".into(),
                id: 16,
                channel: Some("CSTP".into()),
                ..alice.clone()
            },
            Some(AssociationView { user: "carol".into(), heard_ms: 31_400, ..association.clone() }),
            Vec::new(),
        )
    };
    let clients = vec![
        of(alice, Some(association), vec![outbound, inbound]),
        by_cstp,
        of(bob, None, Vec::new()),
    ];
    Response::ExplainedDtls(DtlsExplainsView { total: 3, clients, next: None })
}

pub fn plan() -> Response {
    let contexts = || FindingView {
        reason: ReasonView::of(NotEligible::MultiContext),
        layer: "engine".into(),
        evidence: "virtual-routers=2 supported=1".into(),
    };
    let mut view = PlanView {
        profile: "secure-firewall-3100".into(),
        about: "a device".into(),
        config: "lockgate.toml".into(),
        ..PlanView::default()
    };
    for (direction, against) in [("out", vec![contexts()]), ("in", Vec::new())] {
        view.totals.add_association(&against);
        view.associations.push(PlanAssociationView {
            server: "office".into(),
            line: 37,
            address: "203.0.113.2".parse().expect("an address"),
            direction: direction.into(),
            version: "1.2".into(),
            cipher: "AES-256-GCM".into(),
            instead: vec![PlanSuiteView { suite: "AES-128-GCM".into(), against: against.clone() }],
            against,
        });
    }
    Response::Plan(Box::new(view))
}
