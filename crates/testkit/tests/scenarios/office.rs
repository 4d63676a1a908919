//! Hosts with real TCP/IP stacks through the office's gateway: what they send arrives, on whatever
//! tier, and the same scenario gives the same bytes.

use core::time::Duration;

use lockgate_testkit::{
    apps::{DatagramClient, Ping, StreamClient, Traceroute, Work},
    office::{self, Office, ip},
};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_download_arrives_whole_and_mostly_on_the_fast_tier() {
    for v6 in [false, true] {
        let mut office = Office::new(&format!("download-{}", if v6 { "v6" } else { "v4" }));
        let server = office.server(v6, office::STREAMS);
        let work = Work::Download(400_000);
        let app = office.net.start(office.anna, StreamClient::new(server, 50_000, work));
        let done = office.net.run_until(MINUTE, |net| net.report(app).done);
        let report = office.net.report(app);
        assert!(done && report.succeeded(), "{report:?}");
        assert_eq!(report.received_bytes, 400_000);
        let counters = office.snapshot();
        let (fast, slow) = (counters.get("engine.forwarded"), counters.sum("slow.e"));
        assert!(fast > 10 * slow, "fast {fast}, slow {slow}\n{counters}");
    }
}

#[test]
fn uploads_echoes_and_many_connections_at_once_arrive_whole() {
    let mut office = Office::new("many-connections");
    let mut apps = Vec::new();
    for (n, v6) in [(0, false), (1, true), (2, false), (3, true), (4, false), (5, true)] {
        let server = office.server(v6, office::STREAMS);
        let host = if n < 3 { office.anna } else { office.guest };
        let work = match n % 3 {
            0 => Work::Upload(60_000),
            1 => Work::Echo(40_000),
            _ => Work::Download(50_000),
        };
        apps.push(office.net.start(host, StreamClient::new(server, 50_000 + n, work)));
    }
    office.net.run_until(MINUTE, |net| apps.iter().all(|app| net.report(*app).done));
    for app in apps {
        assert!(office.net.report(app).succeeded(), "{:?}", office.net.report(app));
    }
}

#[test]
fn streams_survive_loss_reordering_and_duplication() {
    let mut office = Office::new("bad-links");
    let link = office.net.link_mut(office.wan);
    (link.loss, link.duplicate, link.reorder) = (10, 10, 20);
    let server = office.server(false, office::STREAMS);
    let app = office.net.start(office.anna, StreamClient::new(server, 50_000, Work::Echo(400_000)));
    office.net.run_until(10 * MINUTE, |net| net.report(app).done);
    assert!(office.net.report(app).succeeded(), "{:?}", office.net.report(app));
    let link = office.net.link_counters(office.wan);
    assert!(link.lost > 0 && link.duplicated > 0, "{link:?}");
}

#[test]
fn datagrams_are_answered_in_order() {
    for v6 in [false, true] {
        let mut office = Office::new(&format!("datagrams-{}", if v6 { "v6" } else { "v4" }));
        let server = office.server(v6, office::DATAGRAMS);
        let client = DatagramClient::new(server, 40_000, 50, Duration::from_millis(5));
        let app = office.net.start(office.guest, client);
        office.net.run_until(MINUTE, |net| net.report(app).done);
        let report = office.net.report(app);
        assert_eq!(
            (report.received, report.duplicates, report.reordered),
            (50, 0, 0),
            "{report:?}"
        );
        let counters = office.snapshot();
        assert!(counters.get("engine.forwarded") > 80, "{counters}");
    }
}

#[test]
fn ping_reaches_the_far_server_and_the_gateway() {
    for v6 in [false, true] {
        let mut office = Office::new(&format!("ping-{}", if v6 { "v6" } else { "v4" }));
        let far = office.server(v6, 0).ip();
        let own = ip(if v6 { "2001:db8:1::1" } else { "10.1.0.1" });
        let every = Duration::from_millis(20);
        let through = office.net.start(office.anna, Ping::new(far, 7, 10, every));
        let to = office.net.start(office.ben, Ping::new(own, 8, 10, every));
        office.net.run_until(MINUTE, |net| net.report(through).done && net.report(to).done);
        assert_eq!(office.net.report(through).received, 10);
        assert_eq!(office.net.report(to).received, 10);
    }
}

#[test]
fn traceroute_sees_the_gateway_and_the_server() {
    for v6 in [false, true] {
        let mut office = Office::new(&format!("traceroute-{}", if v6 { "v6" } else { "v4" }));
        let far = office.server(v6, 0).ip();
        let own = ip(if v6 { "2001:db8:1::1" } else { "10.1.0.1" });
        let app = office.net.start(office.anna, Traceroute::new(far, 33_000, 5));
        office.net.run_until(MINUTE, |net| net.report(app).done);
        assert_eq!(office.net.report(app).hops, [Some(own), Some(far)]);
    }
}

#[test]
fn the_world_reaches_the_web_server_by_its_vip() {
    let mut office = Office::new("vip");
    let work = Work::Download(100_000);
    let vip = core::net::SocketAddr::new(ip("203.0.113.10"), office::WEB);
    let v4 = office.net.start(office.world, StreamClient::new(vip, 51_000, work));
    let direct = core::net::SocketAddr::new(ip("2001:db8:1:30::10"), 8443);
    let v6 = office.net.start(office.world, StreamClient::new(direct, 51_001, work));
    office.net.run_until(MINUTE, |net| net.report(v4).done && net.report(v6).done);
    assert!(office.net.report(v4).succeeded(), "{:?}", office.net.report(v4));
    assert!(office.net.report(v6).succeeded(), "{:?}", office.net.report(v6));
}

#[test]
fn denied_and_rejected_connections_fail_each_in_its_way() {
    let mut office = Office::new("deny-and-reject");
    let telnet = office.server(false, 23);
    let denied = office.net.start(office.anna, StreamClient::new(telnet, 50_000, Work::Echo(10)));
    let ben = core::net::SocketAddr::new(ip("10.1.0.6"), 80);
    let rejected = office.net.start(office.guest, StreamClient::new(ben, 50_001, Work::Echo(10)));
    office.net.run_for(Duration::from_secs(3));
    assert!(!office.net.report(denied).done, "a denied client gets no answer");
    let why = office.net.report(rejected).failed.clone();
    assert!(why.is_some_and(|why| why.contains("closed")), "a rejected client is told");
    let counters = office.snapshot();
    assert!(counters.get("drop.policy-deny") >= 2 && counters.get("tcp.resets") == 1);
}

#[test]
fn the_same_seed_gives_the_same_capture_and_recording() {
    let run = |seed| {
        let mut office = Office::with("determinism", office::CONFIG, seed);
        let link = office.net.link_mut(office.wan);
        (link.loss, link.reorder, link.duplicate) = (20, 20, 20);
        let server = office.server(true, office::STREAMS);
        let work = Work::Echo(50_000);
        let app = office.net.start(office.anna, StreamClient::new(server, 50_000, work));
        office.net.run_until(MINUTE, |net| net.report(app).done);
        let recording = office.net.gateway(office.gateway).recording().expect("it records");
        (office.net.take_capture(), recording)
    };
    let (first, second, other) = (run(1), run(1), run(2));
    assert!(first == second, "the same seed, and captures or recordings differ");
    assert!(first.0 != other.0, "another seed changes nothing");
}
