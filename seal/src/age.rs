//! The age format, version 1, for one passphrase: <https://c2sp.org/age>.
//!
//! A file has a header in text: the salt and the work of the key that is made of the passphrase (scrypt), the file's own
//! key encrypted with that one, and a checksum of it all under the file's key. Behind it lie a nonce and the content in
//! pieces of 64 KiB, each encrypted with ChaCha20-Poly1305 under a number and a mark of the last one, so that none can be
//! left out, moved or cut off unnoticed.

use std::io::{self, Read, Write};

use data_encoding::BASE64_NOPAD;
use ring::{
    aead::{self, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use shared::limits::{SEAL_HEADER_BYTES_MAX, SEAL_WORK, SEAL_WORK_MAX};
use zeroize::Zeroizing;

use crate::{OpenError, Password, Plain, Watched};

const FIRST_LINE: &str = "age-encryption.org/v1";
const STANZA: &str = "-> scrypt ";
const LAST_LINE: &str = "---";
/// Before the salt, so that the key is of no use anywhere else.
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
const SALT_BYTES: usize = 16;
const FILE_KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// Of the content; what is encrypted of it is longer by a tag.
const PIECE_BYTES: usize = 64 * 1024;

type FileKey = Zeroizing<[u8; FILE_KEY_BYTES]>;

/// What a header says.
struct Header {
    salt: [u8; SALT_BYTES],
    work: u8,
    wrapped: [u8; FILE_KEY_BYTES + TAG_BYTES],
    /// What the checksum is of.
    text: String,
    checksum: [u8; 32],
    /// Bytes that it takes.
    length: usize,
}

pub(crate) fn seal(
    password: &Password,
    mut plain: impl Read,
    mut cipher: impl Write,
    watched: &mut Watched<'_>,
) -> io::Result<Plain> {
    let (file_key, salt, nonce): (FileKey, [u8; SALT_BYTES], [u8; NONCE_BYTES]) =
        (Zeroizing::new(random()?), random()?, random()?);
    let mut wrapped = file_key.to_vec();
    wrapping_key(password, &salt, SEAL_WORK)?
        .seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut wrapped)
        .map_err(failed)?;
    let mut header = format!(
        "{FIRST_LINE}\n{STANZA}{} {SEAL_WORK}\n{}\n{LAST_LINE}",
        BASE64_NOPAD.encode(&salt),
        BASE64_NOPAD.encode(&wrapped)
    );
    let checksum = hmac::sign(&checksum_key(&file_key)?, header.as_bytes());
    header.push_str(&format!(" {}\n", BASE64_NOPAD.encode(checksum.as_ref())));
    cipher.write_all(header.as_bytes())?;
    cipher.write_all(&nonce)?;

    let mut pieces = Pieces::new(&file_key, &nonce)?;
    let (mut piece, mut next) = (Vec::new(), Vec::new());
    fill(&mut plain, &mut piece, PIECE_BYTES)?;
    loop {
        fill(&mut plain, &mut next, PIECE_BYTES)?;
        watched.passed(&piece)?;
        let is_last = next.is_empty();
        let nonce = pieces.next(is_last);
        pieces.key.seal_in_place_append_tag(nonce, Aad::empty(), &mut piece).map_err(failed)?;
        cipher.write_all(&piece)?;
        if is_last {
            cipher.flush()?;
            return Ok(watched.end());
        }
        std::mem::swap(&mut piece, &mut next);
    }
}

pub(crate) fn open(
    password: &Password,
    mut cipher: impl Read,
    mut plain: impl Write,
    watched: &mut Watched<'_>,
) -> Result<Plain, OpenError> {
    let mut head = Vec::new();
    fill(&mut cipher, &mut head, SEAL_HEADER_BYTES_MAX)?;
    let header = Header::parse(&head).ok_or(OpenError::Damaged)?;
    if header.work > SEAL_WORK_MAX {
        return Err(OpenError::TooMuchWork);
    }
    let mut file_key = header.wrapped.to_vec();
    let file_key = wrapping_key(password, &header.salt, header.work)?
        .open_in_place(zero_nonce(), Aad::empty(), &mut file_key)
        .map_err(|_| OpenError::WrongPassword)?;
    let file_key: FileKey = Zeroizing::new((&*file_key).try_into().map_err(|_| OpenError::Damaged)?);
    hmac::verify(&checksum_key(&file_key)?, header.text.as_bytes(), &header.checksum)
        .map_err(|_| OpenError::Damaged)?;

    let mut cipher = io::Cursor::new(&head[header.length..]).chain(cipher);
    let mut nonce = Vec::new();
    fill(&mut cipher, &mut nonce, NONCE_BYTES)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| OpenError::Damaged)?;
    let mut pieces = Pieces::new(&file_key, &nonce)?;
    let (mut piece, mut next) = (Vec::new(), Vec::new());
    fill(&mut cipher, &mut piece, PIECE_BYTES + TAG_BYTES)?;
    loop {
        fill(&mut cipher, &mut next, PIECE_BYTES + TAG_BYTES)?;
        let (is_first, is_last) = (pieces.number == 0, next.is_empty());
        let nonce = pieces.next(is_last);
        let opened = pieces.key.open_in_place(nonce, Aad::empty(), &mut piece).map_err(|_| OpenError::Damaged)?;
        if opened.is_empty() && !is_first {
            return Err(OpenError::Damaged);
        }
        plain.write_all(opened)?;
        watched.passed(opened)?;
        if is_last {
            plain.flush()?;
            return Ok(watched.end());
        }
        std::mem::swap(&mut piece, &mut next);
    }
}

impl Header {
    /// Reads the header at the beginning of these bytes; `None`: there is none of this kind.
    fn parse(head: &[u8]) -> Option<Self> {
        let mut lines = head.split_inclusive(|byte| *byte == b'\n');
        let mut length = 0;
        let mut line = || {
            let line = lines.next()?;
            length += line.len();
            std::str::from_utf8(line.strip_suffix(b"\n")?).ok()
        };
        let (first, stanza, body, last) = (line()?, line()?, line()?, line()?);
        let (salt, work) = stanza.strip_prefix(STANZA)?.split_once(' ')?;
        let checksum = last.strip_prefix(LAST_LINE)?.strip_prefix(' ')?;
        let canonical = !work.starts_with(['0', '+']) && work.len() <= 2;
        (first == FIRST_LINE && canonical).then_some(())?;
        Some(Self {
            salt: decoded(salt)?,
            work: work.parse().ok()?,
            wrapped: decoded(body)?,
            text: format!("{first}\n{stanza}\n{body}\n{LAST_LINE}"),
            checksum: decoded(checksum)?,
            length,
        })
    }
}

/// The nonces of the pieces, and their key.
struct Pieces {
    key: LessSafeKey,
    number: u64,
}

impl Pieces {
    fn new(file_key: &FileKey, nonce: &[u8; NONCE_BYTES]) -> io::Result<Self> {
        Ok(Self { key: cipher_key(&*derived(file_key, nonce, b"payload")?)?, number: 0 })
    }

    /// The nonce of the next piece: eleven bytes of its number, and the mark of the last one.
    fn next(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[3..11].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

fn wrapping_key(password: &Password, salt: &[u8; SALT_BYTES], work: u8) -> io::Result<LessSafeKey> {
    let params = scrypt::Params::new(work, 8, 1).map_err(io::Error::other)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(password.as_bytes(), &[SALT_LABEL, salt].concat(), &params, &mut *key).map_err(io::Error::other)?;
    cipher_key(&*key)
}

fn cipher_key(key: &[u8]) -> io::Result<LessSafeKey> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(failed)?))
}

fn checksum_key(file_key: &FileKey) -> io::Result<hmac::Key> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &*derived(file_key, &[], b"header")?))
}

fn derived(file_key: &FileKey, salt: &[u8], purpose: &[u8]) -> io::Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(&**file_key)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|secret| secret.fill(&mut *key))
        .map_err(failed)?;
    Ok(key)
}

/// The key of a header is used once.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn failed(error: ring::error::Unspecified) -> io::Error {
    io::Error::other(error.to_string())
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Reads so many bytes, or fewer at the end.
fn fill(from: &mut impl Read, buffer: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
    buffer.clear();
    from.take(bytes as u64).read_to_end(buffer)?;
    Ok(())
}
