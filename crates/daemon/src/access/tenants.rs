//! What tenants may have. Quotas are of all their tasks together, and are looked at when tasks are
//! added; grants and limits are of each task.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::bounds::{check_host, stored_size};
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::spec::{Access, Mount, Reach, Settings};
use crate::model::{Setting, TaskSpec, TenantId, check_name};
use crate::moving::target::covers;
use crate::spec::check_limits;
use crate::store::{AccountChange, Store, TenantRow, Usage, Verdict};
pub use crate::stored::tenant_rules::TenantRules;

/// What the store has said of tenants is believed for so long where other nodes have the same store:
/// one of them may have changed them meanwhile.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// A tenant with what it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) name: String,
    pub(crate) rules: TenantRules,
}

impl Tenant {
    fn of(row: TenantRow) -> Self {
        // What cannot be read grants nothing and lets nothing in, so that it is seen.
        let rules = TenantRules::read(&row.details).unwrap_or_else(|error| {
            log::warn!("the rules of tenant {} cannot be read: {error}", row.name);
            TenantRules {
                tasks: Some(0),
                ..TenantRules::default()
            }
        });
        let (id, name) = (row.id, row.name);
        Self { id, name, rules }
    }
}

/// While it is there, nobody else adds tasks of the same tenant.
pub(crate) type Admitted = Option<OwnedMutexGuard<()>>;

/// The tenants of a store.
pub(crate) struct Tenants {
    store: Arc<dyn Store>,
    /// Whether other nodes have the same store. Where there are none, it is read once: what is
    /// submitted costs no read of it.
    shared: bool,
    known: Mutex<Option<(Instant, Arc<Vec<Tenant>>)>>,
    /// Held while tasks of a tenant with a quota are added.
    adding: Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Tenants {
    pub(crate) fn new(store: Arc<dyn Store>, shared: bool) -> Self {
        Self {
            store,
            shared,
            known: Mutex::default(),
            adding: Mutex::default(),
        }
    }

    /// All tenants.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn all(&self) -> Result<Arc<Vec<Tenant>>, Error> {
        if let Some((at, all)) = &*self.known.lock()
            && (!self.shared || at.elapsed() < BELIEVED_FOR)
        {
            return Ok(all.clone());
        }
        let rows = self.blocking(|store| Ok(store.tenants()?)).await?;
        let all = Arc::new(rows.into_iter().map(Tenant::of).collect::<Vec<_>>());
        *self.known.lock() = Some((Instant::now(), all.clone()));
        Ok(all)
    }

    /// The tenant of a name.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn named(&self, name: &str) -> Result<Tenant, Error> {
        let all = self.all().await?;
        let found = all.iter().find(|tenant| tenant.name == name).cloned();
        found.ok_or_else(|| Refused::NoTenant(name.into()).into())
    }

    /// The name of a tenant.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn name(&self, id: TenantId) -> Result<String, Error> {
        Ok(match self.of(id).await? {
            Some(tenant) => tenant.name,
            None if id == TenantId::DEFAULT => TenantId::DEFAULT_NAME.into(),
            None => id.0.to_string(),
        })
    }

    async fn of(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        let all = self.all().await?;
        Ok(all.iter().find(|tenant| tenant.id == id).cloned())
    }

    /// What a tenant has.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn usage(&self, id: TenantId) -> Result<Usage, Error> {
        self.blocking(move |store| Ok(store.usage(id)?)).await
    }

    /// Adds a tenant.
    ///
    /// # Errors
    /// If there is one of this name, or its name or rules cannot be.
    pub(crate) async fn create(&self, name: &str, rules: &TenantRules) -> Result<Tenant, Error> {
        let refused = |text: String| Error::from(Refused::Request(text).at("name"));
        check_name(name).map_err(|e| refused(e.replace("a task's name", "a tenant's name")))?;
        let change = AccountChange::AddTenant {
            name: name.into(),
            details: encoded(rules)?,
        };
        match self.change(change).await? {
            Verdict::Done => self.named(name).await,
            _ => Err(refused(format!(
                "there is a tenant of the name {name:?} already"
            ))),
        }
    }

    /// Gives a tenant other rules.
    ///
    /// # Errors
    /// If there is none of this name.
    pub(crate) async fn set(&self, name: &str, rules: &TenantRules) -> Result<Tenant, Error> {
        let change = AccountChange::SetTenant {
            name: name.into(),
            details: encoded(rules)?,
        };
        match self.change(change).await? {
            Verdict::Done => self.named(name).await,
            _ => Err(Refused::NoTenant(name.into()).into()),
        }
    }

    /// Removes a tenant.
    ///
    /// # Errors
    /// If there is none of this name, or it has tasks or tokens.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Error> {
        self.named(name).await?;
        match self
            .change(AccountChange::RemoveTenant(name.into()))
            .await?
        {
            Verdict::Done => Ok(()),
            _ => Err(Refused::TenantInUse(name.into()).into()),
        }
    }

    /// Refuses tasks that a tenant may not have, and gives the others the tenant's limits. The
    /// caller keeps the answer until they are stored, so that no two requests take the same room.
    ///
    /// # Errors
    /// Says what a task may not, or which quota is used up.
    pub(crate) async fn admit(
        &self,
        id: TenantId,
        specs: &mut [TaskSpec],
    ) -> Result<Admitted, Error> {
        let Some(tenant) = self.of(id).await? else {
            return match id {
                TenantId::DEFAULT => Ok(None),
                _ => Err(Refused::NoTenant(id.0.to_string()).into()),
            };
        };
        for spec in &mut *specs {
            tenant.fit(spec)?;
        }
        let TenantRules {
            tasks,
            bytes,
            output,
            ..
        } = tenant.rules;
        if tasks.is_none() && bytes.is_none() && output.is_none() {
            return Ok(None);
        }
        let adding = self.adding.lock().entry(id).or_default().clone();
        let admitted = adding.lock_owned().await;
        let usage = self.usage(id).await?;
        let new = specs.iter().map(stored_size).sum::<u64>();
        let wanted = [
            ("tasks", tasks, usage.tasks, specs.len() as u64),
            ("bytes in the store", bytes, usage.bytes, new),
            // Tasks that have just begun have written nothing.
            ("bytes of output", output, usage.output, 1),
        ];
        for (what, most, has, more) in wanted {
            if let Some(most) = most
                && has.saturating_add(more) > most
            {
                let tenant = tenant.name;
                return Err(Refused::Quota {
                    tenant,
                    what,
                    most,
                    has,
                }
                .into());
            }
        }
        Ok(Some(admitted))
    }

    /// Refuses other limits for a task that a tenant may not give it.
    ///
    /// # Errors
    /// Says which.
    pub(crate) async fn admit_limits(&self, id: TenantId, limits: &Settings) -> Result<(), Error> {
        match self.of(id).await? {
            Some(tenant) => Ok(tenant.check_ceilings(limits)?),
            None => Ok(()),
        }
    }

    async fn change(&self, change: AccountChange) -> Result<Verdict, Error> {
        let changed = self.blocking(move |store| Ok(store.change_account(&change)?));
        let verdict = changed.await;
        *self.known.lock() = None;
        verdict
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(store.as_ref())).await;
        done.map_err(|error| Error::from(Refused::Damaged(error.to_string())))?
    }
}

impl Tenant {
    /// Refuses a task that the tenant may not have, and gives it the tenant's limits.
    fn fit(&self, spec: &mut TaskSpec) -> Result<(), Refused> {
        self.check_ceilings(&spec.limits)?;
        for ceiling in self.rules.limits.iter() {
            if spec.limits.get(ceiling.limit).is_none() {
                spec.limits.set(ceiling);
            }
        }
        // Whoever made no tenants has the default one alone, which may use what the daemon may.
        if self.id == TenantId::DEFAULT {
            return Ok(());
        }
        for (index, mount) in spec.mounts.iter().enumerate() {
            if !self.rules.dirs.iter().any(|granted| grants(granted, mount)) {
                let text = format!(
                    "the directory {} is not granted to tenant {}",
                    mount.host, self.name
                );
                return Err(not_granted(format!("mounts[{index}].host"), text));
            }
        }
        for reach in spec.network.reaches() {
            let (granted, verb) = match reach {
                Reach::Given(_) | Reach::Listen(_) => (&self.rules.listen, "listen on"),
                Reach::Connect(_) => (&self.rules.connect, "connect to"),
            };
            let address = match reach {
                Reach::Given(address) => address.as_str(),
                Reach::Listen(rule) | Reach::Connect(rule) => rule.as_str(),
            };
            if !granted.iter().any(|granted| covers(granted, address)) {
                let text = format!("to {verb} {address} is not granted to tenant {}", self.name);
                return Err(not_granted("network".into(), text));
            }
        }
        Ok(())
    }

    fn check_ceilings(&self, limits: &Settings) -> Result<(), Refused> {
        for own in limits.iter() {
            let ceiling = self.rules.limits.get(own.limit);
            if ceiling.is_some_and(|ceiling| !is_within(own, ceiling)) {
                let ceiling = ceiling.map_or_else(String::new, |ceiling| ceiling.to_string());
                let text = format!("{own} is more than tenant {} may: {ceiling}", self.name);
                return Err(not_granted(format!("limits.{}", own.limit), text));
            }
        }
        Ok(())
    }
}

/// Whether a directory that is granted is the one that a task is to be given. What is below it is
/// not granted with it: a guest could put a symbolic link there.
fn grants(granted: &str, mount: &Mount) -> bool {
    let (path, read_only) = match granted.strip_suffix(":ro") {
        Some(path) => (path, true),
        None => (granted, false),
    };
    Path::new(path) == Path::new(&mount.host) && (!read_only || mount.access == Access::ReadOnly)
}

/// Whether a limit of a task's is no looser than its tenant's.
fn is_within(own: Setting, ceiling: Setting) -> bool {
    // In all is less than again and again; in a longer time is less than in a shorter one.
    let period = match (own.period, ceiling.period) {
        (None, _) => true,
        (Some(own), Some(ceiling)) => own >= ceiling,
        (Some(_), None) => false,
    };
    own.value <= ceiling.value && period
}

fn not_granted(field: String, error: String) -> Refused {
    Refused::NotGranted { field, error }
}

fn encoded(rules: &TenantRules) -> Result<Vec<u8>, Error> {
    check_limits(&rules.limits)?;
    for (index, dir) in rules.dirs.iter().enumerate() {
        let path = dir.strip_suffix(":ro").unwrap_or(dir);
        let wrong = |error| Refused::Request(error).at(format!("dirs[{index}]"));
        check_host(path).map_err(wrong)?;
    }
    let bytes = serde_json::to_vec(rules);
    Ok(bytes.map_err(|error| Refused::Damaged(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> Setting {
        text.parse().expect("a limit")
    }

    #[test]
    fn a_limit_may_be_lowered_and_not_raised() {
        let within = |own, ceiling| is_within(setting(own), setting(ceiling));
        assert!(within("memory=1M", "memory=1M"));
        assert!(!within("memory=2M", "memory=1M"));
        assert!(!within("memory=none", "memory=1M"));
        assert!(within("memory=1M", "memory=none"));
        assert!(within("cpu=1m", "cpu=1m/1h"));
        assert!(within("cpu=1m/2h", "cpu=1m/1h"));
        assert!(!within("cpu=1m/30m", "cpu=1m/1h"));
        assert!(!within("cpu=1s/1h", "cpu=1m"));
    }

    #[test]
    fn a_directory_is_granted_whole_and_as_it_is() {
        let mount = |host: &str, access| Mount {
            host: host.into(),
            guest: "/".into(),
            access,
        };
        let (write, read) = (Access::ReadWrite, Access::ReadOnly);
        assert!(grants("/data/a", &mount("/data/a", write)));
        assert!(grants("/data/a", &mount("/data/a/", write)));
        assert!(grants("/data/a", &mount("/data/a", read)));
        assert!(!grants("/data/a", &mount("/data/a/b", write)));
        assert!(!grants("/data/a", &mount("/data/a/..", write)));
        assert!(!grants("/data/a", &mount("/data/ab", write)));
        assert!(grants("/data/a:ro", &mount("/data/a", read)));
        assert!(!grants("/data/a:ro", &mount("/data/a", write)));
    }

    fn tenant(rules: TenantRules) -> Tenant {
        Tenant {
            id: TenantId(1),
            name: "acme".into(),
            rules,
        }
    }

    #[test]
    fn a_task_gets_its_tenants_limits_and_nothing_that_is_not_granted() {
        let rules = TenantRules {
            limits: [setting("memory=1M"), setting("cpu=1h/1d")].into(),
            listen: vec!["127.0.0.1:*".into()],
            ..TenantRules::default()
        };
        let acme = tenant(rules);
        let mut spec = TaskSpec {
            limits: [setting("memory=64K")].into(),
            ..TaskSpec::default()
        };
        acme.fit(&mut spec).expect("it may");
        let all: Vec<_> = spec.limits.iter().collect();
        assert!(all.contains(&setting("memory=64K")) && all.contains(&setting("cpu=1h/1d")));
        let refused = |field: &str, value: serde_json::Value| {
            let spec = serde_json::json!({ field: value });
            let mut spec = crate::http::read_spec(spec).expect("a task");
            acme.fit(&mut spec).is_err()
        };
        let json = |text: &str| serde_json::from_str(text).expect("JSON");
        assert!(refused("limits", json(r#"{"memory": "2M"}"#)));
        assert!(refused("mounts", json(r#"[{"host": "/", "guest": "/"}]"#)));
        assert!(refused(
            "network",
            json(r#"{"allow_connect": ["10.0.0.1:80"]}"#)
        ));
        assert!(refused("network", json(r#"{"listen": ["0.0.0.0:80"]}"#)));
        assert!(!refused("network", json(r#"{"listen": ["127.0.0.1:80"]}"#)));
    }
}
