//! `swapmeet members`: who is there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::{context::Context, record::MemberRecord, span, talk::Outcome};
use crate::engine::api::{Command, MemberRow, MemberStatus, Update};

#[derive(Debug, Args)]
pub(super) struct Members {
    /// Only who is there now
    #[arg(long)]
    online: bool,
    /// Only who was there within this time (30s, 15m, 1h, 7d)
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    since: Option<Duration>,
}

impl Members {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let updates = context.ask(Command::Members).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut table = context.out.table::<MemberRecord>();
        for update in updates {
            if let Update::Member(member) = update
                && self.wants(&member, now)
            {
                table.push(&MemberRecord::from(member))?;
            }
        }
        table.finish()
    }

    /// `now`: time since 1970.
    fn wants(&self, member: &MemberRow, now: Duration) -> bool {
        let there = member.status != MemberStatus::Offline;
        let recently = self.since.is_none_or(|since| {
            let oldest = i64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(i64::MAX);
            there || member.last_seen_ms.is_some_and(|seen| seen >= oldest)
        });
        recently && (there || !self.online)
    }
}

#[cfg(test)]
mod tests {
    use shared::id::AccountId;

    use super::*;

    fn member(status: MemberStatus, last_seen_ms: Option<i64>) -> MemberRow {
        MemberRow {
            id: AccountId([0; 16]),
            name: "bob".to_owned(),
            status,
            last_seen_ms,
            shares: 0,
            devices: 1,
            blocked: false,
            me: false,
            from_them: 0,
            to_them: 0,
            device_list: Vec::new(),
        }
    }

    #[test]
    fn since_keeps_who_is_there_and_who_just_left() {
        let hour = Members { online: false, since: Some(Duration::from_secs(3600)) };
        let now = Duration::from_secs(10_000);
        assert!(hour.wants(&member(MemberStatus::Online, None), now));
        assert!(hour.wants(&member(MemberStatus::Offline, Some(6_400_000)), now));
        assert!(!hour.wants(&member(MemberStatus::Offline, Some(6_399_999)), now));
        assert!(!hour.wants(&member(MemberStatus::Offline, None), now));
    }

    #[test]
    fn online_leaves_out_who_is_away_for_good() {
        let online = Members { online: true, since: None };
        assert!(online.wants(&member(MemberStatus::Away, None), Duration::ZERO));
        assert!(!online.wants(&member(MemberStatus::Offline, Some(0)), Duration::ZERO));
    }
}
