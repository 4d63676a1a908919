//! Two gateways that prove who they are by certificates, with a postquantum key beside: what they accept,
//! what they refuse and how they say so. The keys of certificates are of Ed25519, whose signatures are the
//! same in every replay.

use std::{fs, path::PathBuf};

use lockgate_testkit::sites::{self, Sites};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ED25519, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use super::ike::{SECOND, end, exercise, explained, peer, sas, wait_until_up};

/// 2026-06-01.
const UNIX_TIME: i64 = 1_780_272_000;

/// An authority with a directory of its own for what it issues.
struct Authority {
    directory: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("a key")
}

fn params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

impl Authority {
    fn new(scenario: &str, name: &str) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(scenario).join(name);
        fs::create_dir_all(&directory).expect("a directory");
        let mut params = params(name, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        fs::write(directory.join("ca.pem"), issuer.pem()).expect("a file");
        Self { directory, issuer }
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// The lines of a peer that has a certificate of this authority.
    fn ours(&self, name: &str, serial: u64) -> String {
        let key = key();
        let certificate = params(name, serial).signed_by(&key, &self.issuer).expect("signed");
        let [pem, secret] = ["pem", "key"].map(|kind| self.file(&format!("{serial}.{kind}")));
        fs::write(&pem, certificate.pem()).expect("a file");
        fs::write(&secret, key.serialize_pem()).expect("a file");
        format!("certificate = \"{pem}\"\nprivate-key = \"{secret}\"\n")
    }

    /// The lines of a peer that believes this authority, but for one certificate.
    fn theirs(&self, revoked: u64) -> String {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 5, 1),
            next_update: date_time_ymd(2026, 12, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(revoked),
                revocation_time: date_time_ymd(2026, 4, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list").pem().expect("PEM");
        fs::write(self.file("ca.crl"), list).expect("a file");
        format!("ca = \"{}\"\ncrl = \"{}\"\n", self.file("ca.pem"), self.file("ca.crl"))
    }
}

/// Two sites that know what day it is.
fn sites(name: &str, paris: &str, oslo: &str) -> Sites {
    let mut sites = Sites::new(name, &end(1, paris, ""), &end(2, oslo, ""));
    let now = sites.net.now();
    for gateway in [sites.paris, sites.oslo] {
        sites.net.gateway_mut(gateway).set_wall_clock(UNIX_TIME, now);
    }
    sites
}

#[test]
fn certificates_prove_both_and_are_renewed_without_a_gap() {
    let ca = Authority::new("ike-certificates", "Site CA");
    let theirs = ca.theirs(99);
    let paris = format!("{}{theirs}", ca.ours("site-1.example", 2));
    let oslo = format!("{}{theirs}", ca.ours("site-2.example", 3));
    let mut sites = sites("ike-certificates", &paris, &oslo);
    wait_until_up(&mut sites, 5 * SECOND);
    exercise(&mut sites);
    let seen = peer(sites.paris, &mut sites);
    assert_eq!(seen.sas[0].authentication, "certificate CN=site-2.example, Ed25519");
    assert_eq!(seen.auth, "certificate CN=site-1.example, serial 02, until 2027-01-01T00:00:00Z");
    assert_eq!(seen.remote_auth, "certificate by CN=Site CA");
    assert!(
        seen.messages.iter().any(|message| message.payloads.iter().any(|p| p.starts_with("CERT ")))
    );

    // another certificate is for the next IKE SA; those that are up stay
    let before = sas(sites.paris, &mut sites);
    let renewed = format!("{}{theirs}", ca.ours("site-1.example", 4));
    let renewed = sites::config(1, 2, &end(1, &renewed, ""));
    sites.net.apply(sites.paris, &renewed).expect("in order");
    sites.net.run_for(SECOND);
    assert_eq!(sas(sites.paris, &mut sites)[0].spi, before[0].spi);
    assert!(peer(sites.paris, &mut sites).auth.contains("serial 04"));
    let clear = api::Request::ClearIke { peer: None };
    sites.net.answered(sites.paris, clear);
    sites.net.run_for(SECOND);
    wait_until_up(&mut sites, 10 * SECOND);
    assert_ne!(sas(sites.paris, &mut sites)[0].spi, before[0].spi);
    exercise(&mut sites);
}

#[test]
fn a_key_one_way_and_a_certificate_the_other() {
    let ca = Authority::new("ike-mixed-auth", "Site CA");
    let oslo = format!("{}start = \"wait\"\n", ca.ours("site-2.example", 3));
    let mut sites = sites("ike-mixed-auth", &ca.theirs(99), &oslo);
    wait_until_up(&mut sites, 5 * SECOND);
    exercise(&mut sites);
    let [paris, oslo] = [sites.paris, sites.oslo].map(|gateway| peer(gateway, &mut sites));
    assert!(paris.sas[0].authentication.starts_with("certificate CN=site-2.example"), "{paris:?}");
    assert_eq!(oslo.sas[0].authentication, "preshared key");
}

#[test]
fn an_authority_that_is_not_believed_is_named_at_both_ends() {
    let (ca, other) =
        (Authority::new("ike-other-ca", "Site CA"), Authority::new("ike-other-ca", "Other CA"));
    let paris = format!("{}{}", other.ours("site-1.example", 2), ca.theirs(99));
    let oslo = format!("{}{}start = \"wait\"\n", ca.ours("site-2.example", 3), ca.theirs(99));
    let mut sites = sites("ike-other-ca", &paris, &oslo);
    sites.net.run_for(3 * SECOND);
    let why = explained(sites.oslo, &mut sites);
    assert!(
        why.verdict.contains("authentication of site-1.example failed")
            && why.verdict.contains("CN=Other CA"),
        "{why:?}"
    );
    assert!(why.remedy.contains("certificates"), "{why:?}");
    let why = explained(sites.paris, &mut sites);
    assert!(why.verdict.contains("did not accept our identity site-1.example"), "{why:?}");
    assert!(why.remedy.contains("authority"), "{why:?}");
}

#[test]
fn a_certificate_that_was_revoked_or_has_expired_is_refused_in_words() {
    let ca = Authority::new("ike-revoked", "Site CA");
    let paris = format!("{}{}", ca.ours("site-1.example", 2), ca.theirs(2));
    let oslo = format!("{}{}start = \"wait\"\n", ca.ours("site-2.example", 3), ca.theirs(2));
    let mut sites = sites("ike-revoked", &paris, &oslo);
    sites.net.run_for(3 * SECOND);
    let why = explained(sites.oslo, &mut sites).verdict;
    assert!(why.contains("CN=site-1.example (serial 02) was revoked by CN=Site CA"), "{why}");
    // two years later
    let now = sites.net.now();
    sites.net.gateway_mut(sites.oslo).set_wall_clock(UNIX_TIME + 2 * 365 * 86_400, now);
    sites.net.run_for(6 * SECOND);
    let why = explained(sites.oslo, &mut sites).verdict;
    assert!(
        why.contains("CN=site-1.example expired at 2027-01-01T00:00:00Z; it is 2028-"),
        "{why}"
    );
}

/// The lines of a peer with a postquantum pre-shared key.
fn ppk(key: &str, required: bool) -> String {
    format!("ppk-id = \"sites\"\nppk = \"{key}\"\nppk-required = {required}\n")
}

#[test]
fn a_postquantum_key_is_mixed_in_where_both_have_it() {
    let ca = Authority::new("ike-ppk", "Site CA");
    let more = |site: u64| {
        let ours = ca.ours(&format!("site-{site}.example"), site);
        format!("{ours}{}{}", ca.theirs(99), ppk("a key of the time after", true))
    };
    let mut sites = sites("ike-ppk", &more(1), &more(2));
    wait_until_up(&mut sites, 5 * SECOND);
    exercise(&mut sites);
    for gateway in [sites.paris, sites.oslo] {
        let peer = peer(gateway, &mut sites);
        assert!(peer.sas[0].ppk && !format!("{peer:?}").contains("time after"), "{peer:?}");
    }
}

#[test]
fn without_a_common_postquantum_key_it_depends_on_whether_one_is_required() {
    let one = ppk("a key of the time after", false);
    let mut both = sites("ike-ppk-optional", &one, "");
    wait_until_up(&mut both, 5 * SECOND);
    assert!(!peer(both.paris, &mut both).sas[0].ppk);
    let one = ppk("a key of the time after", true);
    let mut sites = sites("ike-ppk-required", "", &format!("{one}start = \"wait\"\n"));
    sites.net.run_for(3 * SECOND);
    let why = explained(sites.oslo, &mut sites);
    assert!(why.verdict.contains("a PPK is required: the peer uses none"), "{why:?}");
    assert!(why.remedy.contains("postquantum"), "{why:?}");
}
