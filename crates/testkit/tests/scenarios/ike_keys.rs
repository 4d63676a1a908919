//! What is exported for Wireshark fits: tshark decrypts the IKE of two gateways out of the capture of a
//! scenario. Needs the Debian package tshark; without it the test fails and says so.

use std::{fs, path::Path, process::Command};

use api::{ApiError, ExportKeys, KeyFormat, KeysOf};
use lockgate_testkit::sites::Sites;

use super::ike::{SECOND, end, exercise, peer, wait_until_up};

const TSHARK: &str = "/usr/bin/tshark";

fn both(name: &str, proposals: &str) -> Sites {
    let peer = format!("proposals = \"{proposals}\"\n");
    let mut sites = Sites::new(name, &end(1, &peer, ""), &end(2, &peer, ""));
    wait_until_up(&mut sites, 5 * SECOND);
    exercise(&mut sites);
    // an export is no request of the API and stands in no recording: there is nothing to replay
    let paris = sites.paris;
    sites.net.gateway_mut(paris).stop_recording();
    sites
}

fn export(sites: &mut Sites, pick: Option<&str>) -> Result<api::KeyTable, ApiError> {
    let request =
        ExportKeys { format: KeyFormat::Wireshark, of: KeysOf::Ike, pick: pick.map(str::to_owned) };
    let paris = sites.paris;
    sites.net.gateway_mut(paris).export_keys(&request)
}

#[test]
fn tshark_decrypts_ike_by_what_is_exported() {
    assert!(Path::new(TSHARK).exists(), "{TSHARK} is missing: install the Debian package tshark");
    for (name, proposals) in [
        ("ike-keys-gcm", "aes256gcm16-prfsha384-x25519"),
        ("ike-keys-cbc", "aes128-sha256-prfsha256-ecp256"),
    ] {
        let mut sites = both(name, proposals);
        let table = export(&mut sites, Some("site-2")).expect("there is an IKE SA");
        assert_eq!((table.exported.len(), table.left_out.len()), (1, 0), "{table:?}");
        assert!(table.exported[0].starts_with("site-2 0x"), "{:?}", table.exported);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let tables = folder.join("wireshark");
        fs::create_dir_all(&tables).expect("a directory");
        fs::write(tables.join("ikev2_decryption_table"), &*table.text).expect("a file");
        let capture = folder.join("capture.pcapng");
        sites.net.save_capture(&capture).expect("a capture");
        let output = Command::new(TSHARK)
            .env("XDG_CONFIG_HOME", &folder)
            .args(["-r", capture.to_str().expect("UTF-8"), "-V", "-Y", "isakmp"])
            .output()
            .expect("tshark runs");
        let seen = String::from_utf8_lossy(&output.stdout);
        fs::remove_dir_all(&folder).expect("it was there");
        for what in ["site-1.example", "site-2.example", "Traffic Selector", "INITIAL_CONTACT"] {
            assert!(seen.contains(what), "{what} is not in\n{seen}");
        }
        assert!(seen.contains("[correct]") && !seen.contains("[incorrect"), "{seen}");
        // what is exported stands nowhere else
        let row = table.text.lines().find(|line| !line.starts_with('#')).expect("a row");
        let key = row.split(',').nth(2).expect("the key of the initiator");
        assert!(key.len() >= 32 && !format!("{:?}", peer(sites.paris, &mut sites)).contains(key));
    }
}

#[test]
fn what_wireshark_does_not_know_is_left_out_and_said() {
    let mut sites = both("ike-keys-chacha", "chacha20poly1305-prfsha256-x25519");
    let table = export(&mut sites, None).expect("there is an IKE SA");
    assert!(table.exported.is_empty() && table.left_out[0].ends_with("no such algorithm"));
    assert!(matches!(export(&mut sites, Some("moon")), Err(ApiError::NotFound { .. })));
}
