//! Completions and man pages, generated from the definition of the command line.

use std::{fs, io, path::Path};

use api::ExitCode;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::{app::Terminal, cli::Cli};

/// Prints the completion script of a shell.
pub fn completions(shell: Shell, terminal: &mut Terminal<'_>) -> ExitCode {
    clap_complete::generate(shell, &mut Cli::command(), "lockgate", terminal.out);
    ExitCode::Ok
}

/// Prints `lockgate(1)`, or writes one page for every command to a directory.
pub fn man(directory: Option<&Path>, terminal: &mut Terminal<'_>) -> ExitCode {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let result = match directory {
        None => clap_mangen::Man::new(root).render(terminal.out),
        Some(directory) => write_pages(&root, "lockgate", directory),
    };
    match result {
        Ok(()) => ExitCode::Ok,
        Err(e) => {
            terminal.talk(&format!("error: {e}\n"));
            ExitCode::Failed
        }
    }
}

fn write_pages(command: &Command, name: &str, directory: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
    fs::create_dir_all(directory)?;
    fs::write(directory.join(format!("{name}.1")), page)?;
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        write_pages(sub, &format!("{name}-{}", sub.get_name()), directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Style;

    fn terminal<'a>(out: &'a mut Vec<u8>, err: &'a mut Vec<u8>) -> Terminal<'a> {
        Terminal { out, err, style: Style::default(), err_style: Style::default(), json: false }
    }

    #[test]
    fn the_man_page_documents_exit_codes() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(man(None, &mut terminal(&mut out, &mut err)), ExitCode::Ok);
        let page = String::from_utf8(out).expect("text");
        assert!(
            page.contains(".TH lockgate 1") && page.contains("5 configuration refused"),
            "{page}"
        );
    }

    #[test]
    fn completions_know_the_commands() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(completions(Shell::Bash, &mut terminal(&mut out, &mut err)), ExitCode::Ok);
        let script = String::from_utf8(out).expect("text");
        assert!(script.contains("explain") && script.contains("--socket"));
    }
}
