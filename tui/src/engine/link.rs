//! Join links and links to files: `swapmeet://host:port/#FINGERPRINT`, `swapmeet://host:port/file/ID#FINGERPRINT`. A join
//! link may carry `?invite=CODE` and `?web=PORT`.

use std::str::FromStr;

use certs::Fingerprint;
use shared::{
    id::{FileId, FolderId},
    wire::tracker::Reference,
};

use super::api::{Failure, FailureKind};

const SCHEME: &str = "swapmeet://";

/// Where a tracker is, and who it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerLink {
    /// `host:port`, as in the link.
    pub address: String,
    /// The authority that the tracker must show.
    pub fingerprint: Fingerprint,
    /// An invitation code, if the link carries one.
    pub invite: Option<String>,
    /// The tracker's web port, where it is another one than that of the address.
    pub web: Option<u16>,
}

impl TrackerLink {
    /// The link without an invitation.
    #[must_use]
    pub fn text(&self) -> String {
        let web = self.web.map(|port| format!("?web={port}")).unwrap_or_default();
        format!("{SCHEME}{}/{web}#{}", self.address, self.fingerprint)
    }

    /// The link with its invitation.
    #[must_use]
    pub fn with_invite(&self) -> String {
        let mut query = Vec::new();
        query.extend(self.web.map(|port| format!("web={port}")));
        query.extend(self.invite.as_ref().map(|code| format!("invite={code}")));
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        format!("{SCHEME}{}/{query}#{}", self.address, self.fingerprint)
    }

    /// The link to a file or folder on this tracker; `kind` is `file` or `folder`.
    #[must_use]
    pub fn to_item(&self, kind: &str, id: &str) -> String {
        format!("{SCHEME}{}/{kind}/{id}#{}", self.address, self.fingerprint)
    }
}

impl FromStr for TrackerLink {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let bad = |what: &str| {
            Failure::new(
                FailureKind::Usage,
                "bad_link",
                format!("the join link {what}"),
                "copy the whole link as `swapmeet-tracker link` prints it: swapmeet://HOST:PORT/#FINGERPRINT",
            )
        };
        let rest = text.trim().strip_prefix(SCHEME).ok_or_else(|| bad("does not begin with swapmeet://"))?;
        let (place, fragment) = rest.split_once('#').ok_or_else(|| bad("has no fingerprint after '#'"))?;
        // An invitation may stand before or behind the fingerprint.
        let (fingerprint, late_query) = fragment.split_once('?').unwrap_or((fragment, ""));
        let (place, query) = place.split_once('?').unwrap_or((place, late_query));
        let address = place.split('/').next().unwrap_or_default();
        let port_given = address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && !port.is_empty() && port.parse::<u16>().is_ok());
        if !port_given {
            return Err(bad("has no HOST:PORT"));
        }
        let fingerprint = fingerprint.parse().map_err(|_| bad("has a fingerprint that is not one"))?;
        let given = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let invite = given("invite").map(str::to_owned);
        let web = given("web").map(str::parse).transpose().map_err(|_| bad("has a web port that is not one"))?;
        Ok(Self { address: address.to_owned(), fingerprint, invite, web })
    }
}

/// What a person typed to name a file or folder: an id, a prefix of one, `MEMBER/path` or a link.
///
/// # Errors
/// When it can be none of these.
pub fn parse_item(text: &str) -> Result<Reference, Failure> {
    if let Some((member, path)) = text.split_once('/')
        && !text.starts_with(SCHEME)
    {
        let path = path.trim_end_matches('/').to_owned();
        if !member.is_empty() && !path.is_empty() {
            return Ok(Reference::Path { member: member.to_owned(), path });
        }
    }
    if let Some(reference) = link_reference(text) {
        return Ok(reference);
    }
    if let Ok(id) = text.parse::<FileId>() {
        return Ok(Reference::File(id));
    }
    let hexadecimal = text.len() >= 4 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if hexadecimal { Ok(Reference::Prefix(text.to_owned())) } else { Err(not_an_item(text)) }
}

fn link_reference(text: &str) -> Option<Reference> {
    let rest = text.strip_prefix(SCHEME)?;
    let place = rest.split('#').next()?;
    let mut parts = place.split('/').skip(1);
    match (parts.next()?, parts.next()?) {
        ("file", id) => id.parse::<FileId>().ok().map(Reference::File),
        ("folder", id) => id.parse::<FolderId>().ok().map(Reference::Folder),
        _ => None,
    }
}

fn not_an_item(text: &str) -> Failure {
    Failure::new(
        FailureKind::NotFound,
        "not_an_item",
        format!("'{}' names no file", shared::show::show_line(text, 80)),
        "name it by its id, at least 4 digits of it, MEMBER/path or its link; `swapmeet ls` shows what is there",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint() -> String {
        Fingerprint([7; 32]).to_string()
    }

    #[test]
    fn a_join_link_reads_back() {
        let link: TrackerLink = format!("swapmeet://example.org:7443/#{}", fingerprint()).parse().unwrap();
        assert_eq!(link.address, "example.org:7443");
        assert_eq!(link.text().parse::<TrackerLink>().unwrap(), link);
    }

    #[test]
    fn an_invitation_is_taken_from_either_place() {
        for text in ["swapmeet://[::1]:1/?invite=AB-1#FP", "swapmeet://[::1]:1/#FP?invite=AB-1"] {
            let link: TrackerLink = text.replace("FP", &fingerprint()).parse().unwrap();
            assert_eq!(link.invite.as_deref(), Some("AB-1"));
        }
    }

    #[test]
    fn another_web_port_is_part_of_the_link() {
        let text = format!("swapmeet://example.org:7443/?web=8443&invite=AB-1#{}", fingerprint());
        let link: TrackerLink = text.parse().unwrap();
        assert_eq!((link.web, link.invite.as_deref()), (Some(8443), Some("AB-1")));
        assert_eq!(link.text().parse::<TrackerLink>().unwrap(), TrackerLink { invite: None, ..link });
    }

    #[test]
    fn half_a_link_says_what_is_missing() {
        for text in [
            "",
            "http://x:1/#a",
            "swapmeet://x:1/",
            "swapmeet://x/#FP",
            "swapmeet://x:1/#short",
            "swapmeet://x:1/?web=y#FP",
        ] {
            let failure = text.replace("FP", &fingerprint()).parse::<TrackerLink>().unwrap_err();
            assert_eq!(failure.kind, FailureKind::Usage, "{text}");
        }
    }

    #[test]
    fn an_item_is_an_id_a_prefix_a_path_or_a_link() {
        let id = FileId([0xab; 16]);
        assert_eq!(parse_item(&id.to_string()).unwrap(), Reference::File(id));
        assert_eq!(parse_item("abcd").unwrap(), Reference::Prefix("abcd".to_owned()));
        let path = Reference::Path { member: "bob".to_owned(), path: "a/b".to_owned() };
        assert_eq!(parse_item("bob/a/b/").unwrap(), path);
        assert_eq!(parse_item(&format!("swapmeet://h:1/file/{id}#x")).unwrap(), Reference::File(id));
        for text in ["", "abc", "xyz!", "swapmeet://h:1/#x"] {
            assert!(parse_item(text).is_err(), "{text}");
        }
    }
}
