//! The account: its recovery code, its devices, invitations to its tracker.

use shared::show::{show, show_line};

use crate::{
    app::{
        Effect, Purpose, State, format,
        layer::{Act, Choice, Dialog, Layer, Menu},
        list::List,
    },
    engine::api::{AccountCommand, Command, DeviceRow, Devices, InviteRow, Secret},
};

impl State {
    /// A recovery code came, which is shown once.
    pub(in crate::app) fn show_recovery(&mut self, Secret(code): Secret) {
        let lines = vec![
            code.clone(),
            String::new(),
            "It resets a forgotten password and is shown this once: keep it where the password is not.".to_owned(),
            "`:` recovery-code makes another one, which takes its place.".to_owned(),
        ];
        let choices = vec![
            Choice::new('k', "I keep it", Act::Close),
            Choice::new('y', "copy it", Act::Copy { what: "recovery code", text: code }),
        ];
        self.layers.push(Layer::Dialog(Dialog::new("Recovery code", lines, choices)));
    }

    pub(in crate::app) fn ask_devices(&mut self, effects: &mut Vec<Effect>) {
        self.call(Command::Account(AccountCommand::Devices), Purpose::Devices { found: Vec::new() }, effects);
    }

    /// The account's devices; choosing one asks whether to sign it out.
    pub(in crate::app) fn show_devices(&mut self, devices: &[DeviceRow]) {
        let choices = devices.iter().zip(LETTERS.chars()).map(|(device, letter)| {
            let label = show_line(&device.label, LABEL_SHOWN);
            let state = match (device.here, device.online, device.last_seen_ms) {
                (true, ..) => "this device".to_owned(),
                (false, true, _) => "online".to_owned(),
                (false, false, Some(at)) => format!("seen {}", format::moment(at, self.now, &self.setup.zone)),
                (false, false, None) => "never seen".to_owned(),
            };
            let id = device.id.to_string();
            let text = format!("{label:<LABEL_SHOWN$}  {state:<16}  {}", &id[..ID_SHOWN]);
            Choice::new(letter, text, Act::Ask(Box::new(ask_revoke(device))))
        });
        let title = format!("Devices ({}): choose one to sign it out", devices.len());
        let menu = Menu { title, choices: choices.collect(), list: List::default() };
        self.layers.push(Layer::Menu(menu));
    }

    pub(in crate::app) fn make_invite(&mut self, effects: &mut Vec<Effect>) {
        let command = AccountCommand::Invite { uses: 1, life_s: Some(INVITE_LIFE_S) };
        self.call(Command::Account(command), Purpose::Invite, effects);
    }

    /// An invitation was made, whose code is shown once.
    pub(in crate::app) fn show_invite(&mut self, invite: InviteRow) {
        let (Some(Secret(code)), Some(Secret(link))) = (invite.code, invite.link) else { return };
        let ends = invite.ends_ms.map(|at| format::moment(at, self.now, &self.setup.zone));
        let lines = vec![
            code.clone(),
            link.clone(),
            String::new(),
            format!("For {}, until {}.", times(invite.uses_left), ends.unwrap_or_else(|| "it is revoked".to_owned())),
            "It is shown this once. The link brings the code with it.".to_owned(),
        ];
        let choices = vec![
            Choice::new('c', "close", Act::Close),
            Choice::new('l', "copy the link", Act::Copy { what: "link", text: link }),
            Choice::new('y', "copy the code", Act::Copy { what: "code", text: code }),
        ];
        self.layers.push(Layer::Dialog(Dialog::new("Invitation", lines, choices)));
    }

    pub(in crate::app) fn ask_invites(&mut self, effects: &mut Vec<Effect>) {
        self.call(Command::Account(AccountCommand::Invites), Purpose::Invites { found: Vec::new() }, effects);
    }

    /// The invitations that can still be used; choosing one asks whether to revoke it.
    pub(in crate::app) fn show_invites(&mut self, invites: &[InviteRow]) {
        if invites.is_empty() {
            self.messages.success(self.now, "there is no invitation that can still be used; `:` invite makes one");
            return;
        }
        let choices = invites.iter().zip(LETTERS.chars()).map(|(invite, letter)| {
            let hint = show(&invite.hint);
            let ends = invite.ends_ms.map(|at| format!("until {}", format::moment(at, self.now, &self.setup.zone)));
            let text = format!("{hint}-…  {:<18}  {}", times(invite.uses_left), ends.unwrap_or_default());
            let lines = vec![format!("Nobody can register with {hint}-… any more. Whoever has, stays a member.")];
            let command = Command::Account(AccountCommand::RevokeInvite { code: invite.hint.clone() });
            let says = format!("the invitation {hint}-… is worthless now");
            let act = Act::Call { command, purpose: Purpose::Account { says } };
            let choices = vec![Choice::new('n', "keep it", Act::Close), Choice::new('y', "revoke it", act)];
            Choice::new(letter, text, Act::Ask(Box::new(Dialog::new("Revoke the invitation?", lines, choices))))
        });
        let more = match invites.len().saturating_sub(LETTERS.len()) {
            0 => String::new(),
            more => format!(", and {more} that `swapmeet invite` shows"),
        };
        let title = format!("Invitations ({}{more}): choose one to revoke it", invites.len().min(LETTERS.len()));
        let menu = Menu { title, choices: choices.collect(), list: List::default() };
        self.layers.push(Layer::Menu(menu));
    }
}

fn ask_revoke(device: &DeviceRow) -> Dialog {
    let name = show_line(&device.label, LABEL_SHOWN);
    let mut lines = vec![
        format!("{name}, {}", device.id),
        "Its connections and transfers end at once, with every member.".to_owned(),
        "To sign in there again takes the password.".to_owned(),
    ];
    if device.here {
        lines.push("This is the device in front of you.".to_owned());
    }
    let devices = Devices::Named(vec![device.id.to_string()]);
    let command = Command::Account(AccountCommand::Revoke(devices));
    let act = Act::Call { command, purpose: Purpose::Account { says: format!("{name} is signed out") } };
    let choices = vec![Choice::new('n', "keep it", Act::Close), Choice::new('y', "sign it out", act)];
    Dialog::new("Sign out this device?", lines, choices)
}

fn times(uses: u32) -> String {
    format::plural(u64::from(uses), "registration", "registrations")
}

/// Letters of a menu, as many as an account may have devices.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
/// Columns of a device's name.
const LABEL_SHOWN: usize = 20;
/// Characters of an id that people compare.
const ID_SHOWN: usize = 12;
/// Seconds for which an invitation that is made on screen is good: a week.
const INVITE_LIFE_S: u64 = 7 * 24 * 3600;
