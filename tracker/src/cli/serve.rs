//! `serve`.

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, print};
use crate::{Config, Ready, ServeArgs, StartError};

pub(super) fn serve(flags: &ServeArgs) -> Result<(), Failure> {
    let config = Config::load(flags).map_err(StartError::from)?;
    raise_file_limit();
    super::block_on(async {
        let trouble = |error| Failure::unexpected("could not listen for signals", &error);
        let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let ready = |ready: Ready| {
            if print(&ready_line(&ready)).is_err() {
                tracing::warn!("nobody reads that the tracker is ready");
            }
        };
        Ok(crate::run(config, ready, stop).await?)
    })
}

/// The one line on stdout when connections are accepted.
#[must_use]
pub fn ready_line(ready: &Ready) -> String {
    // Written by hand, because the order of the fields is part of the contract.
    format!(
        r#"{{"v":1,"type":"ready","listen":{},"web":{},"link":{}}}"#,
        json!(ready.listen.to_string()),
        json!(ready.web.map(|web| format!("https://{web}"))),
        json!(ready.link)
    )
}

/// Stored copies and partial files need descriptors; the usual soft limit is small.
fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_the_one_promised() {
        let mut ready =
            Ready { listen: "127.0.0.1:5".parse().unwrap(), web: None, link: "swapmeet://h:5/#abc".to_owned() };
        assert_eq!(
            ready_line(&ready),
            r#"{"v":1,"type":"ready","listen":"127.0.0.1:5","web":null,"link":"swapmeet://h:5/#abc"}"#
        );
        ready.web = Some("[::1]:6".parse().unwrap());
        assert_eq!(
            ready_line(&ready),
            r#"{"v":1,"type":"ready","listen":"127.0.0.1:5","web":"https://[::1]:6","link":"swapmeet://h:5/#abc"}"#
        );
    }
}
