//! Commands that need no running gateway: `run` itself and `check`.

use std::path::{Path, PathBuf};

use api::{ApiError, Document, ExitCode, Response};
use daemon::{Options, StartError};

use crate::{
    app::{Terminal, local, read_config},
    cli::RunArgs,
    render,
};

/// Runs the gateway until it is told to end.
pub fn run(args: RunArgs, socket: Option<PathBuf>, terminal: &mut Terminal<'_>) -> ExitCode {
    let options = Options {
        config: args.config,
        socket,
        log: args.log,
        keep_capabilities: args.keep_capabilities,
    };
    match daemon::run(&options, daemon::open) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            let text = match &error {
                StartError::ConfigRefused { diagnostics } => {
                    render::diagnostics(diagnostics, &terminal.err_style)
                }
                _ => String::new(),
            };
            terminal.talk(&format!("{text}error: {error}\nnext: {}\n", error.remedy()));
            error.exit_code()
        }
    }
}

/// Validates a file.
pub fn check(file: &Path, terminal: &mut Terminal<'_>) -> ExitCode {
    let checked = read_config(file).and_then(|text| daemon::check(&text).map_err(local));
    match checked {
        Ok((view, _)) => {
            let response = Response::ConfigChecked(view);
            if terminal.json {
                let document = serde_json::to_string(&Document::from(response));
                terminal.print(&(document.unwrap_or_default() + "\n"));
            } else {
                terminal.print(&render::response(&response, &terminal.style));
            }
            ExitCode::Ok
        }
        Err(failure) => refused(&failure, file, terminal),
    }
}

/// Says why a file was refused.
pub fn refused(
    failure: &crate::client::Failure,
    file: &Path,
    terminal: &mut Terminal<'_>,
) -> ExitCode {
    use crate::client::Failure;
    match failure {
        Failure::Api { error: error @ ApiError::ConfigRefused { diagnostics }, .. }
            if !terminal.json =>
        {
            let errors = diagnostics.iter().filter(|d| d.severity == "error").count();
            let plural = if errors == 1 { "" } else { "s" };
            let excerpts = render::diagnostics(diagnostics, &terminal.err_style);
            terminal.talk(&format!("{excerpts}{}: {errors} error{plural}\n", file.display()));
            error.exit_code()
        }
        failure => terminal.fail(failure),
    }
}
