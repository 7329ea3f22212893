//! Members among each other: who is there, who hides from whom, and grants that were withdrawn while nobody listened.

mod support;

use shared::wire::{
    Code,
    people::{PeopleAnswer, PeopleEvent, PeopleRequest},
    reach::Attempt,
    tracker::{Answer, Audience, Event, MemberEntry, Presence, Request},
};
use support::{Client, Tracker, entry};
use tempfile::tempdir;

async fn ask(client: &Client, request: PeopleRequest) -> Answer {
    client.ask(Request::People(request)).await
}

async fn block(client: &Client, member: &str) -> MemberEntry {
    let Answer::Members { mut members, .. } = ask(client, PeopleRequest::Block { member: member.into() }).await else {
        panic!("a block is answered with the member");
    };
    members.remove(0)
}

fn of(name: &str, presence: Presence) -> impl Fn(&Event) -> Option<MemberEntry> {
    move |event| match event {
        Event::Member(member) if member.name == name && member.presence == presence => Some(member.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_block_reaches_the_two_and_nobody_else_and_ends_introductions_between_them() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, anna_in) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let (carl, _) = Client::register(&tracker, "Carl").await;
    let file = anna.publish(vec![entry("a", b"one", None)]).await.remove(0);
    let (mut annas, mut bens) = (anna.subscribe().await, ben.subscribe().await);
    let blocked = block(&anna, "BEN").await;
    assert_eq!((blocked.presence, blocked.shares, blocked.devices), (Presence::Offline, 0, 0));
    let told = annas
        .until(|event| match event {
            Event::People(PeopleEvent::Blocks { members }) if !members.is_empty() => Some(members.clone()),
            _ => None,
        })
        .await;
    assert_eq!(told, [blocked.account]);
    let anna_to_ben = bens.until(of("Anna", Presence::Offline)).await;
    assert_eq!((anna_to_ben.account, anna_to_ben.shares), (anna_in.account, 0));
    // Nothing that Anna does from here on is told to Ben: what he hears next is Carl's.
    ask(&anna, PeopleRequest::Attend { here: false }).await;
    ask(&carl, PeopleRequest::Attend { here: false }).await;
    let mut heard = Vec::new();
    bens.until(|event| {
        heard.push(event.clone());
        of("Carl", Presence::Away)(event)
    })
    .await;
    let names_anna = |event: &Event| matches!(event, Event::Member(member) if member.account == anna_in.account);
    assert!(!heard.iter().any(names_anna), "{heard:?}");
    assert!(!heard.iter().any(|event| matches!(event, Event::People(_))), "nobody is told of a block: {heard:?}");

    let introduce = Request::Introduce { device: anna.device(), attempt: Attempt::First };
    assert_eq!(ben.refused(introduce.clone()).await.code, Code::NotFound);
    assert_ne!(carl.ask(introduce).await, Answer::Done);
    assert_eq!(ben.refused(Request::Relay { device: anna.device() }).await.code, Code::Unavailable);
    assert_eq!(ben.refused(Request::Inspect { file: file.id }).await.code, Code::NotFound);
    let Answer::People(PeopleAnswer::Seen { members, next: None }) =
        ask(&ben, PeopleRequest::Seen { after: None }).await
    else {
        panic!("three members fit a page");
    };
    let devices: Vec<_> = members.iter().map(|seen| (seen.entry.name.as_str(), seen.devices.len())).collect();
    assert_eq!(devices, [("Anna", 0), ("Ben", 1), ("Carl", 1)]);
    tracker.stop().await;
}

#[tokio::test]
async fn whoever_is_at_no_keyboard_is_away_on_that_device_and_as_a_member_where_that_is_all() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let tablet = Client::connect(&tracker).await;
    tablet.ask(tablet.sign_in_request("Anna", "correct horse")).await;
    let mut told = ben.subscribe().await;
    assert_eq!(ask(&anna, PeopleRequest::Attend { here: false }).await, Answer::Done);
    assert_eq!(told.until(of("Anna", Presence::Online)).await.devices, 2);
    ask(&tablet, PeopleRequest::Attend { here: false }).await;
    told.until(of("Anna", Presence::Away)).await;
    ask(&tablet, PeopleRequest::Attend { here: true }).await;
    told.until(of("Anna", Presence::Online)).await;
    ask(&tablet, PeopleRequest::Attend { here: false }).await;
    let away = told.until(of("Anna", Presence::Away)).await;
    assert!(away.last_seen_ms.is_some(), "it is known when somebody was there");
    let Answer::People(PeopleAnswer::Seen { members, .. }) = ask(&ben, PeopleRequest::Seen { after: None }).await
    else {
        panic!("it was asked for");
    };
    let states: Vec<Presence> = members[0].devices.iter().map(|device| device.presence).collect();
    assert_eq!(states, [Presence::Away, Presence::Away]);
    tracker.stop().await;
}

#[tokio::test]
async fn a_source_hears_when_it_comes_back_that_grants_were_withdrawn_and_others_hear_nothing() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let mut file = entry("a", b"one", None);
    let shared = anna.publish(vec![file.clone()]).await.remove(0);
    let (key, laptop) = (anna.key.clone(), anna.device());
    anna.vanish();
    let tablet = Client::connect(&tracker).await;
    tablet.ask(tablet.sign_in_request("Anna", "correct horse")).await;
    file.audience = Some(Audience::People(vec!["Anna".into()]));
    assert_eq!(tablet.publish(vec![file]).await[0].id, shared.id);
    let laptop_again = Client::connect_as(&tracker, key).await;
    assert!(matches!(laptop_again.ask(laptop_again.key_request()).await, Answer::SignedIn(_)));
    assert_eq!(laptop_again.device(), laptop);
    let mut told = laptop_again.subscribe().await;
    let before_ms = told
        .until(|event| match event {
            Event::GrantsWithdrawn { before_ms } => Some(*before_ms),
            _ => None,
        })
        .await;
    assert!(before_ms > shared.shared_ms);
    // Whose shares nobody narrowed has no reason to doubt its grants.
    let mut bens = ben.subscribe().await;
    let mut heard = Vec::new();
    ask(&tablet, PeopleRequest::Attend { here: false }).await;
    ask(&laptop_again, PeopleRequest::Attend { here: false }).await;
    bens.until(|event| {
        heard.push(event.clone());
        of("Anna", Presence::Away)(event)
    })
    .await;
    assert!(!heard.iter().any(|event| matches!(event, Event::GrantsWithdrawn { .. })), "{heard:?}");
    tracker.stop().await;
}
