//! Changing who sees what is shared.

use shared::{
    limits::{NAME_BYTES_MAX, NOTE_BYTES_MAX, QUERY_BYTES_MAX},
    show::show,
    wire::tracker::Audience,
};

use crate::{
    app::{
        Purpose, State, format,
        index::Item,
        layer::{Act, Choice, Layer, Menu},
        list::List,
        prompt::{Edited, Prompt, Then},
    },
    engine::api::{Command, Edit, Share},
};

/// Lets choose who sees what is about to be shared, other than everybody.
pub(in crate::app) fn to_fewer(share: &Share, name: &str) -> Menu {
    let choice = |key, label: &str, audience| {
        let command = Command::Share(Share { audience: Some(audience), ..share.clone() });
        Choice::new(key, label, Act::Call { command, purpose: Purpose::Share { files: 0 } })
    };
    let then = Then::ShareTo { share: Box::new(share.clone()), name: name.to_owned() };
    let prompt = Prompt::new(format!("Who sees {name}?"), Vec::new(), "to ", QUERY_BYTES_MAX, then);
    let choices = vec![
        // Under the cursor: Enter shares nothing.
        Choice::new('n', "not now", Act::Close),
        choice('a', "ask: every member sees it, you approve who fetches it", Audience::Ask),
        Choice::new('l', "people: the members that you name…", Act::Prompt(Box::new(prompt))),
        choice('h', "hidden: only whoever has its link", Audience::Hidden),
    ];
    Menu { title: format!("Share {name}: who sees it?"), choices, list: List::default() }
}

impl State {
    /// Asks who shall see what is chosen among one's own.
    pub(in crate::app) fn ask_edit(&mut self) {
        let Some(me) = self.me().map(|me| me.name.clone()) else {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        };
        let (items, what) = if self.files.at_shares() {
            match self.files.selected_share() {
                Some(share) => (vec![Self::share_name(share, &me)], show(&share.name)),
                None => (Vec::new(), String::new()),
            }
        } else {
            let chosen = self.chosen();
            let what = match self.files.selected() {
                Some(Item::File(row)) if chosen.len() == 1 => show(row.name()),
                Some(Item::Folder(folder)) if chosen.len() == 1 => format!("{}/", show(folder.name())),
                _ => format!("{} items", format::count(chosen.len() as u64)),
            };
            (chosen.iter().map(Self::asked_name).collect(), what)
        };
        if items.is_empty() {
            self.messages.warn(self.now, "there is nothing under the cursor to change");
            return;
        }
        let choice = |key, label: &str, audience, now: &str| {
            let command = Command::Edit(Edit { items: items.clone(), audience: Some(audience), ..Edit::default() });
            let says = format!("{what}: {now}");
            Choice::new(key, label, Act::Call { command, purpose: Purpose::People { says } })
        };
        let line = |key, label: &str, title: String, field, bytes_max, edited| {
            let then = Then::Edit { items: items.clone(), name: what.clone(), what: edited };
            let prompt = Prompt::new(title, Vec::new(), field, bytes_max, then);
            Choice::new(key, label, Act::Prompt(Box::new(prompt)))
        };
        let mut choices = vec![
            // Under the cursor: who only looks changes nothing.
            Choice::new('k', "keep it as it is", Act::Close),
            choice('p', "public: every member sees and fetches it", Audience::Public, "every member sees it now"),
            choice(
                'a',
                "ask: every member sees it, you approve who fetches it",
                Audience::Ask,
                "fetching it needs your consent now",
            ),
            choice(
                'h',
                "hidden: only whoever has its link",
                Audience::Hidden,
                "only whoever has its new link finds it now",
            ),
        ];
        let title = format!("Who sees {what}?");
        choices.push(line('l', "people: the members that you name…", title, "to ", QUERY_BYTES_MAX, Edited::People));
        let title = format!("A remark beside {what}");
        choices.push(line('n', "note: a remark beside it…", title, "note ", NOTE_BYTES_MAX, Edited::Note));
        if items.len() == 1 {
            let title = format!("Another name for {what}");
            choices.push(line('r', "rename it in the index…", title, "name ", NAME_BYTES_MAX, Edited::Name));
        }
        let title = format!("Who sees {what}? Whoever no longer may stops fetching at once.");
        self.layers.push(Layer::Menu(Menu { title, choices, list: List::default() }));
    }
}
