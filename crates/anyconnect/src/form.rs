//! The answers of a login, and how clients of before `config-auth` send them: as a form,
//! `application/x-www-form-urlencoded`.

use std::fmt;

use zeroize::Zeroizing;

/// The longest user name, password or group, in bytes.
pub(crate) const MAX_VALUE: usize = 512;
/// Fields of a form.
const MAX_FIELDS: usize = 64;

/// What a client filled in.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
    pub(crate) group: Option<String>,
}

/// A body is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    /// A value is not percent-encoded UTF-8.
    #[error("the form is malformed")]
    Malformed,
    /// More fields or longer values than a login has.
    #[error("the form is too long")]
    TooLarge,
}

impl Answers {
    /// From the body of a request.
    pub(crate) fn from_form(body: &[u8]) -> Result<Self, FormError> {
        let mut answers = Self::default();
        for (i, field) in body.split(|b| *b == b'&').enumerate() {
            if i == MAX_FIELDS {
                return Err(FormError::TooLarge);
            }
            let at = field.iter().position(|b| *b == b'=').unwrap_or(field.len());
            let value = decode(field.get(at + 1..).unwrap_or_default())?;
            match &field[..at] {
                b"username" => answers.user = value.trim().to_owned(),
                b"password" => answers.password = value,
                b"group_list" => answers.group = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        Ok(answers)
    }
}

fn decode(value: &[u8]) -> Result<Zeroizing<String>, FormError> {
    if value.len() > MAX_VALUE * 3 {
        return Err(FormError::TooLarge);
    }
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(*b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(FormError::Malformed),
                }
            }
            byte => *byte,
        });
    }
    if decoded.len() > MAX_VALUE {
        return Err(FormError::TooLarge);
    }
    let text = std::str::from_utf8(&decoded).map_err(|_| FormError::Malformed)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Percent-encodes what is not printable ASCII, and `%`: so clients show lines of a banner as lines.
pub(crate) fn encode_banner(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Shows no password.
impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("user", &self.user)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_is_read() {
        let form = b"group_list=staff&username=alice&password=a%26b+c%C3%A4&Login=Login&x";
        let answers = Answers::from_form(form).unwrap();
        assert_eq!(answers.user, "alice");
        assert_eq!(*answers.password, "a&b cä");
        assert_eq!(answers.group.as_deref(), Some("staff"));
        assert!(!format!("{answers:?}").contains("a&b"));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let parse = |form: &[u8]| Answers::from_form(form).unwrap_err();
        for form in [&b"a=%"[..], b"a=%g0", b"a=%ff", b"a=\xff", b"a=%1"] {
            assert_eq!(parse(form), FormError::Malformed, "{form:?}");
        }
        let long = [&b"password="[..], &[b'a'; MAX_VALUE + 1]].concat();
        assert_eq!(parse(&long), FormError::TooLarge);
        assert_eq!(parse(&b"a=b&".repeat(MAX_FIELDS)), FormError::TooLarge);
    }

    #[test]
    fn banners_keep_their_lines() {
        assert_eq!(encode_banner("100% ok\nü"), "100%25 ok%0A%C3%BC");
    }

    proptest! {
        #[test]
        fn any_bytes_give_answers_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Answers::from_form(&bytes);
        }
    }
}
