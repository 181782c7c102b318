//! The flags that name keys.

use std::path::{Path, PathBuf};

use crate::cli::exit::Failure;
use crate::snapshot::{Seal, Unseal};

/// How snapshots are written: as they are, or signed and encrypted.
#[derive(Debug, clap::Args)]
pub(crate) struct Sealing {
    /// Sign the snapshot with this secret key, a file of `dormouse keygen sign` or of minisign.
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Encrypt the snapshot to this recipient of age (age1…), or to those in a file.
    #[arg(long, value_name = "FILE|RECIPIENT")]
    pub encrypt_to: Vec<String>,
}

impl Sealing {
    /// Reads the keys.
    pub(crate) fn load(&self) -> Result<Seal, Failure> {
        Ok(Seal::load(self.sign_key.as_deref(), &self.encrypt_to)?)
    }
}

/// Whose machine code is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Trust {
    /// Take only a module that is signed with this key, and the machine code that comes with it: a
    /// file of `dormouse compile --output --sign-key`. The key is minisign's public one (RW…), or a
    /// file of it.
    #[arg(long, value_name = "FILE|KEY")]
    pub verify_key: Vec<String>,
}

impl Trust {
    /// Reads the keys.
    pub(crate) fn load(&self) -> Result<Unseal, Failure> {
        Ok(Unseal::load(&self.verify_key, &[] as &[&Path])?)
    }
}

/// Which snapshots are taken.
#[derive(Debug, clap::Args)]
pub(crate) struct Opening {
    /// Take only a snapshot that is signed with this key: minisign's public key (RW…), or a file of
    /// it.
    #[arg(long, value_name = "FILE|KEY")]
    pub verify_key: Vec<String>,
    /// Say so: an error without --verify-key.
    #[arg(long, requires = "verify_key")]
    pub require_signature: bool,
    /// Refuse unencrypted snapshots, and decrypt with the age identity (secret key) in this file;
    /// may be repeated.
    #[arg(long, value_name = "FILE")]
    pub decrypt_key: Vec<PathBuf>,
}

impl Opening {
    /// Reads the keys.
    pub(crate) fn load(&self) -> Result<Unseal, Failure> {
        Ok(Unseal::load(&self.verify_key, &self.decrypt_key)?)
    }
}
