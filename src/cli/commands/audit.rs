//! `dormouse audit`: what a task file gives that is broad or risky. Never runs the guest.

use std::path::Path;

use serde_json::json;

use crate::cli::args::{Audit, Severity};
use crate::cli::exit::{AUDIT, Done, Failure, OK};
use crate::cli::output::{self, out};
use crate::cli::task_file::LoadedTaskFile;
use crate::model::spec::{Access, ListenAddress, Module, Randomness, Restart, Rule};
use crate::model::{Limit, Limits, Setting};

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
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

pub(crate) fn audit(command: &Audit) -> Result<Done, Failure> {
    let file = LoadedTaskFile::read(&command.file)?;
    let mut found = findings(&file);
    found.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.line));
    match output::as_json() {
        true => print_json(&command.file, &found),
        false => print(&command.file, &found),
    }
    let fails = found
        .iter()
        .any(|finding| finding.severity >= command.fail_on);
    match fails {
        true => Ok(Done::Own(AUDIT)),
        false => OK,
    }
}

fn print_json(file: &Path, found: &[Finding]) {
    let list: Vec<_> = found
        .iter()
        .map(|finding| {
            json!({
                "severity": name(finding.severity),
                "rule": finding.rule,
                "line": finding.line,
                "text": finding.text,
            })
        })
        .collect();
    output::result(&json!({ "file": file.to_string_lossy(), "findings": list }));
}

fn print(file: &Path, found: &[Finding]) {
    for finding in found {
        let location = match finding.line {
            0 => file.display().to_string(),
            line => format!("{}:{line}", file.display()),
        };
        let (severity, rule) = (name(finding.severity), finding.rule);
        out!("{severity:<6}  {location}: {} [{rule}]", finding.text);
    }
    if found.is_empty() {
        out!("nothing found");
    }
}

/// Directories of the system: whoever can write there can change what others run.
const SYSTEM: [&str; 12] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
    "/var",
];

/// Those among [`SYSTEM`] that hold programs and their data, and no secrets.
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

/// How values begin that are secrets: keys of clouds, of code hosts, of chats, signed tokens, keys
/// in PEM.
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

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        rule: &'static str,
        line: usize,
        text: impl Into<String>,
    ) {
        self.0.push(Finding {
            severity,
            rule,
            line,
            text: text.into(),
        });
    }
}

fn findings(file: &LoadedTaskFile) -> Vec<Finding> {
    let mut found = Findings::default();
    module(file, &mut found);
    mounts(file, &mut found);
    variables(file, &mut found);
    network(file, &mut found);
    limits(file, &mut found);
    found.0
}

fn module(file: &LoadedTaskFile, found: &mut Findings) {
    let digest = file.spec.digest.is_some();
    for (index, component) in file.spec.components.iter().enumerate() {
        if !digest && component.digest.is_none() {
            let text = format!(
                "the component {} has no digest: whoever can change the file changes what runs",
                component.path
            );
            let line = file.line(&["components", &index.to_string()]);
            found.add(Severity::Medium, "module-without-digest", line, text);
        }
    }
    match &file.spec.module {
        None if digest || !file.spec.components.is_empty() => {}
        None => found.add(Severity::Low, "no-module", 0, "it names no module"),
        Some(Module::Path(_)) if !digest => found.add(
            Severity::Medium,
            "module-without-digest",
            file.line(&["module"]),
            "the module has no digest: whoever can change the file changes what runs",
        ),
        Some(_) => {}
    }
}

fn mounts(file: &LoadedTaskFile, found: &mut Findings) {
    for (index, mount) in file.spec.mounts.iter().enumerate() {
        let line = file.line(&["mounts", &index.to_string()]);
        let host = file.host(&mount.host);
        let host = host.canonicalize().unwrap_or(host);
        let read_only = mount.access == Access::ReadOnly;
        if let Some((severity, rule, what)) = broad(&host, read_only) {
            found.add(
                severity,
                rule,
                line,
                format!("{} is {what}", host.display()),
            );
        }
        if !read_only {
            let text = format!(
                "{} may be written to: add `read-only = true` if it need not be",
                host.display()
            );
            found.add(Severity::Low, "mount-writable", line, text);
        }
    }
}

fn variables(file: &LoadedTaskFile, found: &mut Findings) {
    for (name, value) in &file.spec.env {
        let line = file.line(&["env", name]);
        if is_secret_value(value) {
            let text =
                format!("the value of {name} looks like a secret; name it in `env-from` instead");
            found.add(Severity::High, "secret-value", line, text);
        } else if is_secret_name(name) {
            let text = format!("{name} is written into the file; name it in `env-from` instead");
            found.add(Severity::High, "secret-in-file", line, text);
        }
    }
    for (index, name) in file.spec.env_from.iter().enumerate() {
        if is_secret_name(name) {
            let text = format!("{name} will be in the task's snapshots");
            let line = file.line(&["env_from", &index.to_string()]);
            found.add(Severity::Medium, "secret-in-snapshot", line, text);
        }
    }
    if matches!(file.spec.random, Some(Randomness::Seed(_))) {
        let text =
            "its random numbers can be foreseen: no key, token or password may be made of them";
        let line = file.line(&["random"]);
        found.add(Severity::Medium, "random-foreseeable", line, text);
    }
}

fn network(file: &LoadedTaskFile, found: &mut Findings) {
    let network = &file.spec.network;
    let given = network.listen.iter().map(ListenAddress::as_str).enumerate();
    let given = given.map(|(index, address)| ("listen", index, address));
    let rules = network.rules().into_iter().flat_map(|(field, _, rules)| {
        let field = field.trim_start_matches("network.");
        let rules = rules.iter().map(Rule::as_str).enumerate();
        rules.map(move |(index, rule)| (field, index, rule))
    });
    let http = network
        .http
        .iter()
        .map(|address| ("http", 0, address.as_str()));
    let all = given.chain(http).chain(rules);
    for (field, index, address) in all.filter(|(.., address)| is_any_host(address)) {
        let line = match field {
            "http" => file.line(&["network", field]),
            _ => file.line(&["network", field, &index.to_string()]),
        };
        match field.ends_with("listen") || field == "http" {
            true => {
                let text = format!("{address} listens on every interface");
                found.add(Severity::Medium, "listen-everywhere", line, text);
            }
            false => {
                let text = format!("{address} lets it connect to any host");
                found.add(Severity::High, "connect-anywhere", line, text);
            }
        }
    }
}

fn limits(file: &LoadedTaskFile, found: &mut Findings) {
    let spec = &file.spec;
    let is_set = |limit| spec.limits.get(limit).is_some();
    if !is_set(Limit::Cpu) && !is_set(Limit::Time) {
        let text = format!(
            "it sets no limit of CPU time, nor of time, so that only the generous default holds ({}, in a \
             daemon {}): add `cpu` or `time` to [limits]",
            Limits::default().setting(Limit::Cpu),
            Limits::daemon().setting(Limit::Cpu)
        );
        found.add(Severity::Medium, "no-cpu-limit", 0, text);
    }
    for setting in spec.limits.iter().filter(Setting::is_none) {
        let text = format!("the limit {} is lifted", setting.limit);
        let line = file.line(&["limits", setting.limit.name()]);
        found.add(Severity::Medium, "limit-lifted", line, text);
    }
    if spec.restart == Some(Restart::Always) && !is_set(Limit::Cpu) {
        let text = "it is started anew for ever, without a limit of CPU time";
        let line = file.line(&["restart"]);
        found.add(Severity::Low, "endless-restarts", line, text);
    }
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
