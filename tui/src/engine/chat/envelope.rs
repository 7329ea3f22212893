//! How a message is closed and opened. Knows neither tracker nor database; keys and times come in.
//!
//! The text is filled up to a step of [`MESSAGE_PADDING_BYTES`] and encrypted once with ChaCha20-Poly1305 (RFC 8439) under
//! a key that no other message has, so its nonce is zero. That key is sealed to each device by HPKE (RFC 9180, see
//! [`certs::seal`]), and the sender's device signs header and encrypted body with Ed25519 (RFC 8032). The body begins
//! with a mark of its key, so that one body cannot be two texts under two keys. Every layer names the header: nothing
//! can be taken out of one message and put into another, nor a seal for one device be shown to another.

use certs::{SealingKey, SigningKey, seal, verify};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
};
use serde::{Deserialize, Serialize};
use shared::{
    id::{AccountId, DeviceId},
    limits::{MESSAGE_BODY_BYTES_MAX, MESSAGE_PADDING_BYTES, MESSAGE_TEXT_BYTES_MAX},
    wire::message::{Delivery, DeviceKeys, Header, MESSAGE_CONTEXT, Seal, key_statement},
};
use zeroize::Zeroizing;

/// What a message says. Variants are appended, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Text, as it was written.
    Text(String),
}

/// A closed message with its key, as the sending device keeps it until the tracker has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Who says it to whom.
    pub header: Header,
    /// The encrypted text.
    pub body: Vec<u8>,
    /// The sending device's.
    pub signature: Vec<u8>,
    key: [u8; 32],
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope").field("header", &self.header).finish_non_exhaustive()
    }
}

/// Who opens.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The signed-in member.
    pub account: AccountId,
    /// This device.
    pub device: DeviceId,
    /// What others sealed to.
    pub key: &'a SealingKey,
}

/// Why a message cannot be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The key shown is not that of the device named.
    #[error("it does not come from the device that it names")]
    OtherDevice,
    /// The device was another member's.
    #[error("the device that sent it belongs to another member")]
    OtherMember,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It is neither for this member nor from it.
    #[error("it is for somebody else")]
    NotForMe,
    /// Its key was not sealed to this device.
    #[error("it was not sealed for this device")]
    Sealed,
    /// The text does not decrypt.
    #[error("it is damaged")]
    Damaged,
    /// A newer program wrote it, or it breaks a limit.
    #[error("it says something that this program does not know")]
    Unknown,
    /// It is from so long ago that nothing tells whether it was read before.
    #[error("it is too old")]
    TooOld,
}

impl Envelope {
    /// Closes a message under a fresh key. `None`: the text is too long.
    #[must_use]
    pub fn close(signer: &SigningKey, key: [u8; 32], header: Header, content: &Content) -> Option<Self> {
        let mut text = Zeroizing::new(postcard::to_stdvec(content).ok()?);
        pad(&mut text);
        let tag = cipher(&key).ok()?.seal_in_place_separate_tag(nonce(), Aad::from(header.bytes()), &mut text).ok()?;
        let body = [mark(&key).as_slice(), &text, tag.as_ref()].concat();
        if body.len() > MESSAGE_BODY_BYTES_MAX {
            return None;
        }
        let signature = signer.sign(&header.statement(&body)).to_vec();
        Some(Self { header, body, signature, key })
    }

    /// The key of this message for one device. `None`: nothing can be sealed to the device's key.
    #[must_use]
    pub fn seal_to(&self, device: DeviceId, sealing: &[u8; 32]) -> Option<Seal> {
        let sealed = seal(sealing, &self.key, &seal_context(&self.header, &self.body, device))?;
        Some(Seal { device, sealed })
    }
}

/// What a message says, if it is what it claims to be and meant for this reader.
///
/// # Errors
/// See [`Unreadable`].
pub fn open(reader: Reader<'_>, delivery: &Delivery) -> Result<Content, Unreadable> {
    let Delivery { header, body, .. } = delivery;
    if DeviceId::of_key(&delivery.signing) != header.device {
        return Err(Unreadable::OtherDevice);
    }
    if !verify(&delivery.signing, &header.statement(body), &delivery.signature) {
        return Err(Unreadable::Signature);
    }
    if header.from != reader.account && header.to.is_some_and(|to| to != reader.account) {
        return Err(Unreadable::NotForMe);
    }
    let context = seal_context(header, body, reader.device);
    let key = reader.key.unseal(&delivery.sealed, &context).map_err(|_| Unreadable::Sealed)?;
    let key = <&[u8; 32]>::try_from(key.as_slice()).map_err(|_| Unreadable::Sealed)?;
    let (marked, text) = body.split_at_checked(MARK_BYTES).ok_or(Unreadable::Damaged)?;
    if marked != mark(key) {
        return Err(Unreadable::Damaged);
    }
    let mut text = Zeroizing::new(text.to_vec());
    let aad = Aad::from(header.bytes());
    let cipher = cipher(key).map_err(|_| Unreadable::Damaged)?;
    let text = cipher.open_in_place(nonce(), aad, &mut text).map_err(|_| Unreadable::Damaged)?;
    let content = postcard::from_bytes(unpadded(text).ok_or(Unreadable::Unknown)?).map_err(|_| Unreadable::Unknown)?;
    let Content::Text(said) = &content;
    if said.len() > MESSAGE_TEXT_BYTES_MAX { Err(Unreadable::Unknown) } else { Ok(content) }
}

/// The device that these keys belong to, if they belong together.
#[must_use]
pub fn owner_of(keys: &DeviceKeys) -> Option<DeviceId> {
    let device = DeviceId::of_key(&keys.signing);
    verify(&keys.signing, &key_statement(&keys.sealing), &keys.proof).then_some(device)
}

/// What a seal is bound to, so that it opens on this device and for this message alone.
fn seal_context(header: &Header, body: &[u8], device: DeviceId) -> Vec<u8> {
    [MESSAGE_CONTEXT, device.as_bytes(), blake3::hash(body).as_bytes(), &header.bytes()].concat()
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, Unspecified> {
    let key = Zeroizing::new(blake3::derive_key("swapmeet message 1 text", key));
    UnboundKey::new(&CHACHA20_POLY1305, &*key).map(LessSafeKey::new)
}

/// Each key encrypts one text, so every nonce is the first.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// What tells one key from every other, and nothing about it.
fn mark(key: &[u8; 32]) -> [u8; MARK_BYTES] {
    blake3::derive_key("swapmeet message 1 mark", key)
}

/// Fills up to a step: one bit, then zeros (ISO/IEC 7816-4).
fn pad(text: &mut Vec<u8>) {
    text.push(0x80);
    text.resize(text.len().next_multiple_of(MESSAGE_PADDING_BYTES), 0);
}

fn unpadded(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().rposition(|byte| *byte != 0)?;
    (text[end] == 0x80).then_some(&text[..end])
}

const MARK_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::{id::MessageId, limits::MESSAGE_SEAL_BYTES};

    use super::*;

    const ANNA: AccountId = AccountId([1; 16]);
    const BEN: AccountId = AccountId([2; 16]);
    const EVE: AccountId = AccountId([3; 16]);

    /// A device with its keys.
    struct Device {
        account: AccountId,
        signing: SigningKey,
        sealing: SealingKey,
    }

    impl Device {
        fn of(account: AccountId) -> Self {
            let (signing, sealing) = (SigningKey::generate().unwrap(), SealingKey::generate().unwrap());
            Self { account, signing, sealing }
        }

        fn id(&self) -> DeviceId {
            DeviceId::of_key(&self.signing.public())
        }

        fn header(&self, to: Option<AccountId>) -> Header {
            Header { id: MessageId([7; 16]), from: self.account, device: self.id(), to, written_ms: 5 }
        }

        fn say(&self, to: Option<AccountId>, text: &str) -> Envelope {
            let key = *certs::fresh().unwrap();
            Envelope::close(&self.signing, key, self.header(to), &Content::Text(text.into())).unwrap()
        }

        fn open(&self, delivery: &Delivery) -> Result<Content, Unreadable> {
            open(Reader { account: self.account, device: self.id(), key: &self.sealing }, delivery)
        }

        fn keys(&self) -> DeviceKeys {
            DeviceKeys {
                account: self.account,
                signing: self.signing.public(),
                sealing: self.sealing.public(),
                proof: self.signing.sign(&key_statement(&self.sealing.public())).to_vec(),
            }
        }
    }

    fn deliver(from: &Device, envelope: &Envelope, to: &Device) -> Delivery {
        Delivery {
            place: 1,
            header: envelope.header,
            from_name: "anna".into(),
            to_name: None,
            signing: from.signing.public(),
            at_ms: 6,
            body: envelope.body.clone(),
            signature: envelope.signature.clone(),
            sealed: envelope.seal_to(to.id(), &to.sealing.public()).unwrap().sealed,
        }
    }

    fn text(text: &str) -> Content {
        Content::Text(text.into())
    }

    #[test]
    fn each_device_that_it_is_sealed_to_reads_a_message_and_no_other() {
        let (anna, ben, phone, eve) = (Device::of(ANNA), Device::of(BEN), Device::of(ANNA), Device::of(EVE));
        let envelope = anna.say(Some(BEN), "hello");
        for reader in [&ben, &phone] {
            assert_eq!(reader.open(&deliver(&anna, &envelope, reader)), Ok(text("hello")));
        }
        assert_eq!(eve.open(&deliver(&anna, &envelope, &eve)), Err(Unreadable::NotForMe));
        let tablet = Device::of(BEN);
        assert_eq!(tablet.open(&deliver(&anna, &envelope, &ben)), Err(Unreadable::Sealed));
        let envelope = anna.say(None, "all");
        assert_eq!(eve.open(&deliver(&anna, &envelope, &eve)), Ok(text("all")));
    }

    #[test]
    fn nothing_of_a_message_can_be_changed_on_the_way() {
        let (anna, ben, mallory) = (Device::of(ANNA), Device::of(BEN), Device::of(EVE));
        let envelope = anna.say(Some(BEN), "hello");
        let sent = deliver(&anna, &envelope, &ben);
        let other = deliver(&anna, &anna.say(Some(BEN), "other"), &ben);
        // A body, a seal or a signature of another message.
        let swapped = |change: &dyn Fn(&mut Delivery)| {
            let mut swapped = sent.clone();
            change(&mut swapped);
            ben.open(&swapped)
        };
        assert_eq!(swapped(&|d| d.body.clone_from(&other.body)), Err(Unreadable::Signature));
        assert_eq!(swapped(&|d| d.sealed.clone_from(&other.sealed)), Err(Unreadable::Sealed));
        assert_eq!(swapped(&|d| d.signature.clone_from(&other.signature)), Err(Unreadable::Signature));
        // Another sender, receiver, id or time.
        assert_eq!(swapped(&|d| d.header.from = EVE), Err(Unreadable::Signature));
        assert_eq!(swapped(&|d| d.header.to = None), Err(Unreadable::Signature));
        assert_eq!(swapped(&|d| d.header.id = MessageId([8; 16])), Err(Unreadable::Signature));
        assert_eq!(swapped(&|d| d.header.written_ms = 4), Err(Unreadable::Signature));
        // Signed by somebody else, whether in their own name or in hers.
        let forged = mallory.signing.sign(&sent.header.statement(&sent.body)).to_vec();
        assert_eq!(swapped(&|d| d.signature.clone_from(&forged)), Err(Unreadable::Signature));
        let in_her_name = |d: &mut Delivery| {
            d.signature.clone_from(&forged);
            d.signing = mallory.signing.public();
        };
        assert_eq!(swapped(&in_her_name), Err(Unreadable::OtherDevice));
        // Cut short anywhere.
        for length in [0, 1, MARK_BYTES, sent.body.len() - 1] {
            assert_eq!(swapped(&|d| d.body.truncate(length)), Err(Unreadable::Signature));
        }
    }

    #[test]
    fn a_signature_for_another_purpose_is_none_for_a_message() {
        let (anna, ben) = (Device::of(ANNA), Device::of(BEN));
        let envelope = anna.say(Some(BEN), "hello");
        let mut sent = deliver(&anna, &envelope, &ben);
        sent.signature =
            anna.signing.sign(&[blake3::hash(&sent.body).as_bytes(), &sent.header.bytes()[..]].concat()).to_vec();
        assert_eq!(ben.open(&sent), Err(Unreadable::Signature));
    }

    #[test]
    fn whoever_got_a_message_cannot_pass_it_on_as_the_senders_to_somebody_else() {
        let (anna, ben, eve) = (Device::of(ANNA), Device::of(BEN), Device::of(EVE));
        let envelope = anna.say(Some(BEN), "for ben");
        assert_eq!(ben.open(&deliver(&anna, &envelope, &ben)), Ok(text("for ben")));
        let mut passed_on = deliver(&anna, &envelope, &eve);
        passed_on.header.to = Some(EVE);
        assert_eq!(eve.open(&passed_on), Err(Unreadable::Signature));
    }

    #[test]
    fn one_body_is_never_two_texts_under_two_keys() {
        let (anna, ben) = (Device::of(ANNA), Device::of(BEN));
        let mut envelope = anna.say(Some(BEN), "one");
        envelope.key = [9; 32];
        assert_eq!(ben.open(&deliver(&anna, &envelope, &ben)), Err(Unreadable::Damaged));
    }

    #[test]
    fn a_kind_of_message_that_is_not_known_yet_is_told_from_a_damaged_one() {
        let (anna, ben) = (Device::of(ANNA), Device::of(BEN));
        let long = Content::Text("x".repeat(MESSAGE_TEXT_BYTES_MAX + 1));
        let envelope = Envelope::close(&anna.signing, [4; 32], anna.header(Some(BEN)), &long).unwrap();
        assert_eq!(ben.open(&deliver(&anna, &envelope, &ben)), Err(Unreadable::Unknown));
        let far_too_long = Content::Text("x".repeat(MESSAGE_BODY_BYTES_MAX));
        assert_eq!(Envelope::close(&anna.signing, [4; 32], anna.header(None), &far_too_long), None);
    }

    #[test]
    fn the_length_of_a_message_tells_little_of_the_texts() {
        let anna = Device::of(ANNA);
        let length = |text: &str| anna.say(None, text).body.len();
        assert_eq!(length(""), length(&"x".repeat(200)));
        assert!(length(&"x".repeat(MESSAGE_TEXT_BYTES_MAX)) <= MESSAGE_BODY_BYTES_MAX);
    }

    #[test]
    fn keys_belong_together_only_where_the_device_says_so() {
        let (anna, ben) = (Device::of(ANNA), Device::of(BEN));
        assert_eq!(owner_of(&anna.keys()), Some(anna.id()));
        assert_eq!(owner_of(&DeviceKeys { sealing: ben.sealing.public(), ..anna.keys() }), None);
        assert_eq!(owner_of(&DeviceKeys { signing: ben.signing.public(), ..anna.keys() }), None);
        assert_eq!(owner_of(&DeviceKeys { proof: Vec::new(), ..anna.keys() }), None);
    }

    #[test]
    fn a_seal_has_the_length_that_the_tracker_expects_and_an_envelope_prints_nothing_secret() {
        let anna = Device::of(ANNA);
        let envelope = anna.say(None, "secret");
        let sealed = envelope.seal_to(anna.id(), &anna.sealing.public()).unwrap().sealed;
        assert_eq!(sealed.len(), MESSAGE_SEAL_BYTES);
        assert!(!format!("{envelope:?}").contains("key"));
    }

    proptest! {
        #[test]
        fn every_text_comes_out_as_it_went_in(said in "(?s).{0,700}") {
            let (anna, ben) = (Device::of(ANNA), Device::of(BEN));
            let envelope = anna.say(Some(BEN), &said);
            prop_assert_eq!(ben.open(&deliver(&anna, &envelope, &ben)), Ok(Content::Text(said)));
        }
    }
}
