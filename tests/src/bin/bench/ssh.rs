//! An sshd of our own on a free port of 127.0.0.1 with throwaway keys, for comparing with `scp` and `rsync`.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tests::Running;

/// The server. Ended on drop.
#[derive(Debug)]
pub(crate) struct Sshd {
    folder: TempDir,
    port: u16,
    _server: Running,
}

impl Sshd {
    /// Starts it, or says why not.
    pub(crate) fn start() -> Result<Self> {
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
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"]).arg(folder.path().join("host"));
        for option in [
            "ListenAddress=127.0.0.1",
            "StrictModes=no",
            "UsePAM=no",
            "PidFile=none",
            "PermitRootLogin=prohibit-password",
            "Subsystem=sftp internal-sftp",
        ] {
            command.args(["-o", option]);
        }
        command.arg("-o").arg(format!("AuthorizedKeysFile={}", authorized.display()));
        let server = Running::start(&mut command, b"");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline || server.ended_within(Duration::from_millis(20)) {
                bail!("sshd does not answer: {}", server.finish_within(Duration::from_secs(1)).stderr);
            }
        }
        Ok(Self { folder, port, _server: server })
    }

    /// Seconds that `scp` takes for a file or folder, until the target's file system has it.
    pub(crate) fn scp(&self, from: &Path, to: &Path) -> Result<f64> {
        let mut command = Command::new("scp");
        command.args(["-q", "-r", "-P", &self.port.to_string()]).args(self.options());
        command.arg(format!("127.0.0.1:{}", from.display())).arg(to);
        timed(&mut command, to)
    }

    /// The same for `rsync` over ssh.
    pub(crate) fn rsync(&self, from: &Path, to: &Path) -> Result<f64> {
        let shell = format!("ssh -p {} {}", self.port, self.options().join(" "));
        let mut command = Command::new("rsync");
        command.args(["-a", "-W", "-e", &shell]).arg(format!("127.0.0.1:{}", from.display())).arg(to);
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

/// Seconds of a command and of making what it wrote durable, as the measured program does.
pub(crate) fn timed(command: &mut Command, written: &Path) -> Result<f64> {
    let start = Instant::now();
    let output = command.output().with_context(|| format!("{} is not installed", command.get_program().display()))?;
    ensure!(output.status.success(), "{:?} failed: {}", command.get_program(), String::from_utf8_lossy(&output.stderr));
    let synced = Command::new("sync").arg("-f").arg(written).status()?;
    ensure!(synced.success(), "sync -f failed");
    Ok(start.elapsed().as_secs_f64())
}
