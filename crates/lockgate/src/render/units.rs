//! Numbers and times for people.

/// Numbers up to this are printed as they are.
const EXACT: u64 = 10_000;

/// A count, exact while it is short, with three digits that matter otherwise: `9999`, `12.0 k`,
/// `1.20 M`.
pub fn count(value: u64) -> String {
    if value < EXACT { value.to_string() } else { scaled(value, "") }
}

/// Bytes: `1500 B`, `1.20 MB` (powers of 1000, as link rates are).
pub fn bytes(value: u64) -> String {
    if value < EXACT { format!("{value} B") } else { scaled(value, "B") }
}

fn scaled(value: u64, unit: &str) -> String {
    let mut scaled = value as f64;
    let mut prefix = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if scaled < 999.5 {
            break;
        }
        scaled /= 1000.0;
        prefix = next;
    }
    let digits = match scaled {
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$} {prefix}{unit}")
}

/// A duration in two units at most: `20ms`, `0.2s`, `35s`, `2m05s`, `3h20m`, `12d04h`.
pub fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match ms {
        0..100 => format!("{ms}ms"),
        100..10_000 => format!("{}.{}s", s, ms % 1000 / 100),
        10_000..60_000 => format!("{s}s"),
        60_000..3_600_000 => format!("{}m{:02}s", s / 60, s % 60),
        3_600_000..86_400_000 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// A duration, or a dash where there is none.
pub fn maybe_duration(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), duration)
}

/// Time within a session's life: `00:21.1`.
pub fn clock(ms: u64) -> String {
    format!("{:02}:{:02}.{}", ms / 60_000, ms / 1000 % 60, ms % 1000 / 100)
}

/// Nanoseconds: `840ns`, `1.2us`, `3.4ms`; empty for zero, which is what simulated time shows.
pub fn nanos(ns: u64) -> String {
    match ns {
        0 => String::new(),
        1..1000 => format!("{ns}ns"),
        1000..1_000_000 => format!("{:.1}us", ns as f64 / 1e3),
        _ => format!("{:.1}ms", ns as f64 / 1e6),
    }
}

/// A share: `-` of nothing, `0%`, `<1%`, `42%`.
pub fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "-".to_owned(),
        (0, _) => "0%".to_owned(),
        (part, whole) => {
            let share = part as f64 * 100.0 / whole as f64;
            if share < 1.0 { "<1%".to_owned() } else { format!("{share:.0}%") }
        }
    }
}

/// `1 session`, `2 sessions`, `12.0 k sessions`.
pub fn plural(value: u64, one: &str) -> String {
    format!("{} {one}{}", count(value), if value == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_keep_three_digits() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (9_999, "9999"),
            (10_000, "10.0 k"),
            (1_200_000, "1.20 M"),
            (99_960, "100 k"),
            (999_600, "1.00 M"),
            (u64::MAX, "18.4 E"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!(bytes(64), "64 B");
        assert_eq!(bytes(15_000), "15.0 kB");
    }

    #[test]
    fn times_are_short() {
        for (ms, text) in [
            (0, "0ms"),
            (250, "0.2s"),
            (9_999, "9.9s"),
            (35_000, "35s"),
            (125_000, "2m05s"),
            (12_000_000, "3h20m"),
            (1_051_200_000, "12d04h"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(clock(21_100), "00:21.1");
        assert_eq!(nanos(1_250), "1.2us");
        assert_eq!(percent(1, 1000), "<1%");
    }
}
