//! `dormouse audit`: what a task file gives that is broad or risky. Never runs the guest.

use std::path::Path;

use serde_json::json;

use super::config::Config;
use super::exit::{AUDIT, Done, Failure};
use super::text::{self, out};
use crate::model::{Limit, Limits};

/// The words of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    /// The task file.
    pub file: std::path::PathBuf,
    /// Exit with 82 if something at least so bad is found: low, medium or high.
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    pub fail_on: Severity,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Severity {
    /// Worth a look.
    Low,
    /// Likely more than is needed.
    Medium,
    /// The guest could do harm, or secrets lie open.
    High,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Something that was found.
struct Finding {
    severity: Severity,
    /// Which rule found it.
    rule: &'static str,
    /// In which line; 0 where it is about what is not there.
    line: usize,
    text: String,
}

pub(super) fn audit(command: &Audit) -> Result<Done, Failure> {
    let config = Config::read(&command.file)?;
    config.check()?;
    let mut found = findings(&config)?;
    found.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.line));
    if text::as_json() {
        let list: Vec<_> = found
            .iter()
            .map(|finding| {
                json!({
                    "severity": finding.severity.name(),
                    "rule": finding.rule,
                    "line": finding.line,
                    "text": finding.text,
                })
            })
            .collect();
        text::result(&json!({ "file": command.file.to_string_lossy(), "findings": list }));
    } else {
        for Finding {
            severity,
            rule,
            line,
            text,
        } in &found
        {
            let place = match line {
                0 => command.file.display().to_string(),
                line => format!("{}:{line}", command.file.display()),
            };
            out!("{:<6}  {place}: {text} [{rule}]", severity.name());
        }
        if found.is_empty() {
            out!("nothing found");
        }
    }
    let bad = found
        .iter()
        .any(|finding| finding.severity >= command.fail_on);
    match bad {
        true => Ok(Done::Own(AUDIT)),
        false => Ok(Done::Guest(0)),
    }
}

/// Folders of the system's: whoever writes there can change what others run.
const SYSTEM: [&str; 12] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
    "/var",
];

/// Those of them that hold programs and what belongs to them, and no secrets.
const PROGRAMS: [&str; 5] = ["/bin", "/lib", "/lib64", "/sbin", "/usr"];

/// Parts of names of variables that hold secrets.
const SECRET_NAMES: [&str; 9] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "CREDENTIAL",
    "PRIVATE",
    "APIKEY",
    "API_KEY",
    "ACCESS_KEY",
];

/// How values begin that are secrets: keys of clouds, of code hosts, of chats, signed tokens, keys in PEM.
const SECRET_VALUES: [&str; 11] = [
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "sk-",
    "xoxb-",
    "xoxp-",
    "eyJ",
    "-----BEGIN",
];

fn findings(config: &Config) -> Result<Vec<Finding>, Failure> {
    let file = &config.file;
    let mut found = Vec::new();
    let mut add = |severity, rule, line, text: String| {
        found.push(Finding {
            severity,
            rule,
            line,
            text,
        });
    };
    let by_digest = |module: &str| module.starts_with(super::run::BY_DIGEST);
    match &file.module {
        None if file.digest.is_some() => {}
        None => add(Severity::Low, "no-module", 0, "it names no module".into()),
        Some(module) if file.digest.is_none() && !by_digest(module.get_ref()) => add(
            Severity::Medium,
            "module-without-digest",
            config.line(module.span()),
            "the module has no digest: whoever can change the file changes what runs".into(),
        ),
        Some(_) => {}
    }
    for mount in &file.mount {
        let line = config.line(mount.span());
        let host = config.host(&mount.get_ref().host);
        let host = host.canonicalize().unwrap_or(host);
        let read_only = mount.get_ref().read_only;
        if let Some((severity, rule, what)) = broad(&host, read_only) {
            let text = format!("{} is {what}", host.display());
            add(severity, rule, line, text);
        }
        if !read_only {
            let text = format!(
                "{} may be written to: add `read-only = true` if it need not be",
                host.display()
            );
            add(Severity::Low, "mount-writable", line, text);
        }
    }
    for (name, value) in &file.env {
        let line = config.line(value.span());
        if is_secret_value(value.get_ref()) {
            let text =
                format!("the value of {name} looks like a secret; name it in `env-from` instead");
            add(Severity::High, "secret-value", line, text);
        } else if is_secret_name(name) {
            let text = format!("{name} is written into the file; name it in `env-from` instead");
            add(Severity::High, "secret-in-file", line, text);
        }
    }
    for name in &file.env_from {
        if is_secret_name(name.get_ref()) {
            let text = format!("{} will be in the task's snapshots", name.get_ref());
            add(
                Severity::Medium,
                "secret-in-snapshot",
                config.line(name.span()),
                text,
            );
        }
    }
    for rule in &file.network.allow_connect {
        if is_any_host(rule.get_ref()) {
            let text = format!("{} lets it connect to any host", rule.get_ref());
            add(
                Severity::High,
                "connect-anywhere",
                config.line(rule.span()),
                text,
            );
        }
    }
    for rule in file.network.allow_listen.iter().chain(&file.network.listen) {
        if is_any_host(rule.get_ref()) {
            let text = format!("{} listens on every interface", rule.get_ref());
            add(
                Severity::Medium,
                "listen-everywhere",
                config.line(rule.span()),
                text,
            );
        }
    }
    if let Some(random) = &file.random
        && random.get_ref() != "host"
    {
        let text =
            "its random numbers can be foreseen: no key, token or password may be made of them";
        let line = config.line(random.span());
        add(Severity::Medium, "random-foreseeable", line, text.into());
    }
    let settings = config.limits()?;
    let set = |limit| settings.iter().find(|setting| setting.limit == limit);
    if set(Limit::Cpu).is_none() && set(Limit::Time).is_none() {
        let text = format!(
            "it sets no limit of CPU time, nor of time, so that only the generous default holds ({}, in a \
             daemon {}): add `cpu` or `time` to [limits]",
            Limits::default().setting(Limit::Cpu),
            Limits::daemon().setting(Limit::Cpu)
        );
        add(Severity::Medium, "no-cpu-limit", 0, text);
    }
    for (name, value) in &file.limits {
        if value.get_ref().as_str() == Some("none") {
            let text = format!("the limit {} is lifted", name.get_ref());
            add(
                Severity::Medium,
                "limit-lifted",
                config.line(name.span()),
                text,
            );
        }
    }
    if let Some(restart) = &file.restart
        && restart.get_ref() == "always"
        && set(Limit::Cpu).is_none()
    {
        let text = "it is started anew for ever, without a limit of CPU time";
        add(
            Severity::Low,
            "endless-restarts",
            config.line(restart.span()),
            text.into(),
        );
    }
    Ok(found)
}

/// What is broad about a directory of the host's.
fn broad(host: &Path, read_only: bool) -> Option<(Severity, &'static str, &'static str)> {
    let homes = [Path::new("/home"), Path::new("/Users")];
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let is_home = home.as_deref() == Some(host)
        || homes
            .iter()
            .any(|all| host == *all || host.parent() == Some(all))
        || host == Path::new("/").join("root");
    if host == Path::new("/") {
        return Some((Severity::High, "mount-root", "the whole machine"));
    }
    if is_home {
        return Some((
            Severity::High,
            "mount-home",
            "a home, with keys and settings in it",
        ));
    }
    if read_only && PROGRAMS.iter().any(|system| host.starts_with(system)) {
        return None;
    }
    if read_only && SYSTEM.iter().any(|system| host.starts_with(system)) {
        return Some((
            Severity::Medium,
            "mount-system",
            "one of the system's own folders, with settings and secrets in it",
        ));
    }
    if SYSTEM.iter().any(|system| host.starts_with(system)) {
        return Some((
            Severity::High,
            "mount-system",
            "one of the system's own folders, and can be written to",
        ));
    }
    None
}

fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|part| upper.contains(part)) || upper.ends_with("_KEY")
}

fn is_secret_value(value: &str) -> bool {
    SECRET_VALUES
        .iter()
        .any(|start| value.starts_with(start) && value.len() >= 16)
}

fn is_any_host(rule: &str) -> bool {
    let host = rule.rsplit_once(':').map_or(rule, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ["*", "", "0.0.0.0", "0.0.0.0/0", "::", "::/0"].contains(&host.replace("]/", "/").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_is_seen_however_it_is_written() {
        for any in [
            "*:443",
            "0.0.0.0/0:*",
            "[::]/0:80",
            "[::]:80",
            "0.0.0.0:80",
            ":80",
        ] {
            assert!(is_any_host(any), "{any}");
        }
        for one in [
            "example.com:443",
            "10.0.0.0/8:80",
            "127.0.0.1:80",
            "[::1]:80",
        ] {
            assert!(!is_any_host(one), "{one}");
        }
    }

    #[test]
    fn secrets_are_known_by_name_and_by_value() {
        assert!(is_secret_name("DB_PASSWORD") && is_secret_name("signing_key"));
        assert!(!is_secret_name("HOME") && !is_secret_name("KEYBOARD"));
        assert!(is_secret_value("ghp_0123456789abcdef0123"));
        assert!(!is_secret_value("sk-ip"));
    }
}
