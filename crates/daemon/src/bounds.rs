//! How large a task may be that is submitted. What does not run is nothing but bytes in the store,
//! and every list of tasks reads them.

use std::path::Path;

use crate::error::Error;
use crate::model::spec::check_label;
use crate::model::{TaskSpec, Unfit, check_environment};
use crate::stored::encoding::to_named_bytes;

/// Directories, in memory or of the host's.
const DIRS: usize = 256;

/// Addresses to listen on.
const LISTENERS: usize = 256;

/// Rules of each kind for what a guest may reach.
const RULES: usize = 1024;

/// Labels that a task asks for.
const LABELS: usize = 32;

/// Bytes of a path, the same as the system's `PATH_MAX`.
const PATH: usize = 4096;

/// Refuses what is too large, or what no guest can be given.
pub(crate) fn check_bounds(spec: &TaskSpec) -> Result<(), Error> {
    check_texts(spec)?;
    let counts = [
        ("mounts", "directories", spec.mounts.len(), DIRS),
        ("tmpfs", "directories", spec.tmpfs.len(), DIRS),
        (
            "network.listen",
            "addresses",
            spec.network.listen.len(),
            LISTENERS,
        ),
    ];
    let rules = spec.network.rules();
    let rules = rules.map(|(field, _, rules)| (field, "rules", rules.len(), RULES));
    for (field, what, count, most) in counts.into_iter().chain(rules) {
        if count > most {
            let error = format!("a task may have {most} {what} here, and this has {count}");
            return Err(too_large(field, error));
        }
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        short(&format!("mounts[{index}].host"), &mount.host, PATH)?;
        short(&format!("mounts[{index}].guest"), &mount.guest, PATH)?;
    }
    for (index, dir) in spec.tmpfs.iter().enumerate() {
        short(&format!("tmpfs[{index}].guest"), &dir.guest, PATH)?;
    }
    if spec.place.len() > LABELS {
        let error = format!(
            "a task may have {LABELS} labels here, and this has {}",
            spec.place.len()
        );
        return Err(too_large("place", error));
    }
    for (key, value) in &spec.place {
        check_label(key, value).map_err(|error| Error::Request(error).at("place"))?;
    }
    // Rules, engines and the like were bounded when they were read.
    Ok(())
}

/// Arguments and environment.
fn check_texts(spec: &TaskSpec) -> Result<(), Error> {
    let (mut args, env) = (spec.args.clone(), spec.environment());
    args.extend(spec.program.clone());
    let Err(unfit) = check_environment(&args, &env) else {
        return Ok(());
    };
    let error = unfit.to_string();
    let of_args = args.iter().any(|text| text.contains('\0'));
    let length = |(name, value): &(String, String)| name.len() + value.len();
    let length_of_args: usize = args.iter().map(String::len).sum();
    Err(match unfit {
        Unfit::Name(_) => Error::Request(error).at("env"),
        Unfit::ZeroByte(_) if of_args => Error::Request(error).at("args"),
        Unfit::ZeroByte(_) => Error::Request(error).at("env"),
        Unfit::TooLarge(_) if length_of_args >= env.iter().map(length).sum() => {
            too_large("args", error)
        }
        Unfit::TooLarge(_) => too_large("env", error),
    })
}

/// Refuses directories of the host's that are named from where the daemon happens to be.
pub(crate) fn check_hosts(spec: &TaskSpec) -> Result<(), Error> {
    for (index, mount) in spec.mounts.iter().enumerate() {
        let field = format!("mounts[{index}].host");
        check_host(&mount.host).map_err(|error| Error::Request(error).at(field))?;
    }
    Ok(())
}

/// Refuses a directory of the host's that is named from where the daemon happens to be.
///
/// # Errors
/// Names it.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    match Path::new(host).is_absolute() {
        true => Ok(()),
        false if host.is_empty() => Err("a directory of the host's has no path".into()),
        false => Err(format!(
            "the directory {host:?} must be given by its whole path, which begins with '/'"
        )),
    }
}

/// How many bytes it takes in the store.
pub(crate) fn stored_size(spec: &TaskSpec) -> u64 {
    // What cannot be serialized is refused when it is stored.
    to_named_bytes(spec).map_or(0, |bytes| bytes.len() as u64)
}

fn too_large(field: &str, error: String) -> Error {
    let field = field.into();
    Error::TooLarge { field, error }
}

fn short(field: &str, text: &str, most: usize) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::Request("this contains a zero byte".into()).at(field));
    }
    match text.len() > most {
        true => {
            let error = format!("this may have {most} bytes, and has {}", text.len());
            Err(too_large(field, error))
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::model::spec::MOST_BYTES;

    #[test]
    fn every_field_is_bounded() {
        let word = "x".repeat(MOST_BYTES + 1);
        let path = "x".repeat(PATH + 1);
        let env: Vec<String> = (0..200_000).map(|n| format!("n{n}")).collect();
        let env: BTreeMap<&str, &str> = env.iter().map(|name| (name.as_str(), "x")).collect();
        let labels: BTreeMap<String, &str> = (0..=LABELS).map(|n| (format!("n{n}"), "x")).collect();
        let mount = json!({"host": "x", "guest": "x"});
        let cases = [
            json!({"args": ["x".repeat(2 << 20)]}),
            json!({"program": "x".repeat(2 << 20)}),
            json!({ "env": env }),
            json!({ "place": labels }),
            json!({"mounts": vec![mount; DIRS + 1]}),
            json!({"mounts": [{"host": path, "guest": "x"}]}),
            json!({"mounts": [{"host": "/", "guest": path}]}),
            json!({"tmpfs": vec![json!({"guest": "x", "size": 1}); DIRS + 1]}),
            json!({"tmpfs": [{"guest": path, "size": 1}]}),
            json!({"network": {"listen": vec!["x:1"; LISTENERS + 1]}}),
            json!({"network": {"listen": [word]}}),
            json!({"network": {"allow_connect": vec!["x:1"; RULES + 1]}}),
            json!({"network": {"allow_connect": [word]}}),
            json!({"network": {"allow_listen": vec!["x:1"; RULES + 1]}}),
            json!({"network": {"allow_listen": [word]}}),
            json!({ "engine": word }),
            json!({ "clocks": word }),
            json!({ "random": word }),
            json!({"schedule": {"every": word}}),
        ];
        for case in cases {
            let shown: String = case.to_string().chars().take(80).collect();
            let read = crate::http::read_spec(case);
            let checked = read.and_then(|spec| check_bounds(&spec));
            let too_large = matches!(checked, Err(Error::TooLarge { .. }));
            assert!(too_large, "{shown}: {checked:?}");
        }
        assert!(check_bounds(&TaskSpec::default()).is_ok());
        let label = crate::http::read_spec(json!({"place": {"a b": "c"}})).expect("a spec");
        assert!(matches!(check_bounds(&label), Err(Error::Field { .. })));
        let zero = json!({"mounts": [{"host": "/\0", "guest": "x"}]});
        let zero = crate::http::read_spec(zero).expect("a spec");
        assert!(matches!(check_bounds(&zero), Err(Error::Field { .. })));
    }
}
