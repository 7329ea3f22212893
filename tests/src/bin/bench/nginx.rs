//! An nginx of our own on a free port that serves one folder over TLS 1.3, with a certificate made for this run, for
//! comparing with `curl`.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::Running;

use crate::ends::{Ends, free_port, is_installed, serve};

/// The server. Ended on drop.
#[derive(Debug)]
pub(crate) struct Nginx {
    folder: TempDir,
    port: u16,
    ends: Ends,
    server: Running,
}

impl Nginx {
    /// Starts it over this folder, or says why not.
    pub(crate) fn start(ends: &Ends, root: &Path) -> Result<Self> {
        for program in [NGINX, "curl"] {
            ensure!(is_installed(program), "{program} is not installed");
        }
        let folder = tempfile::tempdir()?;
        let key = rcgen::generate_simple_self_signed([ends.address.clone()])?;
        fs::write(folder.path().join("certificate"), key.cert.pem())?;
        fs::write(folder.path().join("key"), key.signing_key.serialize_pem())?;
        let port = free_port()?;
        // Only root has workers with another name, and theirs must be able to read the folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let configuration = format!(
            "{user}
            worker_processes 1;
            pid pid;
            error_log stderr notice;
            events {{ }}
            http {{
                access_log off;
                sendfile on;
                client_body_temp_path body;
                proxy_temp_path proxy;
                fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi;
                scgi_temp_path scgi;
                server {{
                    listen {}:{port} ssl;
                    ssl_protocols TLSv1.3;
                    ssl_certificate certificate;
                    ssl_certificate_key key;
                    root \"{}\";
                }}
            }}",
            ends.address,
            root.display()
        );
        fs::write(folder.path().join("nginx.conf"), configuration)?;
        let mut command = ends.serving(NGINX);
        command.args(["-e", "stderr", "-g", "daemon off;", "-c", "nginx.conf", "-p"]).arg(folder.path());
        let (server, _line) = serve(&command, "start worker process ")?;
        Ok(Self { folder, port, ends: ends.clone(), server })
    }

    /// `curl` of a file of the folder.
    pub(crate) fn curl(&self, from: &Path, to: &Path) -> Result<Command> {
        let name = from.file_name().and_then(|name| name.to_str()).context("the file has no plain name")?;
        let mut command = self.ends.fetching("curl");
        command.args(["-sS", "--fail", "--noproxy", "*", "--tlsv1.3", "--cacert"]);
        command.arg(self.folder.path().join("certificate")).arg("-o").arg(to);
        command.arg(format!("https://{}:{}/{name}", self.ends.address, self.port));
        Ok(command)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only when it is asked.
        self.server.signal(Signal::TERM);
        let _ended = self.server.ended_within(Duration::from_secs(10));
    }
}

const NGINX: &str = "/usr/sbin/nginx";
