//! Fetching, sharing, unsharing and copies: what is done to files.

use std::path::{Path, PathBuf};

use shared::{id::FolderId, limits::UNASKED_FILES_MAX, show::show, wire::tracker::CopyState};

use crate::{
    app::{
        Effect, Purpose, State, format,
        index::{Item, ItemKey},
        layer::{Act, Choice, Dialog, Layer, Menu, Sharing},
        list::List,
    },
    engine::api::{Command, Get, Share, ShareRow},
};

impl State {
    /// Marked items, or the one under the cursor.
    pub(in crate::app) fn chosen(&self) -> Vec<ItemKey> {
        let (browse, _) = self.files.browse();
        if browse.pane.marks.is_empty() {
            self.files.selected().map(|item| item.key()).into_iter().collect()
        } else {
            browse.pane.marks.iter().cloned().collect()
        }
    }

    /// The name by which a command asks for an item. A folder goes by its owner and path: its bare id has the form of a
    /// file's and would be taken for one.
    pub(in crate::app) fn asked_name(key: &ItemKey) -> String {
        match key {
            ItemKey::File(id) => id.to_string(),
            ItemKey::Folder { owner, path } => format!("{owner}/{path}"),
        }
    }

    /// The id by which the engine tells of an item.
    pub(in crate::app) fn item_name(&self, key: &ItemKey) -> String {
        match key {
            ItemKey::File(id) => id.to_string(),
            ItemKey::Folder { owner, path } => {
                let owner_id = self.members.all.iter().find(|member| *member.name == **owner).map(|member| member.id);
                let owner_id = owner_id.or_else(|| self.me().filter(|me| *me.name == **owner).map(|me| me.id));
                owner_id.map_or_else(|| format!("{owner}/{path}"), |id| FolderId::of_path(id, path).to_string())
            }
        }
    }

    /// Whether the item is being fetched now.
    #[must_use]
    pub fn fetching(&self, key: &ItemKey) -> bool {
        !self.transfers.fetching.is_empty() && self.transfers.fetching.contains(&self.item_name(key))
    }

    pub(in crate::app) fn download(&mut self, effects: &mut Vec<Effect>) {
        let (_, index) = self.files.browse();
        let chosen = self.chosen();
        let (mut files, mut bytes, mut had, mut going, mut wanted) = (0, 0_u64, 0, 0, Vec::new());
        let mut name = String::new();
        // Whose owner decides who fetches them.
        let (mut asked, mut asked_name, mut asked_owner) = (Vec::new(), String::new(), String::new());
        for key in &chosen {
            match index.find(key).and_then(|entry| index.item(entry)) {
                Some(Item::File(row)) if row.have => had += 1,
                Some(_) if self.fetching(key) => going += 1,
                Some(Item::File(row)) if &*row.audience == "ask" && !row.mine => {
                    asked.push(Self::asked_name(key));
                    (asked_name, asked_owner) = (show(row.name()), row.owner.to_string());
                }
                Some(Item::File(row)) => {
                    (files, bytes) = (files + 1, bytes.saturating_add(row.size));
                    name = show(row.name());
                    wanted.push(key);
                }
                Some(Item::Folder(folder)) if folder.mine => had += 1,
                Some(Item::Folder(folder)) => {
                    (files, bytes) = (files + folder.files, bytes.saturating_add(folder.size));
                    name = format!("{}/", show(folder.name()));
                    wanted.push(key);
                }
                None => {}
            }
        }
        let reason = match (chosen.len(), had) {
            (0, _) => Some("there is nothing under the cursor to fetch"),
            (1, 1) => Some("you have it already"),
            (1, _) if going == 1 => Some("it is being fetched already: 2 shows how far it is"),
            (all, had) if all == had => Some("you have all of them already"),
            (all, had) if all == had + going => Some("you have them or fetch them already"),
            _ if wanted.is_empty() && asked.is_empty() => Some("they are no longer in the index"),
            _ => None,
        };
        if let Some(reason) = reason {
            self.messages.warn(self.now, reason);
            return;
        }
        if !asked.is_empty() {
            let name = match asked.len() {
                1 => asked_name,
                some => format!("{} files", format::count(some as u64)),
            };
            self.ask_for(asked, name, &asked_owner, effects);
        }
        if wanted.is_empty() {
            return;
        }
        let what = match wanted.len() {
            1 => name,
            some => format!("{} items", format::count(some as u64)),
        };
        let sum = if files == 1 {
            format::bytes(bytes)
        } else {
            format!("{}, {}", format::files(files), format::bytes(bytes))
        };
        let items = wanted.into_iter().map(Self::asked_name).collect();
        let get = Get { items, detach: true, wait: true, ..Get::default() };
        let command = Command::Get(get.clone());
        let says = format!("fetching {what} ({sum})");
        let purpose = Purpose::Get { ids: Vec::new(), says, get: Box::new(get) };
        if files > UNASKED_FILES_MAX {
            let lines = vec![format!("{what}: {sum}"), self.target_line()];
            let choices = vec![
                Choice::new('n', "not now", Act::Close),
                Choice::new('y', "fetch them", Act::Call { command, purpose }),
            ];
            self.layers.push(Layer::Dialog(Dialog::new("Fetch so many files?", lines, choices)));
            return;
        }
        self.act(Act::Call { command, purpose }, effects);
    }

    pub(in crate::app) fn target_line(&self) -> String {
        let downloads = self.downloads.as_ref().map(|path| self.tilde(path));
        downloads.map_or_else(|| "They go to the download folder.".to_owned(), |path| format!("They go to {path}."))
    }

    /// A local path with the home folder as `~`, cleaned.
    #[must_use]
    pub fn tilde(&self, path: &Path) -> String {
        let inside = self.setup.home.as_deref().and_then(|home| path.strip_prefix(home).ok());
        match inside {
            Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
            Some(rest) => format!("~/{}", show(&rest.to_string_lossy())),
            None => show(&path.to_string_lossy()),
        }
    }

    pub(in crate::app) fn open_sharing(&mut self, path: &str, effects: &mut Vec<Effect>) {
        if self.me().is_none() {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        }
        let start = if path.is_empty() { "~/" } else { path };
        self.layers.push(Layer::Share(Sharing::new(start)));
        effects.push(Effect::Complete { typed: expand_home(start, self.setup.home.as_deref()) });
    }

    pub(in crate::app) fn complete(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let Some(Layer::Share(sharing)) = self.layers.last_mut() else { return self.complete_prompt(effects) };
        let Some(next) = completed(sharing.field.text(), &sharing.suggestions, home.as_deref()) else {
            self.messages.warn(self.now, "no path begins so");
            return;
        };
        sharing.field.set(&next);
        effects.push(Effect::Complete { typed: next });
    }

    pub(in crate::app) fn count_share(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let Some(Layer::Share(sharing)) = self.layers.last_mut() else { return };
        if sharing.call.is_some() {
            return;
        }
        let path = PathBuf::from(expand_home(sharing.field.text(), home.as_deref()));
        if !path.is_absolute() {
            sharing.trouble = Some("write the whole path, beginning with / or ~".to_owned());
            return;
        }
        (sharing.files, sharing.bytes, sharing.folder, sharing.trouble) = (0, 0, false, None);
        let share = Share { paths: vec![path], dry_run: true, ..Share::default() };
        sharing.share = Some(share.clone());
        let call = self.call(Command::Share(share), Purpose::Count, effects);
        if let Some(Layer::Share(sharing)) = self.layers.last_mut() {
            sharing.call = Some(call);
        }
    }

    pub(in crate::app) fn ask_unshare(&mut self) {
        let Some(me) = self.me().map(|me| me.name.clone()) else {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        };
        let (items, what, files) = if self.files.at_shares() {
            let Some(share) = self.files.selected_share() else {
                self.messages.warn(self.now, "there is no share under the cursor; a shares something");
                return;
            };
            (vec![Self::share_name(share, &me)], show(&share.name), share.files)
        } else {
            let (_, index) = self.files.browse();
            let chosen = self.chosen();
            let files =
                chosen.iter().filter_map(|key| index.find(key)).filter_map(|entry| index.item(entry)).map(|item| {
                    match item {
                        Item::File(_) => 1,
                        Item::Folder(folder) => folder.files,
                    }
                });
            let files: u64 = files.sum();
            let what = match self.files.selected() {
                Some(Item::File(row)) if chosen.len() == 1 => show(row.name()),
                Some(Item::Folder(folder)) if chosen.len() == 1 => format!("{}/", show(folder.name())),
                _ => format!("{} items", format::count(chosen.len() as u64)),
            };
            if chosen.is_empty() {
                self.messages.warn(self.now, "there is nothing under the cursor to unshare");
                return;
            }
            (chosen.iter().map(Self::asked_name).collect(), what, files)
        };
        let lines = vec![
            format!("{what}: {}", format::files(files)),
            "Members no longer see or fetch it, and running uploads of it stop.".to_owned(),
            "The tracker's copies of it go. Your own files stay as they are.".to_owned(),
        ];
        let act = Act::Call { command: Command::Unshare { items }, purpose: Purpose::Unshare { name: what } };
        let choices = vec![Choice::new('n', "keep sharing", Act::Close), Choice::new('y', "unshare", act)];
        self.layers.push(Layer::Dialog(Dialog::new("Unshare?", lines, choices)));
    }

    pub(in crate::app) fn share_name(share: &ShareRow, me: &str) -> String {
        format!("{me}/{}", share.name)
    }

    pub(in crate::app) fn rescan(&mut self, effects: &mut Vec<Effect>) {
        if self.calls.values().any(|purpose| *purpose == Purpose::Rescan) {
            self.messages.warn(self.now, "the shares are being looked through already");
            return;
        }
        self.call(Command::Rescan, Purpose::Rescan, effects);
        self.messages.success(self.now, "looking through the shares…");
    }

    pub(in crate::app) fn keep_copy(&mut self, effects: &mut Vec<Effect>) {
        let Some(me) = self.me().map(|me| me.name.clone()) else {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        };
        let folder_menu = |items: Vec<String>| Menu {
            title: "Copies on the tracker".to_owned(),
            choices: vec![
                Choice::new(
                    'k',
                    "keep a copy of every file in it",
                    Act::Call { command: Command::Copy { items: items.clone(), wait: false }, purpose: Purpose::Copy },
                ),
                Choice::new(
                    'd',
                    "drop the copies of it",
                    Act::Call { command: Command::Uncopy { items }, purpose: Purpose::Uncopy },
                ),
            ],
            list: List::default(),
        };
        if self.files.at_shares() {
            match self.files.selected_share() {
                Some(share) => {
                    let menu = folder_menu(vec![Self::share_name(share, &me)]);
                    self.layers.push(Layer::Menu(menu));
                }
                None => self.messages.warn(self.now, "there is no share under the cursor; a shares something"),
            }
            return;
        }
        match self.files.selected() {
            None => self.messages.warn(self.now, "there is nothing under the cursor"),
            Some(Item::File(row)) if !row.mine => {
                let text = format!("only {} can keep a copy of it on the tracker", show(&row.owner));
                self.messages.warn(self.now, text);
            }
            Some(Item::Folder(folder)) if !folder.mine => {
                let text = format!("only {} can keep copies of it on the tracker", show(&folder.owner));
                self.messages.warn(self.now, text);
            }
            Some(item @ Item::Folder(_)) => {
                let menu = folder_menu(vec![Self::asked_name(&item.key())]);
                self.layers.push(Layer::Menu(menu));
            }
            Some(Item::File(row)) => {
                let items = vec![row.id.to_string()];
                let (command, purpose) = match row.copy {
                    CopyState::Absent => (Command::Copy { items, wait: false }, Purpose::Copy),
                    CopyState::Pending | CopyState::Stored => (Command::Uncopy { items }, Purpose::Uncopy),
                };
                self.call(command, purpose, effects);
            }
        }
    }
}

/// Puts the home folder in place of a leading `~`. A whole path behind `~/` counts as it is.
#[must_use]
pub fn expand_home(text: &str, home: Option<&Path>) -> String {
    match (text.strip_prefix('~'), home) {
        // A whole path that was typed or pasted behind what stood there.
        (Some(rest), _) if rest.starts_with("//") => rest[1..].to_owned(),
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.to_string_lossy())
        }
        _ => text.to_owned(),
    }
}

/// What a path that is typed is completed to.
pub(in crate::app) fn completed(typed: &str, suggestions: &[String], home: Option<&Path>) -> Option<String> {
    let first = suggestions.first()?;
    let common = suggestions.iter().fold(first.as_str(), |common, other| common_start(common, other));
    let typed = expand_home(typed, home);
    Some(if common.len() > typed.len() { common.to_owned() } else { first.clone() })
}

fn common_start<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b);
    let end = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
    &one[..end]
}
