//! How large a task may be that is submitted. What does not run is nothing but bytes in the store,
//! and every list of tasks reads them.

use std::path::Path;

use crate::error::Error;
use crate::model::{Unfit, check_environment};
use crate::spec::Spec;

/// Directories, in memory or of the host's.
const DIRS: usize = 256;

/// Addresses to listen on.
const LISTENERS: usize = 256;

/// Rules of each kind for what a guest may reach.
const RULES: usize = 1024;

/// Limits, each of which may be there more than once.
const LIMITS: usize = 64;

/// Bytes of a path, the same as the system's `PATH_MAX`.
const PATH: usize = 4096;

/// Bytes of any other word: an address, a rule, an engine, a schedule.
const WORD: usize = 512;

impl Spec {
    /// Refuses what is too large, or what no guest can be given.
    pub(super) fn check_bounds(&self) -> Result<(), Error> {
        self.check_environment()?;
        let counts = [
            ("dirs", "directories", self.dirs.len(), DIRS),
            ("tmpfs", "directories", self.tmpfs.len(), DIRS),
            ("dirs", "rights", self.world.read_only.len(), DIRS),
            ("listen", "addresses", self.listen.len(), LISTENERS),
            ("allow_connect", "rules", self.allow_connect.len(), RULES),
            ("allow_listen", "rules", self.allow_listen.len(), RULES),
            ("limits", "limits", self.limits.len(), LIMITS),
        ];
        for (field, what, count, most) in counts {
            if count > most {
                let error = format!("a task may have {most} {what} here, and this has {count}");
                return Err(too_large(field, error));
            }
        }
        for (place, (host, guest)) in self.dirs.iter().enumerate() {
            short(&format!("dirs[{place}].host"), host, PATH)?;
            short(&format!("dirs[{place}].guest"), guest, PATH)?;
        }
        for (place, (guest, _)) in self.tmpfs.iter().enumerate() {
            short(&format!("tmpfs[{place}].guest"), guest, PATH)?;
        }
        let lists = [
            ("listen", &self.listen),
            ("allow_connect", &self.allow_connect),
            ("allow_listen", &self.allow_listen),
        ];
        for (field, texts) in lists {
            for (place, text) in texts.iter().enumerate() {
                short(&format!("{field}[{place}]"), text, WORD)?;
            }
        }
        let words = [
            ("engine", &self.engine),
            ("every", &self.every),
            ("clocks", &self.world.clocks),
            ("random", &self.world.random),
        ];
        for (field, word) in words {
            short(field, word.as_deref().unwrap_or_default(), WORD)?;
        }
        Ok(())
    }

    fn check_environment(&self) -> Result<(), Error> {
        let Err(unfit) = check_environment(&self.args, &self.env) else {
            return Ok(());
        };
        let error = unfit.to_string();
        let of_args = self.args.iter().any(|text| text.contains('\0'));
        let length = |(name, value): &(String, String)| name.len() + value.len();
        let args: usize = self.args.iter().map(String::len).sum();
        Err(match unfit {
            Unfit::Name(_) => Error::Request(error).at("env"),
            Unfit::ZeroByte(_) if of_args => Error::Request(error).at("args"),
            Unfit::ZeroByte(_) => Error::Request(error).at("env"),
            Unfit::TooLarge(_) if args >= self.env.iter().map(length).sum() => {
                too_large("args", error)
            }
            Unfit::TooLarge(_) => too_large("env", error),
        })
    }

    /// About how many bytes it takes in the store.
    pub fn size(&self) -> u64 {
        let texts = self.args.iter().map(String::len).sum::<usize>();
        let pairs = |pairs: &[(String, String)]| {
            let pair = pairs.iter().map(|(a, b)| a.len() + b.len());
            pair.sum::<usize>()
        };
        let words = self.listen.iter().chain(&self.allow_connect);
        let words = words
            .chain(&self.allow_listen)
            .map(String::len)
            .sum::<usize>();
        let names = self
            .tmpfs
            .iter()
            .map(|(guest, _)| guest.len())
            .sum::<usize>();
        let count = self.args.len() + 2 * (self.env.len() + self.dirs.len());
        (texts + pairs(&self.env) + pairs(&self.dirs) + words + names + count) as u64
    }
}

/// Refuses directories of the host's whose paths depend on where the daemon happens to run.
///
/// # Errors
/// Names the first of them.
pub(crate) fn check_hosts<'a>(hosts: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    let mut hosts = hosts.into_iter();
    match hosts.find(|host| !Path::new(host).is_absolute()) {
        Some(host) if host.is_empty() => Err("a directory of the host's has no path".into()),
        Some(host) => Err(format!(
            "the directory {host:?} must be given by its whole path, which begins with '/'"
        )),
        None => Ok(()),
    }
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
    use super::*;

    #[test]
    fn every_field_is_bounded() {
        let word = || "x".repeat(WORD + 1);
        let path = || "x".repeat(PATH + 1);
        let many = |count: usize| vec!["x".to_string(); count + 1];
        let pairs = |count: usize| vec![("x".to_string(), "x".to_string()); count + 1];
        let usual = Spec::default();
        assert!(usual.check_bounds().is_ok());
        let cases = [
            Spec {
                args: vec!["x".repeat(2 << 20)],
                ..usual.clone()
            },
            Spec {
                env: pairs(200_000),
                ..usual.clone()
            },
            Spec {
                dirs: pairs(DIRS),
                ..usual.clone()
            },
            Spec {
                dirs: vec![(path(), "x".into())],
                ..usual.clone()
            },
            Spec {
                dirs: vec![("/".into(), path())],
                ..usual.clone()
            },
            Spec {
                tmpfs: vec![("x".into(), 1); DIRS + 1],
                ..usual.clone()
            },
            Spec {
                tmpfs: vec![(path(), 1)],
                ..usual.clone()
            },
            Spec {
                listen: many(LISTENERS),
                ..usual.clone()
            },
            Spec {
                listen: vec![word()],
                ..usual.clone()
            },
            Spec {
                allow_connect: many(RULES),
                ..usual.clone()
            },
            Spec {
                allow_connect: vec![word()],
                ..usual.clone()
            },
            Spec {
                allow_listen: many(RULES),
                ..usual.clone()
            },
            Spec {
                allow_listen: vec![word()],
                ..usual.clone()
            },
            Spec {
                engine: Some(word()),
                ..usual.clone()
            },
            Spec {
                every: Some(word()),
                ..usual.clone()
            },
        ];
        for spec in cases {
            let shown = format!("{spec:?}").chars().take(80).collect::<String>();
            assert!(
                matches!(spec.check_bounds(), Err(Error::TooLarge { .. })),
                "{shown}"
            );
        }
        let zero = Spec {
            dirs: vec![("/\0".into(), "x".into())],
            ..usual
        };
        assert!(matches!(zero.check_bounds(), Err(Error::Field { .. })));
    }
}
