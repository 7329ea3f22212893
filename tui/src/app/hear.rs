//! What the engine tells, and how its calls end.

use std::sync::Arc;

use shared::{limits::QUERY_BYTES_MAX, show::show};

use crate::{
    app::{
        CallId, Effect, Purpose, State, Tab, Undo, Which,
        act::to_fewer,
        format,
        gate::{About, Gate, Kind, Probe},
        index::{Arranged, SortBy},
        layer::{Act, Choice, Dialog, Layer},
        prompt::{Prompt, Then},
    },
    engine::{
        api::{
            Account, ChatCommand, Command, Connection, Failure, FailureKind, NoticeLevel, Share, Steer, Traffic, Update,
        },
        transfers::protected::PASSWORD_NEEDED,
    },
};

impl State {
    pub(in crate::app) fn on_arranged(&mut self, which: Which, generation: u64, arranged: Arranged, took_us: u64) {
        let now = self.now;
        let files = &mut self.files;
        let (browse, index) = match which {
            Which::Public => (&mut files.public, &files.index),
            Which::Mine => (&mut files.mine, &files.index),
            Which::Search => (&mut files.search.browse, &files.search.hits),
        };
        browse.arranged(index, generation, arranged, took_us, now);
    }

    pub(in crate::app) fn on_update(&mut self, call: CallId, update: Update, effects: &mut Vec<Effect>) {
        let Some(purpose) = self.calls.get(&call).cloned() else { return };
        let now = self.now;
        match (purpose, update) {
            (_, Update::Connection(connection)) => self.on_connection(connection),
            (purpose, Update::Account(account)) => self.on_account(account, &purpose, effects),
            (_, Update::Index(page)) => self.files.apply(page, now),
            (_, Update::Fetched(files)) => self.files.note_fetched(&files, now),
            (_, Update::Shares(shares)) => self.files.apply_shares(shares),
            (_, Update::Members(members)) => {
                if self.members.apply(members) {
                    self.files.sources_changed(now);
                }
            }
            (_, Update::Transfers(page)) => {
                for id in self.transfers.apply(page) {
                    self.announce(&id);
                }
            }
            (_, Update::Inbox(items)) => self.on_inbox(items, effects),
            (_, Update::Rooms(rooms)) => self.on_rooms(rooms),
            (Purpose::Watch, Update::Message(row)) => self.on_message(*row, effects),
            (Purpose::Read, Update::Message(row)) => self.on_read(call, *row),
            (Purpose::Channel, Update::Channel(row)) => self.on_channel(call, row, effects),
            (Purpose::Channel, Update::ChannelLine(line)) => self.on_channel_line(call, *line, effects),
            (Purpose::Offering(mut reading), Update::Hashing(hashing)) => {
                (reading.bytes, reading.bytes_done) = (hashing.bytes, hashing.bytes_done);
                self.calls.insert(call, Purpose::Offering(reading));
            }
            (Purpose::Offered, Update::Offered(file)) => self.on_offered(call, file),
            (Purpose::Rules { mut found }, Update::Rule(rule)) => {
                found.push(rule);
                self.calls.insert(call, Purpose::Rules { found });
            }
            (_, Update::Limits(limits)) => self.limits = limits,
            (_, Update::Traffic(traffic)) => self.traffic = traffic,
            (_, Update::Notice(notice)) => self.messages.notice(now, notice),
            (Purpose::Status, Update::Status(status)) => self.downloads = Some(status.downloads),
            (Purpose::Probe, Update::Tracker(info)) => {
                if let Some(gate) = &mut self.gate
                    && gate.probe == Probe::Asking(call)
                {
                    gate.probe = Probe::Known(info);
                }
            }
            (Purpose::Search, Update::File(file)) => {
                let search = &mut self.files.search;
                let entry = Arc::make_mut(&mut search.hits).put(file);
                search.ranked.push(entry);
                if search.browse.pane.sort == SortBy::Match {
                    search.browse.order.push(entry);
                } else {
                    search.browse.refresh(now);
                }
            }
            (Purpose::Look, Update::Detail(detail)) => {
                if let Some(looked) = &mut self.files.looked
                    && looked.call == Some(call)
                {
                    looked.detail = Some(detail);
                }
            }
            (Purpose::Get { .. } | Purpose::Steer { .. }, Update::Transfer(row)) => {
                if let Some(Purpose::Get { ids, .. }) = self.calls.get_mut(&call)
                    && !ids.contains(&row.id)
                {
                    ids.push(row.id);
                }
            }
            (Purpose::Count, Update::Hashing(total)) => self.counted(total.files, total.bytes, true),
            (Purpose::Count, Update::Folder(folder)) => self.counted(folder.files, folder.size, true),
            (Purpose::Count, Update::File(file)) => self.counted(1, file.size, false),
            (Purpose::Share { files }, Update::File(_)) => {
                self.calls.insert(call, Purpose::Share { files: files + 1 });
            }
            (Purpose::Unshare { name }, Update::Count(count)) => {
                let text = format!("{name} is out of the index ({}); nothing on disk changed", format::files(count));
                self.messages.success(now, text);
            }
            (Purpose::Uncopy, Update::Count(count)) => {
                let copies = format::plural(count, "copy", "copies");
                self.messages.success(now, format!("{copies} on the tracker dropped"));
            }
            (Purpose::Rescan | Purpose::Share { .. }, Update::Hashing(hashing)) => {
                self.files.hashing = Some(hashing);
            }
            (Purpose::Doctor { mut found }, Update::Finding(finding)) => {
                found.push(finding);
                self.calls.insert(call, Purpose::Doctor { found });
            }
            (_, Update::Recovery(code)) => self.show_recovery(code),
            (Purpose::Devices { mut found }, Update::Device(device)) => {
                found.push(device);
                self.calls.insert(call, Purpose::Devices { found });
            }
            (Purpose::Invites { mut found }, Update::Invite(invite)) => {
                found.push(invite);
                self.calls.insert(call, Purpose::Invites { found });
            }
            (Purpose::Invite, Update::Invite(invite)) => self.show_invite(invite),
            (Purpose::Wishes { mut found }, Update::Wish(wish)) => {
                found.push(wish);
                self.calls.insert(call, Purpose::Wishes { found });
            }
            (Purpose::Verify { name }, Update::Verified(verified)) => self.verified(&name, verified),
            (Purpose::Rescan, Update::Rescanned(found)) => {
                let text = format!(
                    "looked through: {} new, {} changed, {} missing, {} as before",
                    format::count(found.added),
                    format::count(found.changed),
                    format::count(found.missing),
                    format::count(found.unchanged)
                );
                self.messages.success(now, text);
            }
            (Purpose::Watch, Update::Hashing(hashing)) => self.files.hashing = Some(hashing),
            // The rest of what these calls tell is of no use to the screen.
            (_, _) => {}
        }
    }

    pub(in crate::app) fn counted(&mut self, files: u64, bytes: u64, folder: bool) {
        if let Some(Layer::Share(sharing)) = self.layers.last_mut() {
            // A folder names its own sum; the files in it may follow and must not be counted twice.
            if folder {
                (sharing.folder, sharing.files, sharing.bytes) = (true, files, bytes);
            } else if !sharing.folder {
                sharing.files += files;
                sharing.bytes = sharing.bytes.saturating_add(bytes);
            }
        }
    }

    pub(in crate::app) fn announce(&mut self, id: &str) {
        let Some(transfer) = self.transfers.all.get(id) else { return };
        let row = &transfer.row;
        if row.direction == crate::engine::api::Direction::Down {
            let took = format::seconds(row.elapsed_ms.div_ceil(1000));
            let text = format!("{} finished and verified ({} in {took})", show(&row.name), format::bytes(row.size));
            self.messages.success(self.now, text);
        }
    }

    pub(in crate::app) fn on_connection(&mut self, connection: Connection) {
        let was_offline = matches!(self.connection, Connection::Offline { .. });
        let was_refused = matches!(self.connection, Connection::Offline { retry_ms: None, .. });
        let was_https = matches!(self.connection, Connection::Online { https: true, .. });
        match &connection {
            Connection::Online { https, .. } => {
                self.watch_again = None;
                // What could not be told then can be now.
                if let Some(looked) = self.inbox.looked.as_mut().filter(|looked| looked.failure.is_some()) {
                    looked.due = Some(self.now);
                }
                if *https && !was_https {
                    let text = "UDP is blocked here: connected over HTTPS, files come as copies or relayed";
                    let hint = "UDP is tried again by itself; R tries now, swapmeet doctor tells more";
                    self.messages.say(self.now, NoticeLevel::Warning, text.to_owned(), hint);
                } else if was_https && !https {
                    self.messages.success(self.now, "UDP gets through again".to_owned());
                } else if was_offline {
                    self.messages.success(self.now, "back online");
                }
            }
            // The device was signed out elsewhere, or its account locked: trying again changes nothing.
            Connection::Offline { cause, retry_ms: None, .. } if !was_refused => {
                let text = format!("signed out: {}", show(cause));
                self.messages.say(self.now, NoticeLevel::Error, text, "the password signs this device in again");
                if self.gate.is_none() {
                    self.open_gate(Kind::SignIn);
                }
            }
            Connection::Offline { cause, retry_ms: Some(_), .. } if !was_offline => {
                let text = format!("the tracker is out of reach: {}", show(cause));
                let hint = "files stay browsable, running transfers go on; R tries again now";
                self.messages.say(self.now, NoticeLevel::Warning, text, hint);
            }
            Connection::Offline { .. } | Connection::SignedOut | Connection::Connecting => {}
        }
        self.connection = connection;
    }

    pub(in crate::app) fn on_account(
        &mut self,
        account: Option<Account>,
        purpose: &Purpose,
        effects: &mut Vec<Effect>,
    ) {
        let before = self.account.replace(account.clone());
        if before.as_ref().is_some_and(|before| *before != account) {
            self.chat.forget();
            if account.is_some() {
                self.call(Command::Chat(ChatCommand::Rooms), Purpose::Rooms, effects);
            }
        } else if *purpose == Purpose::Watch {
            // The engine tells everything anew: something may have been missed.
            self.read_again();
        }
        match account {
            Some(account) => {
                let entering = self.gate.as_ref().and_then(|gate| gate.call);
                // A form opened on purpose while signed in stays until it is used or closed.
                if entering.is_some() || before != Some(Some(account.clone())) {
                    self.gate = None;
                }
                if matches!(purpose, Purpose::Enter { .. }) {
                    self.messages.success(self.now, format!("signed in as {}", show(&account.name)));
                    self.call(Command::Status, Purpose::Status, effects);
                }
                if matches!(purpose, Purpose::Enter { new: true }) {
                    self.tip = true;
                    self.tab = Tab::Files;
                }
            }
            // At the start, and when the account goes; not again after somebody chose to work offline.
            None if before.as_ref().is_none_or(Option::is_some) => {
                let (tracker, user) = (self.setup.tracker_hint.clone(), self.setup.account_hint.clone());
                self.gate = Some(Gate::new(Kind::SignIn, &tracker, &user, self.now));
            }
            None => {}
        }
    }

    pub(in crate::app) fn on_ended(&mut self, call: CallId, result: Result<(), Failure>, effects: &mut Vec<Effect>) {
        let Some(purpose) = self.calls.remove(&call) else { return };
        let now = self.now;
        match (purpose, result) {
            (Purpose::Watch, result) => self.watch_ended(result),
            (Purpose::Status | Purpose::Reconnect, Ok(())) => {}
            (Purpose::Status, Err(failure)) => self.messages.fail(now, "ask the engine", &failure),
            (Purpose::Reconnect, Err(failure)) => self.messages.fail(now, "reach the tracker", &failure),
            (Purpose::Doctor { found }, Ok(())) => self.show_findings(&found),
            (Purpose::Doctor { .. }, Err(failure)) => {
                self.messages.fail(now, "look at network and tracker", &failure);
            }
            (Purpose::Verify { .. }, Ok(())) => {}
            (Purpose::Verify { .. }, Err(failure)) => self.messages.fail(now, "verify it", &failure),
            (Purpose::Probe, result) => {
                if let Some(gate) = &mut self.gate
                    && gate.probe == Probe::Asking(call)
                {
                    gate.probe = match result {
                        Ok(()) => Probe::Idle,
                        Err(failure) => Probe::Failed(failure),
                    };
                }
            }
            (Purpose::Enter { .. }, result) => {
                self.gate_ended(call, result);
            }
            (Purpose::Account { says }, result) => match self.gate_ended(call, result) {
                Some(Ok(())) => self.messages.success(now, says),
                Some(Err(failure)) => self.messages.fail(now, "do that", &failure),
                None => {}
            },
            (Purpose::Devices { found }, Ok(())) => self.show_devices(&found),
            (Purpose::Devices { .. }, Err(failure)) => self.messages.fail(now, "ask for the devices", &failure),
            (Purpose::Read, result) => self.read_ended(call, result),
            (Purpose::Say { .. } | Purpose::Seen | Purpose::Draft | Purpose::Rooms, Ok(())) => {}
            (Purpose::Rooms, Err(failure)) => self.messages.fail(now, "ask for the conversations", &failure),
            (Purpose::Say { room, text }, Err(failure)) => self.not_sent(&room, &text, &failure),
            (Purpose::Channel, result) => self.channel_ended(call, result),
            (Purpose::Leave { .. }, Ok(())) => {}
            (Purpose::Leave { channel }, Err(failure)) => self.not_left(channel, &failure, effects),
            (Purpose::Offering(reading), Ok(())) => {
                let with = show(&self.chat.name(&reading.room));
                let look = if self.tab == Tab::Chat { "" } else { "; 3 shows what becomes of it" };
                self.messages.success(now, format!("{} is offered to {with}{look}", reading.name));
            }
            (Purpose::Offering(reading), Err(failure)) => {
                self.messages.fail(now, &format!("offer {}", reading.name), &failure);
            }
            (Purpose::Seen, Err(failure)) => self.messages.fail(now, "note what was read", &failure),
            (Purpose::Draft, Err(failure)) => self.messages.fail(now, "keep what is typed", &failure),
            (Purpose::Offered, result) => self.offered_ended(call, result),
            (Purpose::Rules { found }, Ok(())) => self.show_rules(&found),
            (Purpose::Rules { .. }, Err(failure)) => self.messages.fail(now, "ask for the rules", &failure),
            (Purpose::Attend, _) => self.attending_ended(),
            (Purpose::People { says }, Ok(())) => self.messages.success(now, says),
            (Purpose::People { .. }, Err(failure)) => self.messages.fail(now, "do that", &failure),
            (Purpose::Invite, Ok(())) => {}
            (Purpose::Invite, Err(failure)) => self.messages.fail(now, "invite", &failure),
            (Purpose::Wishes { found }, Ok(())) => self.show_wishes(&found),
            (Purpose::Wishes { .. }, Err(failure)) => {
                self.messages.fail(now, "ask for the standing searches", &failure);
            }
            (Purpose::Invites { found }, Ok(())) => self.show_invites(&found),
            (Purpose::Invites { .. }, Err(failure)) => self.messages.fail(now, "ask for the invitations", &failure),
            (Purpose::SignOut, Ok(())) => self.messages.success(now, "signed out on this device"),
            (Purpose::SignOut, Err(failure)) => self.messages.fail(now, "sign out", &failure),
            (Purpose::Search, result) => {
                let search = &mut self.files.search;
                if search.call == Some(call) {
                    search.call = None;
                    // That nothing was found is said in the list, not as an error.
                    search.failure = result.err().filter(|failure| failure.kind != FailureKind::NotFound);
                }
            }
            (Purpose::Look, result) => {
                if let (Some(looked), Err(failure)) = (&mut self.files.looked, result)
                    && looked.call == Some(call)
                {
                    looked.call = None;
                    looked.failure = Some(failure);
                }
            }
            (Purpose::Get { ids, says, .. }, Ok(())) => {
                self.offer_undo(&says, ids, Steer::Cancel);
            }
            (Purpose::Get { says, get, .. }, Err(failure)) if failure.code == PASSWORD_NEEDED => {
                self.gate = Some(Gate::of_files(About::Fetch { get: *get, says }, now));
            }
            (Purpose::Unlock { get, says }, result) => {
                // Whoever closed the form does not want it any more.
                let is_open = self.gate.as_ref().is_some_and(|gate| gate.call == Some(call));
                if let (true, Some(Ok(()))) = (is_open, self.gate_ended(call, result)) {
                    let purpose = Purpose::Get { ids: Vec::new(), says, get: get.clone() };
                    self.call(Command::Get(*get), purpose, effects);
                }
            }
            (Purpose::Get { .. }, Err(failure)) => self.messages.fail(now, "fetch", &failure),
            (Purpose::Steer { says, undo }, Ok(())) => match undo {
                Some((ids, how)) => self.offer_undo(&says, ids, how),
                None => self.messages.success(now, says),
            },
            (Purpose::Steer { .. }, Err(failure)) => self.messages.fail(now, "do that", &failure),
            (Purpose::Limit, Ok(())) => self.messages.success(now, super::act::limit_sentence(&self.limits)),
            (Purpose::Limit, Err(failure)) => self.messages.fail(now, "set that limit", &failure),
            (Purpose::Count, result) => self.count_ended(call, result),
            (Purpose::Share { files }, Ok(())) => {
                self.files.hashing = None;
                self.messages.success(now, format!("shared {}", format::files(files)));
            }
            (Purpose::Share { .. }, Err(failure)) => {
                self.files.hashing = None;
                self.messages.fail(now, "share", &failure);
            }
            (Purpose::Unshare { .. } | Purpose::Uncopy, Ok(())) => {}
            (Purpose::Unshare { .. }, Err(failure)) => self.messages.fail(now, "unshare", &failure),
            (Purpose::Uncopy, Err(failure)) => self.messages.fail(now, "drop the copy", &failure),
            (Purpose::Copy, Ok(())) => self.messages.success(now, "the tracker fetches a copy from this device"),
            (Purpose::Copy, Err(failure)) => self.messages.fail(now, "leave a copy on the tracker", &failure),
            (Purpose::Rescan, result) => {
                self.files.hashing = None;
                if let Err(failure) = result {
                    self.messages.fail(now, "look through the shares", &failure);
                }
            }
        }
        let _unused = effects;
    }

    /// What a form asked for has ended: the form closes, or says why not. Gives the result back where no form shows it.
    fn gate_ended(&mut self, call: CallId, result: Result<(), Failure>) -> Option<Result<(), Failure>> {
        let Some(gate) = self.gate.as_mut().filter(|gate| gate.call == Some(call)) else { return Some(result) };
        gate.call = None;
        match result {
            Ok(()) => {
                self.gate = None;
                Some(Ok(()))
            }
            Err(failure) => {
                gate.failed(failure, self.now);
                None
            }
        }
    }

    pub(in crate::app) fn watch_ended(&mut self, result: Result<(), Failure>) {
        let tries = self.watch_again.map_or(0, |(_, tries)| tries);
        let cause = result.err().map_or_else(|| "the engine has ended".to_owned(), |failure| failure.message);
        let wait = WATCH_AGAIN_MS << tries.min(5);
        let at = self.now + wait;
        self.watch_again = Some((at, tries + 1));
        self.traffic = Traffic::default();
        if tries == 0 {
            let text = format!("lost the engine: {cause}");
            self.messages.say(
                self.now,
                NoticeLevel::Error,
                text,
                "R asks it again; q quits, transfers resume at the next start",
            );
        }
        self.connection = Connection::Offline { cause, retry_ms: Some(at), tries: tries + 1 };
    }

    pub(in crate::app) fn count_ended(&mut self, call: CallId, result: Result<(), Failure>) {
        let Some(Layer::Share(sharing)) = self.layers.last_mut() else { return };
        if sharing.call != Some(call) {
            return;
        }
        sharing.call = None;
        let share = match (result, sharing.share.take()) {
            (Err(failure), _) => {
                sharing.trouble = Some(failure.message);
                return;
            }
            (Ok(()), None) => return,
            (Ok(()), Some(share)) => Share { dry_run: false, ..share },
        };
        let (files, bytes) = (sharing.files, sharing.bytes);
        let path = share.paths.first().map(|path| show(&path.to_string_lossy())).unwrap_or_default();
        let paths = share.paths.clone();
        let name = paths.first().and_then(|path| path.file_name()).map(|name| show(&name.to_string_lossy()));
        let name = name.unwrap_or_else(|| path.clone());
        let lines = vec![
            path,
            format!("{}, {}", format::files(files), format::bytes(bytes)),
            String::new(),
            "Every member can see and fetch them. They stay where they are;".to_owned(),
            "x in this list takes them out again.".to_owned(),
        ];
        let protected = share.clone();
        let yes = Act::Call { command: Command::Share(share), purpose: Purpose::Share { files: 0 } };
        let then = Then::OfferTo { items: Vec::new(), paths, name: name.clone() };
        let to_whom = vec![format!("{name} is offered to those named here, and to nobody else.")];
        let prompt = Prompt::new(format!("Offer {name}"), to_whom, "to ", QUERY_BYTES_MAX, then);
        let choices = vec![
            Choice::new('n', "not now", Act::Close),
            Choice::new('y', "share", yes),
            Choice::new('f', "to fewer…", Act::Choose(Box::new(to_fewer(&protected, &name)))),
            Choice::new('p', "with a password", Act::Protect(Box::new(protected))),
            Choice::new('o', "offer to…", Act::Prompt(Box::new(prompt))),
        ];
        self.layers.pop();
        self.layers.push(Layer::Dialog(Dialog::new("Share this?", lines, choices)));
    }

    pub(in crate::app) fn offer_undo(&mut self, says: &str, ids: Vec<String>, how: Steer) {
        let text = if ids.is_empty() { says.to_owned() } else { format!("{says}  ·  u undo") };
        self.undo = (!ids.is_empty()).then_some(Undo { until: self.now + UNDO_MS, ids, how });
        self.messages.success(self.now, text);
    }
}

/// Time in which the last act can be taken back, milliseconds.
const UNDO_MS: i64 = 10_000;
/// First wait before an engine that went away is asked again, milliseconds; doubled from try to try.
const WATCH_AGAIN_MS: i64 = 1_000;
