//! Accepting an offer: which of its files, and where they go.

use std::path::Path;

use crate::{
    app::{
        Effect, Purpose, State, format,
        inbox::what,
        layer::Layer,
        list::Step,
        prompt::{Survey, Taking},
        words::path_typed,
    },
    engine::api::{Accept, Command, InboxCommand, ItemRow, OfferedRow, Target},
};

impl State {
    pub(in crate::app) fn open_taking(&mut self, item: ItemRow, effects: &mut Vec<Effect>) {
        let folder = self.downloads.as_ref().map(|path| self.tilde_exact(path)).unwrap_or_default();
        let taking = Taking::new(item, &folder);
        self.layers.push(Layer::Take(Box::new(taking)));
        self.survey(effects);
        if let Some(looked) = self.inbox.looked.as_mut() {
            looked.due = looked.due.map(|_| self.now);
        }
        self.settle_offered(effects);
    }

    /// A local path with the home folder as `~`, to be edited: nothing in it is changed.
    fn tilde_exact(&self, path: &Path) -> String {
        let inside = self.setup.home.as_deref().and_then(|home| path.strip_prefix(home).ok());
        match inside {
            Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
            Some(rest) => format!("~/{}", rest.to_string_lossy()),
            None => path.to_string_lossy().into_owned(),
        }
    }

    /// Asks what the folder is like that an offer would go to.
    pub(in crate::app) fn survey(&self, effects: &mut Vec<Effect>) {
        let Some(Layer::Take(taking)) = self.layers.last() else { return };
        if let Some(folder) = path_typed(taking.folder.text(), self.setup.home.as_deref()) {
            effects.push(Effect::Survey { folder, name: taking.item.name.clone() });
        }
    }

    pub(in crate::app) fn on_surveyed(&mut self, survey: Survey) {
        let home = self.setup.home.clone();
        if let Some(Layer::Take(taking)) = self.layers.last_mut()
            && path_typed(taking.folder.text(), home.as_deref()).as_ref() == Some(&survey.folder)
        {
            taking.survey = Some(survey);
        }
    }

    /// The files of the offer that is about to be accepted, when they are all known.
    #[must_use]
    pub fn offered(&self, item: &str) -> Option<&[OfferedRow]> {
        let looked = self.inbox.looked.as_ref().filter(|looked| looked.id == item && looked.is_whole())?;
        Some(&looked.files)
    }

    /// Accepts what is chosen of the offer.
    pub(in crate::app) fn take(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let Some(Layer::Take(taking)) = self.layers.last() else { return };
        let Some(files) = self.offered(&taking.item.id) else {
            let why = self.inbox.looked.as_ref().and_then(|looked| looked.failure.as_ref());
            let why = why.map_or_else(|| "still asking what is in it".to_owned(), |failure| failure.message.clone());
            self.messages.warn(self.now, why);
            return;
        };
        let chosen: Vec<&OfferedRow> =
            files.iter().enumerate().filter(|(at, _)| !taking.left_out.contains(at)).map(|(_, file)| file).collect();
        let only = match taking.left_out.is_empty() {
            true => Vec::new(),
            false => chosen.iter().map(|file| file.path.clone()).collect(),
        };
        let (some, all) = (chosen.len() as u64, files.len() as u64);
        let says = match some == all {
            true => format!("fetching {}: 2 shows how far it is", what(&taking.item)),
            false => format!("fetching {} of {}: 2 shows how far it is", format::count(some), format::files(all)),
        };
        let folder = path_typed(taking.folder.text(), home.as_deref());
        let (item, is_usual) = (taking.item.id.clone(), folder.is_some() && folder == self.downloads);
        let trouble = match (&folder, some) {
            (_, 0) => Some("nothing of it is chosen: Space chooses, x declines all".to_owned()),
            (None, _) if !taking.folder.is_empty() => Some("write the whole path, beginning with / or ~".to_owned()),
            _ => None,
        };
        if trouble.is_some() {
            if let Some(Layer::Take(taking)) = self.layers.last_mut() {
                taking.trouble = trouble;
            }
            return;
        }
        let target = folder.filter(|_| !is_usual).map_or(Target::Downloads, Target::Folder);
        let accept = Accept { items: vec![item], only, target, detach: true, ..Accept::default() };
        self.layers.pop();
        let command = Command::Inbox(InboxCommand::Accept(accept));
        self.call(command, Purpose::People { says }, effects);
    }

    /// Marks or unmarks the file under the cursor of the offer.
    pub(in crate::app) fn choose_offered(&mut self) {
        let height = self.taking_height();
        let Some(Layer::Take(taking)) = self.layers.last_mut() else { return };
        let Some(looked) = self.inbox.looked.as_ref().filter(|looked| looked.is_whole()) else { return };
        let len = looked.files.len();
        let at = taking.list.cursor;
        if at < len && !taking.left_out.remove(&at) {
            taking.left_out.insert(at);
        }
        taking.trouble = None;
        taking.list.step(Step::Down, len, height);
    }

    pub(in crate::app) fn invert_offered(&mut self) {
        let Some(Layer::Take(taking)) = self.layers.last_mut() else { return };
        let Some(looked) = self.inbox.looked.as_ref().filter(|looked| looked.is_whole()) else { return };
        taking.left_out = (0..looked.files.len()).filter(|at| !taking.left_out.contains(at)).collect();
        taking.trouble = None;
    }

    /// Lines of the list of files in the dialog that accepts an offer.
    #[must_use]
    pub fn taking_height(&self) -> usize {
        usize::from(self.size.1).saturating_sub(TAKING_ROWS_AROUND).clamp(1, TAKING_FILES_SHOWN)
    }

    pub(in crate::app) fn step_offered(&mut self, step: Step) {
        let height = self.taking_height();
        let len = self.inbox.looked.as_ref().map_or(0, |looked| looked.files.len());
        if let Some(Layer::Take(taking)) = self.layers.last_mut() {
            taking.list.step(step, len, height);
        }
    }

    pub(in crate::app) fn scroll_offered(&mut self, lines: isize) {
        let height = self.taking_height();
        let len = self.inbox.looked.as_ref().map_or(0, |looked| looked.files.len());
        if let Some(Layer::Take(taking)) = self.layers.last_mut() {
            taking.list.scroll(lines, len, height);
        }
    }

    /// Whether an offer is about to be accepted.
    pub(in crate::app) fn taking(&self) -> bool {
        matches!(self.layers.last(), Some(Layer::Take(_)))
    }

    /// Lets the folder be typed that the offer goes to.
    pub(in crate::app) fn edit_folder(&mut self, effects: &mut Vec<Effect>) {
        if let Some(Layer::Take(taking)) = self.layers.last_mut() {
            taking.editing = true;
        }
        self.folder_typed(effects);
    }

    /// The folder that the offer goes to has changed.
    pub(in crate::app) fn folder_typed(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        if let Some(Layer::Take(taking)) = self.layers.last_mut() {
            (taking.survey, taking.trouble) = (None, None);
            effects.push(Effect::Complete { typed: super::expand_home(taking.folder.text(), home.as_deref()) });
        }
        self.survey(effects);
    }

    /// The folder is typed.
    pub(in crate::app) fn leave_folder(&mut self, effects: &mut Vec<Effect>) {
        if let Some(Layer::Take(taking)) = self.layers.last_mut() {
            taking.editing = false;
            taking.suggestions.clear();
        }
        self.survey(effects);
    }
}

/// Rows of the accepting dialog and the window that are no files.
const TAKING_ROWS_AROUND: usize = 12;
/// Files of an offer that the dialog shows at a time.
const TAKING_FILES_SHOWN: usize = 12;
