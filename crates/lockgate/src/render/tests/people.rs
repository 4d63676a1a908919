//! Users, and addresses given to peers, as views.

use api::{AddressPoolView, AddressPoolsView, Response, UserView, UsersView};

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
