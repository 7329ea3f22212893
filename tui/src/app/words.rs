//! Commands with words of their own, typed after `:` in the grammar of the command line: `offer`, `request`, `block`,
//! `unblock`, `inbox`, `chat`, `channel`. Pure: what they ask of the engine comes out.

use std::path::{Path, PathBuf};

use shared::show::show;

use super::{Purpose, act::expand_home, chat::Room, filter::parse_size, keys::Action};
use crate::engine::api::{
    Accept, ChatCommand, Command, InboxCommand, Offer, PeopleCommand, RoomName, RuleKind, RuleRow, Target, WishCommand,
    span,
};

/// The words that begin such a command, and the action under which `:` lists it.
pub const FIRST: &[(&str, Action)] = &[
    ("limit ", Action::Limit),
    ("offer ", Action::Offer),
    ("request ", Action::Request),
    ("wish ", Action::Wish),
    ("block ", Action::Block),
    ("unblock ", Action::Unblock),
    ("inbox ", Action::ShowInbox),
    ("chat ", Action::ShowChat),
    ("channel ", Action::Channel),
];

/// What a typed command wants of the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub command: Command,
    pub purpose: Purpose,
}

impl Wish {
    fn inbox(command: InboxCommand, says: impl Into<String>) -> Self {
        Self { command: Command::Inbox(command), purpose: Purpose::People { says: says.into() } }
    }

    fn people(command: PeopleCommand, says: String) -> Self {
        Self { command: Command::People(command), purpose: Purpose::People { says } }
    }
}

/// Reads what follows the first word of a command of [`FIRST`].
///
/// # Errors
/// A sentence about what was expected.
pub fn parse(action: Action, text: &str, home: Option<&Path>) -> Result<Wish, String> {
    let words = Words::split(text)?;
    match action {
        Action::Offer => offer(&words, home),
        Action::Request => request(&words),
        Action::Wish => wish(&words),
        Action::Block => {
            let member = words.only("write block MEMBER")?;
            let says = format!("{} is blocked", show(&member));
            Ok(Wish::people(PeopleCommand::Block { member }, says))
        }
        Action::Unblock => {
            let member = words.only("write unblock MEMBER")?;
            let says = format!("{} is no longer blocked", show(&member));
            Ok(Wish::people(PeopleCommand::Unblock { member }, says))
        }
        Action::ShowInbox => inbox(&words, home),
        Action::ShowChat => chat(&words),
        _ => Err("that command takes no words".to_owned()),
    }
}

fn offer(words: &Words, home: Option<&Path>) -> Result<Wish, String> {
    const EXPECTED: &str = "write offer PATH MEMBER; --all, --copy, --note TEXT, --expires 7d";
    let options = words.options(&["--all", "--copy"], &["--note", "--expires"], EXPECTED)?;
    let everyone = options.has("--all");
    let (Some((what, to)), true) = (options.bare.split_first(), options.bare.len() > 1 || everyone) else {
        return Err(EXPECTED.to_owned());
    };
    if everyone && !to.is_empty() {
        return Err("name members, or write --all".to_owned());
    }
    let mut offer = Offer {
        to: to.to_vec(),
        everyone,
        text: options.value("--note").unwrap_or_default(),
        copy: options.has("--copy"),
        life_s: life(&options)?,
        ..Offer::default()
    };
    match path_typed(what, home) {
        Some(path) => offer.paths.push(path),
        None => offer.items.push(what.clone()),
    }
    let whom = if everyone { "every member".to_owned() } else { show(&to.join(", ")) };
    let says = format!("{} is offered to {whom}; 3 shows what becomes of it", show(name_of(what)));
    Ok(Wish::inbox(InboxCommand::Offer(offer), says))
}

fn request(words: &Words) -> Result<Wish, String> {
    const EXPECTED: &str =
        "write request ID, request --of MEMBER TEXT or request --anyone TEXT; --note TEXT, --expires 7d";
    let options = words.options(&["--anyone"], &["--of", "--note", "--expires"], EXPECTED)?;
    let (of, anyone) = (options.value("--of"), options.has("--anyone"));
    if options.bare.is_empty() || (of.is_some() && anyone) {
        return Err(EXPECTED.to_owned());
    }
    let life_s = life(&options)?;
    if of.is_some() || anyone {
        if options.value("--note").is_some() {
            return Err("what is wanted is the note: leave --note out".to_owned());
        }
        let whom = of.as_deref().map_or_else(|| "everyone".to_owned(), show);
        let text = options.bare.join(" ");
        return Ok(Wish::inbox(InboxCommand::RequestText { of, text, life_s }, format!("{whom} is asked; {LOOK}")));
    }
    let text = options.value("--note").unwrap_or_default();
    Ok(Wish::inbox(InboxCommand::RequestFiles { items: options.bare, text, life_s }, format!("asked; {LOOK}")))
}

fn wish(words: &Words) -> Result<Wish, String> {
    const EXPECTED: &str = "write wish add QUERY; --fetch, --up-to 2g; wish rm ID or wish ls";
    let (what, rest) = words.first(EXPECTED)?;
    match what.as_str() {
        "ls" => Ok(Wish { command: Command::Wish(WishCommand::List), purpose: Purpose::Wishes { found: Vec::new() } }),
        "rm" => {
            let command = Command::Wish(WishCommand::Remove { wish: rest.only("write wish rm ID")? });
            let says = "nobody looks for that any more; what is being fetched goes on".to_owned();
            Ok(Wish { command, purpose: Purpose::People { says } })
        }
        "add" => {
            let options = rest.options(&["--fetch"], &["--up-to"], EXPECTED)?;
            let (fetch, up_to) = (options.has("--fetch"), size(&options, "--up-to")?);
            if up_to.is_some() && !fetch {
                return Err("--up-to is about fetching: write --fetch too".to_owned());
            }
            let query = options.some(EXPECTED)?.join(" ");
            let then = if fetch { "is fetched" } else { "is told to you" };
            let says = format!("what appears for {} {then}; `:` wishes shows it", show(&query));
            let command = Command::Wish(WishCommand::Add { query, fetch, up_to });
            Ok(Wish { command, purpose: Purpose::People { says } })
        }
        _ => Err(EXPECTED.to_owned()),
    }
}

fn inbox(words: &Words, home: Option<&Path>) -> Result<Wish, String> {
    const EXPECTED: &str = "write inbox accept ID, inbox decline ID, inbox cancel ID or inbox rule set, rm or ls";
    let (what, rest) = words.first(EXPECTED)?;
    match what.as_str() {
        "accept" => accept(&rest, home),
        "decline" => {
            let options = rest.options(&[], &["--word"], "write inbox decline ID; --word TEXT")?;
            let items = options.some("write inbox decline ID; --word TEXT")?;
            let word = options.value("--word").unwrap_or_default();
            Ok(Wish::inbox(InboxCommand::Decline { items, word }, "declined"))
        }
        "cancel" => {
            let items = rest.options(&[], &[], "write inbox cancel ID")?.some("write inbox cancel ID")?;
            Ok(Wish::inbox(InboxCommand::Cancel { items }, "taken back"))
        }
        "rule" => rule(&rest),
        _ => Err(EXPECTED.to_owned()),
    }
}

fn chat(words: &Words) -> Result<Wish, String> {
    const EXPECTED: &str = "write chat send MEMBER TEXT or chat broadcast TEXT";
    let (what, rest) = words.first(EXPECTED)?;
    let (room, text) = match what.as_str() {
        "send" => {
            let (member, rest) = rest.first(EXPECTED)?;
            (RoomName::Member(member), rest.only(EXPECTED)?)
        }
        "broadcast" => (RoomName::Everyone, rest.only(EXPECTED)?),
        _ => return Err(EXPECTED.to_owned()),
    };
    let purpose = Purpose::Say { room: Room::Kept(room.clone()), text: text.clone() };
    Ok(Wish { command: Command::Chat(ChatCommand::Send { room, text }), purpose })
}

fn accept(words: &Words, home: Option<&Path>) -> Result<Wish, String> {
    const EXPECTED: &str = "write inbox accept ID; --always, --only PATH,PATH, -o FOLDER, --with PATH";
    let options = words.options(&["--always"], &["--only", "-o", "--with"], EXPECTED)?;
    let items = options.some(EXPECTED)?;
    let only = options.value("--only").map(|paths| paths.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let target = match options.value("-o") {
        Some(typed) => Target::Folder(path_typed(&typed, home).ok_or_else(|| WHOLE_PATH.to_owned())?),
        None => Target::Downloads,
    };
    let with = options.value("--with").map(|typed| expand_home(&typed, home));
    let accept = Accept { items, always: options.has("--always"), only, target, with, detach: true };
    Ok(Wish::inbox(InboxCommand::Accept(accept), "accepted"))
}

fn rule(words: &Words) -> Result<Wish, String> {
    const EXPECTED: &str = "write inbox rule set MEMBER accept, decline or approve; --up-to 2g; inbox rule rm MEMBER";
    let (what, rest) = words.first(EXPECTED)?;
    match what.as_str() {
        "ls" => {
            Ok(Wish { command: Command::Inbox(InboxCommand::Rules), purpose: Purpose::Rules { found: Vec::new() } })
        }
        "rm" => {
            let member = rest.only("write inbox rule rm MEMBER")?;
            let says = format!("nothing of {} is answered by itself any more", show(&member));
            Ok(Wish::inbox(InboxCommand::RemoveRule { member }, says))
        }
        "set" => {
            let options = rest.options(&[], &["--up-to"], EXPECTED)?;
            let [member, answer] = &options.bare[..] else { return Err(EXPECTED.to_owned()) };
            let up_to = size(&options, "--up-to")?;
            let what = match (answer.as_str(), up_to) {
                ("accept", up_to) => RuleKind::AcceptOffers { up_to },
                ("decline", None) => RuleKind::DeclineOffers,
                ("approve", None) => RuleKind::Approve,
                ("decline" | "approve", Some(_)) => return Err("--up-to is about accepting offers".to_owned()),
                _ => return Err(EXPECTED.to_owned()),
            };
            let says = format!("from now on: {}", rule_sentence(&RuleRow { member: member.clone(), what }));
            Ok(Wish::inbox(InboxCommand::SetRule(RuleRow { member: member.clone(), what }), says))
        }
        _ => Err(EXPECTED.to_owned()),
    }
}

/// The member that a command is about.
///
/// # Errors
/// A sentence about what was expected.
pub fn member(text: &str) -> Result<String, String> {
    Words::split(text)?.only("write channel MEMBER")
}

/// The one path that a command is about.
#[must_use]
pub fn only_path(text: &str, home: Option<&Path>) -> Option<PathBuf> {
    let Words(words) = Words::split(text).ok()?;
    let [word] = &words[..] else { return None };
    path_typed(word, home).filter(|path| !path.as_os_str().is_empty())
}

/// What a standing answer does, in a sentence without its end.
#[must_use]
pub fn rule_sentence(rule: &RuleRow) -> String {
    let who = show(&rule.member);
    match rule.what {
        RuleKind::AcceptOffers { up_to: None } => format!("offers of {who} are accepted"),
        RuleKind::AcceptOffers { up_to: Some(most) } => {
            format!("offers of {who} are accepted up to {}", super::format::bytes(most))
        }
        RuleKind::DeclineOffers => format!("offers of {who} are declined"),
        RuleKind::Approve => format!("requests of {who} for files are approved"),
    }
}

/// A whole path, as typed; `None`: it is none, and may be something of the index.
#[must_use]
pub fn path_typed(text: &str, home: Option<&Path>) -> Option<PathBuf> {
    let text = expand_home(text, home);
    text.starts_with('/').then(|| PathBuf::from(text.trim_end_matches('/')))
}

fn name_of(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

fn size(options: &Options, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = options.value(name) else { return Ok(None) };
    parse_size(&text).map(Some).ok_or_else(|| format!("{text:?} is not a size: write 500m or 2g"))
}

fn life(options: &Options) -> Result<Option<u64>, String> {
    options.value("--expires").map(|text| span::parse(&text).map(|life| life.as_secs())).transpose()
}

/// Splits at blanks and line breaks; quotes and backslashes keep them, as in a shell. `None`: a quotation mark is missing
/// its other.
#[must_use]
pub fn split(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Words as a shell would see them.
#[derive(Debug, PartialEq, Eq)]
struct Words(Vec<String>);

impl Words {
    fn split(text: &str) -> Result<Self, String> {
        split(text).map(Self).ok_or_else(|| "a quotation mark is missing its other".to_owned())
    }

    /// The first one, and the others.
    fn first(&self, expected: &str) -> Result<(String, Self), String> {
        let (first, rest) = self.0.split_first().ok_or_else(|| expected.to_owned())?;
        Ok((first.clone(), Self(rest.to_vec())))
    }

    /// All of them as one name, which may hold blanks.
    fn only(&self, expected: &str) -> Result<String, String> {
        if self.0.is_empty() { Err(expected.to_owned()) } else { Ok(self.0.join(" ")) }
    }

    /// Tells options from the rest.
    fn options(&self, flags: &[&str], valued: &[&str], expected: &str) -> Result<Options, String> {
        let mut options = Options { bare: Vec::new(), named: Vec::new() };
        let mut words = self.0.iter();
        while let Some(word) = words.next() {
            let (name, joined) =
                word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            if valued.contains(&name) {
                let value = joined.map(str::to_owned).or_else(|| words.next().cloned());
                let value = value.ok_or_else(|| format!("{name} lacks its word; {expected}"))?;
                options.named.push((name.to_owned(), value));
            } else if flags.contains(&word.as_str()) {
                options.named.push((word.clone(), String::new()));
            } else if word.len() > 1 && word.starts_with('-') {
                return Err(format!("{word} is not understood here; {expected}"));
            } else {
                options.bare.push(word.clone());
            }
        }
        Ok(options)
    }
}

#[derive(Debug)]
struct Options {
    /// What is no option.
    bare: Vec<String>,
    named: Vec<(String, String)>,
}

impl Options {
    fn has(&self, name: &str) -> bool {
        self.named.iter().any(|(known, _)| known == name)
    }

    fn value(&self, name: &str) -> Option<String> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// At least one thing is named.
    fn some(&self, expected: &str) -> Result<Vec<String>, String> {
        if self.bare.is_empty() { Err(expected.to_owned()) } else { Ok(self.bare.clone()) }
    }
}

const LOOK: &str = "3 shows what becomes of it";
const WHOLE_PATH: &str = "write the whole path, beginning with / or ~";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Command, String> {
        let (first, action) = FIRST.iter().find(|(first, _)| text.starts_with(first)).expect("a known command");
        parse(*action, &text[first.len()..], Some(Path::new("/home/alice"))).map(|wish| wish.command)
    }

    fn of_inbox(text: &str) -> InboxCommand {
        match parsed(text) {
            Ok(Command::Inbox(command)) => command,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_whole_path_typed_behind_the_home_folder_counts_as_it_is() {
        let typed = |text| path_typed(text, Some(Path::new("/home/alice")));
        assert_eq!(typed("~/takes"), Some("/home/alice/takes".into()));
        assert_eq!(typed("~//media/takes/"), Some("/media/takes".into()));
        assert_eq!(typed("takes"), None);
    }

    #[test]
    fn offers_and_requests_are_typed_as_on_the_command_line() {
        let offer = Offer {
            paths: vec![PathBuf::from("/home/alice/My Photos")],
            to: vec!["bob".to_owned(), "Carol C".to_owned()],
            text: "as promised".to_owned(),
            copy: true,
            life_s: Some(604_800),
            ..Offer::default()
        };
        let typed = "offer ~/My\\ Photos/ bob \"Carol C\" --copy --note 'as promised' --expires 7d";
        assert_eq!(of_inbox(typed), InboxCommand::Offer(offer));
        let shared = Offer { items: vec!["alice/tapes".to_owned()], everyone: true, ..Offer::default() };
        assert_eq!(of_inbox("offer alice/tapes --all"), InboxCommand::Offer(shared));
        let (of, text, life_s) = (Some("bob".to_owned()), "the raw tapes".to_owned(), None);
        assert_eq!(of_inbox("request --of bob the raw tapes"), InboxCommand::RequestText { of, text, life_s });
        let text = "the raw tapes".to_owned();
        assert_eq!(of_inbox("request --anyone the raw tapes"), InboxCommand::RequestText { of: None, text, life_s });
        let (items, text) = (vec!["3f2a".to_owned()], "please".to_owned());
        assert_eq!(of_inbox("request 3f2a --note please"), InboxCommand::RequestFiles { items, text, life_s });
    }

    #[test]
    fn answers_and_rules_are_typed_as_on_the_command_line() {
        let accept = Accept {
            items: vec!["3f2a".to_owned()],
            only: vec!["a/b".to_owned(), "c".to_owned()],
            target: Target::Folder(PathBuf::from("/tmp/x")),
            detach: true,
            ..Accept::default()
        };
        assert_eq!(of_inbox("inbox accept 3f2a --only a/b,c -o /tmp/x"), InboxCommand::Accept(accept));
        let (items, word) = (vec!["3f2a".to_owned()], "not before Friday".to_owned());
        assert_eq!(of_inbox("inbox decline 3f2a --word 'not before Friday'"), InboxCommand::Decline { items, word });
        let rule = RuleRow { member: "bob".to_owned(), what: RuleKind::AcceptOffers { up_to: Some(2 << 30) } };
        assert_eq!(of_inbox("inbox rule set bob accept --up-to 2g"), InboxCommand::SetRule(rule));
        assert_eq!(of_inbox("inbox rule rm bob"), InboxCommand::RemoveRule { member: "bob".to_owned() });
        assert_eq!(
            parsed("block Bob the Builder"),
            Ok(Command::People(PeopleCommand::Block { member: "Bob the Builder".to_owned() }))
        );
    }

    #[test]
    fn standing_searches_are_typed_as_on_the_command_line() {
        let add = |query: &str, fetch, up_to| Command::Wish(WishCommand::Add { query: query.to_owned(), fetch, up_to });
        assert_eq!(parsed("wish add raw tapes ext:wav"), Ok(add("raw tapes ext:wav", false, None)));
        assert_eq!(parsed("wish add tapes --fetch --up-to 2g"), Ok(add("tapes", true, Some(2 << 30))));
        assert_eq!(parsed("wish rm 3f2a"), Ok(Command::Wish(WishCommand::Remove { wish: "3f2a".to_owned() })));
        assert_eq!(parsed("wish ls"), Ok(Command::Wish(WishCommand::List)));
    }

    #[test]
    fn anything_else_is_answered_with_what_works() {
        for text in [
            "offer ~/x",
            "offer ~/x bob --all",
            "offer ~/x bob --expires soon",
            "offer ~/x bob --note",
            "offer '~/x bob",
            "request --of bob",
            "request --of bob --anyone tapes",
            "request --anyone tapes --note please",
            "block ",
            "inbox accept",
            "inbox accept 3f2a -o here",
            "inbox rule set bob",
            "inbox rule set bob decline --up-to 2g",
            "inbox rule set bob accept --up-to much",
            "inbox burn 3f2a",
            "inbox cancel 3f2a --hard",
            "wish ",
            "wish add --fetch",
            "wish add tapes --up-to 2g",
            "wish for tapes",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
