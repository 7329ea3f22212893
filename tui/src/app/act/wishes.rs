//! Standing searches: listed, and ended.

use shared::show::show_line;

use crate::{
    app::{
        Effect, Purpose, State, format,
        layer::{Act, Choice, Dialog, Layer, Menu},
        list::List,
    },
    engine::api::{Command, WishCommand, WishRow},
};

impl State {
    pub(in crate::app) fn ask_wishes(&mut self, effects: &mut Vec<Effect>) {
        self.call(Command::Wish(WishCommand::List), Purpose::Wishes { found: Vec::new() }, effects);
    }

    /// The standing searches; choosing one asks whether to end it.
    pub(in crate::app) fn show_wishes(&mut self, wishes: &[WishRow]) {
        if wishes.is_empty() {
            self.messages.success(self.now, "nothing is looked for; `:wish add QUERY` does from now on");
            return;
        }
        let choices = wishes.iter().zip(LETTERS.chars()).map(|(wish, letter)| {
            let query = show_line(&wish.query, QUERY_SHOWN);
            let lines = vec![
                format!("{query}: {}", found(wish)),
                "New files are told to you no longer. What is being fetched goes on.".to_owned(),
            ];
            let command = Command::Wish(WishCommand::Remove { wish: wish.id.clone() });
            let act =
                Act::Call { command, purpose: Purpose::People { says: format!("{query} is looked for no longer") } };
            let choices = vec![Choice::new('n', "keep it", Act::Close), Choice::new('y', "end it", act)];
            let dialog = Dialog::new("End this standing search?", lines, choices);
            Choice::new(letter, format!("{query:<22}  {}", found(wish)), Act::Ask(Box::new(dialog)))
        });
        let more = match wishes.len().saturating_sub(LETTERS.len()) {
            0 => String::new(),
            more => format!(", and {more} that `swapmeet wish` shows"),
        };
        let title = format!("Standing searches ({}{more}): choose one to end it", wishes.len().min(LETTERS.len()));
        let menu = Menu { title, choices: choices.collect(), list: List::default() };
        self.layers.push(Layer::Menu(menu));
    }
}

/// What became of a standing search.
fn found(wish: &WishRow) -> String {
    let matches = match wish.matches {
        0 => "nothing new yet".to_owned(),
        matches => format!("{} since then", format::plural(matches, "match", "matches")),
    };
    match (wish.fetch, wish.up_to) {
        (false, _) => matches,
        (true, None) => format!("{matches}, fetched"),
        (true, Some(most)) => format!("{matches}, fetched up to {}", format::bytes(most)),
    }
}

/// Characters of a query that are shown.
const QUERY_SHOWN: usize = 60;
/// Letters of a menu.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
