//! The records that commands print, made from what the engine tells. Field names are the contract with scripts:
//! fields are only ever added, at the end.

use serde::Serialize;
use shared::wire::tracker::CopyState;

mod account;
mod channel;
mod inbox;
mod message;
mod transfer;
mod wish;

pub(super) use self::account::{DeviceRecord, InviteRecord, RecoveryRecord};
pub(super) use self::channel::{ChannelFileRecord, ChannelMessageRecord, ChannelRecord};
pub(super) use self::inbox::{ItemRecord, OfferedRecord, RuleRecord};
pub(super) use self::message::{EVERYONE, MessageRecord};
pub(super) use self::transfer::{ProgressRecord, TransferRecord, state_word};
pub(super) use self::wish::WishRecord;
use super::out::{Cell, Column, Moment, Record};
use crate::engine::api::{
    Account, Detail, FileRow, FolderRow, MemberDeviceRow, MemberRow, MemberStatus, SourceKind, SourceRow, VersionRow,
};

/// A file of the index, or one that would be shared: of that nobody knows yet what the index will say.
#[derive(Debug, Serialize)]
pub(super) struct FileRecord {
    id: Option<String>,
    pub(super) name: String,
    path: String,
    pub(super) size: u64,
    hash: Option<String>,
    visibility: Option<String>,
    protected: bool,
    version: Option<u32>,
    owner: String,
    copy: &'static str,
    link: Option<String>,
    note: String,
    modified: Moment,
    shared: Option<Moment>,
    mine: bool,
    have: bool,
    available: bool,
}

/// A folder of the index.
#[derive(Debug, Serialize)]
pub(super) struct FolderRecord {
    id: String,
    name: String,
    path: String,
    owner: String,
    files: u64,
    size: u64,
    link: String,
    mine: bool,
}

/// A file or a folder: what a listing holds.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum EntryRecord {
    File(FileRecord),
    Folder(FolderRecord),
}

impl From<FileRow> for FileRecord {
    fn from(row: FileRow) -> Self {
        let is_shared = row.version > 0;
        Self {
            id: is_shared.then(|| row.id.to_string()),
            name: row.name,
            path: row.path,
            size: row.size,
            hash: is_shared.then(|| row.hash.to_string()),
            visibility: is_shared.then_some(row.visibility),
            protected: row.protected,
            version: is_shared.then_some(row.version),
            owner: row.owner,
            copy: copy_word(row.copy),
            link: is_shared.then_some(row.link),
            note: row.note,
            modified: Moment(row.modified_ms),
            shared: is_shared.then_some(Moment(row.shared_ms)),
            mine: row.mine,
            have: row.have,
            available: row.available,
        }
    }
}

impl From<FolderRow> for FolderRecord {
    fn from(row: FolderRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            path: row.path,
            owner: row.owner,
            files: row.files,
            size: row.size,
            link: row.link,
            mine: row.mine,
        }
    }
}

impl From<FileRow> for EntryRecord {
    fn from(row: FileRow) -> Self {
        Self::File(row.into())
    }
}

impl From<FolderRow> for EntryRecord {
    fn from(row: FolderRow) -> Self {
        Self::Folder(row.into())
    }
}

impl Record for EntryRecord {
    fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Folder(_) => "folder",
        }
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("ID"),
            Column::hidden("NAME"),
            Column::name("PATH"),
            Column::number("SIZE"),
            Column::hidden("HASH"),
            Column::text("FOR").optional(),
            Column::hidden("PROTECTED"),
            Column::hidden("VERSION"),
            Column::text("OWNER"),
            Column::text("COPY").optional(),
            Column::hidden("LINK"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        match self {
            Self::File(file) => vec![
                file.id.clone().map_or(Cell::Empty, Cell::Id),
                file.name.as_str().into(),
                file.path.as_str().into(),
                Cell::Bytes(file.size),
                file.hash.clone().into(),
                file.visibility.clone().into(),
                Cell::Flag(file.protected),
                file.version.map(u64::from).into(),
                file.owner.as_str().into(),
                file.copy.into(),
                file.link.clone().into(),
            ],
            Self::Folder(folder) => vec![
                Cell::Id(folder.id.clone()),
                format!("{}/", folder.name).into(),
                format!("{}/", folder.path).into(),
                Cell::Bytes(folder.size),
                Cell::Empty,
                Cell::Empty,
                Cell::Empty,
                Cell::Empty,
                folder.owner.as_str().into(),
                Cell::Empty,
                folder.link.as_str().into(),
            ],
        }
    }
}

/// Everything about one file.
#[derive(Debug, Serialize)]
pub(super) struct DetailRecord {
    #[serde(flatten)]
    file: FileRecord,
    sources: Vec<SourceRecord>,
    versions: Vec<VersionRecord>,
}

#[derive(Debug, Serialize)]
struct SourceRecord {
    member: Option<String>,
    device: Option<String>,
    kind: &'static str,
    online: bool,
    /// 0 where that is not known.
    have: u64,
    /// Whether it has all or part of the file without sharing it.
    holder: bool,
}

#[derive(Debug, Serialize)]
struct VersionRecord {
    version: u32,
    hash: String,
    size: u64,
    shared: Moment,
}

impl From<Detail> for DetailRecord {
    fn from(detail: Detail) -> Self {
        Self {
            file: detail.file.into(),
            sources: detail.sources.into_iter().map(Into::into).collect(),
            versions: detail.versions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<SourceRow> for SourceRecord {
    fn from(row: SourceRow) -> Self {
        Self {
            member: row.member,
            device: row.device.map(|device| device.to_string()),
            kind: source_word(row.kind),
            online: row.online,
            have: row.have,
            holder: row.holder,
        }
    }
}

impl From<VersionRow> for VersionRecord {
    fn from(row: VersionRow) -> Self {
        Self { version: row.version, hash: row.hash.to_string(), size: row.size, shared: Moment(row.shared_ms) }
    }
}

impl Record for DetailRecord {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("ID"),
            Column::text("NAME"),
            Column::text("PATH"),
            Column::text("SIZE"),
            Column::text("HASH"),
            Column::text("VISIBILITY"),
            Column::text("PROTECTED"),
            Column::text("VERSION"),
            Column::text("OWNER"),
            Column::text("COPY"),
            Column::text("LINK"),
            Column::text("NOTE"),
            Column::text("MODIFIED"),
            Column::text("SHARED"),
            Column::text("SOURCES"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let file = &self.file;
        let sources: Vec<String> = self.sources.iter().map(SourceRecord::words).collect();
        vec![
            file.id.clone().map_or(Cell::Empty, Cell::Id),
            file.name.as_str().into(),
            file.path.as_str().into(),
            Cell::Bytes(file.size),
            file.hash.clone().into(),
            file.visibility.clone().into(),
            Cell::Flag(file.protected),
            file.version.map(u64::from).into(),
            file.owner.as_str().into(),
            file.copy.into(),
            file.link.clone().into(),
            if file.note.is_empty() { Cell::Empty } else { file.note.as_str().into() },
            Cell::Time(file.modified),
            file.shared.into(),
            (if sources.is_empty() { "none now".to_owned() } else { sources.join(", ") }).into(),
        ]
    }
}

impl SourceRecord {
    fn words(&self) -> String {
        let who = self.member.as_deref().unwrap_or("the tracker's copy");
        let how = match (self.holder, self.online) {
            (true, _) => "has at least a part",
            (false, true) => "online",
            (false, false) => "offline",
        };
        format!("{who} ({how})")
    }
}

/// A member.
#[derive(Debug, Serialize)]
pub(super) struct MemberRecord {
    name: String,
    status: &'static str,
    last_seen: Option<Moment>,
    shares: u64,
    devices: u32,
    blocked: bool,
    id: String,
    me: bool,
    from_them: u64,
    to_them: u64,
    device_list: Vec<MemberDevice>,
}

/// A device of a member.
#[derive(Debug, Serialize)]
struct MemberDevice {
    device: String,
    status: &'static str,
    last_seen: Option<Moment>,
}

impl From<MemberDeviceRow> for MemberDevice {
    fn from(row: MemberDeviceRow) -> Self {
        Self {
            device: row.device.to_string(),
            status: status_word(row.status),
            last_seen: row.last_seen_ms.map(Moment),
        }
    }
}

impl From<MemberRow> for MemberRecord {
    fn from(row: MemberRow) -> Self {
        Self {
            name: row.name,
            status: status_word(row.status),
            last_seen: row.last_seen_ms.map(Moment),
            shares: row.shares,
            devices: row.devices,
            blocked: row.blocked,
            id: row.id.to_string(),
            me: row.me,
            from_them: row.from_them,
            to_them: row.to_them,
            device_list: row.device_list.into_iter().map(MemberDevice::from).collect(),
        }
    }
}

impl Record for MemberRecord {
    fn kind(&self) -> &'static str {
        "member"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::name("NAME"),
            Column::text("STATUS"),
            Column::text("LAST SEEN").optional(),
            Column::number("SHARES"),
            Column::number("DEVICES"),
            Column::hidden("BLOCKED"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.name.as_str().into(),
            self.status.into(),
            self.last_seen.into(),
            Cell::Count(self.shares),
            Cell::Count(self.devices.into()),
            Cell::Flag(self.blocked),
        ]
    }
}

/// Who is signed in; all `null` when nobody is.
#[derive(Debug, Default, Serialize)]
pub(super) struct AccountRecord {
    name: Option<String>,
    id: Option<String>,
    device: Option<String>,
    tracker: Option<String>,
}

impl From<Account> for AccountRecord {
    fn from(account: Account) -> Self {
        Self {
            name: Some(account.name),
            id: Some(account.id.to_string()),
            device: Some(account.device.to_string()),
            tracker: Some(account.tracker),
        }
    }
}

impl Record for AccountRecord {
    fn kind(&self) -> &'static str {
        "account"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("NAME"), Column::text("ID"), Column::text("DEVICE"), Column::text("TRACKER")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let id = |id: &Option<String>| id.clone().map_or(Cell::Empty, Cell::Id);
        vec![self.name.clone().into(), id(&self.id), id(&self.device), self.tracker.clone().into()]
    }
}

/// How many things a command changed.
#[derive(Debug, Serialize)]
pub(super) struct CountRecord {
    #[serde(skip)]
    pub(super) kind: &'static str,
    pub(super) count: u64,
}

impl Record for CountRecord {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[Column::text("FILES")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::Count(self.count)]
    }
}

fn copy_word(copy: CopyState) -> &'static str {
    match copy {
        CopyState::Absent => "none",
        CopyState::Pending => "pending",
        CopyState::Stored => "stored",
    }
}

fn source_word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Peer => "peer",
        SourceKind::Copy => "copy",
    }
}

fn status_word(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Online => "online",
        MemberStatus::Away => "away",
        MemberStatus::Offline => "offline",
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, from_str};
    use shared::id::{BlobHash, DeviceId, FileId};

    use super::*;
    use crate::{
        cli::out::json_line,
        engine::api::{Direction, PathKind, Priority, TransferRow, TransferSource, TransferState},
    };

    pub(super) fn file_row() -> FileRow {
        FileRow {
            id: FileId([0xa1; 16]),
            name: "a.iso".to_owned(),
            path: "images/a.iso".to_owned(),
            size: 10,
            hash: BlobHash([0xb2; 32]),
            visibility: "public".to_owned(),
            protected: false,
            version: 3,
            owner: "alice".to_owned(),
            note: String::new(),
            copy: CopyState::Absent,
            modified_ms: 0,
            shared_ms: 1500,
            mine: true,
            have: true,
            available: true,
            link: "swapmeet://x".to_owned(),
        }
    }

    fn keys<R: Record>(record: &R) -> Vec<String> {
        let line = json_line(record.kind(), record);
        let body = line.trim_start_matches('{');
        let mut depth = 0;
        let mut keys = Vec::new();
        for part in body.split_inclusive([',', '{', '}', '[', ']']) {
            if depth == 0
                && let Some((key, _)) = part.split_once("\":")
            {
                keys.push(key.trim_start_matches('"').to_owned());
            }
            depth += part.matches(['{', '[']).count();
            depth = depth.saturating_sub(part.matches(['}', ']']).count());
        }
        keys
    }

    #[test]
    fn a_file_record_has_the_fields_of_the_contract_first_and_in_order() {
        let keys = keys(&EntryRecord::from(file_row()));
        assert_eq!(keys[..13].join(" "), "v type id name path size hash visibility protected version owner copy link");
    }

    #[test]
    fn a_file_record_has_whole_ids_and_plain_words() {
        let value: Value = from_str(&json_line("file", &EntryRecord::from(file_row()))).unwrap();
        assert_eq!(value["id"], "a1".repeat(16));
        assert_eq!(value["hash"], "b2".repeat(32));
        assert_eq!(value["copy"], "none");
        assert_eq!(value["shared"], "1970-01-01T00:00:01.500Z");
    }

    #[test]
    fn info_adds_sources_and_versions_to_the_file_record() {
        let detail = Detail {
            file: file_row(),
            sources: vec![
                SourceRow {
                    member: Some("alice".to_owned()),
                    device: Some(DeviceId([1; 16])),
                    kind: SourceKind::Peer,
                    online: true,
                    have: 10,
                    holder: false,
                },
                SourceRow { member: None, device: None, kind: SourceKind::Copy, online: true, have: 10, holder: false },
            ],
            versions: vec![VersionRow { version: 1, hash: BlobHash([0; 32]), size: 9, shared_ms: 0 }],
        };
        let value: Value = from_str(&json_line("file", &DetailRecord::from(detail))).unwrap();
        assert_eq!(value["name"], "a.iso");
        assert_eq!(value["sources"][0]["kind"], "peer");
        assert_eq!(value["sources"][1]["kind"], "copy");
        assert_eq!(value["sources"][1]["member"], Value::Null);
        assert_eq!(value["versions"][0]["size"], 9);
    }

    #[test]
    fn a_transfer_record_has_the_fields_of_the_contract_first_and_in_order() {
        let row = TransferRow {
            id: "0123456789abcdef".to_owned(),
            direction: Direction::Down,
            name: "a.iso".to_owned(),
            item: "x".to_owned(),
            owner: "alice".to_owned(),
            folder: false,
            files: 1,
            files_done: 1,
            state: TransferState::Done,
            reason: String::new(),
            size: 10,
            done: 10,
            speed: 0,
            eta_s: None,
            path: PathBuf::from("/d/a.iso"),
            hash: Some(BlobHash([0xb2; 32])),
            bytes_peer: 10,
            bytes_copy: 0,
            bytes_relay: 0,
            bytes_local: 0,
            sources: vec![TransferSource {
                member: Some("alice".to_owned()),
                device: None,
                kind: SourceKind::Peer,
                path: PathKind::Direct,
                bytes: 10,
                speed: 0,
                rtt_ms: Some(3),
                doing: "sending".to_owned(),
                queue: None,
            }],
            map: Vec::new(),
            log: Vec::new(),
            created_ms: 0,
            finished_ms: None,
            elapsed_ms: 7,
            failure: None,
            damaged: None,
            priority: Priority::Normal,
            place: 0,
        };
        let record = TransferRecord::from(row);
        assert_eq!(
            keys(&record)[..13].join(" "),
            "v type id name path size hash bytes_peer bytes_copy bytes_relay bytes_local sources elapsed_ms"
        );
        let value: Value = from_str(&json_line("transfer", &record)).unwrap();
        assert_eq!(
            value["sources"][0],
            from_str::<Value>(
                r#"{"member":"alice","kind":"peer","path":"direct","bytes":10,"device":null,"speed":0,"rtt_ms":3,"doing":"sending",
                    "queue_position":null,"queue_wait_s":null}"#
            )
            .unwrap()
        );
    }

    #[test]
    fn every_record_has_a_cell_for_each_column() {
        assert_eq!(EntryRecord::from(file_row()).cells().len(), EntryRecord::columns().len());
        let detail = Detail { file: file_row(), sources: Vec::new(), versions: Vec::new() };
        assert_eq!(DetailRecord::from(detail).cells().len(), DetailRecord::columns().len());
        assert_eq!(AccountRecord::default().cells().len(), AccountRecord::columns().len());
    }
}
