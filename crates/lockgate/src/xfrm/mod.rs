//! `sa import`: what `ip xfrm` was told, or prints, becomes `[[ipsec]]` tables.
//!
//! Reads `ip xfrm state add …` and `ip xfrm policy add …` as shell text (with `sudo`, traces of
//! `set -x`, continuations, or broken by a web page), and what `ip xfrm state` and `ip xfrm policy`
//! print. What cannot be taken is a fault with its line; lines that are not of `ip xfrm` are named.
//!
//! Limits: SAs and policies only; no shell variables; ESP in tunnel or transport mode, in pairs.

mod lex;
mod pair;
mod policy;
mod read;
mod state;
#[cfg(test)]
mod tests;
mod write;

use core::net::IpAddr;
use std::{fs::File, io::Read, path::Path};

use api::{ApiError, ExitCode};
use config::{Diagnostic, Severity};
use zeroize::Zeroizing;

use crate::{
    app::{Terminal, local},
    client::Failure,
    render,
};
use lex::Place;
use read::{Cursor, Fault, shown, shown_line};

/// Most bytes that are read.
const MOST: u64 = 16 << 20;

/// What a text gives.
#[derive(Debug)]
pub struct Imported {
    /// The tables, with keys.
    pub toml: Zeroizing<String>,
    /// What was left out or should be known.
    pub notes: Vec<String>,
}

/// Runs `sa import`.
pub fn run(file: &Path, locals: &[IpAddr], terminal: &mut Terminal<'_>) -> ExitCode {
    let source = if file == Path::new("-") { "stdin".into() } else { file.display().to_string() };
    let imported = read_text(file, &source)
        .and_then(|text| import(&source, &text, locals).map_err(|list| refused(&list)))
        .and_then(|imported| {
            match config::parse(&format!("(made from {source})"), &imported.toml) {
                Ok(parsed) => Ok((imported, parsed.warnings)),
                Err(faults) => Err(refused(&faults.iter().cloned().collect::<Vec<_>>())),
            }
        });
    match imported {
        Ok((imported, warnings)) => {
            for note in &imported.notes {
                terminal.talk(&format!("note: {note}\n"));
            }
            let views: Vec<_> = warnings.iter().map(daemon::diagnostic_view).collect();
            terminal.talk(&render::diagnostics(&views, &terminal.err_style));
            terminal.talk("warning: this holds keys; keep it in a file of mode 0600\n");
            terminal.print(&imported.toml);
            ExitCode::Ok
        }
        Err(failure) => fail(&failure, terminal),
    }
}

fn fail(failure: &Failure, terminal: &mut Terminal<'_>) -> ExitCode {
    match failure {
        Failure::Api { error: error @ ApiError::ConfigRefused { diagnostics }, .. }
            if !terminal.json =>
        {
            terminal.talk(&render::diagnostics(diagnostics, &terminal.err_style));
            terminal.talk("nothing imported\n");
            error.exit_code()
        }
        failure => terminal.fail(failure),
    }
}

fn read_text(file: &Path, source: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MOST).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    let fault = |error: ApiError| Err(local(error));
    match read {
        Ok(bytes) if bytes as u64 == MOST => {
            fault(ApiError::bad_request(format!("{source}: more than {MOST} bytes")))
        }
        Ok(_) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fault(ApiError::not_found(format!("{source}: {e}")))
        }
        Err(e) => fault(ApiError::failed(format!("{source}: {e}"))),
    }
}

fn refused(list: &[Diagnostic]) -> Failure {
    let diagnostics = list.iter().map(daemon::diagnostic_view).collect();
    local(ApiError::ConfigRefused { diagnostics })
}

/// Makes tables of a text. `locals` are the addresses of this host; found out when empty.
///
/// # Errors
/// All that cannot be taken, in the order of the lines.
pub fn import(source: &str, text: &str, locals: &[IpAddr]) -> Result<Imported, Vec<Diagnostic>> {
    let source = shown(source);
    let read = entries(text);
    let result = if !read.faults.is_empty() {
        Err(read.faults)
    } else if read.sas.is_empty() {
        Err(vec![
            Fault::new(1, "nothing-found", "there is no SA")
                .found("no `ip xfrm state add …`")
                .expected("commands, or the output of `ip xfrm state`")
                .help("see the manual page for what is read"),
        ])
    } else {
        let sent = read.sas.iter().filter(|sa| sa.sent > 0).map(sent).collect::<Vec<_>>();
        pair::pairs(read.sas, read.policies, locals).and_then(|made| {
            let toml = write::toml(&source, &made.pairs)?;
            Ok(Imported { toml, notes: [read.notes, made.notes, sent].concat() })
        })
    };
    result.map_err(|mut faults| {
        faults.sort_by_key(|fault| fault.line);
        faults.into_iter().map(|fault| diagnostic(fault, &source, text)).collect()
    })
}

/// A number that is used twice with one key gives both packets away, and the far end takes neither.
fn sent(sa: &state::Sa) -> String {
    format!(
        "line {}: {} packets were sent with this key already; make new keys at both ends before \
         the gateway sends with it",
        sa.line, sa.sent
    )
}

#[derive(Default)]
struct Entries {
    sas: Vec<state::Sa>,
    policies: Vec<policy::Policy>,
    notes: Vec<String>,
    faults: Vec<Fault>,
}

fn entries(text: &str) -> Entries {
    let words = lex::words(text);
    let mut cursor = Cursor::new(&words);
    let mut found = Entries::default();
    let mut skipped: Vec<u32> = Vec::new();
    let mut failed = false;
    while let Some(word) = cursor.peek() {
        let result = if let Some(behind) = cursor.behind_ip_xfrm() {
            cursor.at = behind;
            cursor.begin(word.line, false);
            failed = false;
            command(&mut cursor, &mut found)
        } else if cursor.begins_dump_entry() {
            cursor.begin(word.line, true);
            failed = false;
            printed(&mut cursor, &mut found)
        } else {
            // words behind a fault belong to it
            if !failed && !word.is_break && !matches!(&*word.text, "sudo" | "$" | "ip") {
                skipped.push(word.line);
            }
            cursor.at += 1;
            Ok(())
        };
        if let Err(fault) = result {
            found.faults.push(fault);
            failed = true;
        }
    }
    skipped.dedup();
    if !skipped.is_empty() {
        let lines = runs(&skipped);
        found.notes.insert(0, format!("lines not read, as they are not of ip xfrm: {lines}"));
    }
    found
}

/// Behind `ip xfrm`.
fn command(cursor: &mut Cursor<'_, '_>, found: &mut Entries) -> Result<(), Fault> {
    let line = cursor.line;
    let Some(object) = cursor.key() else { return Ok(()) };
    let verb = cursor.peek().filter(|word| word.place == Place::Inside).map(|word| &*word.text);
    match (&*object.text, verb) {
        ("state", Some("add" | "update")) => {
            cursor.at += 1;
            found.sas.push(state::state(cursor)?);
        }
        ("policy", Some("add" | "update")) => {
            cursor.at += 1;
            add_policy(cursor, found)?;
        }
        ("state" | "policy", None | Some("list" | "show" | "ls" | "flush" | "count")) => {
            cursor.skip_line();
        }
        (what, verb) => {
            let verb = verb.unwrap_or_default();
            let fault = Fault::new(line, "not-taken", "a command that is not read here")
                .found(format!("`ip xfrm {} {}`", shown(what), shown(verb)))
                .expected("`state add`, `policy add`, or what `state` and `policy` print")
                .help("leave it out");
            cursor.skip_line();
            return Err(fault);
        }
    }
    Ok(())
}

/// An entry as `ip xfrm state` or `ip xfrm policy` prints it: its second line tells which.
fn printed(cursor: &mut Cursor<'_, '_>, found: &mut Entries) -> Result<(), Fault> {
    let second = (1..).map_while(|ahead| cursor.peek_at(ahead)).find(|w| w.place != Place::Inside);
    if second.is_some_and(|word| word.text == "proto") {
        found.sas.push(state::state(cursor)?);
        return Ok(());
    }
    add_policy(cursor, found)
}

fn add_policy(cursor: &mut Cursor<'_, '_>, found: &mut Entries) -> Result<(), Fault> {
    let line = cursor.line;
    match policy::policy(cursor)? {
        Some(policy) => found.policies.push(policy),
        None => found.notes.push(format!("line {line}: a policy of a socket; left out")),
    }
    Ok(())
}

/// Numbers as runs: `1-3, 7`.
fn runs(numbers: &[u32]) -> String {
    let mut text = String::new();
    for run in numbers.chunk_by(|a, b| b - a <= 1) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let comma = if text.is_empty() { "" } else { ", " };
        text += comma;
        text += &if first == last { first.to_string() } else { format!("{first}-{last}") };
    }
    text
}

/// A fault with its line, keys taken out.
fn diagnostic(fault: Fault, source: &str, text: &str) -> Diagnostic {
    let line = text.split('\n').nth(fault.line.saturating_sub(1) as usize).unwrap_or_default();
    let excerpt: String = shown_line(line).chars().take(160).collect();
    let chars = |text: &str| text.chars().count() as u32;
    let marked = fault.found.trim_matches('`');
    let (indent, width) = match excerpt.find(marked).filter(|_| !marked.is_empty()) {
        Some(at) => (chars(&excerpt[..at]), chars(marked)),
        None => (0, 1),
    };
    Diagnostic {
        severity: Severity::Error,
        code: fault.code,
        file: source.to_owned(),
        place: config::Place {
            line: fault.line,
            column: indent + 1,
            start: 0,
            end: 0,
            excerpt,
            width,
            indent,
        },
        message: fault.message,
        found: fault.found,
        expected: fault.expected,
        help: fault.help,
        related: Vec::new(),
    }
}
