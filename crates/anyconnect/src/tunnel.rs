//! The request for a tunnel and its answer: the headers `X-CSTP-*` and `X-DTLS-*`.
//!
//! Of what clients offer, compression and DTLS before 1.2 are not taken, without a word: the answer
//! has what is used. See draft-mavrogiannopoulos-openconnect-04 §2.1.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use dtls::Suite;
use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::{
    Grant, TunnelSettings,
    auth::decode_hex,
    cstp,
    form::encode_banner,
    http::{Request, Response},
};

/// Bytes of a name by which DTLS finds its secret.
pub(crate) const SESSION_ID_LEN: usize = 32;
/// Bytes of a master secret.
pub(crate) const MASTER_LEN: usize = 48;
/// What a link has at least, and at most, whatever clients say.
const BASE_MTU: std::ops::RangeInclusive<u16> = 576..=9216;
/// What a link has when clients do not say.
const DEFAULT_BASE_MTU: u16 = 1500;
/// What IPv6 needs (RFC 8200 §5).
pub(crate) const MIN_IPV6_MTU: u16 = 1280;
/// The least MTU we give: what every IPv4 host takes (RFC 791).
const MIN_MTU: u16 = 576;
/// Bytes of a TCP header with timestamps.
const TCP_HEADER: u16 = 32;
const UDP_HEADER: u16 = 8;
/// Bytes that DTLS adds to a packet at most, which is with AES-GCM: header 13, nonce 8, tag 16, type 1.
const DTLS_OVERHEAD: u16 = 13 + 8 + 16 + 1;
/// Names of suites before a colon in a header that are looked at.
const MAX_OFFERS: usize = 64;

/// What a client asks for.
pub(crate) struct TunnelRequest {
    /// What its link takes, in bytes.
    base_mtu: u16,
    /// What it wants for packets, if it does not know its link.
    wanted_mtu: u16,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
    /// It knows addresses of both families at a time.
    full_ipv6: bool,
    pub(crate) dtls: DtlsOffer,
    pub(crate) version: String,
    pub(crate) hostname: String,
}

/// How DTLS gets its keys, of what a client offers.
#[derive(PartialEq)]
pub(crate) enum DtlsOffer {
    /// Not at all.
    None,
    /// From TLS, by an exporter.
    Psk,
    /// By a master secret that the client chose.
    Resume { suite: Suite, header: DtlsHeader, master: Zeroizing<[u8; MASTER_LEN]> },
}

/// Which header offered a suite, and so which answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DtlsHeader {
    /// `X-DTLS12-CipherSuite`, by OpenSSL's name.
    Dtls12,
    /// `X-DTLS-CipherSuite`, by a name of old openconnect.
    Old(&'static str),
}

impl TunnelRequest {
    pub(crate) fn parse(request: &Request) -> Self {
        let number = |name: &str| request.header(name).and_then(|v| v.parse::<u16>().ok());
        let base_mtu = number("x-cstp-base-mtu");
        let wanted_mtu = number("x-cstp-mtu").filter(|_| base_mtu.is_none()).unwrap_or(u16::MAX);
        let base_mtu = base_mtu.unwrap_or(DEFAULT_BASE_MTU);
        let types = request.header("x-cstp-address-type").unwrap_or("IPv4");
        let has = |kind: &str| types.split(',').any(|t| t.trim().eq_ignore_ascii_case(kind));
        let text = |name: &str| -> String {
            let value = request.header(name).unwrap_or_default();
            value.chars().filter(|c| !c.is_control()).take(64).collect()
        };
        let version = text("x-anyconnect-identifier-clientversion");
        Self {
            base_mtu: base_mtu.clamp(*BASE_MTU.start(), *BASE_MTU.end()),
            wanted_mtu,
            ipv4: has("IPv4"),
            ipv6: has("IPv6"),
            full_ipv6: request.header("x-cstp-full-ipv6-capability") == Some("true"),
            dtls: DtlsOffer::choose(request),
            version: if version.is_empty() { text("user-agent") } else { version },
            hostname: text("x-cstp-hostname"),
        }
    }

    /// The largest packets of the tunnel in bytes, when the client's address is `remote` and a TLS
    /// record has `record` bytes beside its text.
    pub(crate) fn mtu(
        &self,
        remote: IpAddr,
        record: u16,
        settings: &TunnelSettings,
        dtls: bool,
    ) -> u16 {
        let ip = if remote.to_canonical().is_ipv4() { 20 } else { 40 };
        let around = match dtls {
            true => ip + UDP_HEADER + DTLS_OVERHEAD,
            false => ip + TCP_HEADER + record + cstp::HEADER_LEN as u16,
        };
        let fits = self.base_mtu.saturating_sub(around);
        fits.min(self.wanted_mtu).min(settings.mtu.unwrap_or(u16::MAX)).max(MIN_MTU)
    }
}

impl DtlsOffer {
    fn choose(request: &Request) -> Self {
        fn names<'a>(request: &'a Request, header: &'a str) -> impl Iterator<Item = &'a str> {
            let value = request.header(header).unwrap_or_default();
            value.split([':', ',']).map(str::trim).take(MAX_OFFERS)
        }
        if names(request, "x-dtls-ciphersuite").any(|name| name == "PSK-NEGOTIATE") {
            return Self::Psk;
        }
        let mut master = Zeroizing::new([0; MASTER_LEN]);
        let secret = request.header("x-dtls-master-secret").unwrap_or_default();
        if !decode_hex(secret, master.as_mut()) {
            return Self::None;
        }
        let newer = names(request, "x-dtls12-ciphersuite").filter_map(Suite::resumed_by_name);
        // of what the client offers, our order decides
        let place = |suite: &Suite| Suite::RESUMED.iter().position(|s| s == suite);
        if let Some(suite) = newer.min_by_key(place) {
            return Self::Resume { suite, header: DtlsHeader::Dtls12, master };
        }
        for (name, suite) in [
            ("OC-DTLS1_2-AES256-GCM", "AES256-GCM-SHA384"),
            ("OC-DTLS1_2-AES128-GCM", "AES128-GCM-SHA256"),
        ] {
            if names(request, "x-dtls-ciphersuite").any(|offered| offered == name)
                && let Some(suite) = Suite::resumed_by_name(suite)
            {
                return Self::Resume { suite, header: DtlsHeader::Old(name), master };
            }
        }
        Self::None
    }
}

/// What a tunnel is, beside its grant.
pub(crate) struct Terms<'a> {
    pub(crate) mtu: u16,
    /// The UDP port, the session ID, and how the suite is said.
    pub(crate) dtls: Option<(u16, &'a [u8; SESSION_ID_LEN])>,
    /// What is left of the session's time.
    pub(crate) session_left: Option<Duration>,
    /// How long the client may be away.
    pub(crate) away: Duration,
}

/// The answer that begins a tunnel.
pub(crate) fn accept(request: &TunnelRequest, grant: &Grant, terms: &Terms<'_>) -> Vec<u8> {
    let tunnel = &*grant.tunnel;
    let secs = |duration: Duration| duration.as_secs().max(1);
    let limit = |limit: Option<Duration>| match limit {
        Some(limit) => secs(limit).to_string(),
        None => "none".to_owned(),
    };
    let mut answer =
        Response::connected().header("X-CSTP-Version", 1).header("X-CSTP-Server-Name", "lockgate");
    if let Some((address, prefix)) = grant.ipv4 {
        let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
        answer = answer.header("X-CSTP-Address", address).header("X-CSTP-Netmask", mask);
    }
    if let Some((address, prefix)) = grant.ipv6 {
        let network = format!("{address}/{prefix}");
        answer = match request.full_ipv6 {
            true => answer.header("X-CSTP-Address-IP6", network),
            false => answer.header("X-CSTP-Address", address).header("X-CSTP-Netmask", network),
        };
    }
    for server in &tunnel.dns {
        let name = if server.is_ipv4() { "X-CSTP-DNS" } else { "X-CSTP-DNS-IP6" };
        answer = answer.header(name, server);
    }
    if let Some(domain) = &tunnel.default_domain {
        answer = answer.header("X-CSTP-Default-Domain", domain);
    }
    for domain in &tunnel.split_dns {
        answer = answer.header("X-CSTP-Split-DNS", domain);
    }
    let lists = [("Include", &tunnel.split_include), ("Exclude", &tunnel.split_exclude)];
    for (kind, network) in lists.iter().flat_map(|(kind, list)| list.iter().map(move |n| (kind, n)))
    {
        answer = match network {
            IpNet::V4(network) => answer.header(
                &format!("X-CSTP-Split-{kind}"),
                format_args!("{}/{}", network.network(), network.netmask()),
            ),
            IpNet::V6(network) => {
                answer.header(&format!("X-CSTP-Split-{kind}-IP6"), network.trunc())
            }
        };
    }
    if let Some(banner) = &tunnel.banner {
        answer = answer.header("X-CSTP-Banner", encode_banner(banner));
    }
    answer = answer
        .header("X-CSTP-Tunnel-All-DNS", tunnel.split_include.is_empty())
        .header("X-CSTP-Base-MTU", request.base_mtu)
        .header("X-CSTP-MTU", terms.mtu)
        .header("X-CSTP-DPD", secs(tunnel.dpd))
        .header("X-CSTP-Keepalive", secs(tunnel.keepalive))
        .header("X-CSTP-Idle-Timeout", limit(tunnel.idle_timeout))
        .header("X-CSTP-Session-Timeout", limit(tunnel.session_timeout))
        .header("X-CSTP-Disconnected-Timeout", secs(terms.away))
        .header("X-CSTP-Keep", "true")
        .header("X-CSTP-Smartcard-Removal-Disconnect", "true");
    if let Some(left) = terms.session_left {
        answer = answer.header("X-CSTP-Session-Timeout-Remaining", secs(left));
    }
    if let Some(rekey) = tunnel.rekey {
        answer = answer
            .header("X-CSTP-Rekey-Time", secs(rekey))
            .header("X-CSTP-Rekey-Method", "new-tunnel");
    }
    if let Some((port, id)) = terms.dtls {
        answer = answer
            .header("X-DTLS-Port", port)
            .header("X-DTLS-DPD", secs(tunnel.dpd))
            .header("X-DTLS-Keepalive", secs(tunnel.keepalive))
            .header("X-DTLS-MTU", terms.mtu);
        let mut hex = String::with_capacity(2 * id.len());
        for byte in id {
            let _ = write!(hex, "{byte:02x}");
        }
        answer = match &request.dtls {
            DtlsOffer::None => answer,
            DtlsOffer::Psk => {
                answer.header("X-DTLS-App-ID", hex).header("X-DTLS-CipherSuite", "PSK-NEGOTIATE")
            }
            DtlsOffer::Resume { header: DtlsHeader::Dtls12, suite, .. } => {
                answer.header("X-DTLS-Session-ID", hex).header("X-DTLS12-CipherSuite", suite.name())
            }
            DtlsOffer::Resume { header: DtlsHeader::Old(name), .. } => {
                answer.header("X-DTLS-Session-ID", hex).header("X-DTLS-CipherSuite", name)
            }
        };
    }
    answer.end()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::http::Parser;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const BASE: &str = "X-CSTP-Base-MTU: 1500\r\nX-CSTP-MTU: 1390\r\n\
        X-CSTP-Address-Type: IPv6,IPv4\r\nX-CSTP-Full-IPv6-Capability: true\r\n\
        X-CSTP-Accept-Encoding: oc-lz4,lzs\r\n";

    fn request(lines: &str) -> TunnelRequest {
        let mut parser = Parser::default();
        let text = format!("CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: gw\r\n{lines}\r\n");
        parser.push(text.as_bytes());
        TunnelRequest::parse(&parser.next().unwrap().unwrap())
    }

    fn grant() -> Grant {
        let tunnel = TunnelSettings {
            dns: vec!["10.0.0.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
            default_domain: Some("corp.example".to_owned()),
            split_dns: vec!["corp.example".to_owned()],
            split_include: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()],
            split_exclude: vec!["10.9.0.0/16".parse().unwrap()],
            banner: Some("Hello\n100%".to_owned()),
            idle_timeout: Some(Duration::from_secs(600)),
            session_timeout: Some(Duration::from_secs(36_000)),
            rekey: Some(Duration::from_secs(3600)),
            ..TunnelSettings::default()
        };
        Grant {
            ipv4: Some((Ipv4Addr::new(10, 99, 0, 50), 24)),
            ipv6: Some(("2001:db8:99::50".parse().unwrap(), 64)),
            tunnel: Arc::new(tunnel),
        }
    }

    fn answer(request: &TunnelRequest, terms: &Terms<'_>) -> String {
        String::from_utf8(accept(request, &grant(), terms)).unwrap()
    }

    #[test]
    fn an_answer_says_what_is_granted() {
        let offer = format!("{BASE}X-DTLS-CipherSuite: PSK-NEGOTIATE:OC-DTLS1_2-AES256-GCM\r\n");
        let request = request(&offer);
        let left = Some(Duration::from_secs(1800));
        let id = [0xab; SESSION_ID_LEN];
        let terms = Terms {
            mtu: 1434,
            dtls: Some((4443, &id)),
            session_left: left,
            away: Duration::from_secs(300),
        };
        let text = answer(&request, &terms);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("HTTP/1.1 200 CONNECTED"));
        let lines: Vec<_> = lines.collect();
        for line in [
            "X-CSTP-Version: 1",
            "X-CSTP-Address: 10.99.0.50",
            "X-CSTP-Netmask: 255.255.255.0",
            "X-CSTP-Address-IP6: 2001:db8:99::50/64",
            "X-CSTP-DNS: 10.0.0.53",
            "X-CSTP-DNS-IP6: 2001:db8::53",
            "X-CSTP-Default-Domain: corp.example",
            "X-CSTP-Split-DNS: corp.example",
            "X-CSTP-Split-Include: 10.0.0.0/255.0.0.0",
            "X-CSTP-Split-Include-IP6: 2001:db8:1::/48",
            "X-CSTP-Split-Exclude: 10.9.0.0/255.255.0.0",
            "X-CSTP-Banner: Hello%0A100%25",
            "X-CSTP-Base-MTU: 1500",
            "X-CSTP-MTU: 1434",
            "X-CSTP-DPD: 30",
            "X-CSTP-Keepalive: 20",
            "X-CSTP-Idle-Timeout: 600",
            "X-CSTP-Disconnected-Timeout: 300",
            "X-CSTP-Session-Timeout: 36000",
            "X-CSTP-Session-Timeout-Remaining: 1800",
            "X-CSTP-Rekey-Time: 3600",
            "X-CSTP-Rekey-Method: new-tunnel",
            "X-DTLS-Port: 4443",
            "X-DTLS-DPD: 30",
            "X-DTLS-MTU: 1434",
            "X-DTLS-CipherSuite: PSK-NEGOTIATE",
        ] {
            assert!(lines.contains(&line), "{line} in\n{text}");
        }
        assert!(lines.contains(&format!("X-DTLS-App-ID: {}", "ab".repeat(32)).as_str()));
        assert!(text.ends_with("\r\n\r\n"));
        // what was offered and is not taken is not spoken of
        assert!(!text.contains("Encoding") && !text.contains("X-DTLS-Rekey"), "{text}");
    }

    #[test]
    fn old_clients_and_small_links_get_what_they_can_use() {
        let old = request("X-CSTP-MTU: 1300\r\nX-CSTP-Address-Type: IPv4\r\n");
        assert!(old.ipv4 && !old.ipv6);
        assert_eq!(old.mtu(V4, 22, &TunnelSettings::default(), true), 1300);
        let away = Duration::from_secs(300);
        let terms = Terms { mtu: 1300, dtls: None, session_left: None, away };
        let text = answer(&old, &terms);
        assert!(
            text.contains("X-CSTP-Address: 2001:db8:99::50\r\nX-CSTP-Netmask: 2001:db8:99::50/64")
        );
        assert!(!text.contains("X-DTLS"), "{text}");
    }

    #[test]
    fn a_packet_of_the_mtu_fills_the_link() {
        let request = request(BASE);
        let settings = TunnelSettings::default();
        assert_eq!(request.mtu(V4, 22, &settings, true), 1434);
        assert_eq!(request.mtu("2001:db8::1".parse().unwrap(), 22, &settings, true), 1414);
        assert_eq!(request.mtu("::ffff:192.0.2.1".parse().unwrap(), 22, &settings, true), 1434);
        assert_eq!(request.mtu(V4, 22, &settings, false), 1500 - 20 - 32 - 22 - 8);
        let small = TunnelSettings { mtu: Some(1200), ..settings.clone() };
        assert_eq!(request.mtu(V4, 22, &small, true), 1200);
        let absurd = self::request("X-CSTP-Base-MTU: 1\r\n");
        assert_eq!(absurd.mtu(V4, 22, &settings, true), MIN_MTU);
    }

    #[test]
    fn dtls_is_chosen_by_what_is_best() {
        let secret = format!("X-DTLS-Master-Secret: {}\r\n", "0F".repeat(MASTER_LEN));
        let choose = |lines: &str| request(&format!("{secret}{lines}\r\n")).dtls;
        let psk =
            choose("X-DTLS-CipherSuite: PSK-NEGOTIATE\r\nX-DTLS12-CipherSuite: AES256-GCM-SHA384");
        assert!(psk == DtlsOffer::Psk);
        let resumed = |offer: DtlsOffer| match offer {
            DtlsOffer::Resume { suite, header, master } => {
                assert_eq!(*master, [0x0f; MASTER_LEN]);
                (suite.name(), header)
            }
            DtlsOffer::None | DtlsOffer::Psk => panic!("not resumed"),
        };
        let all = "X-DTLS12-CipherSuite: AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA";
        assert_eq!(resumed(choose(all)), ("ECDHE-RSA-AES256-GCM-SHA384", DtlsHeader::Dtls12));
        let old = "X-DTLS-CipherSuite: AES256-SHA:OC-DTLS1_2-AES128-GCM:OC-DTLS1_2-AES256-GCM";
        let header = DtlsHeader::Old("OC-DTLS1_2-AES256-GCM");
        assert_eq!(resumed(choose(old)), ("AES256-GCM-SHA384", header));
        for none in
            ["X-DTLS-CipherSuite: AES256-SHA:DES-CBC3-SHA", "X-DTLS12-CipherSuite: NULL", "A: b"]
        {
            assert!(choose(none) == DtlsOffer::None, "{none}");
        }
        let no_secret = request("X-DTLS12-CipherSuite: AES256-GCM-SHA384\r\n");
        assert!(no_secret.dtls == DtlsOffer::None);
    }
}
