//! Policies that ask who sends: users come and go, and what that does to their sessions.

use core::{net::IpAddr, time::Duration};

use api::{LookupKey, PolicyLookupView, Request, Response, UserView, UsersView};
use lockgate_testkit::{
    office::ip,
    rig::{Rig, out_tuple},
};
use wire::{Tuple, proto};

/// Staff may all, alice may DNS, and everybody may port 123.
const PEOPLE: &str = r#"
[[policy]]
id = 1
name = "staff"
from = "inside"
to = "outside"
groups = ["staff", "admins"]
action = "allow"

[[policy]]
id = 2
name = "alice"
from = "inside"
to = "outside"
users = "alice"
service = "udp/53"
action = "allow"

[[policy]]
id = 3
name = "time"
from = "inside"
to = "outside"
service = "udp/123"
action = "allow"
"#;

fn users(rig: &mut Rig, request: Request) -> UsersView {
    match rig.net.answered(rig.gateway, request) {
        Response::Users(view) => view,
        other => panic!("not users: {other:?}"),
    }
}

fn login(rig: &mut Rig, user: &str, groups: &[&str], seconds: Option<u32>) -> UserView {
    let request = Request::UserLogin {
        address: ip("10.1.0.5"),
        vr: None,
        user: user.into(),
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        seconds,
    };
    let view = users(rig, request).users.remove(0);
    rig.settle();
    view
}

fn logout(rig: &mut Rig, address: IpAddr) {
    users(rig, Request::UserLogout { address, vr: None });
    rig.settle();
}

fn lookup(rig: &mut Rig, flow: Tuple) -> PolicyLookupView {
    let Tuple { src, dst, src_port, dst_port, proto } = flow;
    let key = LookupKey { interface: None, vr: None, src, dst, proto, src_port, dst_port };
    match rig.net.answered(rig.gateway, Request::PolicyLookup(key)) {
        Response::PolicyLookup(view) => *view,
        other => panic!("not a lookup: {other:?}"),
    }
}

fn passes(rig: &mut Rig, flow: Tuple) -> bool {
    rig.send("lan0", &rig.packet("lan0", flow).payload(b"x"));
    let passed = !rig.take("wan0").is_empty();
    if passed {
        rig.send("wan0", &rig.packet("wan0", flow.reversed()).payload(b"y"));
        rig.one("lan0");
    }
    passed
}

fn events(rig: &mut Rig, kind: &str) -> Vec<String> {
    let request = Request::Events { filter: None, since: None, limit: None };
    match rig.net.answered(rig.gateway, request) {
        Response::Events(view) => {
            view.events.into_iter().filter(|e| e.event == kind).map(|e| e.message).collect()
        }
        other => panic!("not events: {other:?}"),
    }
}

#[test]
fn a_policy_for_a_group_lets_its_members_pass_and_only_as_long_as_they_are_there() {
    let mut rig = Rig::new("users-group", PEOPLE);
    let flow = out_tuple(proto::UDP, 4000, 5000, false);
    let time = out_tuple(proto::UDP, 4000, 123, false);

    rig.banner("nobody is known");
    assert!(!passes(&mut rig, flow));
    assert!(passes(&mut rig, time));
    let answer = lookup(&mut rig, flow);
    assert_eq!((answer.policy, answer.user), (None, None));
    assert_eq!(answer.near_misses[0].rule.name, "staff");
    assert_eq!(answer.near_misses[0].failed, ["user"]);

    rig.banner("bob of staff comes");
    login(&mut rig, "bob", &["staff", "lunch"], None);
    assert!((0..3).all(|_| passes(&mut rig, flow)));
    assert_eq!(rig.snapshot().get("engine.flows"), 2, "both directions are promoted");
    let session = rig.net.sessions(rig.gateway, "user bob and group lunch and port 5000").remove(0);
    assert_eq!((session.user.as_deref(), session.policy.id), (Some("bob"), Some(1)));
    assert_eq!(session.groups, ["lunch", "staff"]);
    assert!(rig.net.sessions(rig.gateway, "user alice or group admins").is_empty());
    let answer = lookup(&mut rig, flow);
    assert_eq!(answer.user.as_deref(), Some("bob (lunch, staff)"));
    assert_eq!(answer.policy.map(|policy| policy.name).as_deref(), Some("staff"));

    rig.banner("he is told of again, in other groups: asked again, and stays");
    login(&mut rig, "bob", &["admins"], None);
    assert_eq!(rig.snapshot().get("demoted.user-changed"), 2);
    assert_eq!(rig.net.sessions(rig.gateway, "user bob").len(), 2);
    assert!((0..3).all(|_| passes(&mut rig, flow)));
    assert_eq!(rig.snapshot().get("engine.flows"), 2);

    rig.banner("and in none that may");
    login(&mut rig, "bob", &["lunch"], None);
    assert!(rig.net.sessions(rig.gateway, "port 5000").is_empty());
    assert!(!passes(&mut rig, flow));
    assert_eq!(rig.net.sessions(rig.gateway, "user bob and port 123").len(), 1, "anybody may");
}

#[test]
fn the_sessions_of_a_user_end_with_the_user_and_are_not_the_next_ones() {
    let mut rig = Rig::new("users-next", PEOPLE);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    let time = out_tuple(proto::UDP, 4000, 123, false);
    let other = Tuple { src: ip("10.1.0.6"), ..time };
    assert!(passes(&mut rig, time) && passes(&mut rig, other));
    login(&mut rig, "alice", &["staff"], None);
    assert!(passes(&mut rig, flow));
    assert_eq!(rig.net.sessions(rig.gateway, "user alice").len(), 2, "the one before too");

    rig.banner("bob sits down at the same address");
    login(&mut rig, "bob", &["staff"], None);
    assert!(rig.net.sessions(rig.gateway, "src 10.1.0.5").is_empty());
    assert_eq!(rig.net.sessions(rig.gateway, "src 10.1.0.6").len(), 1, "nobody else is touched");
    assert!(passes(&mut rig, flow), "a session of his own");
    assert_eq!(rig.net.sessions(rig.gateway, "user bob").len(), 1);

    rig.banner("he goes");
    logout(&mut rig, ip("10.1.0.5"));
    assert!(rig.net.sessions(rig.gateway, "src 10.1.0.5").is_empty());
    assert!(!passes(&mut rig, flow));
    let again = Request::UserLogout { address: ip("10.1.0.5"), vr: None };
    assert!(rig.net.ask(rig.gateway, again).is_err());
    let came = ["alice (staff) at 10.1.0.5 by api", "bob (staff) at 10.1.0.5 by api"];
    assert_eq!(events(&mut rig, "user-login"), came);
    let went =
        ["alice (staff) at 10.1.0.5 by api, another user came", "bob (staff) at 10.1.0.5 by api"];
    assert_eq!(events(&mut rig, "user-logout"), went);
}

#[test]
fn a_packet_that_is_ahead_of_the_sweep_hears_that_its_user_is_gone() {
    let mut rig = Rig::new("users-ahead", PEOPLE);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    login(&mut rig, "alice", &[], None);
    assert!(passes(&mut rig, flow));
    rig.queue("lan0", &rig.packet("lan0", flow).payload(b"x"));
    users(&mut rig, Request::UserLogout { address: ip("10.1.0.5"), vr: None });
    rig.settle();
    rig.expect_silence();
    let after = rig.snapshot();
    let gone = after.get("drop.user-gone") + after.get("drop.implicit-deny");
    assert_eq!((gone, after.get("session.ended")), (1, 1), "{after}");
}

#[test]
fn a_login_ends_by_itself_unless_it_is_said_again() {
    let mut rig = Rig::new("users-time", PEOPLE);
    let flow = out_tuple(proto::UDP, 4000, 53, false);
    // a gateway that nobody sends anything looks at the clock when it is woken
    let time = out_tuple(proto::UDP, 4000, 123, false);
    assert_eq!(login(&mut rig, "alice", &[], Some(10)).expires_ms, Some(10_000));
    rig.wait(Duration::from_secs(8));
    assert!(passes(&mut rig, time));
    login(&mut rig, "alice", &[], Some(10));
    rig.wait(Duration::from_secs(8));
    assert!(passes(&mut rig, flow));
    let all = Request::ShowUsers { user: None, limit: None, cursor: None };
    assert!(users(&mut rig, all.clone()).users[0].age_ms >= 16_000, "one stay");
    rig.wait(Duration::from_secs(3));
    assert!(users(&mut rig, all).users.is_empty());
    assert!(!passes(&mut rig, flow));
    let went = ["alice at 10.1.0.5 by api, the time is over"];
    assert_eq!(events(&mut rig, "user-logout"), went);
}

#[test]
fn users_stay_over_a_reload_are_listed_in_pages_and_bounded() {
    let more = format!("{PEOPLE}[limits]\nusers = 16\n");
    let mut rig = Rig::new("users-pages", &more);
    let request = |n: u8| Request::UserLogin {
        address: ip(&format!("10.1.0.{n}")),
        vr: None,
        user: if n == 5 { "alice".into() } else { format!("user-{n}") },
        groups: Vec::new(),
        seconds: None,
    };
    for n in 0..16 {
        users(&mut rig, request(n));
    }
    assert!(rig.net.ask(rig.gateway, request(16)).is_err(), "the book is full");
    users(&mut rig, request(5));
    let page = |cursor| Request::ShowUsers { user: None, limit: Some(10), cursor };
    let first = users(&mut rig, page(None));
    assert_eq!((first.users.len(), first.total, first.capacity), (10, 16, 16));
    let second = users(&mut rig, page(first.next));
    assert_eq!((second.users.len(), second.next), (6, None));
    assert_eq!(second.users[5].user, "user-15");
    let one = Request::ShowUsers { user: Some("alice".into()), limit: None, cursor: None };
    assert_eq!(users(&mut rig, one).users.len(), 1);

    rig.banner("a policy is put before the others: what users fulfil is found anew");
    rig.apply(&format!("[[policy]]\nid = 9\nusers = \"bob\"\naction = \"deny\"\n{PEOPLE}"));
    assert!(passes(&mut rig, out_tuple(proto::UDP, 4000, 53, false)));
    for bad in ["", "alice smith", "al\u{1b}[2Jice"] {
        let Request::UserLogin { address, .. } = request(7) else { unreachable!() };
        let user = bad.to_owned();
        let request =
            Request::UserLogin { address, vr: None, user, groups: Vec::new(), seconds: None };
        assert!(rig.net.ask(rig.gateway, request).is_err(), "{bad:?}");
    }
}
