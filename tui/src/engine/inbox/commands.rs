//! What faces ask about requests and offers.

use std::{path::Path, sync::Arc};

use shared::{
    id::{FileId, ItemId},
    inbox::{Act, State, Wanted},
    limits::FOLDER_REQUESTS_MAX,
    name::{IndexPath, Platform},
    show::show_line,
    wire::{
        inbox::{InboxAnswer, InboxRequest, ItemEntry, What},
        tracker::{Answer, Audience, FileEntry, Item, Request},
    },
};

use super::{ask, keep, named, parcel, row, rows};
use crate::engine::{
    api::{Accept, Failure, FailureKind, InboxCommand, Offer, OfferedRow, RuleKind, RuleRow, Share, Target, Update},
    core::Core,
    dispatch::{Out, get::follow},
    failure, link,
    rows::name_of,
    state::Errand,
    transfers,
};

/// The word of a decline that nobody typed.
pub(super) const NOT_WANTED: &str = "declined by a standing answer or a cancelled transfer";

/// Carries out one command.
pub(in crate::engine) async fn carry_out(core: &Arc<Core>, command: InboxCommand, out: &Out) -> Result<(), Failure> {
    match command {
        InboxCommand::List { all } => {
            in_step(core).await?;
            for row in rows(core).into_iter().filter(|row| all || row.state.is_open()) {
                out.send(Update::Item(Box::new(row))).await?;
            }
            Ok(())
        }
        InboxCommand::Show { item } => {
            let item = find(core, &item).await?;
            out.send(Update::Item(Box::new(row(core, &item)))).await?;
            if parcel::is_offer(&item) && item.state.is_open() {
                for file in parcel::files(core, item.id).await? {
                    let (path, size, hash) = (file.path, file.size, file.blob);
                    out.send(Update::Offered(OfferedRow { path, size, hash })).await?;
                }
            }
            Ok(())
        }
        InboxCommand::RequestFiles { items, text, life_s } => {
            let mut wanted = Vec::new();
            for item in &items {
                wanted.extend(wanted_files(core, item).await?);
            }
            for (file, errand) in wanted {
                let item = ItemId(rand::random());
                let request = InboxRequest::WantFile { item, file, text: text.clone(), life_s };
                for item in ask(core, request).await? {
                    if core.inbox.errand(item.id).is_none() {
                        core.inbox.take_on(core, item.id, errand.clone()).await?;
                    }
                    tell(core, &item, out).await?;
                }
            }
            core.inbox.wake.notify_one();
            Ok(())
        }
        InboxCommand::RequestText { of, text, life_s } => {
            let item = ItemId(rand::random());
            // Before the question: whoever asks and is killed gets the answer all the same.
            core.inbox.take_on(core, item, Errand::default()).await?;
            let items = ask(core, InboxRequest::WantText { item, of, text, life_s }).await?;
            if let Some(asked_before) = items.iter().find(|known| known.id != item) {
                core.state.forget_items(&[item]).await.map_err(failure::unexpected)?;
                if core.inbox.errand(asked_before.id).is_none() {
                    core.inbox.take_on(core, asked_before.id, Errand::default()).await?;
                }
            }
            tell_all(core, &items, out).await
        }
        InboxCommand::Offer(wish) => offer(core, wish, out).await,
        InboxCommand::Accept(accept) => {
            for text in &accept.items {
                let item = find(core, text).await?;
                let items = accept_one(core, item, &accept).await?;
                tell_all(core, &items, out).await?;
                for item in items.iter().filter(|item| parcel::is_offer(item) && !accept.detach) {
                    if let Some(transfer) = keep::fetch(core, item).await? {
                        follow(core, &transfer.plan, &transfer, out).await?;
                    }
                }
            }
            Ok(())
        }
        InboxCommand::Decline { items, word } => act(core, &items, Act::Decline, &word, out).await,
        InboxCommand::Cancel { items } => act(core, &items, Act::Cancel, "", out).await,
        InboxCommand::Rules => {
            for rule in core.state.offer_rules().await.map_err(failure::unexpected)? {
                out.send(Update::Rule(rule)).await?;
            }
            for member in approvals(core).await? {
                out.send(Update::Rule(RuleRow { member, what: RuleKind::Approve })).await?;
            }
            Ok(())
        }
        InboxCommand::SetRule(rule) => {
            let member = known_member(core, &rule.member).await?;
            match rule.what {
                RuleKind::Approve => approve(core, &member, true).await?,
                RuleKind::AcceptOffers { .. } | RuleKind::DeclineOffers => {
                    let set = core.state.set_offer_rule(&member, Some(rule.what)).await;
                    set.map_err(failure::unexpected)?;
                }
            }
            core.inbox.wake.notify_one();
            out.send(Update::Rule(RuleRow { member, ..rule })).await
        }
        InboxCommand::RemoveRule { member } => {
            let member = known_member(core, &member).await?;
            let removed = core.state.set_offer_rule(&member, None).await.map_err(failure::unexpected)?;
            let approved = approvals(core).await?.contains(&member);
            if approved {
                approve(core, &member, false).await?;
            }
            if removed == 0 && !approved {
                let message = format!("there is no rule for {}", show_line(&member, 40));
                return Err(Failure::new(
                    FailureKind::NotFound,
                    "no_rule",
                    message,
                    "`swapmeet inbox rule ls` lists them",
                ));
            }
            out.send(Update::Count(removed + u64::from(approved))).await
        }
    }
}

/// Whose requests are approved always.
async fn approvals(core: &Core) -> Result<Vec<String>, Failure> {
    match core.session.ask(&Request::Inbox(InboxRequest::Approvals)).await? {
        Answer::Inbox(InboxAnswer::Approved { members }) => Ok(members),
        _ => Err(failure::bad_answer()),
    }
}

async fn approve(core: &Core, member: &str, always: bool) -> Result<(), Failure> {
    let request = InboxRequest::Approve { member: member.to_owned(), always };
    match core.session.ask(&Request::Inbox(request)).await? {
        Answer::Done => Ok(()),
        _ => Err(failure::bad_answer()),
    }
}

/// What is known here is as new as what the tracker knows.
pub(in crate::engine) async fn in_step(core: &Core) -> Result<(), Failure> {
    let online = core.session.online().await?;
    super::pull(core, &online.connection).await
}

pub(in crate::engine) async fn find(core: &Core, text: &str) -> Result<ItemEntry, Failure> {
    match named(core, text) {
        Err(failure) if failure.kind == FailureKind::NotFound => {
            in_step(core).await?;
            named(core, text)
        }
        found => found,
    }
}

async fn tell(core: &Core, item: &ItemEntry, out: &Out) -> Result<(), Failure> {
    out.send(Update::Item(Box::new(row(core, item)))).await
}

async fn tell_all(core: &Core, items: &[ItemEntry], out: &Out) -> Result<(), Failure> {
    for item in items {
        tell(core, item, out).await?;
    }
    Ok(())
}

/// The one file that somebody named.
/// What is asked for by naming a file or a folder: of a folder every file that is not here, each to come to its place in
/// it.
async fn wanted_files(core: &Arc<Core>, text: &str) -> Result<Vec<(FileId, Errand)>, Failure> {
    let folder = match transfers::resolve(core, link::parse_item(text)?).await? {
        Item::File(file) => return Ok(vec![(file.id, Errand::default())]),
        Item::Folder(folder) => folder,
    };
    let name = show_line(&folder.path, 80);
    let mut files = transfers::folder_files(core, folder.id).await?;
    files.retain(|file| !core.has_blob(&file.blob));
    if files.is_empty() {
        let message = format!("every file of '{name}' is here already");
        return Err(Failure::new(FailureKind::Conflict, "nothing_missing", message, ""));
    }
    if files.len() > FOLDER_REQUESTS_MAX {
        let message = format!("'{name}' has {} files that are not here: at most {FOLDER_REQUESTS_MAX}", files.len());
        return Err(Failure::new(
            FailureKind::Usage,
            "too_many_files",
            message,
            "ask for a folder in it, or for files",
        ));
    }
    let above = folder.path.len() - name_of(&folder.path).len();
    let place = |file: &FileEntry| {
        let parent = file.path.get(above..).and_then(|path| path.rsplit_once('/')).map_or("", |(parent, _)| parent);
        let parent = IndexPath::parse(parent).map_err(|error| {
            let message = format!("a folder of '{name}' cannot be made here: {error}");
            Failure::new(FailureKind::Refused, "bad_path", message, "ask for its files one by one")
        })?;
        let target = Target::Folder(core.profile.downloads.join(parent.local_path(Platform::HERE).as_str()));
        Ok((file.id, Errand { target, ..Errand::default() }))
    };
    files.iter().map(place).collect()
}

async fn the_file(core: &Arc<Core>, text: &str) -> Result<FileId, Failure> {
    match transfers::resolve(core, link::parse_item(text)?).await? {
        Item::File(file) => Ok(file.id),
        Item::Folder(folder) => {
            let name = show_line(&folder.path, 80);
            let message = format!("'{name}' is a folder; a request is answered with a file");
            Err(Failure::new(FailureKind::Usage, "a_folder", message, "name a file"))
        }
    }
}

async fn act(core: &Core, items: &[String], act: Act, word: &str, out: &Out) -> Result<(), Failure> {
    for text in items {
        let item = find(core, text).await?;
        let request = InboxRequest::Act { item: item.id, act, always: false, with: None, word: word.to_owned() };
        tell_all(core, &ask(core, request).await?, out).await?;
    }
    Ok(())
}

/// Says yes to one item.
pub(super) async fn accept_one(core: &Arc<Core>, item: ItemEntry, accept: &Accept) -> Result<Vec<ItemEntry>, Failure> {
    let (mut with, mut word) = (None, String::new());
    match &item.what {
        What::Offer { .. } => {
            let only = checked(core, &item, &accept.only).await?;
            // Before the yes: whoever says yes and is killed fetches it all the same.
            let known = core.inbox.errand(item.id);
            if item.state == State::Waiting || known.is_none() {
                let errand = Errand { target: accept.target.clone(), only, transfer: None };
                core.inbox.take_on(core, item.id, errand).await?;
            }
            let only = core.inbox.errand(item.id).map(|errand| errand.only).unwrap_or_default();
            word = taken(core, &item, &only).await?;
        }
        What::Request { wanted: Wanted::Word | Wanted::Board, .. } => {
            let text = accept.with.as_deref().ok_or_else(|| {
                let hint = "name one with --with: an own shared file, or a path, which is shared hidden for it";
                Failure::new(FailureKind::Usage, "no_file", "a request in words is answered with a file", hint)
            })?;
            with = Some(answer(core, text).await?);
        }
        What::Request { .. } => {}
        What::Channel => {
            let hint = format!("`swapmeet chat channel {}` opens it", show_line(&item.from_name, 40));
            let message = "a private channel is held by whoever accepts it";
            return Err(Failure::new(FailureKind::Usage, "a_channel", message, hint));
        }
    }
    ask(core, InboxRequest::Act { item: item.id, act: Act::Accept, always: accept.always, with, word }).await
}

/// How much of an offer is taken, for both to read; empty: all of it.
async fn taken(core: &Core, item: &ItemEntry, only: &[String]) -> Result<String, Failure> {
    if only.is_empty() {
        return Ok(String::new());
    }
    let files = parcel::files(core, item.id).await?;
    let some = files.iter().filter(|file| only.iter().any(|wanted| parcel::covers(wanted, &file.path))).count();
    Ok(if some == files.len() { String::new() } else { format!("{some} of {} files", files.len()) })
}

/// The chosen paths of an offer, each of which must be in it.
async fn checked(core: &Core, item: &ItemEntry, only: &[String]) -> Result<Vec<String>, Failure> {
    if only.is_empty() {
        return Ok(Vec::new());
    }
    let files = parcel::files(core, item.id).await?;
    for wanted in only {
        let wanted = wanted.trim_end_matches('/');
        let is_in = files
            .iter()
            .any(|file| file.path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        if !is_in {
            let message = format!("'{}' is not in this offer", show_line(wanted, 100));
            return Err(Failure::new(
                FailureKind::NotFound,
                "not_offered",
                message,
                "`swapmeet inbox show ID` lists its files",
            ));
        }
    }
    Ok(only.iter().map(|path| path.trim_end_matches('/').to_owned()).collect())
}

/// The own file to answer a request with: a shared one, or one at a path, which is shared hidden.
async fn answer(core: &Arc<Core>, text: &str) -> Result<FileId, Failure> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return the_file(core, text).await;
    }
    let share = Share { paths: vec![path.to_owned()], audience: Some(Audience::Hidden), ..Share::default() };
    let shared = core.library.share(core, path, &share, &|_| {}).await?;
    match &shared.files[..] {
        [file] => Ok(file.id),
        _ => Err(Failure::new(
            FailureKind::Usage,
            "a_folder",
            "a request is answered with one file",
            "to give a folder, offer it: `swapmeet offer PATH MEMBER`",
        )),
    }
}

async fn offer(core: &Arc<Core>, wish: Offer, out: &Out) -> Result<(), Failure> {
    // What was offered already, by a command whose answer was lost, is not offered twice.
    in_step(core).await?;
    let to = if wish.everyone { other_members(core).await? } else { wish.to.clone() };
    if to.is_empty() {
        return Err(Failure::new(
            FailureKind::Usage,
            "no_receiver",
            "nobody was named to offer it to",
            "name a member",
        ));
    }
    let mut paths = wish.paths.clone();
    for item in &wish.items {
        paths.push(core.library.local_of(core, transfers::resolve(core, link::parse_item(item)?).await?).await?);
    }
    for path in paths {
        let items = parcel::offer(core, &path, &wish, &to, &|hashing| out.hint(Update::Hashing(hashing))).await?;
        tell_all(core, &items, out).await?;
    }
    Ok(())
}

/// Every member but this one.
async fn other_members(core: &Core) -> Result<Vec<String>, Failure> {
    let online = core.session.online().await?;
    core.load_members(&online.connection).await?;
    Ok(core.member_rows().into_iter().filter(|row| !row.me).map(|row| row.name).collect())
}

/// A member's name as registered.
async fn known_member(core: &Core, name: &str) -> Result<String, Failure> {
    let online = core.session.online().await?;
    core.load_members(&online.connection).await?;
    let key = shared::name::FoldKey::of(name);
    let found = core.member_rows().into_iter().find(|row| shared::name::FoldKey::of(&row.name) == key);
    found.map(|row| row.name).ok_or_else(|| {
        let message = format!("no member is called {}", show_line(name, 40));
        Failure::new(FailureKind::NotFound, "no_member", message, "`swapmeet members` shows them")
    })
}
