//! The user whose name a client certificate says. That it is valid was checked by TLS before.

use x509_cert::{
    der::{
        Decode as _,
        asn1::{Any, ObjectIdentifier, PrintableStringRef, Utf8StringRef},
    },
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// The longest name, in bytes.
const MAX_NAME: usize = 256;
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const USER_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1");

/// What of a certificate is the user's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateName {
    /// The common name (CN) of the subject.
    #[default]
    CommonName,
    /// The user ID (UID) of the subject.
    UserId,
    /// The first mail address of the alternative names.
    Email,
}

/// A certificate does not say whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateNameError {
    /// It is malformed.
    #[error("the certificate is malformed")]
    Malformed,
    /// It has no such name, or one that is not text, or too long.
    #[error("the certificate has no name of the kind that is used")]
    NoName,
    /// It has several, so it is not clear which counts.
    #[error("the certificate has several names of the kind that is used")]
    Several,
}

/// The user's name of a certificate in DER.
pub fn certificate_name(
    der: &[u8],
    which: CertificateName,
) -> Result<String, CertificateNameError> {
    let malformed = |_| CertificateNameError::Malformed;
    let certificate = x509_cert::Certificate::from_der(der).map_err(malformed)?;
    let tbs = certificate.tbs_certificate();
    let name = match which {
        CertificateName::CommonName | CertificateName::UserId => {
            let oid = if which == CertificateName::UserId { USER_ID } else { COMMON_NAME };
            let mut values = tbs.subject().iter().filter(|attribute| attribute.oid == oid);
            let first = values.next().ok_or(CertificateNameError::NoName)?;
            if values.next().is_some() {
                return Err(CertificateNameError::Several);
            }
            text(&first.value).ok_or(CertificateNameError::NoName)?
        }
        CertificateName::Email => {
            let names = tbs.get_extension::<SubjectAltName>();
            let names = names.map_err(|_| CertificateNameError::Malformed)?;
            let names = names.map_or(Vec::new(), |(_, names)| names.0);
            let mail = names.iter().find_map(|name| match name {
                GeneralName::Rfc822Name(mail) => Some(mail.as_str().to_owned()),
                _ => None,
            });
            mail.ok_or(CertificateNameError::NoName)?
        }
    };
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(CertificateNameError::NoName);
    }
    Ok(name)
}

fn text(value: &Any) -> Option<String> {
    let utf8 = value.decode_as::<Utf8StringRef<'_>>().map(|s| s.as_str().to_owned());
    let text = utf8
        .or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|s| s.as_str().to_owned()));
    text.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[(rcgen::DnType, &str)], mail: Option<&str>) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        if let Some(mail) = mail {
            let name = rcgen::SanType::Rfc822Name(mail.try_into().unwrap());
            params.subject_alt_names.push(name);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_found_where_they_are_looked_for() {
        let uid = rcgen::DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        let names = [(rcgen::DnType::CommonName, "Alice Ä"), (uid, "alice")];
        let der = certificate(&names, Some("alice@example.org"));
        let name = |which| certificate_name(&der, which).unwrap();
        assert_eq!(name(CertificateName::CommonName), "Alice Ä");
        assert_eq!(name(CertificateName::UserId), "alice");
        assert_eq!(name(CertificateName::Email), "alice@example.org");
        let bare = certificate(&[(rcgen::DnType::OrganizationName, "x")], None);
        for which in [CertificateName::CommonName, CertificateName::UserId, CertificateName::Email]
        {
            assert_eq!(certificate_name(&bare, which), Err(CertificateNameError::NoName));
        }
        let control = certificate(&[(rcgen::DnType::CommonName, "a\nb")], None);
        let common = CertificateName::CommonName;
        assert_eq!(certificate_name(&control, common), Err(CertificateNameError::NoName));
        assert_eq!(certificate_name(b"x", common), Err(CertificateNameError::Malformed));
    }
}
