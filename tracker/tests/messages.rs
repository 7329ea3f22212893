//! Messages over real QUIC: what reaches whom at once, what waits, and what is refused.

mod support;

use shared::{
    id::{AccountId, DeviceId, MessageId},
    limits::{BROADCAST_BURST, MESSAGE_BODY_BYTES_MAX, MESSAGE_BURST, MESSAGE_SEAL_BYTES, MESSAGE_SEALS_MAX},
    wire::{
        Code,
        message::{Delivery, Header, MessageAnswer, MessageEvent, MessageRequest, Seal, Sending, key_statement},
        tracker::{Answer, Event, Request, SignedIn},
    },
};
use support::{Client, Listener, Tracker};

struct Member {
    client: Client,
    signed_in: SignedIn,
}

impl Member {
    async fn new(tracker: &Tracker, name: &str) -> Self {
        let (client, signed_in) = Client::register(tracker, name).await;
        let member = Self { client, signed_in };
        let (key, proof) = member.key();
        assert_eq!(member.ask(MessageRequest::PublishKey { key, proof }).await, MessageAnswer::Done);
        member
    }

    /// A key, and this device's signature under it.
    fn key(&self) -> ([u8; 32], Vec<u8>) {
        let key = [7; 32];
        (key, self.client.key.sign(&key_statement(&key)).to_vec())
    }

    fn device(&self) -> DeviceId {
        self.client.device()
    }

    fn account(&self) -> AccountId {
        self.signed_in.account
    }

    async fn ask(&self, request: MessageRequest) -> MessageAnswer {
        match self.client.ask(Request::Message(request)).await {
            Answer::Message(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&self, sending: Sending) -> Code {
        self.client.refused(Request::Message(MessageRequest::Send(sending))).await.code
    }

    async fn send(&self, sending: Sending) -> MessageAnswer {
        self.ask(MessageRequest::Send(sending)).await
    }

    fn sending(&self, to: Option<&Self>, id: u8, devices: &[&Self]) -> Sending {
        let header = Header {
            id: MessageId([id; 16]),
            from: self.account(),
            device: self.device(),
            to: to.map(Self::account),
            written_ms: 5,
        };
        let seal = |device: &&Self| Seal { device: device.device(), sealed: vec![id; MESSAGE_SEAL_BYTES] };
        let seals = devices.iter().map(seal).collect();
        Sending { header, body: vec![id; 300], signature: vec![id; 64], seals, last: true }
    }

    async fn waiting(&self) -> Vec<u8> {
        match self.ask(MessageRequest::Waiting { after: 0 }).await {
            MessageAnswer::Waiting { messages, more: false } => {
                messages.iter().map(|message| message.header.id.0[0]).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn arrived(listener: &mut Listener) -> Delivery {
    listener
        .until(|event| match event {
            Event::Message(MessageEvent::Arrived(delivery)) => Some((**delivery).clone()),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_message_reaches_who_is_there_at_once_and_its_sender_hears_that_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, ben) = (Member::new(&tracker, "anna").await, Member::new(&tracker, "ben").await);
    let mut at_ben = ben.client.subscribe().await;
    let MessageAnswer::Sent { at_ms } = anna.send(anna.sending(Some(&ben), 1, &[&ben])).await else { panic!() };
    let delivery = arrived(&mut at_ben).await;
    assert_eq!((delivery.at_ms, delivery.from_name.as_str()), (at_ms, "anna"));
    assert_eq!((delivery.signing, delivery.sealed.len()), (anna.client.key.public(), MESSAGE_SEAL_BYTES));
    // Not taken yet: it waits, also over a restart.
    tracker.stop().await;
    let tracker = Tracker::start(folder.path()).await;
    let again = Client::connect_as(&tracker, ben.client.key.clone()).await;
    let answer = again.ask(again.key_request()).await;
    assert!(matches!(answer, Answer::SignedIn(_)), "{answer:?}");
    let ben = Member { client: again, signed_in: ben.signed_in };
    assert_eq!(ben.waiting().await, [1]);
    let again = Client::connect_as(&tracker, anna.client.key.clone()).await;
    again.ask(again.key_request()).await;
    let mut at_anna = again.subscribe().await;
    assert_eq!(ben.ask(MessageRequest::Acknowledge { messages: vec![delivery.header.id] }).await, MessageAnswer::Done);
    let told = at_anna.until(|event| match event {
        Event::Message(MessageEvent::Delivered { messages }) => Some(messages.clone()),
        _ => None,
    });
    assert_eq!(told.await, [delivery.header.id]);
    assert!(ben.waiting().await.is_empty());
    tracker.stop().await;
}

#[tokio::test]
async fn a_message_to_everyone_reaches_every_device_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, ben) = (Member::new(&tracker, "anna").await, Member::new(&tracker, "ben").await);
    let eve = Member::new(&tracker, "eve").await;
    let (mut at_ben, mut at_eve) = (ben.client.subscribe().await, eve.client.subscribe().await);
    let first = Sending { last: false, ..anna.sending(None, 1, &[&ben]) };
    assert_eq!(anna.send(first).await, MessageAnswer::More);
    assert_eq!(anna.send(anna.sending(None, 1, &[])).await, MessageAnswer::DevicesMissing { devices: 1 });
    assert!(matches!(anna.send(anna.sending(None, 1, &[&eve])).await, MessageAnswer::Sent { .. }));
    for listener in [&mut at_ben, &mut at_eve] {
        assert_eq!(arrived(listener).await.header.to, None);
    }
    tracker.stop().await;
}

#[tokio::test]
async fn whoever_sends_too_much_is_told_how_long_to_wait_and_nobody_else_notices() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, ben) = (Member::new(&tracker, "anna").await, Member::new(&tracker, "ben").await);
    let wait_after = async |to: Option<&Member>, most: u32| {
        for _ in 0..most * 3 {
            // The same message again and again: what counts is that it was sent.
            if let MessageAnswer::TooMany { wait_ms } = anna.send(anna.sending(to, 1, &[&ben])).await {
                return Some(wait_ms);
            }
        }
        None
    };
    assert!(wait_after(Some(&ben), MESSAGE_BURST).await.is_some_and(|wait| (1..=1001).contains(&wait)));
    assert!(wait_after(None, BROADCAST_BURST).await.is_some_and(|wait| (1..=3001).contains(&wait)));
    assert!(matches!(ben.send(ben.sending(Some(&anna), 2, &[&anna])).await, MessageAnswer::Sent { .. }));
    tracker.stop().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused_before_it_reaches_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, ben) = (Member::new(&tracker, "anna").await, Member::new(&tracker, "ben").await);
    let good = || anna.sending(Some(&ben), 1, &[&ben]);
    let header = |change: &dyn Fn(&mut Header)| {
        let mut sending = good();
        change(&mut sending.header);
        sending
    };
    for bad in [
        header(&|header| header.from = ben.account()),
        header(&|header| header.device = ben.device()),
        header(&|header| header.to = Some(anna.account())),
        Sending { body: Vec::new(), ..good() },
        Sending { signature: vec![0; 63], ..good() },
        Sending { seals: vec![Seal { device: ben.device(), sealed: vec![0; 79] }], ..good() },
    ] {
        assert_eq!(anna.refused(bad.clone()).await, Code::BadRequest, "{bad:?}");
    }
    let seals = vec![Seal { device: ben.device(), sealed: vec![0; MESSAGE_SEAL_BYTES] }; MESSAGE_SEALS_MAX + 1];
    assert_eq!(anna.refused(Sending { seals, ..good() }).await, Code::TooLarge);
    let body = vec![0; MESSAGE_BODY_BYTES_MAX + 1];
    assert_eq!(anna.refused(Sending { body, ..good() }).await, Code::TooLarge);
    assert_eq!(anna.refused(header(&|header| header.to = Some(AccountId([9; 16])))).await, Code::NotFound);
    // A key that the device did not sign.
    let (_, proof) = ben.key();
    let forged = Request::Message(MessageRequest::PublishKey { key: [8; 32], proof });
    assert_eq!(anna.client.refused(forged).await.code, Code::BadRequest);
    let stranger = Client::connect(&tracker).await;
    let asked = Request::Message(MessageRequest::Waiting { after: 0 });
    assert_eq!(stranger.refused(asked).await.code, Code::Unauthenticated);
    assert!(ben.waiting().await.is_empty());
    tracker.stop().await;
}

#[tokio::test]
async fn many_messages_at_once_are_all_kept_and_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, ben) = (Member::new(&tracker, "anna").await, Member::new(&tracker, "ben").await);
    let eve = Member::new(&tracker, "eve").await;
    let sends = (0..20).flat_map(|id| [(&anna, id), (&eve, 100 + id), (&anna, id)]);
    let sends = sends.map(|(from, id)| from.send(from.sending(Some(&ben), id, &[&ben])));
    let sent = futures_util::future::join_all(sends).await;
    let times: Vec<i64> = sent
        .iter()
        .filter_map(|answer| if let MessageAnswer::Sent { at_ms } = answer { Some(*at_ms) } else { None })
        .collect();
    let mut different = times.clone();
    different.sort_unstable();
    different.dedup();
    let waiting = ben.waiting().await;
    assert_eq!(waiting.len(), different.len());
    assert!(different.len() >= 30, "{sent:?}");
    tracker.stop().await;
}
