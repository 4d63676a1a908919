//! What the host tells about itself, for `show system`.

use std::{fs, time::SystemTime};

/// Wall clock, milliseconds since 1970-01-01 UTC.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Processor model and the features that matter for forwarding and encryption.
pub fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().map(str::trim) == Some(name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let features: Vec<_> = field("flags")
        .unwrap_or_default()
        .split_whitespace()
        .filter(|f| ["aes", "avx2", "vaes", "vpclmulqdq", "avx512f"].contains(f))
        .collect();
    match field("model name") {
        Some(model) => format!("{model}, {cores} cores, {}", features.join(" ")),
        None => String::new(),
    }
}

/// Resident memory of this process (`VmRSS` of proc_pid_status(5)).
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_a_clock() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(unix_ms() > 1_700_000_000_000);
    }
}
