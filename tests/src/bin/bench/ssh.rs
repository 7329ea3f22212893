//! An sshd of our own on a free port with throwaway keys, for comparing with `scp` and `rsync`.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tests::Running;

use crate::ends::{Ends, free_port, serve, timed};

/// The server. Ended on drop.
#[derive(Debug)]
pub(crate) struct Sshd {
    folder: TempDir,
    port: u16,
    ends: Ends,
    _server: Running,
}

impl Sshd {
    /// Starts it, or says why not.
    pub(crate) fn start(ends: &Ends) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.path().join(key))
                .status();
            ensure!(made.context("ssh-keygen is not installed")?.success(), "ssh-keygen failed");
        }
        let program = Path::new("/usr/sbin/sshd");
        ensure!(program.exists(), "sshd is not installed");
        // Where sshd separates its privileges; only root needs it.
        let _exists_or_not_root = fs::create_dir_all("/run/sshd");
        let authorized = folder.path().join("authorized");
        fs::copy(folder.path().join("user.pub"), &authorized)?;
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o600))?;
        let port = free_port()?;
        let mut command = ends.serving("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"]).arg(folder.path().join("host"));
        command.arg("-o").arg(format!("ListenAddress={}", ends.address));
        for option in [
            "StrictModes=no",
            "UsePAM=no",
            "PidFile=none",
            "PermitRootLogin=prohibit-password",
            "Subsystem=sftp internal-sftp",
        ] {
            command.args(["-o", option]);
        }
        command.arg("-o").arg(format!("AuthorizedKeysFile={}", authorized.display()));
        let (server, _line) = serve(&command, "Server listening")?;
        Ok(Self { folder, port, ends: ends.clone(), _server: server })
    }

    /// `scp` of a file or folder, with more options.
    pub(crate) fn scp(&self, more: &[&str], from: &Path, to: &Path) -> Command {
        let mut command = self.ends.fetching("scp");
        command.args(["-q", "-r", "-P", &self.port.to_string()]).args(self.options()).args(more);
        command.arg(format!("{}:{}", self.ends.address, from.display())).arg(to);
        command
    }

    /// Seconds that `scp` takes for a file or folder, until the target's file system has it.
    pub(crate) fn timed_scp(&self, from: &Path, to: &Path) -> Result<f64> {
        timed(&mut self.scp(&[], from, to), to)
    }

    /// The same for `rsync` over ssh.
    pub(crate) fn timed_rsync(&self, from: &Path, to: &Path) -> Result<f64> {
        let shell = format!("ssh -p {} {}", self.port, self.options().join(" "));
        let mut command = self.ends.fetching("rsync");
        command.args(["-a", "-W", "-e", &shell]).arg(format!("{}:{}", self.ends.address, from.display())).arg(to);
        timed(&mut command, to)
    }

    fn options(&self) -> Vec<String> {
        let key = self.folder.path().join("user");
        vec![
            "-i".to_owned(),
            key.display().to_string(),
            "-oStrictHostKeyChecking=no".to_owned(),
            "-oUserKnownHostsFile=/dev/null".to_owned(),
            "-oLogLevel=ERROR".to_owned(),
            "-oIdentitiesOnly=yes".to_owned(),
        ]
    }
}
