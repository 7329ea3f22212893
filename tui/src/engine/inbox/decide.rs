//! What an engine does by itself about requests and offers: plain calls over what it knows.

use shared::{
    id::{AccountId, DeviceId, ItemId},
    inbox::{Act, Kind, Matter, Party, State, Wanted},
    limits::LEAVE_COPY_AFTER,
    show::show_line,
    wire::inbox::{ItemEntry, What},
};

use crate::engine::{
    api::{RuleKind, TransferState},
    state::Errand,
};

/// Who this engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
}

/// An item, with what this device knows about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) item: &'a ItemEntry,
    pub(super) errand: Option<&'a Errand>,
    /// Where the transfer of the errand stands; `None`: there is none, or it is forgotten.
    pub(super) transfer: Option<TransferState>,
    /// The standing answer to offers of whoever began it.
    pub(super) rule: Option<RuleKind>,
    /// Since when the one who began it is away, as far as this device saw; `None`: is here.
    pub(super) away_since_ms: Option<i64>,
}

/// Something to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Todo {
    /// Fetch the file, or the files of the offer.
    Fetch(ItemId),
    /// Tell the tracker.
    Act(ItemId, Act),
    /// Take a standing yes for an answer.
    Accept(ItemId),
    /// Have the tracker keep a copy for the one who asked.
    LeaveCopy(ItemId),
    /// Stop the transfer: what it was for is over.
    Stop(ItemId),
}

/// What an item is, as its rules see it.
pub(super) const fn matter(item: &ItemEntry) -> Matter {
    match &item.what {
        What::Request { wanted, .. } => Matter::Request(*wanted),
        What::Offer { .. } => Matter::Offer,
        What::Channel => Matter::Channel,
    }
}

/// Who the member is to an item.
pub(super) fn party(item: &ItemEntry, me: AccountId) -> Party {
    if item.from == me { Party::From } else { Party::To }
}

/// What is to be done about one item, and when to look again, by the clock.
pub(super) fn decide(seen: &Seen<'_>, me: Me, now_ms: i64) -> (Option<Todo>, Option<i64>) {
    let (item, id) = (seen.item, seen.item.id);
    let party = party(item, me.account);
    if !item.state.is_open() {
        let ended_well = item.state == State::Fulfilled;
        let runs = seen.transfer.is_some_and(is_unfinished);
        return ((runs && !ended_well).then_some(Todo::Stop(id)), None);
    }
    match (matter(item).kind(), party) {
        (Kind::Request, Party::From) => (fetching(seen, me, Act::Cancel), None),
        (Kind::Request, Party::To) => leaving_a_copy(seen, now_ms),
        (Kind::Offer, Party::To) if item.state == State::Waiting => (by_rule(seen), None),
        (Kind::Offer, Party::To) => (fetching(seen, me, Act::Decline), None),
        (Kind::Offer, Party::From) | (Kind::Channel, _) => (None, None),
    }
}

/// Whoever gets the bytes fetches them, and says how that ended.
fn fetching(seen: &Seen<'_>, me: Me, given_up: Act) -> Option<Todo> {
    let id = seen.item.id;
    let may = match &seen.item.what {
        What::Request { file, .. } => file.is_some() && may_fetch(seen.item),
        What::Offer { .. } => seen.item.state == State::Accepted,
        What::Channel => false,
    };
    let begun_here = seen.errand.is_some() || (seen.item.from == me.account && seen.item.from_device == me.device);
    let had_one = seen.errand.is_some_and(|errand| errand.transfer.is_some());
    match seen.transfer {
        Some(TransferState::Done) if may => Some(Todo::Act(id, Act::Fulfil)),
        Some(TransferState::Cancelled) => Some(Todo::Act(id, given_up)),
        // A finished transfer may have been cleared from the list before this was noticed.
        None if may && begun_here && !had_one => Some(Todo::Fetch(id)),
        Some(_) | None => None,
    }
}

/// Whether the wanted file may be fetched as the item stands.
fn may_fetch(item: &ItemEntry) -> bool {
    let open = Matter::after(matter(item), item.state, Party::From, Act::Fulfil);
    open == Some(State::Fulfilled)
}

fn by_rule(seen: &Seen<'_>) -> Option<Todo> {
    let What::Offer { size, .. } = &seen.item.what else { return None };
    match seen.rule? {
        RuleKind::AcceptOffers { up_to } if up_to.is_none_or(|most| *size <= most) => Some(Todo::Accept(seen.item.id)),
        RuleKind::DeclineOffers => Some(Todo::Act(seen.item.id, Act::Decline)),
        RuleKind::AcceptOffers { .. } | RuleKind::Approve => None,
    }
}

/// If the two are never there together, the owner leaves a copy.
fn leaving_a_copy(seen: &Seen<'_>, now_ms: i64) -> (Option<Todo>, Option<i64>) {
    let What::Request { file: Some(_), copy: false, .. } = &seen.item.what else { return (None, None) };
    let (true, Some(away_since_ms)) = (may_fetch(seen.item), seen.away_since_ms) else { return (None, None) };
    let due_ms = away_since_ms.saturating_add(i64::try_from(LEAVE_COPY_AFTER.as_millis()).unwrap_or(i64::MAX));
    if now_ms < due_ms { (None, Some(due_ms)) } else { (Some(Todo::LeaveCopy(seen.item.id)), None) }
}

const fn is_unfinished(state: TransferState) -> bool {
    !matches!(state, TransferState::Done | TransferState::Failed | TransferState::Cancelled)
}

/// Why an item stands as it does, or what happens next, in a sentence.
pub(super) fn reason(item: &ItemEntry, party: Party) -> String {
    if (matter(item), item.state) == (Matter::Offer, State::Fulfilled) {
        // How much of it was taken.
        return show_line(&item.word, WORD_CHARS);
    }
    let text = match (matter(item), item.state, party) {
        (Matter::Request(Wanted::Source), State::Waiting, Party::From) => "fetched as soon as a source is there",
        (Matter::Request(Wanted::Source), State::Waiting, Party::To) => "fetched as soon as both are there",
        (Matter::Request(Wanted::Board), State::Waiting, Party::To) => "anybody who has it may answer",
        (Matter::Request(_), State::Waiting, Party::From) => "waits for an answer",
        (Matter::Request(_), State::Accepted, Party::From) => "approved; being fetched",
        (Matter::Request(_), State::Accepted, Party::To) => "approved; not fetched yet",
        (Matter::Offer | Matter::Channel, State::Waiting, Party::From) => "waits for an answer",
        (Matter::Offer, State::Accepted, Party::From) => "accepted; not fetched yet",
        (Matter::Offer, State::Accepted, Party::To) => "accepted; being fetched",
        (Matter::Request(_) | Matter::Offer | Matter::Channel, ..) => "",
    };
    text.to_owned()
}

/// Characters of another member's word that stand for a reason.
const WORD_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use shared::id::{FileId, ParcelId};

    use super::*;

    const ALICE: Me = Me { account: AccountId([1; 16]), device: DeviceId([1; 16]) };
    const BOB: Me = Me { account: AccountId([2; 16]), device: DeviceId([2; 16]) };
    const ID: ItemId = ItemId([7; 16]);

    /// Alice asks Bob, or offers to him.
    fn item(what: What, state: State) -> ItemEntry {
        ItemEntry {
            id: ID,
            what,
            from: ALICE.account,
            from_name: "alice".to_owned(),
            from_device: ALICE.device,
            to: Some(BOB.account),
            to_name: Some("bob".to_owned()),
            text: String::new(),
            word: String::new(),
            state,
            created_ms: 0,
            expires_ms: 1_000_000,
            changed_ms: 0,
        }
    }

    fn request(wanted: Wanted, state: State) -> ItemEntry {
        let file = Some(FileId([3; 16]));
        item(What::Request { wanted, file, path: "a".to_owned(), size: 1, blob: None, copy: false }, state)
    }

    fn offer(state: State) -> ItemEntry {
        let parcel = ParcelId([4; 16]);
        item(What::Offer { parcel, name: "a".to_owned(), files: 1, size: 100, blob: None }, state)
    }

    fn seen(item: &ItemEntry) -> Seen<'_> {
        Seen { item, errand: None, transfer: None, rule: None, away_since_ms: None }
    }

    fn todo(seen: &Seen<'_>, me: Me) -> Option<Todo> {
        decide(seen, me, 0).0
    }

    #[test]
    fn a_request_is_fetched_where_it_was_begun_as_soon_as_it_may() {
        let waiting = request(Wanted::Approval, State::Waiting);
        assert_eq!(todo(&seen(&waiting), ALICE), None);
        let accepted = request(Wanted::Approval, State::Accepted);
        assert_eq!(todo(&seen(&accepted), ALICE), Some(Todo::Fetch(ID)));
        let phone = Me { device: DeviceId([9; 16]), ..ALICE };
        assert_eq!(todo(&seen(&accepted), phone), None);
        assert_eq!(todo(&seen(&accepted), BOB), None);
    }

    #[test]
    fn a_file_is_fetched_once_and_its_end_is_told() {
        let accepted = request(Wanted::Approval, State::Accepted);
        let errand = Errand { transfer: Some("1".to_owned()), ..Errand::default() };
        let at = |transfer| Seen { errand: Some(&errand), transfer, ..seen(&accepted) };
        assert_eq!(todo(&at(Some(TransferState::Running)), ALICE), None);
        assert_eq!(todo(&at(Some(TransferState::Done)), ALICE), Some(Todo::Act(ID, Act::Fulfil)));
        assert_eq!(todo(&at(Some(TransferState::Cancelled)), ALICE), Some(Todo::Act(ID, Act::Cancel)));
        assert_eq!(todo(&at(None), ALICE), None);
    }

    #[test]
    fn an_offer_is_fetched_only_by_the_device_that_accepted_it() {
        let accepted = offer(State::Accepted);
        assert_eq!(todo(&seen(&accepted), BOB), None);
        let errand = Errand::default();
        assert_eq!(todo(&Seen { errand: Some(&errand), ..seen(&accepted) }, BOB), Some(Todo::Fetch(ID)));
        assert_eq!(todo(&seen(&accepted), ALICE), None);
    }

    #[test]
    fn a_rule_answers_offers_up_to_its_size() {
        let waiting = offer(State::Waiting);
        let by = |rule| Seen { rule: Some(rule), ..seen(&waiting) };
        assert_eq!(todo(&by(RuleKind::AcceptOffers { up_to: Some(100) }), BOB), Some(Todo::Accept(ID)));
        assert_eq!(todo(&by(RuleKind::AcceptOffers { up_to: Some(99) }), BOB), None);
        assert_eq!(todo(&by(RuleKind::DeclineOffers), BOB), Some(Todo::Act(ID, Act::Decline)));
    }

    #[test]
    fn a_copy_is_left_for_someone_who_stays_away() {
        let after_ms = i64::try_from(LEAVE_COPY_AFTER.as_millis()).unwrap();
        let wanted = request(Wanted::Source, State::Waiting);
        let away = Seen { away_since_ms: Some(1000), ..seen(&wanted) };
        assert_eq!(decide(&away, BOB, 1000), (None, Some(1000 + after_ms)));
        assert_eq!(decide(&away, BOB, 1000 + after_ms), (Some(Todo::LeaveCopy(ID)), None));
        assert_eq!(decide(&seen(&wanted), BOB, i64::MAX), (None, None));
        let unanswered = request(Wanted::Approval, State::Waiting);
        assert_eq!(decide(&Seen { away_since_ms: Some(0), ..seen(&unanswered) }, BOB, i64::MAX), (None, None));
    }

    #[test]
    fn what_is_over_stops_its_transfer() {
        for state in [State::Declined, State::Cancelled, State::Expired] {
            let ended = request(Wanted::Approval, state);
            let running = Seen { transfer: Some(TransferState::Waiting), ..seen(&ended) };
            assert_eq!(todo(&running, ALICE), Some(Todo::Stop(ID)));
            assert_eq!(todo(&Seen { transfer: Some(TransferState::Done), ..running }, ALICE), None);
        }
    }
}
