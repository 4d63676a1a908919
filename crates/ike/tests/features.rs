//! What may be negotiated beyond the usual: certificates, PPK, ML-KEM, addresses, transport mode.

mod pair;

use std::{sync::Arc, time::Duration};

use lockgate_ike::{
    ChildSettings, Command, Connection, LocalAuth, PpkSettings, RemoteAuth, RequestAddresses,
    Settings, Side, Task,
    auth::{Certificate, Credential, RsaPadding, Trust},
    crypto::{Ppk, Secret},
};
use pair::{A, ADDRESSES, B, Pair, name, psk, selector};

const SECOND: Duration = Duration::from_secs(1);
/// 2026-06-01, when the certificates below are valid.
const UNIX_TIME: u64 = 1_780_272_000;

fn traced() -> Settings {
    Settings { trace: true, unix_time_at_zero: UNIX_TIME, ..Settings::default() }
}

/// Both ends without a connection between them: what each says.
fn refused(change: impl Fn(usize, &mut Connection)) -> [String; 2] {
    let mut pair = Pair::with(1, traced(), change);
    pair.connect(A);
    pair.run_for(10 * SECOND);
    assert!(pair.children.iter().all(|children| children.is_empty()));
    [A, B].map(|end| pair.failures(end).first().map_or(String::new(), |f| f.to_string()))
}

struct Authority {
    certificate: Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

fn authority(name: &str) -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let certificate = Certificate::all_from_pem(pem.as_bytes()).unwrap().remove(0);
    Authority { certificate, issuer: rcgen::Issuer::new(params, key) }
}

impl Authority {
    fn issue(&self, name: &str) -> LocalAuth {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let credential =
            Credential::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        LocalAuth::Certificate { credentials: vec![credential], padding: RsaPadding::Pkcs1 }
    }

    fn trust(&self) -> RemoteAuth {
        RemoteAuth::Certificate(Arc::new(Trust::new(vec![self.certificate.clone()]).unwrap()))
    }
}

const NAMES: [&str; 2] = ["a.test", "b.test"];

#[test]
fn certificates_prove_both_ends() {
    let ca = authority("Test CA");
    let mut pair = Pair::with(2, traced(), |end, connection| {
        connection.local_auth = ca.issue(NAMES[end]);
        connection.remote_auth = ca.trust();
    })
    .up();
    let up = &pair.ikes[A][&pair.ike(A)];
    assert!(up.remote_authentication.contains("b.test"), "{}", up.remote_authentication);
    assert!(pair.messages(B, "IKE_SA_INIT response")[0].contains("CERTREQ X.509, authorities "));
    let child = pair.child(A).sa.id;
    pair.command(A, Command::RekeyChild(child));
    pair.run_for(SECOND);
    pair.assert_agreed(1);
}

#[test]
fn of_several_certificates_the_one_the_peer_asks_for_is_sent() {
    let (ca, other) = (authority("Test CA"), authority("Other CA"));
    let both =
        Arc::new(Trust::new(vec![other.certificate.clone(), ca.certificate.clone()]).unwrap());
    // the initiator learns the authorities in IKE_SA_INIT, the responder in IKE_AUTH
    for chooser in [A, B] {
        Pair::with(9, traced(), |end, connection| {
            connection.local_auth = ca.issue(NAMES[end]);
            connection.remote_auth = ca.trust();
            if end == chooser {
                let LocalAuth::Certificate { credentials, .. } = &mut connection.local_auth else {
                    unreachable!("it is a certificate")
                };
                let LocalAuth::Certificate { credentials: first, .. } = other.issue(NAMES[end])
                else {
                    unreachable!("it is a certificate")
                };
                credentials.splice(0..0, first);
                connection.remote_auth = RemoteAuth::Certificate(both.clone());
            }
        })
        .up();
    }
}

#[test]
fn the_time_of_day_may_be_told_late() {
    let ca = authority("Test CA");
    let certificates = |end: usize, connection: &mut Connection| {
        connection.local_auth = ca.issue(NAMES[end]);
        connection.remote_auth = ca.trust();
    };
    let settings = Settings { trace: true, ..Settings::default() };
    let mut pair = Pair::with(10, settings, certificates);
    pair.connect(A);
    pair.run_for(10 * SECOND);
    let failure = pair.failures(B).first().map_or(String::new(), |f| f.to_string());
    assert!(failure.contains("is not valid before") && failure.contains("1970"), "{failure}");
    for end in &mut pair.ends {
        end.handle_wall_clock(pair.now, UNIX_TIME);
    }
    pair.connect(A);
    pair.run_for(10 * SECOND);
    assert_eq!(pair.children.each_ref().map(|children| children.len()), [1, 1]);
}

#[test]
fn a_preshared_key_one_way_and_a_certificate_the_other() {
    let ca = authority("Test CA");
    Pair::with(3, traced(), |end, connection| {
        if end == A {
            connection.remote_auth = ca.trust();
        } else {
            connection.local_auth = ca.issue(NAMES[end]);
        }
    })
    .up();
}

#[test]
fn a_certificate_of_somebody_else_is_refused_in_words() {
    let (ca, other) = (authority("Test CA"), authority("Other CA"));
    // of another authority
    let [a, b] = refused(|end, connection| {
        connection.local_auth = if end == A { &other } else { &ca }.issue(NAMES[end]);
        connection.remote_auth = ca.trust();
    });
    assert!(b.starts_with("authentication of a.test failed:") && b.contains("issuer"), "{b}");
    assert!(a.contains("did not accept our identity a.test"), "{a}");
    // for another name; the responder is the one that lies
    let [a, b] = refused(|end, connection| {
        connection.local_auth = ca.issue(if end == A { "a.test" } else { "c.test" });
        connection.remote_auth = ca.trust();
    });
    assert!(a.starts_with("authentication of b.test failed:") && a.contains("c.test"), "{a}");
    assert_eq!(b, "");
    // a preshared key where a certificate has to be
    let [_, b] = refused(|end, connection| {
        if end == B {
            connection.remote_auth = ca.trust();
        }
    });
    assert!(b.contains("uses a preshared key, where a certificate is configured"), "{b}");
}

fn ppk(id: &str, key: &str, required: bool) -> Option<PpkSettings> {
    let key = Ppk(Secret::from_bytes(key.as_bytes()));
    Some(PpkSettings { id: id.as_bytes().to_vec(), key, required })
}

#[test]
fn a_ppk_is_used_when_both_know_it() {
    for required in [false, true] {
        let mut pair = Pair::with(4, traced(), |_, connection| {
            connection.ppk = ppk("one", "quantum", required);
        })
        .up();
        assert!([A, B].iter().all(|end| pair.ikes[*end][&pair.ike(*end)].ppk));
        pair.task(B, Task::RekeyIke);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
        let child = pair.child(A).sa.id;
        pair.command(A, Command::RekeyChild(child));
        pair.run_for(SECOND);
        pair.assert_agreed(1);
    }
}

#[test]
fn without_a_common_ppk_it_goes_on_only_when_that_is_allowed() {
    // only one end has one, or they have different ones
    let settings = [
        [ppk("one", "quantum", false), None],
        [None, ppk("one", "quantum", false)],
        [ppk("one", "quantum", false), ppk("two", "quantum", false)],
    ];
    for both in settings {
        let pair =
            Pair::with(5, traced(), |end, connection| connection.ppk = both[end].clone()).up();
        assert!([A, B].iter().all(|end| !pair.ikes[*end][&pair.ike(*end)].ppk));
    }
    let required = |both: [Option<PpkSettings>; 2]| {
        refused(move |end, connection| connection.ppk = both[end].clone())
    };
    let [a, _] = required([ppk("one", "quantum", true), None]);
    assert_eq!(a, "a PPK is required: the peer knows none");
    let [_, b] = required([None, ppk("one", "quantum", true)]);
    assert_eq!(b, "a PPK is required: the peer uses none");
    let [_, b] = required([ppk("one", "quantum", true), ppk("two", "quantum", false)]);
    assert_eq!(b, "a PPK is required: the peer requires one that is not known here");
    // the same name and another key
    let [_, b] = required([ppk("one", "quantum", false), ppk("one", "other", false)]);
    assert!(b.contains("preshared keys differ"), "{b}");
}

#[test]
fn ml_kem_is_mixed_in_before_anybody_is_authenticated() {
    for loss in [0, 200] {
        let mut pair = Pair::with(6, traced(), |_, connection| {
            let offer = "aes256gcm16-prfsha384-x25519-ke1_mlkem768";
            connection.offers = vec![offer.parse().unwrap()];
        });
        pair.network.loss = loss;
        pair.connect(A);
        pair.run_for(100 * SECOND);
        pair.assert_agreed(1);
        let up = &pair.ikes[A][&pair.ike(A)];
        assert_eq!(&*up.algorithms, "aes256gcm16-prfsha384-x25519-ke1_mlkem768");
        assert!(
            pair.messages(A, "IKE_INTERMEDIATE request")[0].contains("KE mlkem768, 1184 bytes")
        );
        assert!(pair.messages(B, "IKE_INTERMEDIATE response")[0].contains("1088 bytes"));
        // 1184 bytes do not fit into one datagram of 1280 with everything around, so it is cut
        let longest = pair.sent.iter().map(|(_, sent)| sent.bytes.len()).max().unwrap();
        assert!(longest <= 1252, "{longest}");
        pair.network.loss = 0;
        pair.task(A, Task::RekeyIke);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
    }
}

/// The addresses there are to give.
const GIVEN: [&str; 2] = ["10.9.0.10", "2001:db8:9::10"];

#[test]
fn an_address_is_given_and_taken_back() {
    let mut pair = Pair::with(7, traced(), |end, connection| {
        let child = &mut connection.children[0];
        if end == A {
            connection.request_addresses = RequestAddresses { v4: true, v6: true };
            child.local = vec![Side::Own];
        } else {
            connection.gives_addresses = true;
            connection.dns = vec!["10.2.0.53".parse().unwrap()];
            child.remote = vec![Side::Own];
            child.local.push(Side::Fixed(selector("2001:db8:2::/64")));
        }
        if end == A {
            child.remote.push(Side::Fixed(selector("2001:db8:2::/64")));
        }
    });
    pair.pool = GIVEN.map(|address| address.parse().unwrap()).to_vec();
    let mut pair = pair.up();
    let given = GIVEN.map(|address| address.parse::<std::net::IpAddr>().unwrap());
    assert!(pair.pool.is_empty());
    let up = &pair.ikes[A][&pair.ike(A)];
    assert_eq!(up.addresses, given);
    assert_eq!(up.dns[0].to_string(), "10.2.0.53");
    assert_eq!(pair.ikes[B][&pair.ike(B)].addresses, given);
    let local: Vec<_> = pair.child(A).sa.local.iter().map(|s| s.to_string()).collect();
    assert_eq!(local, ["10.9.0.10/32", "2001:db8:9::10/128"]);
    // it stays when the IKE SA and the child are rekeyed
    pair.task(B, Task::RekeyIke);
    pair.run_for(SECOND);
    let child = pair.child(B).sa.id;
    pair.command(B, Command::RekeyChild(child));
    pair.run_for(SECOND);
    pair.assert_agreed(1);
    assert_eq!(pair.child(B).sa.remote[0].to_string(), "10.9.0.10/32");
    // and is free again afterwards
    pair.task(A, Task::DeleteIke);
    pair.run_for(SECOND);
    pair.connect(A);
    pair.run_for(SECOND);
    pair.assert_agreed(1);
    assert_eq!(pair.ikes[A][&pair.ike(A)].addresses, given);
}

#[test]
fn an_empty_pool_is_told_and_leaves_the_ike_sa() {
    let mut pair = Pair::with(8, traced(), |end, connection| {
        connection.request_addresses.v4 = end == A;
        connection.gives_addresses = end == B;
    });
    pair.connect(A);
    pair.run_for(SECOND);
    for end in [A, B] {
        assert_eq!(pair.failures(end)[0].to_string(), "no address is left in the pool");
        assert!(pair.children[end].is_empty() && pair.ikes[end].len() == 1);
    }
}

#[test]
fn who_asks_for_an_address_and_gets_none_is_told() {
    let mut pair = Pair::with(8, traced(), |end, connection| {
        connection.request_addresses.v4 = end == A;
    });
    pair.connect(A);
    pair.run_for(SECOND);
    assert_eq!(pair.failures(A)[0].to_string(), "the peer gives us no address");
    assert_eq!(pair.children[A].len(), 1);
}

#[test]
fn own_addresses_are_narrowed_to_what_they_may_be() {
    let mut pair = Pair::with(11, traced(), |end, connection| {
        let child = &mut connection.children[0];
        let within = |text: &str| Side::OwnWithin(selector(text));
        if end == A {
            connection.request_addresses = RequestAddresses { v4: true, v6: true };
            child.local = vec![within("0.0.0.0/0")];
        } else {
            connection.gives_addresses = true;
            child.remote = vec![within("10.9.0.0/24"), within("10.8.0.0/24"), within("::/0")];
        }
    });
    pair.pool = GIVEN.map(|address| address.parse().unwrap()).to_vec();
    let mut pair = pair.up();
    // what was given of IPv6 is not among what the initiator has this child for
    let child = pair.child(A).sa.id;
    pair.command(A, Command::RekeyChild(child));
    pair.run_for(SECOND);
    pair.assert_agreed(1);
    let local: Vec<_> = pair.child(A).sa.local.iter().map(|s| s.to_string()).collect();
    assert_eq!(local, ["10.9.0.10/32"]);
}

#[test]
fn transport_mode_and_extended_sequence_numbers() {
    let pair = Pair::with(10, traced(), |_, connection| {
        let child = &mut connection.children[0];
        child.mode = esp::Mode::Transport;
        child.offers = vec!["aes128-sha256-esn".parse().unwrap()];
        (child.local, child.remote) = (vec![Side::Own], vec![Side::Own]);
    })
    .up();
    let sa = &pair.child(A).sa;
    assert!(sa.esn && sa.mode == esp::Mode::Transport);
    assert_eq!(sa.suite.name(), "aes128-sha256");
    assert_eq!(sa.local[0].to_string(), format!("{}/32", ADDRESSES[A]));
    let [a, b] = refused(|end, connection| {
        if end == B {
            connection.children[0].mode = esp::Mode::Transport;
        }
    });
    assert_eq!(b, "the peer wants tunnel mode, we have transport mode");
    assert!(a.starts_with("the peer accepts none of ours:"), "{a}");
}

#[test]
fn every_cipher_and_key_exchange_works() {
    for offer in [
        "aes128gcm16-prfsha256-ecp256",
        "chacha20poly1305-prfsha512-ecp384",
        "aes256-sha256-modp2048",
        "aes128-sha512-prfsha384-ecp521",
        "aes256-sha1-x25519",
    ] {
        let mut pair = Pair::with(11, traced(), |_, connection| {
            connection.offers = vec![offer.parse().unwrap()];
        })
        .up();
        pair.task(A, Task::RekeyIke);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
    }
}

#[test]
fn another_key_exchange_is_asked_for_and_given() {
    let mut pair = Pair::with(12, traced(), |end, connection| {
        let offers = ["aes256gcm16-prfsha384-x25519-ecp256", "aes256gcm16-prfsha384-ecp256"];
        connection.offers = vec![offers[end].parse().unwrap()];
        let children = ["aes256gcm16-x25519-ecp384", "aes256gcm16-ecp384"];
        connection.children[0].offers = vec![children[end].parse().unwrap()];
    })
    .up();
    assert!(pair.messages(A, "IKE_SA_INIT request")[1].contains("KE ecp256"));
    let child = pair.child(A).sa.id;
    pair.command(A, Command::RekeyChild(child));
    pair.task(A, Task::RekeyIke);
    pair.run_for(10 * SECOND);
    pair.assert_agreed(1);
    let sent = pair.messages(A, "CREATE_CHILD_SA request");
    assert!(sent[0].contains("KE x25519") && sent[1].contains("KE ecp384"), "{sent:#?}");
}

#[test]
fn what_does_not_meet_is_told_side_by_side() {
    let [a, b] = refused(|end, connection| {
        let offers = ["aes128gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519"];
        connection.offers = vec![offers[end].parse().unwrap()];
    });
    assert!(b.starts_with("no common encryption algorithm: ours aes256gcm16, theirs aes128gcm16"));
    assert!(a.starts_with("the peer accepts none of ours: IKE aes128gcm16"), "{a}");
    let [a, b] = refused(|end, connection| {
        let offers = ["aes128gcm16", "chacha20poly1305"];
        connection.children[0].offers = vec![offers[end].parse().unwrap()];
    });
    assert!(b.starts_with("no common encryption algorithm: ours chacha20poly1305, theirs aes128"));
    assert!(a.starts_with("the peer accepts none of ours: ESP aes128gcm16"), "{a}");
    let [a, b] = refused(|end, connection| {
        if end == A {
            connection.children[0].local = vec![Side::Fixed(selector("10.77.0.0/24"))];
        }
    });
    assert_eq!(
        b,
        "selectors do not meet: ours 10.2.0.0/24 and 10.1.0.0/24, theirs 10.2.0.0/24 and \
         10.77.0.0/24"
    );
    assert!(a.contains("no part of our selectors 10.77.0.0/24 and 10.2.0.0/24"), "{a}");
    let [_, b] = refused(|end, connection| {
        if end == A {
            connection.local_identity = "c.test".parse().unwrap();
        }
    });
    assert_eq!(b, "no connection is for a peer that says it is c.test and wants b.test");
    let [a, b] = refused(|end, connection| {
        if end == A {
            connection.remote_auth = RemoteAuth::Psk(psk("another"));
        }
    });
    assert_eq!(
        (a.as_str(), b.as_str()),
        ("authentication of b.test failed: the preshared keys differ", "")
    );
}

#[test]
fn selectors_are_narrowed_over_several_children() {
    let mut pair = Pair::with(13, traced(), |end, connection| {
        let first = connection.children[0].clone();
        let [ours, theirs] =
            [["10.3.0.0/16", "2001:db8:3::/48"], ["10.4.0.0/24", "2001:db8:4::/64"]]
                .map(|side| side.map(|net| Side::Fixed(selector(net))).to_vec());
        let wide = vec![Side::Fixed(selector("0.0.0.0/0")), Side::Fixed(selector("::/0"))];
        let (local, remote) = if end == A { (ours, wide) } else { (theirs, wide) };
        connection.children.push(ChildSettings { name: name("other"), local, remote, ..first });
    })
    .up();
    pair.task(A, Task::CreateChild(name("other")));
    pair.run_for(SECOND);
    pair.assert_agreed(2);
    let text = |list: &[lockgate_ike::message::TrafficSelector]| {
        list.iter().map(|s| s.to_string()).collect::<Vec<_>>().join(" ")
    };
    let sa = &pair.child(B).sa;
    assert_eq!(&*sa.name, "other");
    assert_eq!(text(&sa.local), "10.4.0.0/24 2001:db8:4::/64");
    assert_eq!(text(&sa.remote), "10.3.0.0/16 2001:db8:3::/48");
}
