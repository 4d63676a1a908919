//! `show system`, `show anomaly`.

use api::{AnomalyView, SystemView};

use super::{
    engine::reasons,
    port::{loss, or_none},
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, duration, percent},
};

pub fn system(view: &SystemView, style: &Style) -> String {
    let mut out = format!(
        "{}  lockgate {}  up {}\n",
        style.paint(Tone::Head, &view.hostname),
        view.version,
        duration(view.uptime_ms)
    );
    let config = &view.config;
    out.push_str(&format!(
        "  config        {}, generation {}, applied {} ago\n",
        config.source,
        config.generation,
        duration(config.applied_ms)
    ));
    if let Some(left) = config.reverts_in_ms {
        let text = format!("reverts in {} unless confirmed: `lockgate confirm`", duration(left));
        out.push_str(&format!("                {}\n", style.paint(Tone::Notice, text)));
    }
    if let Some(failure) = &config.last_failure {
        let text = format!("last change failed: {failure}");
        out.push_str(&format!("                {}\n", style.paint(Tone::Bad, text)));
    }
    if !view.cpu.is_empty() {
        out.push_str(&format!("  cpu           {}\n", view.cpu));
    }
    if !view.busy.is_empty() {
        let each: Vec<_> = view.busy.iter().map(|busy| format!("{:.0}%", busy * 100.0)).collect();
        let whose = if each.len() > 1 { "  (a worker each)" } else { "" };
        out.push_str(&format!("  busy          {}{whose}\n", each.join(" ")));
    }
    if let Some(resident) = view.resident_bytes {
        out.push_str(&format!("  memory        {}\n", bytes(resident)));
    }
    if !view.capabilities.is_empty() {
        out.push_str(&format!("  capabilities  {}\n", view.capabilities.join(" ")));
    }
    let mut table = Table::new(&["TABLE", ">USED", ">OF", ">SHARE", ">PEAK", ">MEMORY"]).indent(2);
    for row in &view.tables {
        let full = row.capacity > 0 && row.used * 10 >= row.capacity * 9;
        table.row([
            row.name.as_ref().into(),
            Cell::new(if full { Tone::Bad } else { Tone::Plain }, count(row.used)),
            if row.capacity == 0 { String::new() } else { count(row.capacity) }.into(),
            percent(row.used, row.capacity).into(),
            row.peak.map(count).unwrap_or_default().into(),
            row.memory_bytes.map(bytes).unwrap_or_default().into(),
        ]);
    }
    if !table.is_empty() {
        out.push('\n');
        out.push_str(&table.render(style));
    }
    out
}

pub fn anomaly(view: &AnomalyView, style: &Style) -> String {
    let mut table =
        Table::new(&["SENSOR", "ACTION", ">LIMIT/S", ">DROPPED", "REASON", "WORST SOURCES"]);
    for sensor in &view.sensors {
        let off = sensor.action == "off";
        let top: Vec<_> =
            sensor.top.iter().map(|s| format!("{} {}/s", s.source, s.per_second)).collect();
        table.row([
            Cell::new(if off { Tone::Dim } else { Tone::Name }, sensor.name.as_ref()),
            sensor.action.as_ref().into(),
            if off { String::new() } else { count(u64::from(sensor.per_second)) }.into(),
            loss(sensor.dropped),
            sensor.reason.name.as_ref().into(),
            top.join(", ").into(),
        ]);
    }
    let mut out = or_none(table, "no sensors", style);
    if !view.checks.is_empty() {
        out.push('\n');
        out.push_str(&reasons("CHECK", &view.checks, 0, style));
    }
    out
}
