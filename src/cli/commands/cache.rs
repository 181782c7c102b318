//! `dormouse cache`: what the cache holds, and what goes.

use serde_json::json;

use crate::cli::args::cache::{CacheCommand, List, PruneFlags, VerifyFlags};
use crate::cli::exit::{DAMAGED, Done, Failure, OK, USAGE};
use crate::cli::output::format::{bytes, time};
use crate::cli::output::{self, escape, out};
use crate::model::Timestamp;
use crate::task::cache::{Cache, ModuleEntry, Prune, Removed};

pub(crate) fn run(command: &CacheCommand) -> Result<Done, Failure> {
    let cache = Cache::open(None)?;
    match command {
        CacheCommand::Ls(flags) => list(&cache, flags),
        CacheCommand::Prune(flags) => prune(&cache, flags),
        CacheCommand::Verify(flags) => verify(&cache, flags),
    }
}

/// A file's time as people and programs read it.
fn moment(at: std::time::SystemTime) -> String {
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    time(Timestamp::from_nanos(nanoseconds))
}

/// How a module is called: by the names of its source, else by its digest.
fn called(module: &str, names: &[String]) -> String {
    match names.is_empty() {
        true => format!("module {module}"),
        false => names.join(", "),
    }
}

fn list(cache: &Cache, _: &List) -> Result<Done, Failure> {
    let modules = cache.modules()?;
    if output::as_json() {
        let modules: Vec<_> = modules.iter().map(described).collect();
        output::result(&json!({
            "directory": cache.root().to_string_lossy(),
            "limit_bytes": cache.limit(),
            "modules": modules,
        }));
        return OK;
    }
    out!(
        "{:10}{:>12}  {:22}{:20}name",
        "module",
        "size",
        "last used",
        "engines"
    );
    for module in &modules {
        let engines: Vec<_> = module
            .code
            .iter()
            .map(|code| code.engine.as_str())
            .collect();
        let checks = if module.preempt { " --preempt" } else { "" };
        out!(
            "{:10}{:>12}  {:22}{:20}{}{checks}",
            module.module.short(),
            bytes(module.bytes),
            moment(module.last_used),
            engines.join(" "),
            module.names.join(", "),
        );
    }
    let sum = modules.iter().map(|module| module.bytes).sum();
    let limit = cache.limit().map_or("no limit".into(), |limit| {
        format!("at most {}", bytes(limit))
    });
    out!(
        "{} modules, {} in {} ({limit})",
        modules.len(),
        bytes(sum),
        cache.root().display()
    );
    OK
}

fn described(module: &ModuleEntry) -> serde_json::Value {
    let code = module.code.iter().map(|code| {
        json!({
            "engine": code.engine,
            "bytes": code.bytes,
            "last_used": moment(code.last_used),
        })
    });
    json!({
        "module": module.module.to_string(),
        "source": module.source.map(|source| source.to_string()),
        "names": module.names,
        "transform": module.transform,
        "preempt": module.preempt,
        "bytes": module.bytes,
        "last_used": moment(module.last_used),
        "engines": code.collect::<Vec<_>>(),
    })
}

fn prune(cache: &Cache, flags: &PruneFlags) -> Result<Done, Failure> {
    let prune = Prune {
        max_bytes: flags
            .max_size
            .map(|size| size.0)
            .or(match flags.older_than {
                Some(_) => None,
                None => cache.limit(),
            }),
        older_than: flags.older_than.map(|span| span.0),
    };
    if prune.max_bytes.is_none() && prune.older_than.is_none() {
        let text = "the cache has no limit: give --max-size or --older-than";
        return Err(Failure::new(USAGE, text));
    }
    let pruned = cache.prune(&prune)?;
    if output::as_json() {
        let removed = |gone: &Removed| {
            json!({
                "module": gone.module.to_string(),
                "names": gone.names,
                "engine": gone.engine,
                "bytes": gone.bytes,
                "last_used": moment(gone.last_used),
            })
        };
        output::result(&json!({
            "removed": pruned.removed.iter().map(removed).collect::<Vec<_>>(),
            "abandoned": pruned.abandoned,
            "busy": pruned.busy,
            "kept_bytes": pruned.kept_bytes,
        }));
        return OK;
    }
    for gone in &pruned.removed {
        let name = called(&gone.module.short(), &gone.names);
        let what = match &gone.engine {
            Some(engine) => format!("code for {engine} of {name}"),
            None => name,
        };
        let used = moment(gone.last_used);
        out!("removed {what}: {}, last used {used}", bytes(gone.bytes));
    }
    if pruned.busy > 0 {
        out!("{} being made now, and left", pruned.busy);
    }
    let freed = pruned.removed.iter().map(|gone| gone.bytes).sum();
    out!(
        "{} given back, {} left",
        bytes(freed),
        bytes(pruned.kept_bytes)
    );
    OK
}

fn verify(cache: &Cache, flags: &VerifyFlags) -> Result<Done, Failure> {
    let verified = cache.verify(flags.repair)?;
    if output::as_json() {
        let damaged = verified.damaged.iter().map(|damage| {
            let (module, names) = damage.module.clone().unzip();
            json!({
                "path": damage.path.to_string_lossy(),
                "module": module.map(|module| module.to_string()),
                "names": names,
                "what": damage.what,
                "removed": damage.is_removed,
            })
        });
        let unchecked = verified.unchecked.iter().map(|path| path.to_string_lossy());
        output::result(&json!({
            "whole": verified.whole,
            "unchecked": unchecked.collect::<Vec<_>>(),
            "damaged": damaged.collect::<Vec<_>>(),
            "abandoned": verified.abandoned,
        }));
    } else {
        for damage in &verified.damaged {
            let name = damage.module.as_ref();
            let name = name.map(|(module, names)| called(&module.short(), names));
            let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
            let path = escape::plain(&damage.path.display().to_string());
            let removed = if damage.is_removed { "; removed" } else { "" };
            out!("{path}{name}: {}{removed}", damage.what);
        }
        if !verified.unchecked.is_empty() {
            out!(
                "{} files have no digest to check them by",
                verified.unchecked.len()
            );
        }
        out!(
            "{} files are whole, {} damaged",
            verified.whole,
            verified.damaged.len()
        );
    }
    match verified.damaged.iter().all(|damage| damage.is_removed) {
        true => OK,
        false => Ok(Done::Own(DAMAGED)),
    }
}
