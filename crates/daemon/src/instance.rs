//! One gateway a socket: a lock file beside it, held as long as the process lives.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use crate::StartError;

/// Mode of the control socket: owner and group may talk.
const SOCKET_MODE: u32 = 0o660;

/// The lock on a socket; the socket goes away with it.
pub struct Instance {
    socket: PathBuf,
    _lock: File,
}

impl Instance {
    /// Takes the lock beside `socket`.
    ///
    /// # Errors
    /// [`StartError::AlreadyRunning`] when another process holds it.
    pub fn acquire(socket: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::Socket { path: socket.to_owned(), source };
        if let Some(directory) = socket.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let mut name = socket.as_os_str().to_owned();
        name.push(".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(PathBuf::from(name)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = lock.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(StartError::AlreadyRunning { socket: socket.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { socket: socket.to_owned(), _lock: lock })
    }

    /// Listens on the socket, in place of what a dead process left behind.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen(&self) -> Result<UnixListener, StartError> {
        let failed = |source| StartError::Socket { path: self.socket.clone(), source };
        match fs::remove_file(&self.socket) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let listener = UnixListener::bind(&self.socket).map_err(failed)?;
        let mode = fs::Permissions::from_mode(SOCKET_MODE);
        fs::set_permissions(&self.socket, mode).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(listener)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}
