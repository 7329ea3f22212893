//! Where the socket lies. A socket's address holds 108 bytes and a path may be longer, so a long one is reached through
//! an open handle of its folder.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{OpenOptionsExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use crate::profile::Profile;

/// The socket of a running engine; its name goes when this is dropped. Only the holder of the profile's lock has one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // The next engine removes it before it listens.
                tracing::warn!(%error, "the local socket could not be removed");
            }
            Ok(()) | Err(_) => (),
        }
    }
}

/// Listens at the profile's socket, for this user alone. The caller holds the lock, so what lies there is stale.
pub(super) fn listen(profile: &Profile) -> io::Result<(UnixListener, SocketFile)> {
    let path = profile.socket();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => (),
    }
    let address = Address::of(&path)?;
    let listener = UnixListener::bind(&address.path)?;
    let file = SocketFile { path };
    // Until here the folder (0700) alone keeps others out, whatever the umask is.
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600))?;
    Ok((listener, file))
}

/// Connects to the profile's socket.
pub(super) async fn connect(profile: &Profile) -> io::Result<UnixStream> {
    let address = Address::of(&profile.socket())?;
    UnixStream::connect(&address.path).await
}

/// A path that fits a socket's address, for as long as its folder is held open.
struct Address {
    path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        if !cfg!(target_os = "linux") {
            let message = format!("a socket's path holds at most {ADDRESS_BYTES_MAX} bytes here");
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, message));
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }
}

/// Bytes of a path in a socket's address, without the zero at its end.
const ADDRESS_BYTES_MAX: usize = 107;
