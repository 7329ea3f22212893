//! Where one profile of the client keeps its things.
//!
//! `SWAPMEET_HOME=DIR` puts everything under `DIR`; otherwise XDG directories. A profile other than the default has
//! folders of its own below them.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use directories::{BaseDirs, UserDirs};

/// Folders and files of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `default` unless chosen.
    pub name: String,
    /// Settings that a person edits.
    pub config: PathBuf,
    /// Database, device key, hash trees, socket, log.
    pub state: PathBuf,
    /// Where fetched files go unless told otherwise.
    pub downloads: PathBuf,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Neither `SWAPMEET_HOME` nor a home directory.
    #[error("there is no home directory to keep state in")]
    NoHome,
    /// The name would leave its folder.
    #[error("a profile is named with letters, digits, '-' and '_', not {0:?}")]
    BadName(String),
    /// A folder could not be made.
    #[error("could not make {path}")]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Profile {
    /// The profile of this name below `home`, or at the XDG places.
    ///
    /// # Errors
    /// When the name is not a plain word or there is no home.
    pub fn locate(home: Option<&Path>, name: Option<&str>) -> Result<Self, ProfileError> {
        let name = name.unwrap_or("default");
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(ProfileError::BadName(name.to_owned()));
        }
        let (config, state, downloads) = match home {
            Some(home) => {
                let home =
                    std::path::absolute(home).map_err(|source| ProfileError::Make { path: home.into(), source })?;
                (home.join("config"), home.join("state"), home.join("downloads"))
            }
            None => {
                let base = BaseDirs::new().ok_or(ProfileError::NoHome)?;
                let state = base.state_dir().unwrap_or_else(|| base.data_local_dir()).join("swapmeet");
                let downloads = UserDirs::new()
                    .and_then(|dirs| dirs.download_dir().map(Path::to_path_buf))
                    .unwrap_or_else(|| base.home_dir().join("Downloads"));
                (base.config_dir().join("swapmeet"), state, downloads)
            }
        };
        if name == "default" {
            return Ok(Self { name: name.to_owned(), config, state, downloads });
        }
        Ok(Self {
            name: name.to_owned(),
            config: config.join("profiles").join(name),
            state: state.join("profiles").join(name),
            downloads,
        })
    }

    /// Makes the private folders (mode 0700) of this profile.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn prepare(&self) -> Result<(), ProfileError> {
        for path in [&self.config, &self.state] {
            make_private(path).map_err(|source| ProfileError::Make { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// The lock that the running engine holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.state.join("engine.lock")
    }

    /// The socket that faces attach to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("engine.sock")
    }

    /// The log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.state.join("swapmeet.log")
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_profile_lies_below_its_home() {
        let profile = Profile::locate(Some(Path::new("/h")), None).unwrap();
        assert_eq!(profile.state, Path::new("/h/state"));
        assert_eq!(profile.downloads, Path::new("/h/downloads"));
        let other = Profile::locate(Some(Path::new("/h")), Some("work")).unwrap();
        assert_ne!(other.socket(), profile.socket());
    }

    #[test]
    fn a_profile_name_cannot_leave_its_folder() {
        for name in ["", "..", "a/b", "a\\b", "a b"] {
            assert!(Profile::locate(Some(Path::new("/h")), Some(name)).is_err(), "{name}");
        }
    }
}
