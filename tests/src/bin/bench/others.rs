//! (b) `get` of a large file next to what people use instead, taking turns.

use std::{path::Path, rc::Rc};

use anyhow::{Result, anyhow};
use tests::Tracker;

use crate::{
    Options,
    direct::get,
    ends::{Ends, settle, timed},
    handed::{Croc, Sendme},
    nginx::Nginx,
    ssh::Sshd,
    table::{Table, ratio_of_pairs, seconds},
};

/// Fetches the file to a path and tells the seconds that it took.
type Fetch<'a> = Box<dyn Fn(&Path) -> Result<f64> + 'a>;

/// One of the others: its name, what `get` may take of its time, and how it fetches, or why it cannot.
struct Other<'a> {
    name: &'static str,
    target: &'static str,
    fetch: Result<Fetch<'a>>,
}

pub(crate) fn compare(options: &Options, tracker: &Tracker, id: &str, file: &Path, table: &mut Table) -> Result<()> {
    for (number, Other { name, target, fetch }) in others(file).into_iter().enumerate() {
        let (mut ours, mut theirs) = (vec![], vec![]);
        let measured = fetch.and_then(|fetch| {
            for round in 0..options.pairs.min(ROUNDS) {
                let folder = tempfile::tempdir()?;
                settle();
                theirs.push(fetch(&folder.path().join("out"))?);
                drop(folder);
                ours.push(get(tracker, id, &format!("beside {number} {round}"))?.command);
                eprintln!("  round {round}: get {:.3} s, {name} {:.3} s", ours[round], theirs[round]);
            }
            Ok(())
        });
        match measured {
            Ok(()) => table.row(
                &format!("b: get {} MiB", options.size),
                seconds(&ours),
                format!("{name} {}", seconds(&theirs)),
                format!("time {}", ratio_of_pairs(&ours, &theirs)),
                target,
            ),
            Err(error) => table.missing(&format!("b: {name}"), &error),
        }
    }
    Ok(())
}

fn others(file: &Path) -> Vec<Other<'_>> {
    let here = Ends::here();
    let ssh = kept(Sshd::start(&here));
    let nginx =
        file.parent().map_or_else(|| Err(anyhow!("the file is in no folder")), |root| Nginx::start(&here, root));
    let croc = kept(Croc::start());
    let other = |name, target, fetch| Other { name, target, fetch };
    vec![
        other("scp", "at most 0.65", with(&ssh, move |ssh, to| ssh.timed_scp(file, to))),
        other(
            "scp with AES-128-GCM",
            "at most 0.9",
            with(&ssh, move |ssh, to| timed(&mut ssh.scp(&["-c", "aes128-gcm@openssh.com"], file, to), to)),
        ),
        other("rsync over ssh", "", with(&ssh, move |ssh, to| ssh.timed_rsync(file, to))),
        other(
            "curl from nginx, TLS 1.3",
            "at most 1.25, 0.8 with bigger datagrams",
            with(&kept(nginx), move |nginx, to| timed(&mut nginx.curl(file, to)?, to)),
        ),
        other("sendme", "at most 0.3", with(&kept(Sendme::start(file)), move |sendme, to| sendme.fetch(file, to))),
        other(
            "croc without compression",
            "at most 0.35",
            with(&croc, move |croc, to| croc.fetch(&["--no-compress"], file, to)),
        ),
        other("croc", "at most 0.16", with(&croc, move |croc, to| croc.fetch(&[], file, to))),
    ]
}

/// A server that several use, or why there is none, for each of them.
fn kept<T>(server: Result<T>) -> Result<Rc<T>, String> {
    server.map(Rc::new).map_err(|error| format!("{error:#}"))
}

fn with<'a, T: 'a>(server: &Result<Rc<T>, String>, fetch: impl Fn(&T, &Path) -> Result<f64> + 'a) -> Result<Fetch<'a>> {
    let server = Rc::clone(server.as_ref().map_err(|error| anyhow!("{error}"))?);
    Ok(Box::new(move |to| fetch(&server, to)))
}

const ROUNDS: usize = 5;
