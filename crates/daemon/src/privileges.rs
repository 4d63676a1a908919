//! Capabilities: checked before ports are opened, dropped to what is needed afterwards.

use std::io;

use config::{Config, model::PortKind};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

use crate::StartError;

/// What a gateway keeps: raw sockets and devices may have to be opened again by a reload.
const KEPT: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_ADMIN);

/// Checks that the process may open the ports of a configuration.
///
/// # Errors
/// [`StartError::MissingCapability`] with the first port that needs it.
pub fn check(config: &Config) -> Result<(), StartError> {
    let held = effective();
    for port in &config.ports {
        let needed = match port.kind {
            PortKind::Packet { .. } => [("CAP_NET_RAW", CapabilitySet::NET_RAW)],
            PortKind::Tap { .. } | PortKind::Tun { .. } => {
                [("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN)]
            }
            PortKind::Memif { .. } | PortKind::Pcap { .. } | PortKind::Memory => continue,
        };
        for (capability, set) in needed {
            if !held.contains(set) {
                let port = port.name.clone();
                return Err(StartError::MissingCapability { capability, port });
            }
        }
    }
    Ok(())
}

/// Drops everything but [`KEPT`], for this thread and those it makes from now on; nothing that is
/// executed later can gain any.
///
/// # Errors
/// What the kernel says.
pub fn drop_to_needed() -> io::Result<()> {
    let now = capabilities(None)?;
    set_no_new_privs(true)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective & KEPT,
            permitted: now.permitted & KEPT,
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
        let kept = thread::spawn(|| {
            drop_to_needed().expect("dropping is always allowed");
            (capabilities(None).expect("known"), held())
        });
        let (sets, names) = kept.join().expect("no panic");
        assert!(KEPT.contains(sets.permitted) && KEPT.contains(sets.effective));
        assert!(names.iter().all(|n| n == "CAP_NET_RAW" || n == "CAP_NET_ADMIN"), "{names:?}");
    }
}
