//! IKE peers made by hand: one that is up, one whose algorithms do not meet, and a tunnel of the latter.

use api::*;

fn up() -> IkePeerView {
    let child = |sends: bool, spi_in: &str, spi_out: &str| IkeChildView {
        tunnel: "to-paris".into(),
        name: "offices".into(),
        spi_in: spi_in.into(),
        spi_out: spi_out.into(),
        suite: "aes256gcm16".into(),
        local: vec!["10.1.0.0/16".into()],
        remote: vec!["10.2.0.0/16".into(), "10.3.0.0/16".into()],
        sends,
        age_ms: 62_000,
    };
    IkePeerView {
        name: "paris".into(),
        line: 40,
        local: Some([192, 0, 2, 1].into()),
        remote: Some([198, 51, 100, 7].into()),
        local_id: "gw.example".into(),
        remote_id: "*.paris.example".into(),
        auth: "certificate CN=site-1, serial 0a, until 2027-01-01T00:00:00Z".into(),
        remote_auth: "certificate by CN=Example CA".into(),
        start: "load".into(),
        state: "up".into(),
        since_ms: 3_700_000,
        sas: vec![IkeSaView {
            id: 3,
            initiator: true,
            spis: ("0x491718de357e3da8".into(), "0xae84379630af89ee".into()),
            remote_id: "gw.paris.example".into(),
            authentication: "certificate CN=gw.paris.example, ECDSA with SHA-256".into(),
            algorithms: "aes256gcm16-prfsha384-x25519".into(),
            ppk: false,
            path: "192.0.2.1:4500 -> 198.51.100.7:61000".into(),
            nat: "remote".into(),
            addresses: vec!["10.9.0.5".into(), "2001:db8:9::5".into()],
            dns: vec!["10.2.0.53".into()],
            age_ms: 3_700_000,
            children: vec![
                child(false, "0xcb331645", "0xcf6c67e8"),
                child(true, "0xcb331646", "0xcf6c67e9"),
            ],
        }],
        messages: vec![IkeMessageView {
            number: 7,
            ike: Some(3),
            path: "192.0.2.1:4500 -> 198.51.100.7:61000".into(),
            ago_ms: 1_500,
            way: "received".into(),
            message: "INFORMATIONAL request 4".into(),
            payloads: vec!["D ESP 0xcb331645".into()],
        }],
        ..IkePeerView::default()
    }
}

fn down() -> IkePeerView {
    IkePeerView {
        name: "oslo".into(),
        line: 52,
        local: Some([192, 0, 2, 1].into()),
        remote: None,
        local_id: "192.0.2.1".into(),
        remote_id: "*".into(),
        auth: "psk".into(),
        remote_auth: "psk".into(),
        start: "wait".into(),
        state: "down".into(),
        since_ms: 5_000,
        retry_ms: Some(10_000),
        failure: Some(IkeFailureView {
            text: "key exchange method: ours x25519, theirs ecp256".into(),
            remedy: "Add what the peer has to `proposals`, or the other way round.".into(),
            path: "192.0.2.1:500 -> 203.0.113.9:500".into(),
            ago_ms: 5_000,
            ours: vec!["IKE aes256gcm16-prfsha384-x25519".into()],
            theirs: vec![
                "IKE aes256gcm16-prfsha384-ecp256".into(),
                "IKE aes256-sha256-prfsha256-ecp256".into(),
            ],
            mismatch: Some("we have x25519, the peer has ecp256".into()),
        }),
        ..IkePeerView::default()
    }
}

pub fn ike() -> Response {
    let stranger = IkeFailureView {
        text: "no connection is for this pair of addresses".into(),
        remedy: "Add a [[phase1]] with these addresses, or see who knocks.".into(),
        path: "192.0.2.1:500 -> 203.0.113.66:500".into(),
        ago_ms: 90_000,
        ..IkeFailureView::default()
    };
    let malformed = ContentCount { what: "no IKE SA has the SPI".into(), count: 12 };
    Response::Ike(IkeView {
        peers: vec![up(), down()],
        strangers: vec![stranger],
        ignored: vec![malformed],
    })
}

pub fn explain_tunnel() -> Response {
    let Response::Tunnels(TunnelsView { mut tunnels, .. }) = super::tunnels::tunnels() else {
        panic!("not tunnels");
    };
    let tunnel = tunnels.pop().expect("the last is down");
    Response::TunnelExplained(Box::new(TunnelExplainedView {
        verdict: "IKE failed, and tries again in 10 s: no proposal in common".into(),
        remedy: "Add what the peer has to `proposals`, or the other way round.".into(),
        peer: Some(down()),
        waiting: 3,
        tunnel,
    }))
}
