//! Whose a token is. The store has digests of tokens alone; what it has said is believed for a
//! moment, so that requests need not read it each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};

use crate::access::caller::{Caller, OWN_TOKEN};
use crate::access::tenants::Tenants;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, Role, TenantId, Timestamp, check_name};
use crate::store::{AccountChange, Store, TokenDigest, TokenRow, Verdict};

/// What the store has said of a token is believed for so long. Another daemon on the same store may
/// have revoked the token meanwhile.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// Tokens of which more than this are remembered are forgotten together.
const MOST_REMEMBERED: usize = 10_000;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 24;

/// By what tokens that this module makes are recognised, by people and by scanners for secrets.
const PREFIX: &str = "dormouse_";

/// The tokens of a daemon.
pub(crate) struct Tokens {
    /// The token in the daemon's directory.
    own: Digest,
    store: Arc<dyn Store>,
    tenants: Arc<Tenants>,
    known: Mutex<HashMap<TokenDigest, (Instant, Caller)>>,
}

impl Tokens {
    pub(crate) fn new(own: &str, store: Arc<dyn Store>, tenants: Arc<Tenants>) -> Self {
        Self {
            own: Digest::of(own.as_bytes()),
            store,
            tenants,
            known: Mutex::default(),
        }
    }

    /// Who has a token; `None` where nobody has it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn caller(&self, token: &[u8]) -> Result<Option<Caller>, Error> {
        // Digests are compared, so that the time this takes reveals nothing about the token.
        if Digest::of(token) == self.own {
            return Ok(Some(Caller::own()));
        }
        if !token.starts_with(PREFIX.as_bytes()) {
            return Ok(None);
        }
        let digest = digest_of(token);
        if let Some((at, caller)) = self.known.lock().get(&digest)
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(Some(caller.clone()));
        }
        let store = self.store.clone();
        let found = tokio::task::spawn_blocking(move || store.token(&digest)).await;
        let found = found.map_err(|error| Refused::Damaged(error.to_string()))??;
        let Some(row) = found else {
            self.known.lock().remove(&digest);
            return Ok(None);
        };
        let caller = Caller {
            token: row.name,
            role: row.role,
            tenant: row.tenant,
            tenant_name: self.tenants.name(row.tenant).await?,
            acts_for: false,
        };
        let mut known = self.known.lock();
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(digest, (Instant::now(), caller.clone()));
        Ok(Some(caller))
    }

    /// Makes a token. It is told once, and stored nowhere.
    ///
    /// # Errors
    /// If another token has the name, or there is no such tenant.
    pub(crate) async fn create(
        &self,
        name: String,
        tenant: TenantId,
        role: Role,
        created: Timestamp,
    ) -> Result<(TokenRow, String), Error> {
        check(&name)?;
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random)
            .map_err(|error| Refused::Damaged(format!("there are no random numbers: {error}")))?;
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = format!("{PREFIX}{hex}");
        let row = TokenRow {
            name: name.clone(),
            digest: digest_of(token.as_bytes()),
            tenant,
            role,
            created,
        };
        match self.change(AccountChange::AddToken(row.clone())).await? {
            Verdict::Done => Ok((row, token)),
            Verdict::NameTaken => {
                let text =
                    format!("there is a token of the name {name:?} already; revoke it first");
                Err(Refused::Request(text).at("name").into())
            }
            Verdict::Conflict => Err(Refused::NoTenant(tenant.0.to_string()).into()),
        }
    }

    /// All tokens, by their names.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn all(&self) -> Result<Vec<TokenRow>, Error> {
        let store = self.store.clone();
        let all = tokio::task::spawn_blocking(move || store.tokens()).await;
        Ok(all.map_err(|error| Refused::Damaged(error.to_string()))??)
    }

    /// A token counts no more; says whether there was one.
    ///
    /// # Errors
    /// If that cannot be stored.
    pub(crate) async fn revoke(&self, name: &str) -> Result<bool, Error> {
        let verdict = self.change(AccountChange::RemoveToken(name.into())).await?;
        // Also where another daemon was faster.
        self.known
            .lock()
            .retain(|_, (_, caller)| caller.token != name);
        Ok(verdict == Verdict::Done)
    }

    async fn change(&self, change: AccountChange) -> Result<Verdict, Error> {
        let store = self.store.clone();
        let changed = tokio::task::spawn_blocking(move || store.change_account(&change)).await;
        Ok(changed.map_err(|error| Refused::Damaged(error.to_string()))??)
    }
}

fn digest_of(token: &[u8]) -> TokenDigest {
    let mut bytes = TokenDigest::default();
    bytes.copy_from_slice(digest(&SHA256, token).as_ref());
    bytes
}

/// Refuses a name that a token cannot have.
fn check(name: &str) -> Result<(), Refused> {
    let refused = |text: String| Refused::Request(text).at("name");
    check_name(name).map_err(|error| refused(error.replace("a task's name", "a token's name")))?;
    match name == OWN_TOKEN {
        true => Err(refused(format!(
            "{name:?} is the name of the token in the daemon's directory; take another"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::stores::store_after;

    fn tokens() -> (Tokens, tempfile::TempDir) {
        let (store, folder) = store_after(Vec::new());
        let store: Arc<dyn Store> = Arc::new(store);
        let tenants = Arc::new(Tenants::new(store.clone(), false));
        (Tokens::new("secret", store, tenants), folder)
    }

    #[tokio::test]
    async fn only_the_token_itself_is_taken() {
        let (tokens, _folder) = tokens();
        let caller = |token: &'static str| tokens.caller(token.as_bytes());
        assert_eq!(caller("secret").await.expect("reads"), Some(Caller::own()));
        for wrong in [
            "secre",
            "secret2",
            "",
            "SECRET",
            "dormouse_",
            "dormouse_secret",
        ] {
            assert_eq!(caller(wrong).await.expect("reads"), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_token_counts_until_it_is_revoked_and_is_stored_nowhere() {
        let (tokens, folder) = tokens();
        let (default, now) = (TenantId::DEFAULT, Timestamp::EPOCH);
        let made = tokens.create("ci".into(), default, Role::Submit, now).await;
        let (row, token) = made.expect("it is made");
        let expected = Caller {
            token: "ci".into(),
            role: Role::Submit,
            ..Caller::own()
        };
        let caller = || tokens.caller(token.as_bytes());
        // From the store, and from memory.
        for _ in 0..2 {
            assert_eq!(caller().await.expect("reads"), Some(expected.clone()));
        }
        for name in ["ci", "daemon", "7", ""] {
            let refused = tokens.create(name.into(), default, Role::Read, now).await;
            assert!(refused.is_err(), "{name:?}");
        }
        assert_eq!(tokens.all().await.expect("reads"), [row]);
        for file in std::fs::read_dir(folder.path()).expect("reads").flatten() {
            let bytes = std::fs::read(file.path()).expect("reads");
            let part = token.as_bytes();
            assert!(!bytes.windows(part.len()).any(|window| window == part));
        }
        assert!(tokens.revoke("ci").await.expect("it is stored"));
        assert!(!tokens.revoke("ci").await.expect("it is stored"));
        assert_eq!(caller().await.expect("reads"), None);
    }
}
