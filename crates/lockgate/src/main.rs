//! The `lockgate` command line: parse, ask the gateway, render.
//!
//! Data goes to stdout and talk to stderr; exit codes are those of [`api::ExitCode`]. Nothing here
//! knows packets.

#![forbid(unsafe_code)]

mod app;
mod bench;
mod capture;
mod cli;
mod client;
mod demo;
mod generate;
mod ike;
mod keys;
mod offline;
mod packet;
mod plan;
mod render;
mod replay;
#[cfg(test)]
mod tests;
mod users;
mod xfrm;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process,
};

use api::ExitCode;
use app::Terminal;
use clap::Parser;
use cli::{Cli, ColorChoice, Command, Sa, User};
use render::Style;

/// What workers touch per packet lies in huge pages.
#[global_allocator]
static ALLOC: ports::huge::HugeAlloc = ports::huge::HugeAlloc::new();

fn main() -> process::ExitCode {
    ports::huge::one_heap();
    let cli = Cli::parse();
    process::ExitCode::from(dispatch(cli) as u8)
}

fn dispatch(cli: Cli) -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let mut terminal = Terminal {
        style: Style { color: colored(cli.global.color, out.is_terminal()) },
        err_style: Style { color: colored(cli.global.color, err.is_terminal()) },
        out: &mut out,
        err: &mut err,
        json: cli.global.json,
    };
    match cli.command {
        Command::Run(args) => offline::run(args, cli.global.socket, &mut terminal),
        Command::Check { file } => offline::check(&file, &mut terminal),
        Command::User(command @ (User::Add { .. } | User::List { .. } | User::Remove { .. })) => {
            users::run(command, &mut terminal)
        }
        Command::Sa(Sa::Import { file, local }) => xfrm::run(&file, &local, &mut terminal),
        Command::Demo { output } => demo::run(&demo::DemoOptions { output }, &mut terminal),
        Command::Bench { suite, size, tunnels, flows, check } => {
            let scope = bench::Scope::new(size, tunnels, flows);
            run_bench(suite.as_deref(), &scope, check.as_deref(), &mut terminal)
        }
        Command::Replay { file } => replay::run(&file, &mut terminal),
        Command::Completions { shell } => generate::completions(shell, &mut terminal),
        Command::Man { directory } => generate::man(directory.as_deref(), &mut terminal),
        command => {
            let socket = cli.global.socket.unwrap_or_else(|| PathBuf::from(daemon::DEFAULT_SOCKET));
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    match command {
                        Command::Plan(args) => plan::run(args, &socket, &mut terminal).await,
                        command => app::execute(command, &socket, &mut terminal).await,
                    }
                }),
                Err(e) => {
                    terminal.talk(&format!("error: no event loop: {e}\n"));
                    ExitCode::Failed
                }
            }
        }
    }
}

/// `NO_COLOR` (any value but the empty one) and a dumb terminal mean no colour, unless asked for.
fn colored(choice: ColorChoice, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        }
    }
}

fn run_bench(
    suite: Option<&str>,
    scope: &bench::Scope,
    check: Option<&Path>,
    terminal: &mut app::Terminal<'_>,
) -> ExitCode {
    // before anything is measured: it takes minutes
    let bounds = match check.map(bench::Bounds::read).transpose() {
        Ok(bounds) => bounds,
        Err(message) => {
            terminal.talk(&format!("error: {message}\n"));
            return ExitCode::Failed;
        }
    };
    let figures = match bench::run(suite, scope, &mut |doing| terminal.talk(&format!("{doing}\n")))
    {
        Ok(figures) => figures,
        Err(message) => {
            terminal.talk(&format!("error: {message}\n"));
            return ExitCode::Failed;
        }
    };
    if terminal.json {
        let document = serde_json::json!({
            "schema": api::SCHEMA,
            "kind": "bench",
            "cpu": bench::cpu(),
            "figures": figures,
        });
        terminal.print(&format!("{document}\n"));
    } else {
        terminal.print(&bench::render(&figures));
    }
    let Some((held, broken)) = bounds.map(|bounds| bounds.broken(&figures)) else {
        return ExitCode::Ok;
    };
    for sentence in &broken {
        terminal.talk(&format!("error: {sentence}\n"));
    }
    if !broken.is_empty() {
        return ExitCode::Failed;
    }
    if held == 0 {
        terminal.talk("error: the file says nothing about what was measured\n");
        return ExitCode::Failed;
    }
    terminal.talk(&format!("{held} ratios are at least what they are to be\n"));
    ExitCode::Ok
}
