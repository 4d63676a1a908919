//! The documents of a login: what clients send in `config-auth`, and the forms they are answered with.
//!
//! `quick-xml` reads the markup. There are no document types, so no entities but the five of XML and
//! characters by number; depth, elements and lengths have limits. Of a document only what a login
//! needs is kept.
//!
//! Clients of before `config-auth` fetch a bare `auth` element and send forms (see [`crate::form`]).

use std::fmt::Write as _;

use quick_xml::{
    Reader,
    escape::escape,
    events::{BytesStart, Event},
};
use zeroize::Zeroizing;

use crate::form::{Answers, MAX_VALUE};

/// Elements within elements.
const MAX_DEPTH: usize = 16;
/// Elements of a document.
const MAX_ELEMENTS: usize = 512;

/// What a client says with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It begins, or begins again with another group.
    Init,
    /// It fills the form in.
    Reply,
}

/// A document of a client.
#[derive(Debug)]
pub(crate) struct ConfigAuth {
    pub(crate) kind: Kind,
    pub(crate) answers: Answers,
    /// It was asked for a certificate and has none to offer.
    pub(crate) certificate_failed: bool,
}

/// Bytes are no document of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XmlError {
    /// Not well-formed XML in UTF-8.
    #[error("the document is not well-formed XML")]
    Malformed,
    /// A document type or an entity of its own.
    #[error("the document declares a type or uses entities")]
    Entity,
    /// Too deep, too many elements, or a value that is too long.
    #[error("the document is too deep or too long")]
    TooLarge,
    /// The root is not `config-auth`, or its type is none that begins or answers a login.
    #[error("the document is not the beginning of a login or the answer to a form")]
    Unexpected,
}

impl ConfigAuth {
    /// From the body of a request.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, XmlError> {
        let text = std::str::from_utf8(body).map_err(|_| XmlError::Malformed)?;
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        let mut document = None;
        // the text of elements is kept by their depth, so that a child does not end its parent's
        let mut path: Vec<String> = Vec::new();
        let mut value = Zeroizing::new(String::with_capacity(MAX_VALUE));
        let mut elements = 0;
        loop {
            match reader.read_event().map_err(|_| XmlError::Malformed)? {
                Event::Start(start) => {
                    elements += 1;
                    if path.len() == MAX_DEPTH || elements > MAX_ELEMENTS {
                        return Err(XmlError::TooLarge);
                    }
                    if path.is_empty() {
                        document = match document {
                            None => Some(Self::root(&start)?),
                            Some(_) => return Err(XmlError::Malformed),
                        };
                    }
                    path.push(start.name().as_ref().to_owned());
                    value.clear();
                }
                Event::End(_) => {
                    let name = path.pop().ok_or(XmlError::Malformed)?;
                    if let Some(document) = &mut document {
                        document.element(path.last().map(String::as_str), &name, &value);
                    }
                    value.clear();
                }
                Event::Text(text) => push(&mut value, text.as_ref())?,
                Event::CData(text) => push(&mut value, text.as_ref())?,
                Event::GeneralRef(reference) => {
                    let mut buffer = [0; 4];
                    let character = character(&reference.into_inner())?;
                    push(&mut value, character.encode_utf8(&mut buffer))?;
                }
                Event::DocType(_) => return Err(XmlError::Entity),
                // empty elements come as a start and an end
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Empty(_) => {}
                Event::Eof => break,
            }
        }
        match document {
            Some(document) if path.is_empty() => Ok(document),
            Some(_) | None => Err(XmlError::Malformed),
        }
    }

    fn root(start: &BytesStart<'_>) -> Result<Self, XmlError> {
        if start.name().as_ref() != "config-auth" {
            return Err(XmlError::Unexpected);
        }
        let mut kind = None;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| XmlError::Malformed)?;
            if attribute.key.as_ref() == "type" {
                kind = Some(attribute.value);
            }
        }
        let kind = match kind.as_deref() {
            Some("init") => Kind::Init,
            Some("auth-reply") => Kind::Reply,
            Some(_) | None => return Err(XmlError::Unexpected),
        };
        Ok(Self { kind, answers: Answers::default(), certificate_failed: false })
    }

    fn element(&mut self, parent: Option<&str>, name: &str, value: &str) {
        match (parent, name) {
            (Some("auth"), "username") => self.answers.user = value.trim().to_owned(),
            (Some("auth"), "password") => {
                self.answers.password = Zeroizing::new(value.to_owned());
            }
            (Some("config-auth"), "group-select") => {
                self.answers.group = Some(value.trim().to_owned());
            }
            (Some("auth"), "group_list") => self.answers.group = Some(value.trim().to_owned()),
            (Some("config-auth"), "client-cert-fail") => self.certificate_failed = true,
            _ => {}
        }
    }
}

fn push(value: &mut String, more: &str) -> Result<(), XmlError> {
    if value.len() + more.len() > MAX_VALUE {
        return Err(XmlError::TooLarge);
    }
    value.push_str(more);
    Ok(())
}

/// The character a reference stands for.
fn character(reference: &str) -> Result<char, XmlError> {
    let number = match reference {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => reference.strip_prefix('#').ok_or(XmlError::Entity)?,
    };
    let number = match number.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    let character = number.ok().and_then(char::from_u32).filter(|c| *c != '\0');
    character.ok_or(XmlError::Malformed)
}

/// What a client is to fill in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginForm<'a> {
    /// Where it is sent to.
    pub(crate) action: &'a str,
    /// What is said above it.
    pub(crate) message: &'a str,
    /// What went wrong before.
    pub(crate) error: Option<&'a str>,
    /// Groups to choose from: name and label.
    pub(crate) groups: &'a [(&'a str, &'a str)],
    /// The group that is chosen so far.
    pub(crate) selected: Option<&'a str>,
}

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Documents both ways.
    Xml,
    /// A bare `auth` element, answered by a form.
    Form,
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

impl Dialect {
    /// A form to fill in.
    pub(crate) fn form(self, form: &LoginForm<'_>) -> String {
        let mut auth = format!("<auth id=\"main\"><message>{}</message>", escape(form.message));
        if let Some(error) = form.error {
            let _ =
                write!(auth, "<error id=\"1\" param1=\"\" param2=\"\">{}</error>", escape(error));
        }
        let _ = write!(auth, "<form method=\"post\" action=\"{}\">", escape(form.action));
        auth.push_str("<input type=\"text\" name=\"username\" label=\"Username:\"/>");
        auth.push_str("<input type=\"password\" name=\"password\" label=\"Password:\"/>");
        if !form.groups.is_empty() {
            auth.push_str("<select name=\"group_list\" label=\"GROUP:\">");
            for (name, label) in form.groups {
                let selected = if form.selected == Some(name) { " selected=\"true\"" } else { "" };
                let (name, label) = (escape(*name), escape(*label));
                let _ = write!(auth, "<option value=\"{name}\"{selected}>{label}</option>");
            }
            auth.push_str("</select>");
        }
        auth.push_str("</form></auth>");
        self.document("auth-request", &auth)
    }

    /// There is nothing to fill in: it did not work.
    pub(crate) fn refusal(self, error: &str) -> String {
        let error = escape(error);
        let error = format!("<error id=\"1\" param1=\"\" param2=\"\">{error}</error>");
        let auth = format!("<auth id=\"main\"><message></message>{error}</auth>");
        self.document("auth-request", &auth)
    }

    /// The login is complete.
    pub(crate) fn success(self) -> String {
        self.document("complete", "<auth id=\"success\"><message></message></auth>")
    }

    /// The client is to come again with its certificate.
    pub(crate) fn certificate_request() -> String {
        Self::Xml.document("auth-request", "<client-cert-request/>")
    }

    fn document(self, kind: &str, inner: &str) -> String {
        match self {
            Self::Xml => format!(
                "{DECLARATION}<config-auth client=\"vpn\" type=\"{kind}\">\
                 <version who=\"sg\">0.1(1)</version>{inner}</config-auth>\n"
            ),
            Self::Form => format!("{DECLARATION}{inner}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPLY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <config-auth client=\"vpn\" type=\"auth-reply\" aggregate-auth-version=\"2\">\
        <version who=\"vpn\">v9.01</version><device-id>linux-64</device-id>\
        <session-token/><session-id/><opaque is-for=\"sg\"><a><b>c</b></a></opaque>\
        <auth><username> alice </username><password>a&lt;b&#38;&#x20;<![CDATA[<c>]]> </password></auth>\
        <group-select>staff</group-select></config-auth>";

    #[test]
    fn a_reply_is_read() {
        let reply = ConfigAuth::parse(REPLY.as_bytes()).unwrap();
        assert_eq!(reply.kind, Kind::Reply);
        assert_eq!(reply.answers.user, "alice");
        assert_eq!(*reply.answers.password, "a<b& <c> ");
        assert_eq!(reply.answers.group.as_deref(), Some("staff"));
        assert!(!reply.certificate_failed);
        assert!(!format!("{reply:?}").contains("a<b"), "no password in {reply:?}");
    }

    #[test]
    fn an_init_is_read() {
        let init = "<config-auth client='vpn' type='init'><client-cert-fail/>\
            <group-access>https://gw/x</group-access></config-auth>";
        let init = ConfigAuth::parse(init.as_bytes()).unwrap();
        assert_eq!(init.kind, Kind::Init);
        assert!(init.certificate_failed);
        assert_eq!(init.answers.group, None);
    }

    #[test]
    fn what_is_no_login_is_refused() {
        let parse = |text: &str| ConfigAuth::parse(text.as_bytes()).map(|_| ()).unwrap_err();
        let auth = |inner: &str| format!("<config-auth type=\"init\">{inner}</config-auth>");
        for text in [
            "",
            "x",
            "<config-auth type='init'>",
            "<config-auth type='init'></b>",
            "<config-auth type='init'/><config-auth type='init'/>",
            "<config-auth type='init' type='init'/>",
            &auth("&#0;"),
            &auth("&#x110000;"),
            &auth("<a></b>"),
            "</a>",
            &auth("&"),
        ] {
            assert_eq!(parse(text), XmlError::Malformed, "{text:?}");
        }
        let bomb = "<!DOCTYPE a [<!ENTITY b \"cc\">]><config-auth type='init'>&b;</config-auth>";
        assert_eq!(parse(bomb), XmlError::Entity);
        assert_eq!(parse(&auth("&nbsp;")), XmlError::Entity);
        assert_eq!(parse("<a type='init'/>"), XmlError::Unexpected);
        assert_eq!(parse("<config-auth type='complete'/>"), XmlError::Unexpected);
        assert_eq!(parse("<config-auth/>"), XmlError::Unexpected);
        let deep = "<a>".repeat(MAX_DEPTH) + &"</a>".repeat(MAX_DEPTH);
        assert_eq!(parse(&auth(&deep)), XmlError::TooLarge);
        assert_eq!(parse(&auth(&"<a/>".repeat(MAX_ELEMENTS))), XmlError::TooLarge);
        assert_eq!(parse(&auth(&"a".repeat(MAX_VALUE + 1))), XmlError::TooLarge);
        assert_eq!(
            ConfigAuth::parse(b"<config-auth type='init'>\xff").unwrap_err(),
            XmlError::Malformed
        );
    }

    #[test]
    fn forms_are_written_with_markup_escaped() {
        let form = LoginForm {
            action: "/a&b",
            message: "Hello <you>",
            error: Some("no \"good\""),
            groups: &[("a", "Group A"), ("b", "B<")],
            selected: Some("b"),
        };
        let text = Dialect::Xml.form(&form);
        for part in [
            "type=\"auth-request\"",
            "action=\"/a&amp;b\"",
            "Hello &lt;you&gt;",
            "no &quot;good&quot;",
            "<option value=\"a\">Group A</option>",
            "<option value=\"b\" selected=\"true\">B&lt;</option>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let old = Dialect::Form.form(&form);
        assert!(old.contains("?>\n<auth id=\"main\">") && !old.contains("config-auth"), "{old}");
        assert!(Dialect::Xml.success().contains("type=\"complete\""));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_document_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..REPLY.len(),
        ) {
            let _ = ConfigAuth::parse(&bytes);
            let mut text = REPLY.as_bytes().to_vec();
            text.splice(at..at + 1, bytes);
            let _ = ConfigAuth::parse(&text);
        }

        #[test]
        fn passwords_survive_the_markup(password in "[ -~äöü€]{0,40}") {
            let text = format!(
                "<config-auth type=\"auth-reply\"><auth><password>{}</password></auth></config-auth>",
                escape(password.as_str())
            );
            prop_assert_eq!(&*ConfigAuth::parse(text.as_bytes()).unwrap().answers.password, &password);
        }
    }
}
