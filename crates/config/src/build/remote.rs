//! `[[remote-access]]`.

use core::{net::IpAddr, str, time::Duration};
use std::{collections::BTreeMap, path::PathBuf};

use anyconnect::{Authorities, ClientCertificates, Tls, TlsError, auth::Users};
use ike::crypto::Secret;
use wire::proto;

use super::{Scope, auth, network, network::unfitting, settings};
use crate::{
    model::{
        AddressPoolId, CertificateUser, Config, FailedLogins, IfId, Interface, Login, Offload,
        RemoteAccess, RemoteTls, Tunnel, TunnelKind, VrId,
    },
    read::{At, Span, Tab},
    values::{self, Bad},
};

/// Name servers that clients take.
const NAME_SERVERS: usize = 3;

/// The tunnel of a `[[remote-access]]` table.
pub(super) fn tunnel(
    scope: &Scope<'_>,
    tab: &Tab<'_, '_>,
    name: &str,
    interface: IfId,
    interfaces: &[Interface],
    offload: &Offload,
) -> Option<Tunnel> {
    let vr = network::router_of(scope, tab).unwrap_or_default();
    let addresses = addresses(tab, vr, interfaces);
    let login = pick(tab, "login", &Login::ALL, Login::name);
    let tls = tls(tab, login);
    let users = users(tab);
    let pools = pools(scope, tab);
    let lifetime = |key: &str| {
        let duration = tab.get(key).map(|_| tab.duration(key).value);
        duration.filter(|duration| *duration != Duration::ZERO)
    };
    let list = |key: &str| -> Vec<String> {
        let items = tab.list(key);
        items.iter().filter_map(|at| tab.read(key, at, domain)).map(|at| at.value).collect()
    };
    let nets = |key: &str| {
        let items = tab.list(key);
        items.iter().filter_map(|at| tab.read(key, at, values::prefix)).map(|at| at.value).collect()
    };
    let groups = tab.list("groups");
    let dns = tab.list("dns");
    if let Some(surplus) = dns.get(NAME_SERVERS) {
        tab.doc
            .warning("too-many-name-servers", &surplus.span, "clients take three name servers")
            .found(format!("{} name servers", dns.len()))
            .expected(format!("{NAME_SERVERS} at most"))
            .help("leave the others out")
            .emit();
    }
    let access = RemoteAccess {
        port: tab.int_or_default("port") as u16,
        login,
        certificate_user: pick(
            tab,
            "certificate-user",
            &CertificateUser::ALL,
            CertificateUser::name,
        ),
        groups: groups
            .iter()
            .filter_map(|at| tab.read("groups", at, values::principal))
            .map(|at| at.value)
            .collect(),
        pools,
        dns: dns
            .iter()
            .filter_map(|at| tab.read("dns", at, values::ip))
            .map(|at| at.value)
            .collect(),
        domain: tab.value("domain", domain).map(|at| at.value),
        split_dns: list("split-dns"),
        split_include: nets("split-include"),
        split_exclude: nets("split-exclude"),
        banner: tab.value("banner", words).map(|at| at.value),
        message: tab.value("message", words).map(|at| at.value),
        dpd: tab.duration("dpd").value,
        keepalive: tab.duration("keepalive").value,
        idle_timeout: lifetime("idle-timeout"),
        session_timeout: lifetime("session-timeout"),
        rekey: lifetime("rekey"),
        reconnect_within: tab.duration("reconnect-within").value,
        dtls: tab.flag("dtls"),
        egress_optimisation: match tab.get("egress-optimisation") {
            Some(_) => tab.flag("egress-optimisation"),
            None => offload.egress_optimisation,
        },
        lockout: FailedLogins {
            per_user: tab.int_or_default("failed-logins") as u32,
            per_address: tab.int_or_default("failed-logins-of-address") as u32,
            period: tab.duration("failed-within").value,
            duration: tab.duration("locked-for").value,
        },
        clients: tab.int_or_default("clients") as u32,
        addresses: addresses?,
        tls: tls?,
        users_file: users.as_ref().map(|(path, _)| path.clone())?,
        users: users.map(|(_, users)| users)?,
    };
    let local = *access.addresses.first()?;
    Some(Tunnel {
        name: name.to_owned(),
        line: tab.line(),
        interface,
        vr,
        local,
        remote: match local {
            IpAddr::V4(_) => IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED),
        },
        offload: settings::mode(tab, "offload"),
        kind: TunnelKind::Remote(Box::new(access)),
    })
}

/// Two gateways, or a gateway and a VIP, must not want the same packets.
pub(super) fn clashes(tabs: &[Tab<'_, '_>], config: &Config) {
    let mut taken: BTreeMap<(VrId, IpAddr, u16), &Span> = BTreeMap::new();
    for tab in tabs {
        let line = tab.line();
        let found = config
            .tunnels
            .iter()
            .find(|tunnel| tunnel.line == line && matches!(tunnel.kind, TunnelKind::Remote(_)));
        let Some((tunnel, access)) = found.and_then(|t| Some((t, t.remote_access()?))) else {
            continue;
        };
        let span = tab.span_of("address");
        for address in &access.addresses {
            let end = format!("{address} port {}", access.port);
            let place = (tunnel.vr, *address, access.port);
            if let Some(first) = taken.insert(place, &tab.span) {
                tab.doc
                    .error("port-taken", &span, format!("{end} serves another [[remote-access]]"))
                    .found(end.clone())
                    .expected("an address or port of its own")
                    .help("give one of the two another `port`, or another address")
                    .related(first, "the other is here")
                    .emit();
            }
            let vip = config.vips.iter().find(|vip| {
                let ports = vip.forward.as_ref();
                vip.external.contains(*address)
                    && ports.is_none_or(|forward| {
                        let takes = forward.proto == proto::TCP
                            || (access.dtls && forward.proto == proto::UDP);
                        takes && forward.external.contains(&access.port)
                    })
            });
            if let Some(vip) = vip {
                tab.doc
                    .error("port-taken", &span, format!("VIP `{}` takes {end}", vip.name))
                    .found(end)
                    .expected("an address or port that no VIP translates")
                    .help(format!(
                        "take another `port`, or leave this one out of VIP `{}`",
                        vip.name
                    ))
                    .emit();
            }
        }
    }
}

/// Own addresses in the virtual router.
fn addresses(tab: &Tab<'_, '_>, vr: VrId, interfaces: &[Interface]) -> Option<Vec<IpAddr>> {
    if tab.get("address").is_none() {
        tab.missing("address");
    }
    let mut addresses = Vec::new();
    for at in tab.list("address") {
        let Some(At { value, span }) = tab.read("address", &at, values::ip) else { continue };
        let here = interfaces.iter().filter(|interface| interface.vr == vr);
        if !here.flat_map(|interface| &interface.addresses).any(|net| net.addr() == value) {
            tab.doc
                .error("foreign-local", &span, format!("{value} is no address of ours"))
                .found(tab.doc.snippet(&span))
                .expected("an address of an [[interface]] in the virtual router")
                .help("write the address of the interface that clients reach the gateway by")
                .emit();
        }
        if !addresses.contains(&value) {
            addresses.push(value);
        }
    }
    Some(addresses).filter(|addresses| !addresses.is_empty())
}

fn pools(scope: &Scope<'_>, tab: &Tab<'_, '_>) -> Vec<AddressPoolId> {
    if tab.get("pools").is_none() {
        tab.missing("pools");
    }
    let mut pools = Vec::new();
    for at in tab.list("pools") {
        let known =
            scope.pools.get(at.value).is_some() && scope.address_pools.get(at.value).is_none();
        if known {
            let help = "a [[pool]] is for `nat`; clients get addresses of an [[address-pool]]";
            scope.address_pools.unknown(scope.doc, &at, help.to_owned());
            continue;
        }
        let found = scope.address_pools.find(scope.doc, &at);
        pools.extend(found.map(|pool| AddressPoolId(pool as u16)));
    }
    pools
}

/// Certificates and keys that make a server.
fn tls(tab: &Tab<'_, '_>, login: Login) -> Option<RemoteTls> {
    let certificate = required(tab, "certificate");
    let key = required(tab, "private-key");
    let with_certificates = login != Login::Password;
    if with_certificates && tab.get("ca").is_none() {
        tab.missing("ca");
    }
    for key in ["ca", "crl", "certificate-user"] {
        if !with_certificates && tab.get(key).is_some() {
            unfitting(tab, key, "passwords alone; set `login` to \"certificate\" or its like");
        }
    }
    let (certificate, key) = (certificate?, key?);
    let own = auth::own_certificate(tab, &certificate, &key, "clients refuse us")?;
    let pem = auth::file(tab, "certificate", &certificate)?;
    let secret = auth::file(tab, "private-key", &key)?;
    let all = |key: &str| -> Option<(Vec<PathBuf>, Vec<Vec<u8>>)> {
        let files = tab.list(key);
        let read = files.iter().map(|at| Some(auth::file(tab, key, at)?.to_vec()));
        let bytes = read.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
        Some((files.iter().map(|at| PathBuf::from(at.value)).collect(), bytes))
    };
    let (ca_files, ca) = all("ca").filter(|_| with_certificates).unwrap_or_default();
    let (crl_files, crl) = all("crl").filter(|_| with_certificates).unwrap_or_default();
    if with_certificates {
        auth::authorities(tab)?;
    }
    let tls = RemoteTls {
        certificate_file: own.file,
        key_file: own.key_file,
        certificate: pem.to_vec(),
        key: Secret::from_bytes(&secret),
        ca_files,
        ca: ca.concat(),
        crl_files,
        crl,
    };
    match tls.server(login) {
        Ok(_) => Some(tls),
        Err(fault) => {
            let (key, help) = match fault {
                TlsError::Authority(..) => ("ca", "name PEM files of authorities"),
                TlsError::RevocationList(_) => ("crl", "name PEM files of revocation lists"),
                TlsError::NoCertificate | TlsError::NoKey | TlsError::Refused(_) => {
                    ("certificate", "take a certificate with an RSA, ECDSA or Ed25519 key")
                }
            };
            let span = tab.span_of(key);
            tab.doc
                .error("bad-certificate", &span, format!("`{key}`: {fault}"))
                .found(tab.doc.snippet(&span))
                .expected("what TLS can be served with")
                .help(help)
                .emit();
            None
        }
    }
}

impl RemoteTls {
    /// What serves TLS.
    ///
    /// # Errors
    /// The files do not make a server.
    pub fn server(&self, login: Login) -> Result<Tls, TlsError> {
        let lists: Vec<&[u8]> = self.crl.iter().map(Vec::as_slice).collect();
        let authorities = || Authorities::from_pem(&self.ca, &lists);
        let clients = match login {
            Login::Password => ClientCertificates::None,
            Login::CertificateOrPassword => ClientCertificates::Optional(authorities()?),
            Login::Certificate | Login::CertificateAndPassword => {
                ClientCertificates::Required(authorities()?)
            }
        };
        Tls::from_pem(&self.certificate, self.key.expose(), clients, None)
    }
}

/// The file of users; its text has been read once without a fault.
fn users(tab: &Tab<'_, '_>) -> Option<(PathBuf, Secret)> {
    let at = required(tab, "users")?;
    let bytes = auth::file(tab, "users", &at)?;
    let text = str::from_utf8(&bytes).map_err(|_| "it is not UTF-8".to_owned());
    match text.and_then(|text| Users::parse(text).map_err(|fault| fault.to_string())) {
        Ok(users) => {
            if users.is_empty() {
                tab.doc
                    .warning("no-users", &at.span, "there is nobody who could log in")
                    .found("a file without users")
                    .expected("users, a line each: `name:groups:hash`")
                    .help(format!("add one with `lockgate user add NAME --file {}`", at.value))
                    .emit();
            }
            Some((PathBuf::from(at.value), Secret::from_bytes(&bytes)))
        }
        Err(fault) => {
            tab.doc
                .error("bad-users", &at.span, format!("{}: {fault}", at.value))
                .found(tab.doc.snippet(&at.span))
                .expected("users, a line each: `name:groups:hash`")
                .help(format!("make lines with `lockgate user add NAME --file {}`", at.value))
                .emit();
            None
        }
    }
}

fn required<'d>(tab: &Tab<'d, '_>, key: &str) -> Option<At<&'d str>> {
    if tab.get(key).is_none() {
        tab.missing(key);
    }
    tab.text(key)
}

fn pick<T: Copy + Default>(
    tab: &Tab<'_, '_>,
    key: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> T {
    let word = tab.word(key);
    all.iter().copied().find(|of| name(*of) == word).unwrap_or_default()
}

/// A domain name, as it goes into a header.
fn domain(text: &str) -> Result<String, Bad> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    let expected = "labels of letters, digits and `-`, with dots between them";
    Err(Bad::new("not a domain name", expected, "write a domain such as \"example.com\""))
}

/// Text for people; it goes into a header, so it has no line breaks.
fn words(text: &str) -> Result<String, Bad> {
    if text.len() <= 1_000 && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    let expected = "one line of at most 1000 bytes";
    Err(Bad::new("not a line of text", expected, "leave line breaks out, and shorten it"))
}
