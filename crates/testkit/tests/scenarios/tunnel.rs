//! Tunnels between two sites, keyed by hand: every suite, both modes, both IP versions inside and
//! out, in UDP, with packets that are too large, and what does not belong there.

use core::time::Duration;

use lockgate_testkit::{
    apps::{DatagramClient, Ping, StreamClient, Work},
    sites::{self, Sites},
};

const MINUTE: Duration = Duration::from_secs(60);

/// A key of so many bytes, all different from another `n`'s.
fn key(n: u8, len: usize) -> String {
    (0..len).map(|i| format!("{:02x}", (i as u8).wrapping_mul(7).wrapping_add(n))).collect()
}

/// The tunnel as both gateways have it, and an interface with routes to the other site.
fn tunnel(site: u8, suite: &str, key_len: usize, v6_outside: bool, more: &str) -> String {
    let other = 3 - site;
    let end = |n: u8| match v6_outside {
        true => format!("2001:db8:f::{}", n + 1),
        false => format!("203.0.113.{}", n + 1),
    };
    let sa = |from: u8| {
        format!(
            "{{ spi = {}, algorithm = \"{suite}\", key = \"{}\" }}",
            0x1000 + u32::from(from),
            key(from, key_len)
        )
    };
    format!(
        r#"
[[ipsec]]
name = "sites"
local = "{}"
remote = "{}"
out = {}
in = {}
{more}
[[interface]]
name = "vpn"
tunnel = "sites"
zone = "vpn"
[[route]]
to = "10.{other}.0.0/24"
interface = "vpn"
[[route]]
to = "2001:db8:{other}::/64"
interface = "vpn"
"#,
        end(site),
        end(other),
        sa(site),
        sa(other),
    )
}

fn both(suite: &str, key_len: usize, v6_outside: bool, more: &str) -> [String; 2] {
    [1, 2].map(|site| tunnel(site, suite, key_len, v6_outside, more))
}

/// A ping, datagrams and a stream from alice to bob; all must arrive whole.
pub(crate) fn exercise(sites: &mut Sites, v6: bool) {
    let bob = Sites::bob(v6);
    let every = Duration::from_millis(10);
    let ping = sites.net.start(sites.alice, Ping::new(bob, 7, 5, every));
    let datagrams = DatagramClient::new((bob, sites::DATAGRAMS), 40_000, 40, every);
    let datagrams = sites.net.start(sites.alice, datagrams);
    let stream = StreamClient::new((bob, sites::STREAMS), 50_000, Work::Echo(200_000));
    let stream = sites.net.start(sites.alice, stream);
    let apps = [ping, datagrams, stream];
    sites.net.run_until(MINUTE, |net| apps.iter().all(|app| net.report(*app).done));
    for app in apps {
        let report = sites.net.report(app);
        assert!(
            report.succeeded(),
            "{report:?}\nparis:\n{}\noslo:\n{}",
            sites.snapshot(sites.paris),
            sites.snapshot(sites.oslo)
        );
    }
}

#[test]
fn every_suite_carries_both_versions_inside_and_out() {
    for (n, suite) in ::esp::Suite::ALL.iter().enumerate() {
        let (v6_outside, null) = (n % 2 == 1, "allow-null = true");
        let [paris, oslo] = both(suite.name(), suite.key_len(), v6_outside, null);
        let mut sites = Sites::new(&format!("tunnel-{suite}"), &paris, &oslo);
        exercise(&mut sites, false);
        exercise(&mut sites, true);
    }
}

#[test]
fn esp_in_udp_with_esn_and_a_large_window_carries_too() {
    for v6_outside in [false, true] {
        let more = "udp-encapsulation = true\nesn = true\nreplay-window = 8192";
        let [paris, oslo] = both("aes256gcm16", 36, v6_outside, more);
        let name = format!("tunnel-udp-{}", if v6_outside { "v6" } else { "v4" });
        let mut sites = Sites::new(&name, &paris, &oslo);
        exercise(&mut sites, false);
        exercise(&mut sites, true);
    }
}
