//! Hosts with real stacks, while the gateway is changed at random moments.
//!
//! TCP streams must arrive whole; of datagrams none may be doubled or reordered, and what is missing
//! must have been dropped for a reason.

use core::time::Duration;

use lockgate_testkit::{
    apps::{DatagramClient, StreamClient, Work},
    office::{self, Office},
    rng::Rng,
};
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

fn config(number: u64) -> String {
    let office = office::CONFIG;
    match number {
        0 => office.to_owned(),
        1 => format!("{office}\n[offload]\nmode = \"off\"\n"),
        2 => office.replace("id = 3\n", "id = 3\noffload = \"off\"\n"),
        3 => format!("{office}\n[offload]\nafter-packets = 1\n"),
        _ => office.replace("service = \"tcp/23\"", "service = \"tcp/2323\""),
    }
}

proptest! {
    #![proptest_config(crate::cases(6))]

    #[test]
    fn streams_arrive_whole_and_datagrams_in_order(seed: u64) {
        let mut office = Office::with("random-changes", office::CONFIG, seed);
        office.net.stop_capturing();
        let mut rng = Rng::new(seed);
        let mut apps = Vec::new();
        for n in 0..4u16 {
            let server = office.server(n % 2 == 1, office::STREAMS);
            let work = if n < 2 { Work::Download(150_000) } else { Work::Echo(60_000) };
            let client = StreamClient::new(server, 50_000 + n, work);
            let client = if n == 3 { client.paced(2_000, Duration::from_millis(9)) } else { client };
            let host = if n < 2 { office.anna } else { office.guest };
            apps.push(office.net.start(host, client));
        }
        let mut datagrams = Vec::new();
        for n in 0..2u16 {
            let server = office.server(n == 1, office::DATAGRAMS);
            let every = Duration::from_micros(700);
            datagrams.push(office.net.start(office.ben, DatagramClient::new(server, 40_000 + n, 400, every)));
        }
        for _ in 0..25 {
            office.net.run_for(Duration::from_micros(rng.below(20_000)));
            let gateway = office.gateway;
            match rng.below(4) {
                0 => {
                    let request = api::Request::ClearNeighbours { interface: None, address: None };
                    office.net.answered(gateway, request);
                }
                1 => {
                    let trace = office.net.trace_start(gateway, "udp", 3);
                    office.net.run_for(Duration::from_millis(2));
                    office.net.trace_stop(gateway, trace);
                }
                _ => office.net.apply(gateway, &config(rng.below(5))).expect("it is in order"),
            }
        }
        office.net.run_until(10 * MINUTE, |net| {
            apps.iter().chain(&datagrams).all(|app| net.report(*app).done)
        });
        for app in apps {
            let report = office.net.report(app);
            prop_assert!(report.succeeded(), "{report:?}\n{}", office.snapshot());
        }
        let mut missing = 0;
        for app in datagrams {
            let report = office.net.report(app);
            prop_assert_eq!((report.duplicates, report.reordered), (0, 0), "{:?}", report);
            prop_assert_eq!(&report.failed, &None);
            missing += report.sent - report.received;
        }
        let counters = office.snapshot();
        prop_assert!(missing <= counters.sum("drop."), "{missing} missing\n{counters}");
    }
}
