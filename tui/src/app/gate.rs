//! Signing in, registering and what else takes a password: what the forms hold, and what is wrong with what is typed.

use shared::{
    limits::{
        CODE_BYTES_MAX, EMAIL_BYTES_MAX, MEMBER_NAME_CHARS_MAX, MEMBER_NAME_CHARS_MIN, PASSWORD_BYTES_MAX,
        PASSWORD_CHARS_MIN, RECOVERY_CODE_CHARS,
    },
    wire::tracker::Registration,
};
use unicode_segmentation::UnicodeSegmentation;

use super::{CallId, field::Field};
use crate::engine::api::{AccountCommand, Command, Failure, Get, Secret, Share, TrackerInfo};

/// Which form is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    SignIn,
    Register,
    /// Signing in by the recovery code.
    Recover,
    /// Changing the password of who is signed in.
    Password,
    /// A new recovery code for who is signed in.
    NewCode,
    /// Another e-mail address for who is signed in.
    Email,
    /// The password of files that are to be fetched.
    Unlock,
    /// A password for files that are to be shared.
    Protect,
}

/// The files that a form about their password is for.
#[derive(Debug, Clone, PartialEq)]
pub enum About {
    /// They are fetched once the password is proved; this is said then.
    Fetch { get: Get, says: String },
    /// They are shared with it.
    Share(Share),
}

/// A line of a form that can have the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Tracker,
    Invite,
    User,
    /// The recovery code.
    Code,
    Email,
    /// The password so far.
    Old,
    Password,
    Again,
    /// The box that shows the password.
    Reveal,
    /// The button that does it.
    Submit,
    /// The button to the other form.
    Other,
    /// The button to the form for who has forgotten the password.
    Forgot,
    /// The button that closes the form.
    Offline,
}

impl Part {
    /// Whether it is pressed instead of typed into.
    #[must_use]
    pub const fn is_button(self) -> bool {
        matches!(self, Self::Reveal | Self::Submit | Self::Other | Self::Forgot | Self::Offline)
    }
}

/// What is known of the tracker in the first line.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// Nothing worth asking is typed.
    Idle,
    /// To be asked at this time, milliseconds since 1970.
    Due(i64),
    Asking(CallId),
    Known(TrackerInfo),
    Failed(Failure),
}

/// The open form.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub kind: Kind,
    pub focus: Part,
    pub tracker: Field,
    pub invite: Field,
    pub user: Field,
    pub code: Field,
    pub email: Field,
    pub old: Field,
    pub password: Field,
    pub again: Field,
    pub reveal: bool,
    pub probe: Probe,
    /// The running sign-in or registration.
    pub call: Option<CallId>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// When the tracker looks at the next password, milliseconds since 1970, where it does not do so now.
    pub waits_until: Option<i64>,
    /// Whether what is missing is pointed out: only after a first attempt to submit.
    pub tried: bool,
    /// What a form about files is for.
    pub about: Option<About>,
}

impl Gate {
    /// A form with what is known already.
    #[must_use]
    pub fn new(kind: Kind, tracker: &str, user: &str, now: i64) -> Self {
        let mut gate = Self {
            kind,
            focus: Part::Tracker,
            tracker: Field::new(LINK_BYTES_MAX),
            invite: Field::new(INVITE_BYTES_MAX),
            user: Field::new(MEMBER_NAME_CHARS_MAX * 4),
            code: Field::secret(CODE_BYTES_MAX),
            email: Field::new(EMAIL_BYTES_MAX),
            old: Field::secret(PASSWORD_BYTES_MAX),
            password: Field::secret(PASSWORD_BYTES_MAX),
            again: Field::secret(PASSWORD_BYTES_MAX),
            reveal: false,
            probe: Probe::Idle,
            call: None,
            failure: None,
            waits_until: None,
            tried: false,
            about: None,
        };
        gate.tracker.set(tracker);
        gate.user.set(user);
        match kind {
            Kind::Password | Kind::NewCode | Kind::Email | Kind::Unlock => gate.focus = Part::Old,
            Kind::Protect => gate.focus = Part::Password,
            Kind::SignIn | Kind::Register | Kind::Recover if !tracker.is_empty() => {
                gate.tracker_changed(now);
                gate.focus = match kind {
                    _ if user.is_empty() => Part::User,
                    Kind::Recover => Part::Code,
                    _ => Part::Password,
                };
            }
            Kind::SignIn | Kind::Register | Kind::Recover => {}
        }
        gate
    }

    /// A form for the password of files.
    #[must_use]
    pub fn of_files(about: About, now: i64) -> Self {
        let kind = match about {
            About::Fetch { .. } => Kind::Unlock,
            About::Share(_) => Kind::Protect,
        };
        Self { about: Some(about), ..Self::new(kind, "", "", now) }
    }

    /// The lines of this form from top to bottom.
    #[must_use]
    pub fn parts(&self) -> &'static [Part] {
        match (self.kind, self.needs_invite()) {
            (Kind::SignIn, _) => &[
                Part::Tracker,
                Part::User,
                Part::Password,
                Part::Reveal,
                Part::Submit,
                Part::Other,
                Part::Forgot,
                Part::Offline,
            ],
            (Kind::Recover, _) => &[
                Part::Tracker,
                Part::User,
                Part::Code,
                Part::Password,
                Part::Again,
                Part::Reveal,
                Part::Submit,
                Part::Other,
                Part::Offline,
            ],
            (Kind::Password, _) => &[Part::Old, Part::Password, Part::Again, Part::Reveal, Part::Submit, Part::Offline],
            (Kind::NewCode | Kind::Unlock, _) => &[Part::Old, Part::Reveal, Part::Submit, Part::Offline],
            (Kind::Protect, _) => &[Part::Password, Part::Again, Part::Reveal, Part::Submit, Part::Offline],
            (Kind::Email, _) => &[Part::Old, Part::Email, Part::Reveal, Part::Submit, Part::Offline],
            (Kind::Register, true) => &[
                Part::Tracker,
                Part::Invite,
                Part::User,
                Part::Email,
                Part::Password,
                Part::Again,
                Part::Reveal,
                Part::Submit,
                Part::Other,
                Part::Offline,
            ],
            (Kind::Register, false) => &[
                Part::Tracker,
                Part::User,
                Part::Email,
                Part::Password,
                Part::Again,
                Part::Reveal,
                Part::Submit,
                Part::Other,
                Part::Offline,
            ],
        }
    }

    fn needs_invite(&self) -> bool {
        let asked = matches!(&self.probe, Probe::Known(info) if info.registration == Registration::Invite);
        asked || !self.invite.is_empty()
    }

    /// The field with the focus, unless a button has it.
    pub const fn field_mut(&mut self) -> Option<&mut Field> {
        match self.focus {
            Part::Tracker => Some(&mut self.tracker),
            Part::Invite => Some(&mut self.invite),
            Part::User => Some(&mut self.user),
            Part::Code => Some(&mut self.code),
            Part::Email => Some(&mut self.email),
            Part::Old => Some(&mut self.old),
            Part::Password => Some(&mut self.password),
            Part::Again => Some(&mut self.again),
            Part::Reveal | Part::Submit | Part::Other | Part::Forgot | Part::Offline => None,
        }
    }

    /// Moves the focus by one line, round at the ends.
    pub fn step(&mut self, forward: bool) {
        let parts = self.parts();
        let at = parts.iter().position(|part| *part == self.focus).unwrap_or(0);
        let next = if forward { at + 1 } else { at + parts.len() - 1 };
        self.focus = parts[next % parts.len()];
    }

    /// Goes to the other form and keeps what is typed.
    pub fn turn(&mut self) {
        self.turn_to(if self.kind == Kind::SignIn { Kind::Register } else { Kind::SignIn });
    }

    /// Goes to another form and keeps what is typed.
    pub fn turn_to(&mut self, kind: Kind) {
        self.kind = kind;
        self.failure = None;
        self.tried = false;
        let first_empty = if self.tracker.is_empty() { Part::Tracker } else { Part::User };
        self.focus = first_empty;
    }

    /// The link was typed or pasted: an invitation in it fills its own field, and the tracker is asked shortly.
    pub fn tracker_changed(&mut self, now: i64) {
        let link = Link::of(self.tracker.text());
        if let Some(code) = link.invite {
            let code = code.to_owned();
            self.invite.set(&code);
        }
        self.failure = None;
        self.probe = if link.host.contains(':') { Probe::Due(now + PROBE_AFTER_MS) } else { Probe::Idle };
    }

    /// An attempt failed.
    pub fn failed(&mut self, failure: Failure, now: i64) {
        let wait_ms = failure.wait_s.map(|wait| i64::try_from(wait).unwrap_or(i64::MAX / 1000).saturating_mul(1000));
        self.waits_until = wait_ms.map(|wait| now.saturating_add(wait));
        self.failure = Some(failure);
    }

    /// Whether a new password is chosen here.
    #[must_use]
    pub const fn is_choosing(&self) -> bool {
        matches!(self.kind, Kind::Register | Kind::Recover | Kind::Password | Kind::Protect)
    }

    /// What is wrong with a field, in a few words; `None`: nothing worth saying now.
    #[must_use]
    pub fn trouble(&self, part: Part) -> Option<String> {
        let missing = |field: &Field| (self.tried && field.is_empty()).then(|| "is missing".to_owned());
        match part {
            Part::Tracker => missing(&self.tracker).or_else(|| match Link::of(self.tracker.text()).host {
                "" => None,
                host if !host.contains(':') && self.tried => Some("needs a port, as in host:7443".to_owned()),
                _ => None,
            }),
            Part::Invite => missing(&self.invite),
            Part::Old => missing(&self.old),
            Part::Code => missing(&self.code).or_else(|| {
                let count = self.code.text().chars().filter(char::is_ascii_alphanumeric).count();
                let wrong = !self.code.is_empty() && count != RECOVERY_CODE_CHARS && (self.tried || self.focus != part);
                wrong.then(|| format!("{count} of {RECOVERY_CODE_CHARS} letters"))
            }),
            Part::User => missing(&self.user).or_else(|| match self.user.text().trim().chars().count() {
                0 => None,
                n if n < MEMBER_NAME_CHARS_MIN && (self.tried || self.focus != part) => {
                    Some(format!("at least {MEMBER_NAME_CHARS_MIN} letters"))
                }
                n if n > MEMBER_NAME_CHARS_MAX => Some(format!("too long: {n} of {MEMBER_NAME_CHARS_MAX}")),
                _ => None,
            }),
            Part::Password => missing(&self.password).or_else(|| {
                let count = self.password.text().chars().count();
                let is_account_s = self.kind != Kind::Protect;
                let short = self.is_choosing() && is_account_s && count > 0 && count < PASSWORD_CHARS_MIN;
                short.then(|| format!("short: {count} of {PASSWORD_CHARS_MIN}"))
            }),
            Part::Again => missing(&self.again).or_else(|| {
                let (password, again) = (self.password.text(), self.again.text());
                let differs = !again.is_empty() && again != password;
                // While it is being typed only what can no longer match is wrong.
                let wrong = differs && (self.focus != part || self.tried || !password.starts_with(again));
                wrong.then(|| "does not match".to_owned())
            }),
            Part::Email => {
                let text = self.email.text();
                let wrong = !text.is_empty() && self.focus != part && !text.contains('@');
                wrong.then(|| "has no @".to_owned())
            }
            Part::Reveal | Part::Submit | Part::Other | Part::Forgot | Part::Offline => None,
        }
    }

    /// Fields that keep the form from being sent.
    #[must_use]
    pub fn to_fix(&self) -> usize {
        let tried = Self { tried: true, ..self.clone() };
        self.parts().iter().filter(|part| tried.trouble(**part).is_some()).count()
    }

    /// What to ask of the engine.
    #[must_use]
    pub fn command(&self) -> Command {
        if let Some(about) = &self.about {
            return match about.clone() {
                About::Fetch { get, .. } => {
                    Command::Unlock { items: get.items, password: Secret(self.old.text().to_owned()), hold: true }
                }
                About::Share(share) => {
                    let protect = Some(Secret(self.password.text().to_owned()));
                    Command::Share(Share { protect, ..share })
                }
            };
        }
        let tracker = self.tracker.text().trim().to_owned();
        let name = self.user.text().trim().to_owned();
        let password = Secret(self.password.text().to_owned());
        let old = Secret(self.old.text().to_owned());
        let given = |field: &Field| (!field.is_empty()).then(|| field.text().trim().to_owned());
        match self.kind {
            Kind::SignIn => Command::Login { tracker, name, password },
            Kind::Recover => {
                Command::Recover { tracker, name, code: Secret(self.code.text().trim().to_owned()), password }
            }
            Kind::Password => Command::Account(AccountCommand::Password { old, new: password }),
            Kind::NewCode => Command::Account(AccountCommand::Recovery { password: old }),
            Kind::Email => Command::Account(AccountCommand::Email { password: old, email: given(&self.email) }),
            // Without files to be about there is nothing to ask.
            Kind::Unlock | Kind::Protect => Command::Status,
            Kind::Register => {
                Command::Register { tracker, name, password, email: given(&self.email), invite: given(&self.invite) }
            }
        }
    }

    /// How hard the password is to guess, in a word.
    #[must_use]
    pub fn strength(&self) -> &'static str {
        let text = self.password.text();
        let length = text.graphemes(true).count();
        let kinds = [
            text.chars().any(char::is_lowercase),
            text.chars().any(char::is_uppercase),
            text.chars().any(char::is_numeric),
            text.chars().any(|c| !c.is_alphanumeric()),
        ];
        let kinds = kinds.into_iter().filter(|there| *there).count();
        let different = text.chars().collect::<std::collections::BTreeSet<_>>().len();
        match length * kinds.max(1) {
            _ if different < 5 => "weak: few different characters",
            0..20 if length < 16 => "weak",
            0..40 if length < 20 => "fair",
            _ => "strong",
        }
    }
}

/// The parts of a join link that are shown before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// `host:port`, as far as it is typed.
    pub host: &'a str,
    pub fingerprint: Option<&'a str>,
    pub invite: Option<&'a str>,
}

impl<'a> Link<'a> {
    /// Takes a link or an address apart, without judging it.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let text = text.trim();
        let rest = text.strip_prefix("swapmeet://").unwrap_or(text);
        let end = rest.find(['/', '#', '?']).unwrap_or(rest.len());
        let (host, tail) = rest.split_at(end);
        let fingerprint = tail.split_once('#').map(|(_, after)| after.split('?').next().unwrap_or(after));
        let invite = tail.split_once("invite=").map(|(_, after)| after.split(['&', '#']).next().unwrap_or(after));
        let there = |text: &&str| !text.is_empty();
        Self { host, fingerprint: fingerprint.filter(there), invite: invite.filter(there) }
    }
}

/// A join link with a long host name, fingerprint and invitation.
const LINK_BYTES_MAX: usize = 1024;
/// An invitation code.
const INVITE_BYTES_MAX: usize = 128;
/// Quiet time after typing before the tracker is asked, milliseconds.
const PROBE_AFTER_MS: i64 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_link_is_taken_apart_however_its_parts_are_ordered() {
        let link = Link::of("swapmeet://trk.example.org:7443/?invite=K7QF#4c91ab");
        assert_eq!((link.host, link.fingerprint, link.invite), ("trk.example.org:7443", Some("4c91ab"), Some("K7QF")));
        let link = Link::of("swapmeet://trk.example.org:7443/#4c91ab?invite=K7QF");
        assert_eq!((link.host, link.fingerprint, link.invite), ("trk.example.org:7443", Some("4c91ab"), Some("K7QF")));
        let link = Link::of(" trk.example.org:7443 ");
        assert_eq!((link.host, link.fingerprint, link.invite), ("trk.example.org:7443", None, None));
    }

    #[test]
    fn a_pasted_invitation_fills_its_own_field() {
        let mut gate = Gate::new(Kind::Register, "", "", 0);
        gate.tracker.insert("swapmeet://h:1/?invite=K7QF#aa");
        gate.tracker_changed(0);
        assert_eq!(gate.invite.text(), "K7QF");
        assert!(gate.parts().contains(&Part::Invite));
    }

    #[test]
    fn registration_waits_for_a_matching_repeat_and_a_long_enough_password() {
        let mut gate = Gate::new(Kind::Register, "h:1", "alice", 0);
        gate.password.set("short");
        gate.again.set("short");
        assert_eq!(gate.to_fix(), 1);
        gate.password.set("long enough");
        assert_eq!(gate.trouble(Part::Again).as_deref(), Some("does not match"));
        gate.again.set("long enough");
        assert_eq!(gate.to_fix(), 0);
    }

    #[test]
    fn a_recovery_code_is_asked_for_in_full() {
        let mut gate = Gate::new(Kind::Recover, "h:1", "alice", 0);
        assert_eq!(gate.focus, Part::Code);
        gate.password.set("long enough");
        gate.again.set("long enough");
        gate.code.set("abcd-efgh");
        assert_eq!(gate.to_fix(), 1);
        gate.code.set("abcd-efgh-ijkl-mnop-qrst-uvwx");
        assert_eq!(gate.to_fix(), 0);
    }

    #[test]
    fn a_form_about_the_own_account_begins_with_the_password() {
        for kind in [Kind::Password, Kind::NewCode, Kind::Email] {
            let mut gate = Gate::new(kind, "h:1", "alice", 0);
            assert_eq!(gate.field_mut().map(|field| field.is_empty()), Some(true));
            assert_eq!((gate.focus, gate.parts()[0]), (Part::Old, Part::Old));
        }
    }

    #[test]
    fn a_form_about_files_asks_for_their_password_and_takes_any() {
        let get = Get { items: vec!["ab12".to_owned()], ..Get::default() };
        let mut gate = Gate::of_files(About::Fetch { get, says: String::new() }, 0);
        gate.old.set("x");
        assert_eq!((gate.focus, gate.to_fix()), (Part::Old, 0));
        let unlock = Command::Unlock { items: vec!["ab12".to_owned()], password: Secret("x".to_owned()), hold: true };
        assert_eq!(gate.command(), unlock);
        let mut gate = Gate::of_files(About::Share(Share::default()), 0);
        gate.password.set("x");
        assert_eq!((gate.focus, gate.to_fix()), (Part::Password, 1));
        gate.again.set("x");
        let protect = Some(Secret("x".to_owned()));
        assert_eq!((gate.to_fix(), gate.command()), (0, Command::Share(Share { protect, ..Share::default() })));
    }

    #[test]
    fn a_refusal_that_names_a_time_is_waited_for() {
        let mut gate = Gate::new(Kind::SignIn, "h:1", "alice", 0);
        gate.failed(crate::engine::failure::wait(20), 5_000);
        assert_eq!(gate.waits_until, Some(25_000));
        gate.failed(crate::engine::failure::signed_out(), 30_000);
        assert_eq!(gate.waits_until, None);
    }

    #[test]
    fn the_debug_form_of_a_gate_hides_the_password() {
        let mut gate = Gate::new(Kind::SignIn, "h:1", "alice", 0);
        gate.password.set("hunter22");
        assert!(!format!("{gate:?}").contains("hunter22"));
    }
}
