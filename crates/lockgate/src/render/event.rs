//! `events`.

use api::{EventView, EventsView};

use super::{
    style::{Style, Tone},
    units::{clock, count},
};

pub fn events(view: &EventsView, style: &Style) -> String {
    let mut out = String::new();
    if view.lost > 0 {
        let line = format!("{} older events are no longer kept", count(view.lost));
        out.push_str(&style.paint(Tone::Dim, line));
        out.push('\n');
    }
    for row in &view.events {
        out.push_str(&event(row, style));
    }
    if out.is_empty() {
        out.push_str("no events\n");
    }
    out
}

/// One event as one line.
pub fn event(event: &EventView, style: &Style) -> String {
    let time = match event.unix_ms {
        Some(ms) => utc(ms),
        None => clock(event.uptime_ms),
    };
    let mut words = vec![
        style.paint(Tone::Dim, time),
        style.paint(Tone::of_severity(&event.severity), format!("{:<13}", event.event)),
    ];
    words.extend(event.session.map(|id| format!("session {}", style.paint(Tone::Name, id))));
    words.extend(event.tuple.map(|tuple| tuple.to_string()));
    words.extend(event.policy.map(|policy| format!("policy {policy}")));
    words.extend(event.engine.as_ref().map(|engine| format!("engine {engine}")));
    words.extend(event.reason.as_ref().map(|reason| reason.to_string()));
    if !event.message.is_empty() {
        words.push(event.message.clone());
    }
    format!("{}\n", words.join("  "))
}

/// `2026-01-31T12:00:00.250Z` (RFC 3339), from milliseconds since 1970.
fn utc(unix_ms: u64) -> String {
    let (s, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, s) = (s / 86_400, s % 86_400);
    // Days to a civil date: the year begins on 1 March here, so that leap days come last.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_767_225_599_250), "2025-12-31T23:59:59.250Z");
    }
}
