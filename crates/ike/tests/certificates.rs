//! Peers' certificates: who is believed, and every way of not being believed.

use std::net::{IpAddr, Ipv6Addr};

use lockgate_ike::{
    auth::{
        AuthorityError, Certificate, CertificateError, CertificateFileError, CertificateRefusal,
        Credential, CredentialError, ENCODING_X509_SIGNATURE, HashAlgorithms, Identity,
        RevocationFileError, RsaPadding, Trust, verify,
    },
    message,
};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;
/// A day, in seconds.
const DAY: u64 = 86_400;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// Valid in the years 2025 and 2026.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// One of a gateway, for names of every kind.
fn gateway(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![
        SanType::DnsName("gw.example".try_into().expect("ASCII")),
        SanType::Rfc822Name("gw@example".try_into().expect("ASCII")),
        SanType::IpAddress(IpAddr::from([192, 0, 2, 1])),
        SanType::IpAddress(IpAddr::from(Ipv6Addr::LOCALHOST)),
    ];
    params
}

fn root() -> Issuer {
    Issuer::self_signed(authority("Root"), key()).expect("a certificate")
}

fn issue(params: CertificateParams, issuer: &Issuer) -> Certificate {
    let certificate = params.signed_by(&key(), issuer).expect("a certificate");
    of(certificate.der())
}

fn of(der: &[u8]) -> Certificate {
    Certificate::from_der(der).expect("a certificate")
}

fn trust(issuers: &[&Issuer]) -> Trust {
    Trust::new(issuers.iter().map(|issuer| of(issuer.der())).collect()).expect("authorities")
}

fn id(text: &str) -> Identity {
    text.parse().expect("an identity")
}

fn payloads(certificates: &[Certificate]) -> Vec<message::Certificate> {
    let payload = |c: &Certificate| message::Certificate {
        encoding: ENCODING_X509_SIGNATURE,
        data: c.der().to_vec(),
    };
    certificates.iter().map(payload).collect()
}

fn refused(trust: &Trust, sent: &[Certificate], now: u64) -> CertificateRefusal {
    trust.verify(&payloads(sent), &id("gw.example"), now).expect_err("it is not to be believed")
}

#[test]
fn a_certificate_of_an_authority_is_believed_for_each_of_its_names() {
    let root = root();
    let own = issue(gateway("gw"), &root);
    let trust = trust(&[&root]);
    for name in ["gw.example", "GW.example", "gw@example", "192.0.2.1", "::1", "O=Example, CN=gw"] {
        let verified = trust.verify(&payloads(std::slice::from_ref(&own)), &id(name), NOW);
        assert_eq!(verified.as_ref(), Ok(&own), "{name}");
    }
    for name in
        ["other.example", "gw", "example", "192.0.2.2", "keyid:gw.example", "O=Example, CN=x"]
    {
        let refused = trust.verify(&payloads(std::slice::from_ref(&own)), &id(name), NOW);
        let Err(CertificateRefusal::Name(mismatch)) = refused else {
            panic!("{name}: {refused:?}")
        };
        assert_eq!(mismatch.identity, id(name).to_string());
        let right = ["gw.example", "gw@example", "192.0.2.1", "::1", "O=Example, CN=gw"];
        assert_eq!(mismatch.names, right);
    }
}

#[test]
fn every_kind_of_key_is_believed_and_signs() {
    let root = root();
    let trust = trust(&[&root]);
    for algorithm in
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256]
    {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = gateway("gw").signed_by(&key, &root).expect("a certificate");
        let pem = (certificate.pem(), key.serialize_pem());
        let credential = Credential::from_pem(pem.0.as_bytes(), pem.1.as_bytes()).expect("fit");
        let peer = trust.verify(&credential.payloads(), &id("gw.example"), NOW).expect("believed");
        let all = HashAlgorithms::from_notification(&HashAlgorithms::notification());
        let scheme = credential.key().choose(Some(all), RsaPadding::Pss).expect("a scheme");
        let key = credential.key().clone();
        let proof = std::thread::spawn(move || key.sign(scheme, b"octets")).join();
        let proof = proof.expect("no panic").expect("it can");
        assert_eq!(verify(&peer, proof.method, &proof.data, b"octets", false), Ok(scheme));
        assert!(verify(&peer, proof.method, &proof.data, b"others", false).is_err());
        assert_eq!(credential.identity(), Some(id("O=Example, CN=gw")));
    }
}

#[test]
fn intermediates_lead_to_an_authority_in_any_order_and_only_so_far() {
    let root = root();
    let mut issuers = vec![];
    for i in 0..7 {
        let above = issuers.last().unwrap_or(&root);
        let name = format!("Intermediate {i}");
        let next = Issuer::signed_by(authority(&name), key(), above).expect("a certificate");
        issuers.push(next);
    }
    let trust = trust(&[&root]);
    let chain = |n: usize| {
        let own = issue(gateway("gw"), &issuers[n - 1]);
        let above = issuers[..n].iter().map(|issuer| of(issuer.der()));
        std::iter::once(own).chain(above).collect::<Vec<_>>()
    };
    for n in [1, 2, 5] {
        let mut sent = chain(n);
        assert!(trust.verify(&payloads(&sent), &id("gw.example"), NOW).is_ok(), "{n}");
        sent[1..].reverse();
        assert!(trust.verify(&payloads(&sent), &id("gw.example"), NOW).is_ok(), "{n}");
    }
    // one is missing: it is named
    let mut sent = chain(3);
    sent.remove(2);
    assert_eq!(
        refused(&trust, &sent, NOW),
        CertificateRefusal::UnknownIssuer {
            certificate: "O=Example, CN=Intermediate 2".to_owned(),
            issuer: "O=Example, CN=Intermediate 1".to_owned(),
        }
    );
    let too_long = refused(&trust, &chain(7), NOW);
    assert_eq!(too_long, CertificateRefusal::TooLong("O=Example, CN=gw".to_owned()));
    let mut many = chain(7);
    many.push(many[1].clone());
    assert_eq!(refused(&trust, &many, NOW), CertificateRefusal::TooMany(9));
}

#[test]
fn somebody_else_with_the_name_of_the_authority_is_not_believed() {
    let (root, other) = (root(), self::root());
    let own = issue(gateway("gw"), &other);
    let trust = trust(&[&root]);
    let certificate = "O=Example, CN=gw".to_owned();
    let right = CertificateRefusal::Signature { certificate: certificate.clone() };
    assert_eq!(refused(&trust, std::slice::from_ref(&own), NOW), right);
    // to send the other authority along does not help
    let sent = [own, of(other.der())];
    assert!(trust.verify(&payloads(&sent), &id("gw.example"), NOW).is_err());
    let other = Issuer::self_signed(authority("Other"), key()).expect("a certificate");
    let own = issue(gateway("gw"), &other);
    let issuer = "O=Example, CN=Other".to_owned();
    assert_eq!(
        refused(&trust, &[own], NOW),
        CertificateRefusal::UnknownIssuer { certificate, issuer }
    );
    // nor does being one's own authority
    let alone = refused(&self::trust(&[]), &[of(root.der())], NOW);
    assert_eq!(alone, CertificateRefusal::IsAuthority("O=Example, CN=Root".to_owned()));
}

#[test]
fn nothing_is_believed_out_of_its_time() {
    let root = root();
    let intermediate = Issuer::signed_by(
        {
            let mut params = authority("Intermediate");
            params.not_before = date_time_ymd(2025, 6, 1);
            params.not_after = date_time_ymd(2026, 6, 1);
            params
        },
        key(),
        &root,
    )
    .expect("a certificate");
    let own = issue(
        {
            let mut params = gateway("gw");
            params.not_before = date_time_ymd(2025, 7, 1);
            params.not_after = date_time_ymd(2026, 3, 1);
            params
        },
        &intermediate,
    );
    let (_, trust) = (&own, trust(&[&root]));
    let sent = [own.clone(), of(intermediate.der())];
    assert!(trust.verify(&payloads(&sent), &id("gw.example"), NOW).is_ok());
    let certificate = "O=Example, CN=gw".to_owned();
    let (not_before, not_after) = (own.not_before(), own.not_after());
    for (now, right) in [(not_after, true), (not_after + 1, false), (not_before, true)] {
        let verified = trust.verify(&payloads(&sent), &id("gw.example"), now);
        assert_eq!(verified.is_ok(), right, "{now}");
    }
    let now = not_after + DAY;
    let expired = CertificateRefusal::Expired { certificate: certificate.clone(), not_after, now };
    assert_eq!(refused(&trust, &sent, now), expired);
    let words = expired.to_string();
    assert!(words.contains("CN=gw expired at 2026-03-01T00:00:00Z; it is 2026-03-02T"), "{words}");
    let now = not_before - 1;
    let early = CertificateRefusal::NotYetValid { certificate, not_before, now };
    assert_eq!(refused(&trust, &sent, now), early);

    // one on the way, and the authority itself
    let long = issue(gateway("gw"), &intermediate);
    let sent = [long, of(intermediate.der())];
    let now = of(intermediate.der()).not_after() + DAY;
    let CertificateRefusal::Expired { certificate, .. } = refused(&trust, &sent, now) else {
        panic!("the intermediate has expired")
    };
    assert_eq!(certificate, "O=Example, CN=Intermediate");
    let mut forever = gateway("gw");
    forever.not_after = date_time_ymd(2040, 1, 1);
    let own = issue(forever, &root);
    let now = of(root.der()).not_after() + DAY;
    let CertificateRefusal::Expired { certificate, .. } = refused(&trust, &[own], now) else {
        panic!("the authority has expired")
    };
    assert_eq!(certificate, "O=Example, CN=Root");
}

fn list(issuer: &Issuer, revoked: &[u64], next: (i32, u8, u8)) -> Vec<u8> {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2025, 3, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 2, 1),
        next_update: date_time_ymd(next.0, next.1, next.2),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = params.signed_by(issuer).expect("a list");
    list.pem().expect("PEM").into_bytes()
}

fn numbered(name: &str, serial: u64) -> CertificateParams {
    let mut params = gateway(name);
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

#[test]
fn revoked_certificates_are_not_believed() {
    let root = root();
    let (own, other) = (issue(numbered("gw", 7), &root), issue(numbered("other", 8), &root));
    let mut trust = trust(&[&root]);
    trust.add_revoked(&list(&root, &[5, 7], (2026, 7, 1))).expect("a list");
    assert_eq!(
        refused(&trust, &[own], NOW),
        CertificateRefusal::Revoked {
            certificate: "O=Example, CN=gw".to_owned(),
            serial: "07".to_owned(),
            issuer: "O=Example, CN=Root".to_owned(),
        }
    );
    assert!(trust.verify(&payloads(std::slice::from_ref(&other)), &id("gw.example"), NOW).is_ok());

    // a list that is out of date says nothing
    let mut trust = self::trust(&[&root]);
    trust.add_revoked(&list(&root, &[5], (2025, 7, 1))).expect("a list");
    let late = refused(&trust, std::slice::from_ref(&other), NOW);
    assert!(matches!(late, CertificateRefusal::ListExpired { now: NOW, .. }), "{late}");

    // nor does one of somebody else with the issuer's name
    let mut trust = self::trust(&[&root]);
    trust.add_revoked(&list(&self::root(), &[8], (2026, 7, 1))).expect("a list");
    let forged = refused(&trust, &[other], NOW);
    assert!(matches!(forged, CertificateRefusal::List { .. }), "{forged}");
}

#[test]
fn a_revoked_intermediate_takes_its_certificates_along() {
    let root = root();
    let mut params = authority("Intermediate");
    params.serial_number = Some(SerialNumber::from(9));
    let intermediate = Issuer::signed_by(params, key(), &root).expect("a certificate");
    let sent = [issue(gateway("gw"), &intermediate), of(intermediate.der())];
    let mut trust = trust(&[&root]);
    trust.add_revoked(&list(&root, &[], (2026, 7, 1))).expect("a list");
    assert!(trust.verify(&payloads(&sent), &id("gw.example"), NOW).is_ok());
    let mut trust = self::trust(&[&root]);
    trust.add_revoked(&list(&root, &[9], (2026, 7, 1))).expect("a list");
    let CertificateRefusal::Revoked { certificate, .. } = refused(&trust, &sent, NOW) else {
        panic!("the intermediate is revoked")
    };
    assert_eq!(certificate, "O=Example, CN=Intermediate");
}

#[test]
fn files_of_revoked_certificates_that_are_none_are_refused() {
    let mut trust = trust(&[]);
    assert_eq!(trust.add_revoked(b"nothing"), Err(RevocationFileError::None));
    let damaged = trust.add_revoked(&[0x30, 3, 1, 2, 3]);
    assert!(matches!(damaged, Err(RevocationFileError::Unusable(1, _))), "{damaged:?}");
    let pem = list(&root(), &[], (2026, 7, 1));
    let text = String::from_utf8(pem).expect("text").replace('A', "!");
    let damaged = trust.add_revoked(text.as_bytes());
    assert!(matches!(damaged, Err(RevocationFileError::Unusable(1, _))), "{damaged:?}");
}

#[test]
fn certificates_for_other_purposes_are_not_believed() {
    let root = root();
    let trust = trust(&[&root]);
    let verdict = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = gateway("gw");
        change(&mut params);
        let sent = [issue(params, &root)];
        trust.verify(&payloads(&sent), &id("gw.example"), NOW).map(|_| ())
    };
    let name = "O=Example, CN=gw".to_owned();
    assert_eq!(verdict(&|p| p.key_usages.clear()), Ok(()), "no key usage");
    let usage =
        |usage: KeyUsagePurpose| verdict(&|p: &mut CertificateParams| p.key_usages = vec![usage]);
    assert_eq!(usage(KeyUsagePurpose::ContentCommitment), Ok(()));
    let refused = Err(CertificateRefusal::NotForSignatures(name.clone()));
    assert_eq!(usage(KeyUsagePurpose::KeyEncipherment), refused);
    for (purpose, right) in [
        (ExtendedKeyUsagePurpose::ServerAuth, true),
        (ExtendedKeyUsagePurpose::ClientAuth, true),
        (ExtendedKeyUsagePurpose::Any, true),
        (ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 17]), true),
        (ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 8, 2, 2]), true),
        (ExtendedKeyUsagePurpose::CodeSigning, false),
        (ExtendedKeyUsagePurpose::EmailProtection, false),
    ] {
        let found = verdict(&|p| p.extended_key_usages = vec![purpose.clone()]);
        let refused = Err(CertificateRefusal::Purpose(name.clone()));
        assert_eq!(found, if right { Ok(()) } else { refused }, "{purpose:?}");
    }
    let critical = verdict(&|p| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        p.custom_extensions = vec![extension];
    });
    assert_eq!(critical, Err(CertificateRefusal::CriticalExtension(name.clone())));
    let ca = verdict(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(ca, Err(CertificateRefusal::IsAuthority(name)));
}

#[test]
fn authorities_keep_to_their_constraints() {
    let root = root();
    let trust = trust(&[&root]);
    let below = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = authority("Intermediate");
        change(&mut params);
        let intermediate = Issuer::signed_by(params, key(), &root).expect("a certificate");
        let sent = [issue(gateway("gw"), &intermediate), of(intermediate.der())];
        trust.verify(&payloads(&sent), &id("gw.example"), NOW).map(|_| ())
    };
    let permitted = |domain: &str| {
        let names = NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
            excluded_subtrees: vec![],
        };
        below(&move |p| p.name_constraints = Some(names.clone()))
    };
    assert_eq!(permitted("example"), Ok(()));
    let name = "O=Example, CN=gw".to_owned();
    assert_eq!(permitted("other"), Err(CertificateRefusal::NameConstraint(name.clone())));
    // somebody with a certificate is no authority
    let no = below(&|p| p.is_ca = IsCa::NoCa);
    assert_eq!(no, Err(CertificateRefusal::NotAuthority(name.clone())));
    let no = below(&|p| p.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(no, Err(CertificateRefusal::NotAuthority(name.clone())));
    // nor may one issue authorities that must not
    let one = |p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    assert_eq!(below(&one), Ok(()));
    let mut params = authority("First");
    one(&mut params);
    let first = Issuer::signed_by(params, key(), &root).expect("a certificate");
    let second = Issuer::signed_by(authority("Second"), key(), &first).expect("a certificate");
    let sent = [issue(gateway("gw"), &second), of(second.der()), of(first.der())];
    assert_eq!(refused(&trust, &sent, NOW), CertificateRefusal::TooLong(name));
}

#[test]
fn names_that_could_deceive_are_no_names() {
    let root = root();
    let mut params = gateway("gw");
    params.subject_alt_names = ["gw.example\n", "a b", "gw.example\0.other", ""]
        .into_iter()
        .map(|name| SanType::DnsName(name.try_into().expect("ASCII")))
        .chain([SanType::Rfc822Name("\x1b[2J@example".try_into().expect("ASCII"))])
        .collect();
    let own = issue(params, &root);
    let mismatch = own.certifies(&id("gw.example")).expect_err("none of its names");
    assert_eq!(mismatch.names, ["O=Example, CN=gw"]);
}

#[test]
fn what_openssl_makes_without_extensions_is_refused_with_what_to_do() {
    let read = |pem: &[u8]| Certificate::all_from_pem(pem).expect("a certificate").remove(0);
    let authority = read(include_bytes!("data/signatures/old.authority.pem"));
    let own = read(include_bytes!("data/signatures/old.cert.pem"));
    let now = own.not_before();
    let mut trust = Trust::new(vec![authority]).expect("an authority");
    let found = refused(&trust, &[own], now);
    assert_eq!(found, CertificateRefusal::Version("CN=old".to_owned()));
    assert!(found.to_string().contains("openssl x509 -req … -extfile FILE"), "{found}");
    let list = trust.add_revoked(include_bytes!("data/signatures/old.crl.pem"));
    let words = list.expect_err("version 1").to_string();
    assert!(words.contains("version 2 is needed, which `openssl ca` makes"), "{words}");
}

#[test]
fn certificates_with_keys_that_are_too_short_are_refused() {
    let refused = Certificate::all_from_pem(include_bytes!("data/signatures/small.cert.pem"));
    let words = refused.expect_err("1024 bits").to_string();
    assert!(
        words.contains("certificate 1 of the file: the key of certificate CN=small"),
        "{words}"
    );
    assert!(words.contains("RSA with 2048 to 8192 bits"), "{words}");
}

#[test]
fn what_is_no_certificate_is_refused() {
    let root = root();
    let own = issue(gateway("gw"), &root);
    let trust = trust(&[&root]);
    let verify =
        |sent: &[message::Certificate]| trust.verify(sent, &id("gw.example"), NOW).map(|_| ());
    assert_eq!(verify(&[]), Err(CertificateRefusal::None));
    let mut sent = payloads(&[own.clone(), of(root.der())]);
    assert_eq!(verify(&sent), Ok(()));
    // of what is not X.509 only the first matters
    sent[1].encoding = 7;
    assert_eq!(verify(&sent), Ok(()));
    sent[0].encoding = 12;
    assert_eq!(verify(&sent), Err(CertificateRefusal::Encoding(12)));
    let mut sent = payloads(&[own.clone(), own.clone()]);
    sent[1].data.pop();
    let found = verify(&sent);
    let right =
        matches!(found, Err(CertificateRefusal::Unusable(2, CertificateError::Malformed(_))));
    assert!(right, "{found:?}");
    sent[0].data.resize(17_000, 0);
    let right = CertificateRefusal::Unusable(1, CertificateError::TooLarge(17_000));
    assert_eq!(verify(&sent), Err(right));
}

#[test]
fn no_changed_bit_of_a_certificate_is_believed() {
    let root = root();
    let own = issue(gateway("gw"), &root);
    let trust = trust(&[&root]);
    for bit in 0..own.der().len() * 8 {
        let mut sent = payloads(std::slice::from_ref(&own));
        sent[0].data[bit / 8] ^= 1 << (bit % 8);
        let verified = trust.verify(&sent, &id("gw.example"), NOW);
        assert!(verified.is_err(), "bit {bit}");
    }
}

#[test]
fn the_request_names_the_keys_of_the_authorities() {
    let (root, other) = (root(), self::root());
    let request = trust(&[&root, &other]).request();
    assert_eq!((request.encoding, request.authorities.len()), (4, 40));
    let (own, certificate) = (of(root.der()), issue(gateway("gw"), &root));
    assert_eq!(request.authorities[..20], *own.key_hash());
    assert_ne!(own.key_hash(), certificate.key_hash());
    assert_eq!(trust(&[]).request().authorities, []);
}

#[test]
fn only_authorities_are_configured_as_such() {
    let own = issue(gateway("gw"), &root());
    let refused = Trust::new(vec![own]).expect_err("no authority");
    assert_eq!(refused, AuthorityError::NotAuthority("O=Example, CN=gw".to_owned()));
}

#[test]
fn files_that_make_no_credential_are_refused_with_what_was_expected() {
    let root = root();
    let (own, other) = (key(), key());
    let pem = gateway("gw").signed_by(&own, &root).expect("a certificate").pem();
    let of = |pem: &str, key: &KeyPair| {
        Credential::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes())
    };
    let both = format!("{pem}{}", root.pem());
    assert_eq!(of(&both, &own).expect("it fits").payloads().len(), 2);
    let name = "O=Example, CN=gw".to_owned();
    let mismatch = CredentialError::Mismatch(name.clone());
    assert_eq!(of(&pem, &other).expect_err("another key"), mismatch);
    let none = CredentialError::Certificate(CertificateFileError::NoCertificate);
    assert_eq!(of("", &own).expect_err("nothing"), none);
    let swapped = Credential::from_pem(own.serialize_pem().as_bytes(), pem.as_bytes());
    assert_eq!(swapped.expect_err("the wrong way round"), none);
    assert!(none.to_string().contains("-----BEGIN CERTIFICATE-----"));
    let damaged = CredentialError::Certificate(CertificateFileError::Damaged(2));
    let text = format!("{pem}{}", pem.replace("MI", "!!"));
    assert_eq!(of(&text, &own).expect_err("damaged"), damaged);
    assert_eq!(of(&pem.repeat(9), &own).expect_err("many"), CredentialError::TooMany(9));
    let mut params = gateway("gw");
    params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    let pem = params.signed_by(&own, &root).expect("a certificate").pem();
    let refused = of(&pem, &own).expect_err("not for signatures");
    assert_eq!(refused, CredentialError::NotForSignatures(name));
}

proptest! {
    #[test]
    fn any_bytes_are_no_certificate(bytes in any::<Vec<u8>>(), at in 0usize..400, to in any::<u8>()) {
        prop_assert!(Certificate::from_der(&bytes).is_err());
        prop_assert!(Certificate::all_from_pem(&bytes).is_err());
        prop_assert!(trust(&[]).add_revoked(&bytes).is_err());
        // close to a certificate
        let mut der = Certificate::all_from_pem(include_bytes!("data/signatures/p256.cert.pem"))
            .expect("a certificate")[0]
            .der()
            .to_vec();
        let at = at % der.len();
        der[at] = to;
        der.truncate(der.len() - usize::from(to == 0));
        if let Ok(certificate) = Certificate::from_der(&der) {
            let mismatch = certificate.certifies(&id("keyid:1")).expect_err("no key ID");
            prop_assert!(!mismatch.to_string().chars().any(char::is_control));
        }
    }
}
