//! Records about the account: its devices, invitations, its recovery code.

use serde::Serialize;

use crate::{
    cli::out::{Cell, Column, Moment, Record},
    engine::api::{DeviceRow, InviteRow, Secret},
};

/// A device of the account.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct DeviceRecord {
    id: String,
    name: String,
    here: bool,
    online: bool,
    last_seen: Option<Moment>,
    enrolled: Moment,
}

impl From<DeviceRow> for DeviceRecord {
    fn from(row: DeviceRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.label,
            here: row.here,
            online: row.online,
            last_seen: row.last_seen_ms.map(Moment),
            enrolled: Moment(row.enrolled_ms),
        }
    }
}

impl Record for DeviceRecord {
    fn kind(&self) -> &'static str {
        "device"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("ID"),
            Column::name("NAME"),
            Column::text("HERE"),
            Column::text("ONLINE"),
            Column::text("LAST SEEN").optional(),
            Column::text("ENROLLED").optional(),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Id(self.id.clone()),
            self.name.as_str().into(),
            Cell::Flag(self.here),
            Cell::Flag(self.online),
            self.last_seen.into(),
            Cell::Time(self.enrolled),
        ]
    }
}

/// An invitation. Its code and link are known only when it is made.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct InviteRecord {
    code: String,
    uses: u32,
    expires: Option<Moment>,
    link: Option<String>,
}

impl From<InviteRow> for InviteRecord {
    fn from(row: InviteRow) -> Self {
        Self {
            code: row.code.map_or_else(|| format!("{}-…", row.hint), |Secret(code)| code),
            uses: row.uses_left,
            expires: row.ends_ms.map(Moment),
            link: row.link.map(|Secret(link)| link),
        }
    }
}

impl Record for InviteRecord {
    fn kind(&self) -> &'static str {
        "invite"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("CODE"), Column::number("USES"), Column::text("EXPIRES"), Column::text("LINK")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.code.as_str().into(), Cell::Count(self.uses.into()), self.expires.into(), self.link.clone().into()]
    }
}

/// A recovery code, shown once.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct RecoveryRecord {
    code: String,
}

impl From<Secret> for RecoveryRecord {
    fn from(Secret(code): Secret) -> Self {
        Self { code }
    }
}

impl Record for RecoveryRecord {
    fn kind(&self) -> &'static str {
        "recovery"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[Column::text("RECOVERY CODE")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.code.as_str().into()]
    }
}
