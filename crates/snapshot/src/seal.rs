//! Files that are signed, encrypted, or both: an envelope around the file of `container`, or around
//! a resumable module with machine code.
//!
//! ```text
//! offset  size  content (all numbers little-endian)
//!      0     8  "dormseal"
//!      8     4  version of the envelope
//!     12     4  1: signed, 2: encrypted, 3: both
//!     16     8  length of the payload in bytes
//!     24    42  if signed: the signer's public key, as minisign has it
//!     66    74  if signed: the signature, as minisign has it
//!           ..  the payload: the file, or its encryption by age
//! ```
//!
//! A signature is over the words `dormouse seal` with a line feed, bytes 0 to 66, and the payload
//! as it is in the file. It is checked before anything is decrypted, and all of that before a
//! snapshot is looked at. A file is refused in the same words whatever is inside.

use std::fmt;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use minisign::{PublicKey, SecretKey, SignatureBones, SignatureBox};

use super::Error;
use crate::model::error::Error as Public;
use crate::model::{Limit, Limits};

/// The first bytes of an envelope.
pub(super) const MAGIC: &[u8; 8] = b"dormseal";

/// The version that this build writes and reads.
const VERSION: u32 = 1;

/// What an envelope can be, as bits.
const SIGNED: u32 = 1;
const ENCRYPTED: u32 = 2;
/// Bytes of the parts of an envelope.
const HEAD_BYTES: usize = 24;
const KEY_BYTES: usize = 42;
const SIGNATURE_BYTES: usize = 74;
/// What a signature is over begins with this, so that it is one of nothing else.
const DOMAIN: &[u8] = b"dormouse seal\n";

/// How large a file of keys may be.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;

/// Whether a file that begins so is in an envelope.
pub fn is_sealed(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// By whom a snapshot is signed, and who can read it.
#[derive(Default)]
pub struct Seal {
    signer: Option<SecretKey>,
    recipients: Vec<Recipient>,
}

impl Seal {
    /// Reads a secret key of minisign to sign with, and for each of `encrypt_to` a recipient of
    /// age's or a file of them.
    ///
    /// # Errors
    /// If a file cannot be read or holds no key.
    pub fn load(sign_key: Option<&Path>, encrypt_to: &[String]) -> Result<Self, Public> {
        let mut seal = Self {
            signer: sign_key.map(secret_key).transpose()?,
            recipients: Vec::new(),
        };
        for given in encrypt_to {
            if let Ok(recipient) = given.parse() {
                seal.recipients.push(recipient);
                continue;
            }
            let path = Path::new(given);
            let found = each_line(path, "recipient of age's, such as age1…", |line| {
                line.parse()
            })?;
            seal.recipients.extend(found);
        }
        Ok(seal)
    }

    /// Whether snapshots are left as they are.
    pub fn is_empty(&self) -> bool {
        self.signer.is_none() && self.recipients.is_empty()
    }

    /// Whether snapshots are signed.
    pub fn signs(&self) -> bool {
        self.signer.is_some()
    }

    /// What was encrypted stays so: where no one is named, whoever could read the last snapshot can
    /// read the next one.
    #[must_use]
    pub fn or_for(mut self, keys: &Unseal) -> Self {
        if self.recipients.is_empty() {
            self.recipients = keys.identities.iter().map(Identity::to_public).collect();
        }
        self
    }

    /// Puts a snapshot into an envelope.
    ///
    /// # Errors
    /// If the system has no random numbers, or no memory.
    pub fn close(&self, snapshot: Vec<u8>) -> Result<Vec<u8>, Public> {
        if self.is_empty() {
            return Ok(snapshot);
        }
        let mut flags = 0;
        let payload = match self.recipients.is_empty() {
            true => snapshot,
            false => {
                flags |= ENCRYPTED;
                encrypt(&snapshot, &self.recipients).map_err(failed)?
            }
        };
        if self.signer.is_some() {
            flags |= SIGNED;
        }
        let mut file = Vec::with_capacity(HEAD_BYTES + KEY_BYTES + SIGNATURE_BYTES + payload.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&flags.to_le_bytes());
        file.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        if let Some(secret) = &self.signer {
            let public = PublicKey::from_secret_key(secret).map_err(failed)?;
            let message = Cursor::new(message(&file, &public.to_bytes(), &payload));
            let signature = minisign::sign(Some(&public), secret, message, None, None);
            let signature = SignatureBones::from(signature.map_err(failed)?);
            file.extend_from_slice(&public.to_bytes());
            file.extend_from_slice(&signature.to_bytes());
        }
        file.extend_from_slice(&payload);
        Ok(file)
    }
}

/// Whose signature is wanted, and what can be decrypted.
#[derive(Default)]
pub struct Unseal {
    trusted: Vec<PublicKey>,
    identities: Vec<Identity>,
}

/// A file out of its envelope.
#[derive(Default)]
pub struct Opened {
    /// What was in the envelope; `None` where it is encrypted and no key was given.
    pub content: Option<Vec<u8>>,
    /// Who has signed it. The signature is right; whether that key is one to trust, only a trusted
    /// key tells.
    pub signer: Option<String>,
    /// Whether it was encrypted.
    pub encrypted: bool,
}

impl Unseal {
    /// Reads public keys of minisign, each a file or the key itself, and files of age
    /// identities.
    ///
    /// # Errors
    /// If a file cannot be read or holds no key.
    pub fn load(verify: &[String], decrypt: &[impl AsRef<Path>]) -> Result<Self, Public> {
        let mut keys = Self::default();
        for given in verify {
            keys.trusted.push(match PublicKey::from_base64(given) {
                Ok(key) => key,
                Err(_) => public_key(Path::new(given))?,
            });
        }
        for path in decrypt {
            let found = each_line(path.as_ref(), "AGE-SECRET-KEY_BYTES-1…", |line| {
                line.parse()
            })?;
            keys.identities.extend(found);
        }
        Ok(keys)
    }

    /// Whether anything is taken, in an envelope or not.
    pub fn is_empty(&self) -> bool {
        self.trusted.is_empty() && self.identities.is_empty()
    }

    /// Whether a signature by a trusted key is asked for.
    pub fn verifies(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// Takes a file out of its envelope, or lets one through that has none. Where keys to trust are
    /// given, only what one of them has signed; where keys to decrypt with are given, only what is
    /// encrypted to one.
    ///
    /// # Errors
    /// If it is not what was asked for. No bytes of a snapshot have been looked at then.
    pub fn open(&self, file: Vec<u8>, limits: &Limits) -> Result<Opened, Public> {
        if !is_sealed(&file) {
            if self.verifies() {
                return Err(Error::Untrusted.into());
            }
            if !self.identities.is_empty() {
                return Err(Error::NotEncrypted.into());
            }
            return Ok(Opened {
                content: Some(file),
                signer: None,
                encrypted: false,
            });
        }
        let envelope = Envelope::of(&file, limits)?;
        let signer = self.verify(&envelope)?;
        let mut opened = Opened {
            content: None,
            signer: signer.map(|key| key_name(&key)),
            encrypted: envelope.encrypted,
        };
        opened.content = match (envelope.encrypted, self.identities.is_empty()) {
            (false, false) => return Err(Error::NotEncrypted.into()),
            (false, true) => Some(envelope.payload.to_vec()),
            (true, true) => None,
            (true, false) => {
                let plain = decrypt(
                    envelope.payload,
                    &self.identities,
                    limits.value(Limit::Snapshot),
                );
                Some(plain.ok_or(Error::CannotDecrypt)?)
            }
        };
        Ok(opened)
    }

    /// The signer, whose signature is right.
    fn verify(&self, envelope: &Envelope<'_>) -> Result<Option<PublicKey>, Error> {
        let Some((key, signature)) = envelope.signature else {
            return match self.verifies() {
                true => Err(Error::Untrusted),
                false => Ok(None),
            };
        };
        let refused = match self.verifies() {
            true => || Error::Untrusted,
            false => || Error::BadSignature,
        };
        let stated = key;
        let key = match self.verifies() {
            true => {
                let ours = self.trusted.iter().find(|key| key.to_bytes() == stated);
                ours.cloned().ok_or_else(refused)?
            }
            false => PublicKey::from_bytes(stated).map_err(|_| refused())?,
        };
        let signature = SignatureBones::from_bytes(signature).map_err(|_| refused())?;
        let message = Cursor::new(message(envelope.head, stated, envelope.payload));
        // Only what was hashed first is taken, which is all that this program makes.
        minisign::verify(
            &key,
            &SignatureBox::from(signature),
            message,
            true,
            false,
            false,
        )
        .map_err(|_| refused())?;
        Ok(Some(key))
    }
}

/// The parts of a file in an envelope, by its own word.
struct Envelope<'a> {
    head: &'a [u8],
    /// Public key and signature.
    signature: Option<(&'a [u8], &'a [u8])>,
    encrypted: bool,
    payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn of(file: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let expected = stated_length(file, limits)?;
        let found = file.len() as u64;
        if found < expected {
            return Err(Error::Truncated { expected, found });
        }
        if found > expected {
            return Err(Error::Trailing(found - expected));
        }
        let flags = number(file, 12);
        let (head, mut rest) = file.split_at(HEAD_BYTES);
        let mut signature = None;
        if flags & SIGNED != 0 {
            let (both, payload) = rest.split_at(KEY_BYTES + SIGNATURE_BYTES);
            signature = Some(both.split_at(KEY_BYTES));
            rest = payload;
        }
        Ok(Self {
            head,
            signature,
            encrypted: flags & ENCRYPTED != 0,
            payload: rest,
        })
    }
}

/// How long a file in an envelope says that it is, from its first bytes.
pub(super) fn stated_length(start: &[u8], limits: &Limits) -> Result<u64, Error> {
    if start.len() < HEAD_BYTES {
        return Err(Error::Truncated {
            expected: HEAD_BYTES as u64,
            found: start.len() as u64,
        });
    }
    let (version, flags) = (number(start, 8), number(start, 12));
    if version != VERSION {
        return Err(Error::EnvelopeVersion {
            found: version,
            known: VERSION,
        });
    }
    if !(1..=SIGNED | ENCRYPTED).contains(&flags) {
        return Err(Error::Malformed("its envelope is of no known kind".into()));
    }
    let payload = u64::from(number(start, 16)) | u64::from(number(start, 20)) << 32;
    let signature = match flags & SIGNED != 0 {
        true => KEY_BYTES + SIGNATURE_BYTES,
        false => 0,
    };
    let size = payload.saturating_add((HEAD_BYTES + signature) as u64);
    match size > limits.value(Limit::Snapshot) {
        true => Err(Error::TooLarge {
            what: "file",
            size,
            limit: limits.value(Limit::Snapshot),
        }),
        false => Ok(size),
    }
}

/// Four bytes as a number; zero where they are missing, which the caller has excluded.
fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

fn message(head: &[u8], key: &[u8], payload: &[u8]) -> Vec<u8> {
    [DOMAIN, head, key, payload].concat()
}

fn encrypt(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let recipients = recipients.iter().map(|one| one as &dyn age::Recipient);
    let mut sealed = Vec::with_capacity(plain.len() + 1024);
    let mut writer = age::Encryptor::with_recipients(recipients)?.wrap_output(&mut sealed)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(sealed)
}

/// At most this many bytes; why not, is nobody's business.
fn decrypt(sealed: &[u8], identities: &[Identity], most: u64) -> Option<Vec<u8>> {
    let decryptor = age::Decryptor::new_buffered(sealed).ok()?;
    let identities = identities.iter().map(|one| one as &dyn age::Identity);
    let mut plain = Vec::new();
    let reader = decryptor.decrypt(identities).ok()?;
    reader.take(most).read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// A new key pair: what goes into the secret file, and what into the public one.
///
/// # Errors
/// If the system has no random numbers.
pub fn new_keys(kind: KeyKind) -> Result<(String, String), Public> {
    match kind {
        KeyKind::Sign => {
            let pair = minisign::KeyPair::generate_unencrypted_keypair().map_err(failed)?;
            let comment = format!("minisign secret key {}", key_id(&pair.pk));
            let secret = pair.sk.to_box(Some(&comment)).map_err(failed)?;
            let public = pair.pk.to_box().map_err(failed)?;
            Ok((secret.into_string(), public.into_string()))
        }
        KeyKind::Encrypt => {
            let identity = Identity::generate();
            let public = identity.to_public();
            let secret = identity.to_string();
            let secret = format!("# public key: {public}\n{}\n", secret.expose_secret());
            Ok((secret, format!("{public}\n")))
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyKind {
    /// To sign snapshots with: a key of minisign.
    Sign,
    /// To encrypt snapshots to: a key of age.
    Encrypt,
}

/// As minisign prints it.
fn key_id(key: &PublicKey) -> String {
    key.keynum()
        .iter()
        .rev()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

/// The key itself: two keys may have one number.
fn key_name(key: &PublicKey) -> String {
    key.to_base64()
}

fn failed(error: impl fmt::Display) -> Public {
    Public::new(crate::model::error::ErrorKind::Internal, error.to_string())
}

fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let file = fs::File::open(path).map(|file| file.take(MAX_KEY_FILE_BYTES));
    let read = file.and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    Ok(text)
}

/// Keys of age, one a line; `#` begins a comment.
fn each_line<T, E>(
    path: &Path,
    what: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Error> {
    let text = read(path)?;
    let wrong = || Error::Key {
        path: path.into(),
        what,
    };
    let lines = text.lines().map(str::trim);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<T> = keys
        .map(parse)
        .collect::<Result<_, E>>()
        .map_err(|_| wrong())?;
    match keys.is_empty() {
        true => Err(wrong()),
        false => Ok(keys),
    }
}

fn public_key(path: &Path) -> Result<PublicKey, Error> {
    let text = read(path)?;
    let key = text
        .lines()
        .find_map(|line| PublicKey::from_base64(line.trim()).ok());
    key.ok_or_else(|| Error::Key {
        path: path.into(),
        what: "public key of minisign's",
    })
}

fn secret_key(path: &Path) -> Result<SecretKey, Error> {
    let text = read(path)?;
    let wrong = |what| Error::Key {
        path: path.into(),
        what,
    };
    // Two lines: minisign would take what is missing for a panic.
    if text.lines().count() < 2 {
        return Err(wrong("secret key of minisign's"));
    }
    let secret = minisign::SecretKeyBox::from_string(&text)
        .and_then(minisign::SecretKeyBox::into_unencrypted_secret_key);
    secret.map_err(|_| wrong("secret key of minisign's without a password"))
}
