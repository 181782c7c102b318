//! Resumed equals uninterrupted: every guest, on every engine, in every way to be suspended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use dormouse_test_support::{
    check, checkout, component, composed, dormouse, ended, engines, finish, guest, input, oracle,
    says, stderr, wasmtime,
};

/// A row of `wasm/guests.json` or `wasm/components.json`.
#[derive(Clone)]
pub struct Guest {
    pub name: String,
    arguments: Vec<String>,
    environment: Vec<String>,
    stdin: String,
    directory: bool,
    /// It has both ends of connections on loopback. These are kept in a process, and reset beyond it.
    network: bool,
    /// It uses `wasi:http`, and makes no request.
    http: bool,
    exit: i32,
    refused: bool,
    /// It has objects that a garbage collector looks after: neither WasmEdge nor Binaryen know them.
    pub objects: bool,
    /// The engines that can run it without any rewriting; all where none are named.
    as_is: Vec<String>,
    /// The module that the oracle runs in its place: the same program, in a form that it knows.
    oracle: String,
    /// It runs as a component, behind the adapter from preview1 to WASI 0.2.
    component: bool,
    /// The components that it is composed of, by the names of their sources; the program first.
    composed_of: Vec<String>,
    expected: OnceLock<Expected>,
}

/// What a run leaves behind.
#[derive(Clone)]
struct Expected {
    code: Option<i32>,
    stdout: Vec<u8>,
    files: BTreeMap<String, Vec<u8>>,
}

/// More suspends than any guest needs.
const MAX_RESUMES: usize = 5000;

pub type Run = Box<dyn Fn(&Guest) -> Result<(), String> + Send>;

/// Guests that the oracle for components does not run to their end.
const MODULES_ONLY: [(&str, &str); 3] = [
    ("eh_setjmp_old", "the older form of exceptions"),
    ("eh_throw_old", "the older form of exceptions"),
    (
        "wat_uncaught",
        "it ends with 1 where nobody catches an exception, and not as at a trap",
    ),
];

/// Every guest again as a component. The oracle runs the component itself: the adapter does not
/// hand on each exit code.
pub fn component_trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let of_modules = |guest: &Guest| MODULES_ONLY.iter().any(|(name, _)| *name == guest.name);
    for guest in guests("guests").into_iter().chain(guests("components")) {
        if guest.refused || guest.objects || of_modules(&guest) {
            continue;
        }
        let is_on_network = guest.network;
        let guest = Arc::new(Guest {
            component: true,
            ..guest
        });
        let mut add = |way: String, run: Run| {
            let guest = guest.clone();
            let name = format!("component::{}::{way}", guest.name);
            trials.push(Trial::test(name, move || run(&guest).map_err(Failed::from)));
        };
        for engine in engines() {
            add(
                format!("{engine}::rehearse"),
                Box::new(move |g| rehearsed(g, &["--engine", engine], false)),
            );
        }
        if !is_on_network {
            add("chain".into(), Box::new(|g| chain(g, &engines(), false)));
        }
    }
    trials
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    // Those with objects are in `objects.rs`.
    for guest in guests("guests").into_iter().filter(|guest| !guest.objects) {
        let guest = Arc::new(guest);
        let mut add = |way: String, run: Run| {
            let guest = guest.clone();
            let name = format!("guest::{}::{way}", guest.name);
            trials.push(Trial::test(name, move || run(&guest).map_err(Failed::from)));
        };
        if guest.refused {
            add("refused".into(), Box::new(refused));
            continue;
        }
        for engine in engines() {
            for transform in ["two-version", "plain", "native", "none"] {
                let ways = move |way: &str| format!("{engine}::{transform}::{way}");
                // The others are there to compare; one way is enough for them. Without any
                // transform nothing unwinds, and the guest waits where it is.
                if transform == "two-version" {
                    add(ways("run"), Box::new(move |g| uninterrupted(g, engine)));
                    add(ways("chain"), Box::new(move |g| chain(g, &[engine], false)));
                }
                let known = guest.as_is.is_empty() || guest.as_is.iter().any(|e| e == engine);
                if transform == "none" && !known {
                    add(
                        ways("refused"),
                        Box::new(move |g| unknown_to(g, engine, &["--transform", "none"])),
                    );
                    continue;
                }
                add(
                    ways("rehearse"),
                    Box::new(move |g| {
                        let options = ["--engine", engine, "--transform", transform];
                        rehearsed(g, &options, false)
                    }),
                );
                if transform == "native" {
                    add(
                        ways("checks"),
                        Box::new(move |g| {
                            let options =
                                ["--engine", engine, "--transform", transform, "--preempt"];
                            rehearsed(g, &options, false)
                        }),
                    );
                }
            }
            // The same in a directory in memory as in one of the host's.
            if guest.directory {
                let ways = move |way: &str| format!("{engine}::tmpfs::{way}");
                add(
                    ways("rehearse"),
                    Box::new(move |g| rehearsed(g, &["--engine", engine], true)),
                );
                add(ways("chain"), Box::new(move |g| chain(g, &[engine], true)));
            }
        }
        if engines().len() > 1 {
            add(
                "both::rehearse".into(),
                Box::new(|g| rehearsed(g, &[], false)),
            );
            add(
                "both::chain".into(),
                Box::new(|g| chain(g, &engines(), false)),
            );
            if guest.directory {
                let run = |g: &Guest| chain(g, &engines(), true);
                add("both::tmpfs::chain".into(), Box::new(run));
            }
        }
    }
    trials
}

/// The guests of one of the tables in `wasm`.
pub fn guests(table: &str) -> Vec<Guest> {
    let path = checkout(&format!("wasm/{table}.json"));
    let text = std::fs::read_to_string(path).expect("the table is there");
    let table: Value = serde_json::from_str(&text).expect("the table is JSON");
    let rows = table.as_array().expect("the table is a list");
    rows.iter()
        .map(|row| {
            let strings = |key: &str| {
                let list = row[key].as_array().cloned().unwrap_or_default();
                list.iter()
                    .filter_map(|v| v.as_str().map(String::from))
                    .collect()
            };
            let environment = row["env"].as_object().cloned().unwrap_or_default();
            let name = row["name"].as_str().expect("a guest has a name");
            Guest {
                name: name.into(),
                arguments: strings("args"),
                environment: environment
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                    .collect(),
                stdin: row["stdin"].as_str().unwrap_or_default().into(),
                directory: row["dir"].as_bool().unwrap_or(false),
                network: row["network"].as_bool().unwrap_or(false),
                http: row["http"].as_bool().unwrap_or(false),
                exit: row["exit"].as_i64().unwrap_or_default() as i32,
                refused: row["refused"].is_string(),
                objects: row["objects"].as_bool().unwrap_or(false),
                as_is: strings("as_is"),
                oracle: row["oracle"].as_str().unwrap_or(name).into(),
                component: false,
                composed_of: strings("composed_of"),
                expected: OnceLock::new(),
            }
        })
        .collect()
}

impl Guest {
    /// Directory and environment, in the words that the oracle and dormouse share.
    fn options(&self, scratch: &Scratch) -> Vec<String> {
        let mut options = match scratch.memory {
            true => vec!["--tmpfs".into(), "/work".into()],
            false => self.directory(scratch),
        };
        for variable in &self.environment {
            options.extend(["--env".into(), variable.clone()]);
        }
        options
    }

    /// What must be given again at a resume.
    fn directory(&self, scratch: &Scratch) -> Vec<String> {
        let work = scratch.work.display();
        match self.directory && !scratch.memory {
            true => vec!["--dir".into(), format!("{work}::/work")],
            false => Vec::new(),
        }
    }

    /// What the oracle makes of the module as it is; asked once.
    fn expected(&self) -> &Expected {
        self.expected.get_or_init(|| {
            let scratch = Scratch::new(false);
            let mut command = match self.component {
                true => wasmtime(),
                false => oracle(&guest(&self.oracle)),
            };
            if self.component {
                command.arg("run").args(self.options(&scratch));
                if self.network {
                    command.args(["-S", "inherit-network"]);
                }
                if self.http {
                    command.args(["-S", "http"]);
                }
                command.arg(self.program(&scratch));
            } else {
                command.args(self.options(&scratch)).arg("--");
            }
            command.args(&self.arguments);
            let stdin = input(scratch.root.path(), &self.stdin);
            let output = finish(&mut command, stdin.into());
            let code = output.status.code();
            assert!(
                self.component || code == Some(self.exit),
                "the oracle: {}",
                stderr(&output)
            );
            scratch.left(code, output.stdout)
        })
    }

    fn compare(&self, scratch: &Scratch, found: &Expected) -> Result<(), String> {
        let expected = self.expected();
        // What was in memory is gone.
        let same_files = scratch.memory || found.files == expected.files;
        let same = found.code == expected.code && found.stdout == expected.stdout;
        check(same && same_files, || {
            format!(
                "exit code {:?} instead of {:?}, files {:?} instead of {:?}, output\n{}\ninstead of\n{}",
                found.code,
                expected.code,
                found.files.keys(),
                expected.files.keys(),
                String::from_utf8_lossy(&found.stdout),
                String::from_utf8_lossy(&expected.stdout),
            )
        })
    }

    pub fn run(&self, scratch: &Scratch, options: &[&str]) -> Command {
        let mut command = dormouse();
        command.arg("run").args(options).args(self.options(scratch));
        if self.network {
            let loopback = "127.0.0.1:*";
            command.args(["--allow-connect", loopback, "--allow-listen", loopback]);
        }
        command.arg(self.program(scratch)).args(&self.arguments);
        command
    }

    /// The file to run.
    fn program(&self, scratch: &Scratch) -> PathBuf {
        let path = scratch.root.path().join(format!("{}.wasm", self.name));
        if !self.composed_of.is_empty() {
            composed(&self.composed_of, scratch.root.path(), &path);
            return path;
        }
        let module = guest(&self.name);
        if !self.component {
            return module;
        }
        let module = std::fs::read(module).map_err(|error| error.to_string());
        let bytes = module.and_then(|module| component(&module));
        std::fs::write(&path, bytes.expect("it becomes a component"))
            .expect("a scratch file can be written");
        path
    }
}

/// Directories of one run.
pub struct Scratch {
    pub root: tempfile::TempDir,
    work: PathBuf,
    /// The guest gets a directory in memory instead.
    memory: bool,
}

impl Scratch {
    pub fn new(memory: bool) -> Self {
        let root = tempfile::tempdir().expect("a scratch directory");
        let work = root.path().join("work");
        std::fs::create_dir(&work).expect("a directory for the guest");
        Self { root, work, memory }
    }

    fn left(&self, code: Option<i32>, stdout: Vec<u8>) -> Expected {
        let mut files = BTreeMap::new();
        collect(&self.work, "", &mut files);
        Expected {
            code,
            stdout,
            files,
        }
    }
}

/// Names and contents of everything below a directory.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a directory").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
            files.insert(format!("{name}/"), Vec::new());
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).expect("a link");
            files.insert(name, target.to_string_lossy().into_owned().into_bytes());
        } else {
            files.insert(name, std::fs::read(entry.path()).expect("a file"));
        }
    }
}

pub fn uninterrupted(guest: &Guest, engine: &str) -> Result<(), String> {
    let scratch = Scratch::new(false);
    let stdin = input(scratch.root.path(), &guest.stdin);
    let output = finish(
        &mut guest.run(&scratch, &["--engine", engine]),
        stdin.into(),
    );
    guest
        .compare(
            &scratch,
            &scratch.left(output.status.code(), output.stdout.clone()),
        )
        .map_err(|message| format!("{message}\n{}", stderr(&output)))
}

pub fn rehearsed(guest: &Guest, options: &[&str], memory: bool) -> Result<(), String> {
    let scratch = Scratch::new(memory);
    let stdin = input(scratch.root.path(), &guest.stdin);
    let options = [&["--rehearse"], options].concat();
    let output = finish(&mut guest.run(&scratch, &options), stdin.into());
    guest
        .compare(
            &scratch,
            &scratch.left(output.status.code(), output.stdout.clone()),
        )
        .map_err(|message| format!("{message}\n{}", stderr(&output)))?;
    // A trap's own message stands in the place of the count.
    if output.status.code() != Some(134) {
        says(&output, &["rehearsed: suspended"])?;
    }
    Ok(())
}

/// Separate processes, one after another, each on the next of the engines.
pub fn chain(guest: &Guest, engines: &[&str], memory: bool) -> Result<(), String> {
    let scratch = Scratch::new(memory);
    let snapshot = scratch.root.path().join("snapshot");
    let stdin = input(scratch.root.path(), &guest.stdin);
    let shared = || Stdio::from(stdin.try_clone().expect("a descriptor can be duplicated"));
    let mut turns = engines.iter().cycle();
    let mut engine = || turns.next().expect("a cycle has no end");
    let name = snapshot.display().to_string();
    let options = [
        "--engine",
        engine(),
        "--suspend",
        "always",
        "--snapshot",
        &name,
    ];
    let mut output = finish(&mut guest.run(&scratch, &options), shared());
    let mut stdout = output.stdout.clone();
    let mut resumes = 0;
    while output.status.code() == Some(75) && resumes < MAX_RESUMES {
        resumes += 1;
        let mut command = dormouse();
        command.args(["resume", "--engine", engine(), "--suspend", "always"]);
        command.args(guest.directory(&scratch)).arg(&snapshot);
        output = finish(&mut command, shared());
        stdout.extend_from_slice(&output.stdout);
    }
    guest
        .compare(&scratch, &scratch.left(output.status.code(), stdout))
        .map_err(|message| format!("after {resumes} resumes: {message}\n{}", stderr(&output)))?;
    // Otherwise nothing would have been tried.
    let sleeps = guest.name.contains("sleep") || guest.name.contains("deep");
    check(resumes > 0 || !sleeps, || "it was never suspended".into())
}

/// An engine that cannot run it so says it.
pub fn unknown_to(guest: &Guest, engine: &str, options: &[&str]) -> Result<(), String> {
    let scratch = Scratch::new(false);
    let options = [&["--engine", engine], options].concat();
    let output = finish(&mut guest.run(&scratch, &options), Stdio::null());
    ended(&output, 65)?;
    says(&output, &["cannot run this module", engine, "--engine"])?;
    check(output.stdout.is_empty(), || "it printed something".into())
}

fn refused(guest: &Guest) -> Result<(), String> {
    let scratch = Scratch::new(false);
    let output = finish(&mut guest.run(&scratch, &[]), Stdio::null());
    ended(&output, 65)?;
    says(&output, &["cannot be suspended", "`", "at byte"])?;
    check(output.stdout.is_empty(), || "it printed something".into())
}
