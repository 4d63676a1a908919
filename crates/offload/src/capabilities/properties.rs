//! Capabilities in words, for people who compare engines.

use super::{
    Allowed, Capabilities,
    dtls::cipher,
    ipsec::{hash, mode},
    protocol,
};

impl Capabilities {
    /// Everything it can do as names and values in words, in an order that is the same for all.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let ipsec = &self.ipsec;
        let bound = |most: Option<u64>| most.map_or_else(|| "any".to_owned(), |n| n.to_string());
        let protocols = |list: &Allowed<u8>| list.list(protocol).to_string();
        let replay = ipsec.replay_windows.list(|size| *size).to_string();
        vec![
            ("flow protocols", protocols(&self.protocols)),
            ("flow versions", versions(self.ipv4, self.ipv6)),
            ("flow nat", yes(self.nat)),
            ("flow tcp-window", yes(self.tcp_window)),
            ("flow ip-options", yes(self.ip_options)),
            ("flow fragments", yes(self.fragments)),
            ("flow in tunnels", yes(self.tunnelled)),
            ("sa modes", ipsec.modes.list(mode).to_string()),
            ("sa ciphers", ipsec.ciphers.list(|cipher| cipher.name()).to_string()),
            ("sa key bits", ipsec.key_bits.list(|bits| *bits).to_string()),
            ("sa integrity", ipsec.integrity.list(hash).to_string()),
            ("sa icv bytes", ipsec.icv_bytes.list(|bytes| *bytes).to_string()),
            ("sa esn", yes(ipsec.esn)),
            ("sa replay windows", replay),
            ("sa replay without esn", yes(ipsec.replay_without_esn)),
            ("sa in udp", ipsec.udp_encapsulation.list(mode).to_string()),
            ("sa compression", yes(ipsec.compression)),
            ("sa tfc-padding", yes(ipsec.tfc_padding)),
            ("sa post-fragmentation", yes(ipsec.post_fragmentation)),
            ("sa outer versions", versions(ipsec.ipv4, ipsec.ipv6)),
            ("sa ikev1", yes(ipsec.ikev1)),
            ("sa selector protocols", protocols(&ipsec.selector_protocols)),
            ("sa filters", yes(ipsec.filters)),
            ("sa virtual routers", bound(ipsec.virtual_routers.map(|n| n as u64))),
            ("sa lifetimes in bytes", yes(ipsec.byte_lifetimes)),
            ("sa hard without soft", yes(ipsec.hard_without_soft)),
            ("sa most", bound(ipsec.sas)),
            ("dtls versions", self.dtls.versions.list(|version| version.name()).to_string()),
            ("dtls ciphers", self.dtls.ciphers.list(cipher).to_string()),
            ("dtls compression", yes(self.dtls.compression)),
            ("dtls outer versions", versions(self.dtls.ipv4, self.dtls.ipv6)),
            ("dtls virtual routers", bound(self.dtls.virtual_routers.map(|n| n as u64))),
        ]
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn versions(v4: bool, v6: bool) -> String {
    match (v4, v6) {
        (true, true) => "ipv4,ipv6",
        (true, false) => "ipv4",
        (false, true) => "ipv6",
        (false, false) => "none",
    }
    .to_owned()
}
