//! Capabilities: checked before ports are opened, dropped to what is needed afterwards.

use std::io;

use config::{Config, model::PortKind};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

use crate::StartError;

/// What every gateway keeps: raw sockets and devices may have to be opened again.
const KEPT: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_ADMIN);

/// What a kind of port takes, each with its name.
const fn needed(kind: &PortKind) -> &'static [(&'static str, CapabilitySet)] {
    const NET_RAW: (&str, CapabilitySet) = ("CAP_NET_RAW", CapabilitySet::NET_RAW);
    const NET_ADMIN: (&str, CapabilitySet) = ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN);
    const BPF: (&str, CapabilitySet) = ("CAP_BPF", CapabilitySet::BPF);
    match kind {
        PortKind::Packet { .. } => &[NET_RAW],
        PortKind::Xdp { .. } => &[NET_RAW, NET_ADMIN, BPF],
        PortKind::Tap { .. } | PortKind::Tun { .. } => &[NET_ADMIN],
        PortKind::Memif { .. } | PortKind::Pcap { .. } | PortKind::Memory => &[],
    }
}

/// Checks that the process may open the ports of a configuration.
///
/// # Errors
/// [`StartError::MissingCapability`] with the first port that needs it.
pub fn check(config: &Config) -> Result<(), StartError> {
    let held = effective();
    for port in &config.ports {
        for &(capability, set) in needed(&port.kind) {
            if !held.contains(set) {
                let port = port.name.clone();
                return Err(StartError::MissingCapability { capability, port });
            }
        }
    }
    Ok(())
}

/// Drops everything but [`KEPT`] and what the ports of a configuration take, for this thread and those it
/// makes from now on; nothing that is executed later can gain any. A reload opens no ports.
///
/// # Errors
/// What the kernel says.
pub fn drop_to_needed(config: &Config) -> io::Result<()> {
    let now = capabilities(None)?;
    let of_ports = config.ports.iter().flat_map(|port| needed(&port.kind));
    let mut kept = of_ports.fold(KEPT, |kept, (_, set)| kept | *set);
    if config.ports.iter().any(|port| matches!(port.kind, PortKind::Xdp { .. })) {
        // Whoever has it locks memory whatever the limit (RLIMIT_MEMLOCK), as AF_XDP must again when a
        // device is back.
        kept |= CapabilitySet::IPC_LOCK;
    }
    set_no_new_privs(true)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective & kept,
            permitted: now.permitted & kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// What the process may still do, as names.
pub fn held() -> Vec<String> {
    effective().iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}

fn effective() -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_missing_capability_names_itself_and_the_port() {
        let text = "[[port]]\nname = \"wan\"\n\n[[port]]\nname = \"vpn\"\nkind = \"tun\"\n";
        let config = config::parse("test", text).unwrap_or_else(|e| panic!("{e}")).config;
        // Capabilities are a thread's: the rest of the tests keep theirs.
        let result = thread::spawn(move || {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, sets).expect("dropping is always allowed");
            check(&config)
        });
        let error = result.join().expect("no panic").expect_err("nothing is allowed");
        assert_eq!(error.to_string(), "missing CAP_NET_RAW, which port wan needs");
        assert_eq!(error.exit_code(), api::ExitCode::MissingCapability);
        assert!(error.remedy().contains("setcap"));
    }

    #[test]
    fn what_is_not_needed_is_dropped() {
        let kept_with = |kind: &str| {
            let text = format!("[[port]]\nname = \"wan\"\nkind = \"{kind}\"\n");
            let config = config::parse("test", &text).unwrap_or_else(|e| panic!("{e}")).config;
            let kept = thread::spawn(move || {
                drop_to_needed(&config).expect("dropping is always allowed");
                let sets = capabilities(None).expect("known");
                (sets.permitted | sets.effective, held())
            });
            kept.join().expect("no panic")
        };
        let (sets, names) = kept_with("packet");
        assert!(KEPT.contains(sets));
        assert!(names.iter().all(|n| n == "CAP_NET_RAW" || n == "CAP_NET_ADMIN"), "{names:?}");
        let (sets, _) = kept_with("xdp");
        assert!((KEPT | CapabilitySet::BPF | CapabilitySet::IPC_LOCK).contains(sets));
        assert_eq!(sets.contains(CapabilitySet::BPF), effective().contains(CapabilitySet::BPF));
    }
}
