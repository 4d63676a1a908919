//! `lockgate replay`: gives a new gateway the inputs of a recording and compares all it does.

use std::path::Path;

use api::ExitCode;
use testkit::recording::{Replayed, replay};

use crate::{app::Terminal, render::count};

/// Replays the recording in a file.
pub fn run(path: &Path, terminal: &mut Terminal<'_>) -> ExitCode {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            terminal.talk(&format!("error: cannot read {}: {error}\n", path.display()));
            return ExitCode::Failed;
        }
    };
    match replay(&bytes) {
        Ok(replayed) => {
            if terminal.json {
                terminal.print(&document(&replayed));
            } else {
                terminal.print(&text(&replayed));
            }
            if replayed.difference.is_none() { ExitCode::Ok } else { ExitCode::Failed }
        }
        Err(error) => {
            terminal.talk(&format!("error: {}: {error}\n", path.display()));
            ExitCode::Failed
        }
    }
}

/// What a replay did, as text.
pub fn text(replayed: &Replayed) -> String {
    let mut out = format!(
        "replayed {:.3} s of simulated time: {} frames in, {} frames out, {} requests, {} configurations\n",
        replayed.lasted.as_secs_f64(),
        count(replayed.received),
        count(replayed.sent),
        count(replayed.requests),
        count(replayed.configurations),
    );
    match &replayed.difference {
        None => out.push_str(&format!(
            "the same, bit for bit: every frame sent, every answer, {} counters\n",
            replayed.counters
        )),
        Some(difference) => out.push_str(&format!("{difference}\n")),
    }
    out
}

fn document(replayed: &Replayed) -> String {
    let difference = replayed.difference.as_ref().map(|d| {
        serde_json::json!({
            "at_ns": d.at.as_nanos(),
            "step": d.step,
            "recorded": d.recorded,
            "happened": d.happened,
        })
    });
    let document = serde_json::json!({
        "schema": api::SCHEMA,
        "kind": "replay",
        "same": replayed.difference.is_none(),
        "lasted_ms": replayed.lasted.as_millis() as u64,
        "steps": replayed.steps,
        "frames_in": replayed.received,
        "frames_out": replayed.sent,
        "requests": replayed.requests,
        "configurations": replayed.configurations,
        "counters": replayed.counters,
        "difference": difference,
    });
    format!("{document}\n")
}
