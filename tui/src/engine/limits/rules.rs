//! The limits that a person set: which rate holds for whom, at which time. Never reads a clock.

use serde::{Deserialize, Serialize};
use shared::{
    id::AccountId,
    limit::{
        Rates,
        span::{Span, WallTime},
    },
    limits::{LIMIT_RULES_MAX, SLOTS_DEFAULT},
};

use crate::engine::api::{Direction, RateRow};

/// All of them, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rules {
    /// In the order in which they were set.
    pub(super) rates: Vec<Rule>,
    /// Members served at a time; `None`: all.
    pub(super) slots: Option<usize>,
    /// Whether members on the same network need a slot too.
    pub(super) slots_lan: bool,
}

/// One rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) subject: Subject,
    /// Bytes per second; `None`: no limit.
    pub(super) rate: Option<u64>,
    /// Whether it holds on the same network too.
    pub(super) lan: bool,
}

/// What a rate is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) direction: Direction,
    /// `None`: everybody together.
    pub(super) member: Option<Named>,
    /// `None`: whenever no other time of the same holds.
    pub(super) at: Option<Span>,
}

/// A member, with the name that a person used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) id: AccountId,
    pub(super) name: String,
}

/// There are as many rules as can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl Default for Rules {
    fn default() -> Self {
        Self { rates: Vec::new(), slots: Some(SLOTS_DEFAULT), slots_lan: false }
    }
}

impl Rules {
    /// Whether nothing is ever limited.
    pub(super) const fn has_no_rates(&self) -> bool {
        self.rates.is_empty()
    }

    /// Sets one; it replaces what was said about the same before.
    pub(super) fn set(&mut self, rule: Rule) -> Result<(), TooMany> {
        self.unset(&rule.subject);
        // Without a time, "no limit" is what holds anyway.
        if rule.rate.is_none() && rule.subject.at.is_none() {
            return Ok(());
        }
        if self.rates.len() >= LIMIT_RULES_MAX {
            return Err(TooMany);
        }
        self.rates.push(rule);
        Ok(())
    }

    /// Forgets what was said about this.
    pub(super) fn unset(&mut self, subject: &Subject) {
        self.rates.retain(|rule| {
            let same_member = match (&rule.subject.member, &subject.member) {
                (Some(one), Some(other)) => one.id == other.id,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            !(same_member && rule.subject.direction == subject.direction && rule.subject.at == subject.at)
        });
    }

    /// A member that some rule names so.
    pub(super) fn member_named(&self, name: &str) -> Option<Named> {
        let named = self.rates.iter().filter_map(|rule| rule.subject.member.as_ref());
        named.into_iter().find(|known| known.name.eq_ignore_ascii_case(name)).cloned()
    }

    /// The rates that hold now for what a member takes or brings.
    pub(super) fn rates(&self, direction: Direction, member: Option<AccountId>, lan: bool, now: WallTime) -> Rates {
        let rate = |member| {
            let rule = self.in_force(direction, member, now).map(|index| &self.rates[index]);
            rule.filter(|rule| !lan || rule.lan).and_then(|rule| rule.rate)
        };
        Rates { global: rate(None), member: member.and_then(|member| rate(Some(member))) }
    }

    /// All of them, for faces.
    pub(super) fn rows(&self, now: WallTime) -> Vec<RateRow> {
        let rows = self.rates.iter().enumerate().map(|(index, rule)| {
            let Subject { direction, member, at } = &rule.subject;
            RateRow {
                direction: *direction,
                member: member.as_ref().map(|member| member.name.clone()),
                at: *at,
                rate: rule.rate,
                lan: rule.lan,
                in_force: self.in_force(*direction, member.as_ref().map(|member| member.id), now) == Some(index),
            }
        });
        rows.collect()
    }

    /// The rule about this that holds now: of those whose time it is the one set last, else the one without a time.
    fn in_force(&self, direction: Direction, member: Option<AccountId>, now: WallTime) -> Option<usize> {
        let about = |rule: &Rule| {
            rule.subject.direction == direction && rule.subject.member.as_ref().map(|known| known.id) == member
        };
        let timed = |rule: &Rule| rule.subject.at.is_some_and(|at| at.contains(now));
        let timeless = |rule: &Rule| rule.subject.at.is_none();
        let last = |holds: &dyn Fn(&Rule) -> bool| self.rates.iter().rposition(|rule| about(rule) && holds(rule));
        last(&timed).or_else(|| last(&timeless))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MON_NOON: WallTime = WallTime { day: 0, minute: 12 * 60 };
    const SUN_NIGHT: WallTime = WallTime { day: 6, minute: 23 * 60 };
    const BOB: AccountId = AccountId([7; 16]);

    fn rule(member: Option<AccountId>, at: Option<&str>, rate: Option<u64>) -> Rule {
        let member = member.map(|id| Named { id, name: "bob".to_owned() });
        let at = at.map(|at| Span::parse(at).unwrap());
        Rule { subject: Subject { direction: Direction::Up, member, at }, rate, lan: false }
    }

    fn rules(all: impl IntoIterator<Item = Rule>) -> Rules {
        let mut rules = Rules::default();
        for rule in all {
            rules.set(rule).unwrap();
        }
        rules
    }

    fn global(rules: &Rules, now: WallTime) -> Option<u64> {
        rules.rates(Direction::Up, None, false, now).global
    }

    #[test]
    fn nothing_is_limited_until_something_is_said() {
        assert!(Rules::default().rates(Direction::Down, Some(BOB), false, MON_NOON).is_unlimited());
    }

    #[test]
    fn a_time_of_day_goes_before_what_holds_always() {
        let rules = rules([
            rule(None, Some("08:00-18:00,mon-fri"), Some(500_000)),
            rule(None, None, Some(2_000_000)),
            rule(None, Some("22:00-06:00"), None),
        ]);
        assert_eq!(global(&rules, MON_NOON), Some(500_000));
        assert_eq!(global(&rules, SUN_NIGHT), None);
        assert_eq!(global(&rules, WallTime { day: 6, minute: 720 }), Some(2_000_000));
        let in_force: Vec<bool> = rules.rows(MON_NOON).into_iter().map(|row| row.in_force).collect();
        assert_eq!(in_force, [true, false, false]);
    }

    #[test]
    fn of_two_times_that_overlap_the_one_set_last_holds() {
        let mut rules =
            rules([rule(None, Some("08:00-18:00"), Some(500_000)), rule(None, Some("11:00-13:00"), Some(900_000))]);
        assert_eq!(global(&rules, MON_NOON), Some(900_000));
        rules.set(rule(None, Some("08:00-18:00"), Some(400_000))).unwrap();
        assert_eq!(global(&rules, MON_NOON), Some(400_000), "saying it again says it last");
        assert_eq!(rules.rows(MON_NOON).len(), 2);
    }

    #[test]
    fn a_member_has_a_rate_of_its_own_beside_that_of_all() {
        let rules = rules([rule(None, None, Some(2_000_000)), rule(Some(BOB), None, Some(100_000))]);
        let rates = rules.rates(Direction::Up, Some(BOB), false, MON_NOON);
        assert_eq!(rates, Rates { global: Some(2_000_000), member: Some(100_000) });
        let other = rules.rates(Direction::Up, Some(AccountId([8; 16])), false, MON_NOON);
        assert_eq!(other, Rates { global: Some(2_000_000), member: None });
        assert!(rules.rates(Direction::Down, Some(BOB), false, MON_NOON).is_unlimited());
    }

    #[test]
    fn the_same_network_is_free_unless_asked_for() {
        let lan = |lan| Rule { lan, ..rule(None, None, Some(100_000)) };
        assert!(rules([lan(false)]).rates(Direction::Up, Some(BOB), true, MON_NOON).is_unlimited());
        assert_eq!(rules([lan(true)]).rates(Direction::Up, Some(BOB), true, MON_NOON).global, Some(100_000));
    }

    #[test]
    fn no_limit_always_is_the_same_as_having_said_nothing() {
        let mut rules = rules([rule(None, None, Some(100_000)), rule(None, None, None)]);
        assert!(rules.has_no_rates());
        rules.set(rule(None, Some("08:00-18:00"), None)).unwrap();
        assert!(!rules.has_no_rates());
        rules.unset(&rule(None, Some("08:00-18:00"), None).subject);
        assert!(rules.has_no_rates());
    }

    #[test]
    fn rules_are_bounded() {
        let mut rules = Rules::default();
        for number in 0..LIMIT_RULES_MAX {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64).to_le_bytes());
            rules.set(rule(Some(AccountId(id)), None, Some(100_000))).unwrap();
        }
        assert_eq!(rules.set(rule(None, None, Some(100_000))), Err(TooMany));
    }

    #[test]
    fn what_is_stored_is_read_back_and_what_is_missing_is_the_default() {
        let rules = rules([rule(Some(BOB), Some("08:00-18:00,mon-fri"), Some(100_000))]);
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), rules);
        assert_eq!(serde_json::from_str::<Rules>("{}").unwrap(), Rules::default());
    }
}
