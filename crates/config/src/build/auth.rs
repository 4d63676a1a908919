//! How both ends of IKE prove who they are: pre-shared keys, and certificates out of files.
//!
//! What would make peers refuse us, or us all of them, is said here and not found out by a failed
//! negotiation. What comes with time alone (a certificate or a list that is out of date) is a warning:
//! else a gateway that starts on that day would have no configuration at all.

use core::{net::IpAddr, str};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ike::{
    auth::{
        AuthorityError, Certificate, Credential, CredentialError, Identity, RsaPadding, Trust, utc,
    },
    crypto::Secret,
};
use zeroize::Zeroizing;

use super::network::unfitting;
use crate::{
    model::{LocalAuth, OwnCertificate, Ppk, RemoteAuth},
    read::{At, Span, Tab},
    values::Bad,
};

/// A pre-shared key below this is guessed offline by whoever records one exchange as the far end
/// (RFC 7296 §2.15).
const SHORT_PSK: usize = 16;

/// Bytes of a postquantum pre-shared key that resists Grover's algorithm (RFC 8784 §6).
const SHORT_PPK: usize = 32;

/// Seconds before the end of a certificate from which on that is told.
const SOON: u64 = 14 * 86_400;

/// Both proofs; reports what is missing and what does not fit.
pub(super) fn read(tab: &Tab<'_, '_>) -> Option<(LocalAuth, RemoteAuth)> {
    let has = |key: &str| tab.get(key).is_some();
    let word = |key: &str, otherwise: bool| match tab.text(key) {
        Some(_) => tab.word(key) == "certificate",
        None => otherwise,
    };
    let with_certificate = word("auth", has("certificate"));
    let psk_written = has("psk") || has("psk-file");
    let from_certificate = word("remote-auth", has("ca") || (with_certificate && !psk_written));
    let unfit: &[(bool, &[&str], &str)] = &[
        (
            with_certificate,
            &["certificate", "private-key", "rsa-padding"],
            "a pre-shared key of ours",
        ),
        (from_certificate, &["ca", "crl"], "a pre-shared key of the peer"),
        (!(with_certificate && from_certificate), &["psk", "psk-file"], "certificates both ways"),
    ];
    for (fits, keys, beside) in unfit {
        for key in keys.iter().filter(|key| !fits && has(key)) {
            unfitting(tab, key, beside);
        }
    }
    let psk = if with_certificate && from_certificate { None } else { psk(tab) };
    let ours = match with_certificate {
        true => own(tab),
        false => psk.clone().map(LocalAuth::Psk),
    };
    let theirs = match from_certificate {
        true => authorities(tab),
        false => psk.map(RemoteAuth::Psk),
    };
    Some((ours?, theirs?))
}

/// Who we say we are: as written, or the subject of the certificate, or the address.
pub(super) fn local_id(
    tab: &Tab<'_, '_>,
    written: Option<At<Identity>>,
    auth: &LocalAuth,
    local: IpAddr,
) -> Identity {
    let LocalAuth::Certificate { own, .. } = auth else {
        return written.map_or_else(|| local.into(), |at| at.value);
    };
    let first = own.first().and_then(|own| own.credential.identity());
    let (id, span) = match written {
        Some(At { value, span }) => (value, span),
        None => (first.unwrap_or_else(|| local.into()), tab.span_of("certificate")),
    };
    for own in own {
        if let Err(fault) = own.credential.certificate().certifies(&id) {
            tab.doc
                .warning("not-certified", &span, format!("{}: {fault}", own.file.display()))
                .found(format!("`local-id` is {id}"))
                .expected("an identity that the certificate says (RFC 4945 §3.1)")
                .help("set `local-id` to one of those, or have a certificate issued for it")
                .emit();
        }
    }
    id
}

/// Our certificates with their keys.
fn own(tab: &Tab<'_, '_>) -> Option<LocalAuth> {
    let (certificates, keys) = (files(tab, "certificate")?, files(tab, "private-key")?);
    if certificates.len() != keys.len() {
        tab.doc
            .error(
                "keys-and-certificates",
                &tab.span_of("private-key"),
                "a key belongs to each certificate",
            )
            .found(format!("{} certificates and {} keys", certificates.len(), keys.len()))
            .expected("as many `private-key` as `certificate`, in the same order")
            .help("write both lists in the same order")
            .related(&tab.span_of("certificate"), "the certificates are here")
            .emit();
        return None;
    }
    let own = certificates
        .iter()
        .zip(&keys)
        .map(|(of, key)| own_certificate(tab, of, key, "peers refuse us"));
    let own: Vec<_> = own.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
    let padding = match tab.word("rsa-padding") {
        "pss" => RsaPadding::Pss,
        _ => RsaPadding::Pkcs1,
    };
    Some(LocalAuth::Certificate { own, padding })
}

/// A certificate of ours with its key. `so` says what comes of one that is out of its time.
pub(super) fn own_certificate(
    tab: &Tab<'_, '_>,
    of: &At<&str>,
    key: &At<&str>,
    so: &str,
) -> Option<OwnCertificate> {
    let certificates = file(tab, "certificate", of);
    let secret = file(tab, "private-key", key);
    let credential = match Credential::from_pem(&certificates?, &secret?) {
        Ok(credential) => credential,
        Err(fault) => {
            let (name, at, expected, help) = match fault {
                CredentialError::Certificate(_) => (
                    "certificate",
                    of,
                    "certificates in PEM, ours first",
                    "look at the file with `openssl x509 -in FILE -noout -subject -dates`",
                ),
                CredentialError::TooMany(_) => (
                    "certificate",
                    of,
                    "ours first, then those that lead to its authority",
                    "leave the others out",
                ),
                CredentialError::NotForSignatures(_) => (
                    "certificate",
                    of,
                    "a certificate whose key usage allows signatures",
                    "have it issued with the key usage digitalSignature",
                ),
                CredentialError::Key(_) => (
                    "private-key",
                    key,
                    "one private key in PEM, not encrypted",
                    "look at the file with `openssl pkey -in FILE -noout -check`",
                ),
                CredentialError::Mismatch(_) => (
                    "private-key",
                    key,
                    "the key that the certificate was issued for",
                    "put our own certificate first in its file, and name its key",
                ),
            };
            let draft = tab.doc.error("bad-certificate", &at.span, format!("`{name}`: {fault}"));
            let draft = match name {
                "private-key" => draft.related(&of.span, "its certificate is here"),
                _ => draft,
            };
            draft.found(tab.doc.snippet(&at.span)).expected(expected).help(help).emit();
            return None;
        }
    };
    in_time(tab, &of.span, credential.certificate(), so);
    Some(OwnCertificate {
        file: PathBuf::from(of.value),
        key_file: PathBuf::from(key.value),
        credential,
    })
}

/// Whom we believe.
pub(super) fn authorities(tab: &Tab<'_, '_>) -> Option<RemoteAuth> {
    let ca = files(tab, "ca")?;
    let mut all = Some(Vec::new());
    for at in &ca {
        let read = file(tab, "ca", at).and_then(|bytes| authorities_of(tab, at, &bytes));
        all = all.zip(read).map(|(mut all, more)| {
            all.extend(more);
            all
        });
    }
    let mut trust = Trust::new(all?).ok()?;
    let crl = tab.list("crl");
    for at in &crl {
        let bytes = file(tab, "crl", at)?;
        let before = trust.revocation_lists().len();
        if let Err(fault) = trust.add_revoked(&bytes) {
            tab.doc
                .error("bad-crl", &at.span, format!("`crl`: {fault}"))
                .found(tab.doc.snippet(&at.span))
                .expected("lists of revoked certificates (RFC 5280 §5), version 2, PEM or DER")
                .help("look at the file with `openssl crl -in FILE -noout -text`")
                .emit();
            return None;
        }
        for list in trust.revocation_lists().iter().skip(before) {
            if list.next_update.is_some_and(|due| due < tab.doc.now()) {
                let due = list.next_update.map_or_else(String::new, |due| utc(&due));
                tab.doc
                    .warning("expired-crl", &at.span, format!("the list of {} is out of date", list.issuer))
                    .found(format!("a new one was due at {due}"))
                    .expected("a list that is renewed before that time")
                    .help("fetch the list anew and reload; until then, peers with certificates of this issuer are refused")
                    .emit();
            }
        }
    }
    let paths = |list: &[At<&str>]| list.iter().map(|at| PathBuf::from(at.value)).collect();
    Some(RemoteAuth::Certificate { ca: paths(&ca), crl: paths(&crl), trust: Arc::new(trust) })
}

fn authorities_of(tab: &Tab<'_, '_>, at: &At<&str>, bytes: &[u8]) -> Option<Vec<Certificate>> {
    let read = Certificate::all_from_pem(bytes).map_err(|fault| fault.to_string());
    let read = read.and_then(|all| match Trust::new(all.clone()) {
        Ok(_) => Ok(all),
        Err(fault @ (AuthorityError::NotAuthority(_) | AuthorityError::Unusable(..))) => {
            Err(fault.to_string())
        }
    });
    match read {
        Ok(all) => {
            all.iter().for_each(|of| in_time(tab, &at.span, of, "nobody is believed for its sake"));
            Some(all)
        }
        Err(fault) => {
            tab.doc
                .error("bad-authority", &at.span, format!("`ca`: {fault}"))
                .found(tab.doc.snippet(&at.span))
                .expected("certificates of authorities in PEM")
                .help("name the file of the authority that issues the peer's certificate")
                .emit();
            None
        }
    }
}

/// Doubts a certificate out of its time, or soon to be.
fn in_time(tab: &Tab<'_, '_>, span: &Span, of: &Certificate, so: &str) {
    let now = tab.doc.now();
    let (code, what, at) = match (of.not_before(), of.not_after()) {
        (from, _) if now < from => ("certificate-not-yet-valid", "is not valid before", from),
        (_, to) if now > to => ("expired-certificate", "expired at", to),
        (_, to) if now > to.saturating_sub(SOON) => ("certificate-expires-soon", "expires at", to),
        _ => return,
    };
    tab.doc
        .warning(code, span, format!("certificate {} {what} {}", of.name(), utc(&at)))
        .found(format!("it is {} now", utc(&now)))
        .expected("a certificate within its time, for a while yet")
        .help(format!("put a new one in place and reload; out of its time, {so}"))
        .emit();
}

/// The files under a key that must be there.
fn files<'d>(tab: &Tab<'d, '_>, key: &str) -> Option<Vec<At<&'d str>>> {
    if tab.get(key).is_none() {
        tab.missing(key);
    }
    Some(tab.list(key)).filter(|list| !list.is_empty())
}

/// What is in a file that the configuration names.
pub(super) fn file(tab: &Tab<'_, '_>, key: &str, path: &At<&str>) -> Option<Zeroizing<Vec<u8>>> {
    let read = |path: &str| {
        if !path.starts_with('/') {
            return Err(Bad::new(
                "that is not an absolute path",
                "a path that begins with `/`",
                "write the path from the root on",
            ));
        }
        tab.doc.file(Path::new(path)).map_err(|fault| {
            Bad::new(
                format!("{path} cannot be read: {fault}"),
                "a file that the gateway may read",
                "make the file, readable by the gateway's user alone",
            )
        })
    };
    Some(tab.read(key, path, read)?.value)
}

/// The pre-shared key, from where it stands.
fn psk(tab: &Tab<'_, '_>) -> Option<Secret> {
    let At { value: key, span } = secret_of(tab, "psk", "psk-file")?;
    if key.expose().len() < SHORT_PSK {
        tab.doc
            .warning("short-psk", &span, "the pre-shared key is short")
            .found(format!("{} bytes", key.expose().len()))
            .expected(format!("{SHORT_PSK} bytes or more, made at random"))
            .help("make one with `openssl rand -hex 32` and write it behind `0x` (RFC 7296 §2.15)")
            .emit();
    }
    Some(key)
}

/// A postquantum pre-shared key, where there is one.
pub(super) fn ppk(tab: &Tab<'_, '_>) -> Option<Ppk> {
    let keys = ["ppk-id", "ppk", "ppk-file", "ppk-required"];
    if keys.iter().all(|key| tab.get(key).is_none()) {
        return None;
    }
    let id = tab.required("ppk-id").and_then(|at| tab.read("ppk-id", &at, name_of_key));
    let key = secret_of(tab, "ppk", "ppk-file");
    let required = tab.flag("ppk-required");
    let (id, At { value: key, span }) = (id?, key?);
    if key.expose().len() < SHORT_PPK {
        tab.doc
            .warning("short-ppk", &span, "the postquantum pre-shared key is short")
            .found(format!("{} bytes", key.expose().len()))
            .expected(format!("{SHORT_PPK} bytes or more, made at random (RFC 8784 §6)"))
            .help("make one with `openssl rand -hex 32` and write it behind `0x`")
            .emit();
    }
    Some(Ppk { id: id.value, key, required })
}

fn name_of_key(text: &str) -> Result<String, Bad> {
    match text.is_empty() || text.chars().count() > 64 || text.contains(char::is_control) {
        false => Ok(text.to_owned()),
        true => Err(Bad::new(
            "that is no name of a key",
            "1 to 64 characters",
            "write a name such as \"site-2\", the same at the peer",
        )),
    }
}

/// A key under `inline`, or in the file that `named` names; one of the two must be there.
fn secret_of(tab: &Tab<'_, '_>, inline: &str, named: &str) -> Option<At<Secret>> {
    match (tab.text(inline), tab.text(named)) {
        (Some(_), Some(_)) => {
            unfitting(tab, named, &format!("`{inline}`"));
            None
        }
        (None, None) => {
            if tab.get(inline).is_none() && tab.get(named).is_none() {
                tab.missing(inline);
            }
            None
        }
        (Some(text), None) => tab.read(inline, &text, |text| secret(text.as_bytes())),
        (None, Some(path)) => {
            let bytes = file(tab, named, &path)?;
            let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            tab.read(named, &path, |_| secret(line))
        }
    }
}

/// A text as it is, or hexadecimal digits behind `0x`.
fn secret(bytes: &[u8]) -> Result<Secret, Bad> {
    let bad = |message: &str| {
        Bad::new(
            message,
            "a text, or pairs of hexadecimal digits behind `0x`",
            "make one with `openssl rand -hex 32` and write it behind `0x`",
        )
    };
    let key = match bytes.strip_prefix(b"0x") {
        Some(digits) => str::from_utf8(digits)
            .ok()
            .and_then(hex)
            .map(|bytes| Secret::from_bytes(&bytes))
            .ok_or_else(|| bad("the key is not hexadecimal"))?,
        None => Secret::from_bytes(bytes),
    };
    if key.expose().is_empty() { Err(bad("the key is empty")) } else { Ok(key) }
}

fn hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |c: &u8| char::from(*c).to_digit(16);
    // all of it is reserved before: a vector that grew would leave copies behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push((digit(high)? << 4 | digit(low)?) as u8);
    }
    rest.is_empty().then_some(bytes)
}
