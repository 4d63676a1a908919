//! From nothing to a child: IKE_SA_INIT and IKE_AUTH, and what stands in the way.

mod pair;

use std::time::Duration;

use lockgate_ike::{Failure, Settings};
use pair::{A, B, Pair, psk};

#[test]
fn a_preshared_key_makes_a_child_in_two_round_trips() {
    let pair = Pair::new(1).up();
    assert_eq!(pair.sent.len(), 4);
    let child = pair.child(A);
    assert_eq!(child.sa.local[0].to_string(), "10.1.0.0/24");
    assert_eq!(child.sa.remote[0].to_string(), "10.2.0.0/24");
    assert_eq!(child.sa.encapsulation, None);
    let up = &pair.ikes[B][&pair.ike(B)];
    assert_eq!(&*up.remote_identity, "a.test");
    assert_eq!(&*up.algorithms, "aes256gcm16-prfsha384-x25519");
    assert_eq!(up.remote_authentication, "preshared key");
    assert!(!up.local_nat && !up.remote_nat && !up.initiator);
}

#[test]
fn another_key_is_refused_at_both_ends_in_words() {
    let mut pair = Pair::with(2, Settings::default(), |end, connection| {
        if end == B {
            connection.remote_auth = lockgate_ike::RemoteAuth::Psk(psk("another"));
        }
    });
    pair.connect(A);
    pair.run_for(Duration::from_secs(60));
    let failure = pair.failures(B)[0].to_string();
    assert_eq!(failure, "authentication of a.test failed: the preshared keys differ");
    let failure = pair.failures(A)[0].to_string();
    assert_eq!(failure, "the peer did not accept our identity a.test, or its proof");
    assert_eq!(pair.ends.each_ref().map(|end| end.views().count()), [0, 0]);
    assert!(matches!(pair.failures(A)[..], [Failure::AuthenticationRefused { .. }]));
}
