//! What the tracker says, as the faces see it.

use shared::wire::{
    people::{DeviceSeen, MemberSeen},
    tracker::{FileDetail, FileEntry, FolderEntry, MemberEntry, Presence, SourceEntry, VersionEntry, Visibility},
};

use super::{
    api::{Detail, FileRow, FolderRow, MemberDeviceRow, MemberRow, MemberStatus, SourceKind, SourceRow, VersionRow},
    core::Core,
};

impl Core {
    /// A file of the index.
    pub fn file_row(&self, entry: &FileEntry) -> FileRow {
        let mine = self.my_id() == Some(entry.owner);
        let stored = entry.copy == shared::wire::tracker::CopyState::Stored;
        FileRow {
            id: entry.id,
            name: name_of(&entry.path).to_owned(),
            path: entry.path.clone(),
            size: entry.size,
            hash: entry.blob,
            visibility: visibility(&entry.visibility).to_owned(),
            protected: entry.protected,
            version: entry.version,
            owner: entry.owner_name.clone(),
            note: entry.note.clone(),
            copy: entry.copy,
            modified_ms: entry.modified_ms,
            shared_ms: entry.shared_ms,
            mine,
            have: self.has(entry),
            available: stored || mine || self.is_online(entry.owner),
            link: self.link_to("file", &entry.id.to_string()),
        }
    }

    /// A folder of the index.
    pub fn folder_row(&self, entry: &FolderEntry) -> FolderRow {
        FolderRow {
            id: entry.id.to_string(),
            name: name_of(&entry.path).to_owned(),
            path: entry.path.clone(),
            owner: entry.owner_name.clone(),
            files: entry.files,
            size: entry.bytes,
            mine: self.my_id() == Some(entry.owner),
            link: self.link_to("folder", &entry.id.to_string()),
        }
    }

    /// Everything about a file.
    pub fn detail(&self, detail: &FileDetail) -> Detail {
        Detail {
            file: self.file_row(&detail.entry),
            sources: detail.sources.iter().map(source_row).collect(),
            versions: detail.versions.iter().map(version_row).collect(),
        }
    }

    /// A member.
    pub fn member_row(&self, entry: &MemberEntry) -> MemberRow {
        let (from_them, to_them) = self.exchanged_with(entry.account);
        MemberRow {
            id: entry.account,
            name: entry.name.clone(),
            status: status(entry.presence),
            last_seen_ms: entry.last_seen_ms,
            shares: entry.shares,
            devices: entry.devices,
            blocked: self.peers.is_blocked(entry.account),
            me: self.my_id() == Some(entry.account),
            from_them,
            to_them,
            device_list: Vec::new(),
        }
    }

    /// A member with its devices.
    pub fn member_seen_row(&self, seen: &MemberSeen) -> MemberRow {
        let device = |device: &DeviceSeen| MemberDeviceRow {
            device: device.device,
            status: status(device.presence),
            last_seen_ms: device.last_seen_ms,
        };
        MemberRow { device_list: seen.devices.iter().map(device).collect(), ..self.member_row(&seen.entry) }
    }
}

const fn status(presence: Presence) -> MemberStatus {
    match presence {
        Presence::Online => MemberStatus::Online,
        Presence::Away => MemberStatus::Away,
        Presence::Offline => MemberStatus::Offline,
    }
}

/// The last component of a path.
pub fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn visibility(visibility: &Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "public",
        Visibility::Ask => "ask",
        Visibility::People(_) => "people",
        Visibility::Hidden => "hidden",
    }
}

fn source_row(source: &SourceEntry) -> SourceRow {
    match source {
        SourceEntry::Device { member, device, online, have } => SourceRow {
            member: Some(member.clone()),
            device: Some(*device),
            kind: SourceKind::Peer,
            online: *online,
            have: *have,
            holder: false,
        },
        SourceEntry::Copy { have } => {
            SourceRow { member: None, device: None, kind: SourceKind::Copy, online: true, have: *have, holder: false }
        }
        SourceEntry::Holder { member, device } => SourceRow {
            member: Some(member.clone()),
            device: Some(*device),
            kind: SourceKind::Peer,
            online: true,
            have: 0,
            holder: true,
        },
    }
}

fn version_row(version: &VersionEntry) -> VersionRow {
    VersionRow { version: version.version, hash: version.blob, size: version.size, shared_ms: version.shared_ms }
}
