//! Addresses by negotiation: one gateway gives them out of a pool, the other gets one and translates to it.

use core::time::Duration;

use api::{Request, Response};
use lockgate_testkit::{
    apps::Ping,
    sites::{self, Sites},
};

use super::ike::{SECOND, end, exercise, explained, peer, tunnel, wait_until_up};

/// Who asks: everything that goes into the tunnel gets the address that is given.
fn paris(versions: &str) -> String {
    end(
        1,
        &format!("request-address = {versions}\ndpd = \"5s\"\n"),
        "selectors = [{ local = \"0.0.0.0/0\", remote = \"10.2.0.0/24\" }]\n\
         [[central-snat]]\nname = \"vpn\"\nto = \"vpn\"\nnat = \"interface\"\n",
    )
}

/// Who gives.
fn oslo(pool: &str) -> String {
    end(
        2,
        "address-pool = \"staff\"\nstart = \"wait\"\ndpd = \"5s\"\n",
        &format!(
            "selectors = [{{ local = \"10.2.0.0/24\", remote = \"10.9.0.0/16\" }}]\n\
             [[address-pool]]\nname = \"staff\"\naddresses = \"{pool}\"\ndns = \"10.2.0.53\"\n"
        ),
    )
}

/// Size of the pool, and how many addresses of it are held and remembered.
fn pool(sites: &mut Sites) -> (u64, u64, u64) {
    match sites.net.answered(sites.oslo, Request::ShowAddressPools) {
        Response::AddressPools(view) => {
            let pool = view.pools.first().expect("a pool");
            (pool.size, pool.held, pool.remembered)
        }
        other => panic!("no pools: {other:?}"),
    }
}

#[test]
fn the_address_given_is_the_tunnels_and_sources_are_translated_to_it() {
    let mut sites = Sites::new("ike-addresses", &paris("\"ipv4\""), &oslo("10.9.0.0/24"));
    wait_until_up(&mut sites, 5 * SECOND);
    sites.net.run_for(SECOND);
    exercise(&mut sites);
    for (gateway, initiator) in [(sites.paris, true), (sites.oslo, false)] {
        let seen = peer(gateway, &mut sites);
        let sa = &seen.sas[0];
        assert_eq!(
            (sa.initiator, sa.addresses.as_slice()),
            (initiator, &["10.9.0.1".to_owned()][..])
        );
        assert_eq!(sa.dns, ["10.2.0.53"]);
        let child = &sa.children[0];
        let theirs = if initiator { &child.local } else { &child.remote };
        assert_eq!(theirs, &["10.9.0.1/32"], "held to its own address");
    }
    let sessions = sites.net.sessions(sites.oslo, "src 10.9.0.1");
    assert_eq!(sessions.len(), 3, "{sessions:?}");
    assert!(sites.net.sessions(sites.oslo, "src 10.1.0.5").is_empty());

    assert_eq!(pool(&mut sites), (254, 1, 0));

    // another IKE SA, and the same address
    sites.net.answered(sites.paris, Request::ClearIke { peer: None });
    sites.net.run_for(SECOND);
    wait_until_up(&mut sites, 10 * SECOND);
    sites.net.run_for(SECOND);
    assert_eq!(peer(sites.paris, &mut sites).sas[0].addresses, ["10.9.0.1"]);
    exercise(&mut sites);

    // a reload that says nothing of it keeps it
    let unrelated = format!("{}\n[timeouts]\nicmp = \"90s\"\n", paris("\"ipv4\""));
    sites.net.apply(sites.paris, &sites::config(1, 2, &unrelated)).expect("in order");
    sites.net.run_for(SECOND);
    exercise(&mut sites);

    // without the peer there is no address, and nothing to be translated to
    sites.net.set_link(sites.oslo, 1, false);
    sites.net.run_for(180 * SECOND);
    assert_ne!(tunnel(sites.paris, &mut sites).state, "up");
    let before = sites.snapshot(sites.paris);
    sites.net.start(sites.alice, Ping::new(Sites::bob(false), 7, 2, Duration::from_millis(10)));
    sites.net.run_for(SECOND);
    let after = sites.snapshot(sites.paris);
    let reason = "drop.nat-pool-missing-family";
    assert_eq!(after.get(reason) - before.get(reason), 2, "{after}");
    assert_eq!(pool(&mut sites), (254, 0, 1), "it is remembered");
}

#[test]
fn a_pool_without_such_addresses_is_told_at_both_ends() {
    let mut sites = Sites::new(
        "ike-no-address",
        &paris("\"ipv4\""),
        &oslo("2001:db8:9::/64")
            .replace("10.9.0.0/16", "2001:db8:9::/64")
            .replace("10.2.0.0/24", "2001:db8:2::/64"),
    );
    sites.net.run_for(3 * SECOND);
    for gateway in [sites.paris, sites.oslo] {
        let why = explained(gateway, &mut sites);
        let failure = why.peer.and_then(|peer| peer.failure).expect("a failure");
        assert!(failure.text.contains("no address is left in the pool"), "{failure:?}");
        assert!(failure.remedy.contains("[[address-pool]]"), "{failure:?}");
    }
}
