//! What a standing search matches, and what becomes of a match: plain calls.

use shared::{
    id::AccountId,
    limits::{QUERY_BYTES_MAX, SEARCH_WORDS_MAX, WISH_FETCHES_A_DAY_MAX, WISH_FETCHES_MAX, WISH_ROOM_MIN},
    name::FoldKey,
    wire::tracker::{FileEntry, Visibility},
};

/// A standing search, read. Like `search`, it wants every word somewhere in path, owner's name or note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    words: Vec<String>,
    without: Vec<String>,
    owners: Vec<String>,
    extensions: Vec<String>,
}

/// Why a query makes no standing search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadQuery {
    #[error("the query says nothing that a file must have")]
    Empty,
    #[error("a query has at most {} words and {} bytes", SEARCH_WORDS_MAX, QUERY_BYTES_MAX)]
    TooLong,
}

impl Query {
    /// Reads `linux user:bob ext:iso !beta`.
    pub(super) fn parse(text: &str) -> Result<Self, BadQuery> {
        let folded = FoldKey::of(text);
        let words: Vec<&str> = folded.as_str().split_whitespace().collect();
        if text.len() > QUERY_BYTES_MAX || words.len() > SEARCH_WORDS_MAX {
            return Err(BadQuery::TooLong);
        }
        let mut query = Self::default();
        for word in words {
            let (list, value) = match (word.strip_prefix('!'), word.split_once(':')) {
                (Some(rest), _) => (&mut query.without, rest),
                (None, Some(("user", name))) => (&mut query.owners, name),
                (None, Some(("ext", extension))) => (&mut query.extensions, extension.trim_start_matches('.')),
                (None, _) => (&mut query.words, word),
            };
            if !value.is_empty() {
                list.push(value.to_owned());
            }
        }
        let wants = query.words.len() + query.owners.len() + query.extensions.len();
        if wants == 0 { Err(BadQuery::Empty) } else { Ok(query) }
    }

    /// Whether a file is what is looked for.
    pub(super) fn matches(&self, text: &Text) -> bool {
        let all_in = |words: &[String], text: &str| words.iter().all(|word| text.contains(word.as_str()));
        all_in(&self.words, &text.all)
            && !self.without.iter().any(|word| text.all.contains(word.as_str()))
            && all_in(&self.owners, &text.owner)
            && self.extensions.iter().all(|wanted| text.extension.as_deref() == Some(wanted.as_str()))
    }
}

/// What of a file is compared with queries, folded once for all of them.
#[derive(Debug)]
pub(super) struct Text {
    all: String,
    owner: String,
    extension: Option<String>,
}

impl Text {
    /// `None`: no standing search matches it, because it is the member's own, or in no list.
    pub(super) fn of(entry: &FileEntry, me: AccountId) -> Option<Self> {
        if entry.owner == me || entry.visibility == Visibility::Hidden {
            return None;
        }
        let fold = |text: &str| FoldKey::of(text).as_str().to_owned();
        let (path, owner) = (fold(&entry.path), fold(&entry.owner_name));
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_owned());
        Some(Self { all: format!("{path}\n{owner}\n{}", fold(&entry.note)), owner, extension })
    }
}

/// What there is to fetch matches with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// Matches being fetched.
    pub(super) running: usize,
    /// Matches whose fetching began within the last day.
    pub(super) today: usize,
    /// Bytes free on the disk; `None`: it does not tell.
    pub(super) free: Option<u64>,
    /// Bytes that a match may have.
    pub(super) up_to: Option<u64>,
    /// Whether its content is on this device.
    pub(super) have: bool,
}

/// What becomes of a match that is to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    Fetch,
    /// When others are through.
    Later,
    /// It is told instead, and why.
    Tell(&'static str),
    /// It is here already.
    Nothing,
}

/// Rules on one match.
pub(super) fn rule(entry: &FileEntry, means: &Means) -> Ruling {
    if means.have {
        return Ruling::Nothing;
    }
    if entry.visibility == Visibility::Ask {
        return Ruling::Tell("not fetched: its owner must be asked");
    }
    if entry.protected {
        return Ruling::Tell("not fetched: it has a password");
    }
    if means.up_to.is_some_and(|most| entry.size > most) {
        return Ruling::Tell("not fetched: it is larger than the wish allows");
    }
    if means.free.is_some_and(|free| free < entry.size.saturating_add(WISH_ROOM_MIN)) {
        return Ruling::Tell("not fetched: the disk has no room for it");
    }
    if means.running >= WISH_FETCHES_MAX || means.today >= WISH_FETCHES_A_DAY_MAX {
        return Ruling::Later;
    }
    Ruling::Fetch
}

#[cfg(test)]
mod tests {
    use shared::{
        id::{BlobHash, FileId},
        wire::tracker::CopyState,
    };

    use super::*;

    const ME: AccountId = AccountId([9; 16]);

    fn entry(path: &str) -> FileEntry {
        FileEntry {
            id: FileId([1; 16]),
            owner: AccountId([1; 16]),
            owner_name: "Bob Lee".into(),
            path: path.into(),
            blob: BlobHash([2; 32]),
            size: 1000,
            modified_ms: 0,
            executable: false,
            visibility: Visibility::Public,
            protected: false,
            version: 1,
            note: "from the archive".into(),
            shared_ms: 0,
            copy: CopyState::Absent,
        }
    }

    fn finds(query: &str, entry: &FileEntry) -> bool {
        let query = Query::parse(query).unwrap();
        Text::of(entry, ME).is_some_and(|text| query.matches(&text))
    }

    #[test]
    fn every_word_must_be_in_path_owner_or_note_whatever_its_case() {
        let iso = entry("isos/Ubuntu-26.04-desktop.ISO");
        for good in ["ubuntu", "UBUNTU desktop", "isos bob archive", "ext:iso", "ext:.Iso user:lee", "buntu !server"] {
            assert!(finds(good, &iso), "{good}");
        }
        for bad in ["kubuntu", "ubuntu server", "ext:is", "user:eve ubuntu", "ubuntu !desktop", "user:ubuntu"] {
            assert!(!finds(bad, &iso), "{bad}");
        }
    }

    #[test]
    fn own_files_and_hidden_ones_never_match() {
        let theirs = entry("a.iso");
        assert!(!finds("iso", &FileEntry { owner: ME, ..theirs.clone() }));
        assert!(!finds("iso", &FileEntry { visibility: Visibility::Hidden, ..theirs.clone() }));
        assert!(finds("iso", &FileEntry { visibility: Visibility::People(Vec::new()), ..theirs }));
    }

    #[test]
    fn a_query_that_anything_would_match_is_none() {
        for empty in ["", "  ", "!beta", "user:", "!", "ext:."] {
            assert_eq!(Query::parse(empty), Err(BadQuery::Empty), "{empty:?}");
        }
        assert_eq!(Query::parse(&"a ".repeat(SEARCH_WORDS_MAX + 1)), Err(BadQuery::TooLong));
        assert_eq!(Query::parse(&"a".repeat(QUERY_BYTES_MAX + 1)), Err(BadQuery::TooLong));
        assert!(Query::parse("note:x").is_ok_and(|query| query.words == ["note:x"]), "an unknown field is a word");
    }

    #[test]
    fn only_what_may_be_fetched_and_fits_is_fetched_a_few_at_a_time() {
        let file = entry("a.iso");
        let means = Means { running: 0, today: 0, free: Some(WISH_ROOM_MIN + 1000), up_to: Some(1000), have: false };
        assert_eq!(rule(&file, &means), Ruling::Fetch);
        assert_eq!(rule(&file, &Means { have: true, ..means }), Ruling::Nothing);
        assert_eq!(rule(&file, &Means { running: WISH_FETCHES_MAX, ..means }), Ruling::Later);
        assert_eq!(rule(&file, &Means { today: WISH_FETCHES_A_DAY_MAX, ..means }), Ruling::Later);
        let told = |file: &FileEntry, means: Means| matches!(rule(file, &means), Ruling::Tell(_));
        assert!(told(&file, Means { up_to: Some(999), running: WISH_FETCHES_MAX, ..means }), "told at once");
        assert!(told(&file, Means { free: Some(WISH_ROOM_MIN), ..means }));
        assert!(told(&FileEntry { visibility: Visibility::Ask, ..file.clone() }, means));
        assert!(told(&FileEntry { protected: true, ..file }, means));
    }
}
