//! Users as views.

use api::{Response, UserView, UsersView};

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
