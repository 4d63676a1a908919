//! `user add`, `user list`, `user remove`: the file of users of remote access. Needs no gateway.
//!
//! The file is written anew beside the old one and put in its place, so that nobody reads half of it; only
//! its owner, and who could read it before, can.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, BufRead, IsTerminal, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyconnect::auth::{PasswordHash, User, Users};
use api::{ApiError, ExitCode};
use zeroize::Zeroizing;

use crate::{
    app::{Terminal, local},
    cli,
    client::Failure,
};

/// Does what the command says; the others of `user` are for a gateway.
pub fn run(command: cli::User, terminal: &mut Terminal<'_>) -> ExitCode {
    let result = match command {
        cli::User::Add { name, groups, no_password, file } => {
            add(&name, &groups, !no_password, &file, terminal)
        }
        cli::User::List { file } => list(&file, terminal),
        cli::User::Remove { name, file } => remove(&name, &file, terminal),
        cli::User::Login { .. } | cli::User::Logout { .. } => {
            Err(local(ApiError::bad_request("this command talks to a gateway")))
        }
    };
    match result {
        Ok(()) => ExitCode::Ok,
        Err(failure) => terminal.fail(&failure),
    }
}

fn add(
    name: &str,
    groups: &[String],
    with_password: bool,
    file: &Path,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let mut users = if file.exists() { read(file)? } else { Users::default() };
    let hash = match with_password {
        true => Some(PasswordHash::new(&password(name, terminal)?, &mut daemon::random(0))),
        false => None,
    };
    let groups = groups.iter().map(|group| group.as_str().into()).collect();
    let replaced = users
        .insert(name, User { groups, hash })
        .map_err(|fault| local(ApiError::bad_request(fault.to_string())))?;
    write(file, &users)?;
    let what = if replaced { "changed" } else { "added" };
    terminal
        .talk(&format!("user {name} {what} in {}; `lockgate reload` takes it\n", file.display()));
    Ok(())
}

fn list(file: &Path, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let users = read(file)?;
    let width = users.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, user) in users.iter() {
        let groups = user.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let without = if user.hash.is_none() { "  no password" } else { "" };
        terminal.print(&format!("{}\n", format!("{name:width$}  {groups}{without}").trim_end()));
    }
    Ok(())
}

fn remove(name: &str, file: &Path, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut users = read(file)?;
    if !users.remove(name) {
        return Err(local(ApiError::not_found(format!("no user {name} in {}", file.display()))));
    }
    write(file, &users)?;
    terminal.talk(&format!(
        "user {name} removed from {}; `lockgate reload` takes it\n",
        file.display()
    ));
    Ok(())
}

fn read(file: &Path) -> Result<Users, Failure> {
    let failed = |what: String| local(ApiError::failed(format!("{}: {what}", file.display())));
    let text =
        fs::read_to_string(file).map(Zeroizing::new).map_err(|fault| match fault.kind() {
            io::ErrorKind::NotFound => {
                local(ApiError::not_found(format!("{}: {fault}", file.display())))
            }
            _ => failed(fault.to_string()),
        })?;
    Users::parse(&text).map_err(|fault| failed(fault.to_string()))
}

fn write(file: &Path, users: &Users) -> Result<(), Failure> {
    let beside = file.with_extension("new");
    let mode = fs::metadata(file).map_or(0o600, |before| before.permissions().mode());
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut new = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        new.set_permissions(Permissions::from_mode(mode & 0o777))?;
        new.write_all(Zeroizing::new(users.to_string()).as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, file)
    })();
    written.map_err(|fault| {
        let _ = fs::remove_file(&beside);
        local(ApiError::failed(format!("{}: {fault}", file.display())))
    })
}

/// The password: typed unseen, twice, or the first line of what is piped in.
fn password(name: &str, terminal: &mut Terminal<'_>) -> Result<Zeroizing<String>, Failure> {
    let failed = |what: String| local(ApiError::bad_request(what));
    let once = |terminal: &mut Terminal<'_>, prompt: String| {
        terminal.talk(&prompt);
        let line = unseen(|| {
            let mut line = Zeroizing::new(String::with_capacity(256));
            io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        if io::stdin().is_terminal() {
            terminal.talk("\n");
        }
        let line = line.map_err(|fault| failed(format!("the password cannot be read: {fault}")))?;
        Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
    };
    let typed = io::stdin().is_terminal();
    let prompt =
        |again: &str| if typed { format!("Password of {name}{again}: ") } else { String::new() };
    let password = once(terminal, prompt(""))?;
    if password.is_empty() {
        return Err(failed(
            "the password is empty; --no-password is for users with a certificate".into(),
        ));
    }
    if typed && *once(terminal, prompt(", again"))? != *password {
        return Err(failed("the two are not the same".into()));
    }
    Ok(password)
}

/// Reads without the terminal showing it.
fn unseen<R>(read: impl FnOnce() -> R) -> R {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &hidden);
    }
    let result = read();
    if let Some(before) = &before {
        let _ = tcsetattr(&stdin, OptionalActions::Flush, before);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_anew_and_keeps_what_is_not_ours() {
        let folder = std::env::temp_dir().join(format!("lockgate-users-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("users");
        fs::write(&file, "# people\nbob:guests:\n").expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("ours");
        let mut users = read(&file).expect("users");
        let hash = Some(PasswordHash::new("secret", &mut daemon::random(0)));
        users.insert("alice", User { groups: vec!["staff".into()], hash }).expect("a name");
        write(&file, &users).expect("written");
        let text = fs::read_to_string(&file).expect("readable");
        assert!(text.starts_with("# people\nbob:guests:\nalice:staff:$argon2id$"), "{text}");
        assert!(!text.contains("secret"));
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "nothing is left beside");
        fs::remove_dir_all(&folder).expect("ours");
    }
}
