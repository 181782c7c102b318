//! Programs that nobody here wrote: CPython, as a module and as a component, QuickJS as a component,
//! and SQLite with a database in a file; and the components of `examples/`, as they stand there.
//!
//! WasmEdge's compiler needs many minutes for CPython; that pair runs with `DORMOUSE_TEST_ALL=1`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use libtest_mimic::{Failed, Trial};

use dormouse_test_support::{
    cache, check, checkout, dormouse, engines, finish, input, oracle, stderr, wasmtime,
};

const SQL: &str = "\
create table sheep (id integer primary key, name text, wool real);
begin;
insert into sheep (name, wool) values ('Dolly', 1.5), ('Shaun', 2.25);
insert into sheep (name, wool) select name || id, wool * id from sheep;
select count(*), sum(wool) from sheep;
commit;
create index by_wool on sheep (wool);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) insert into sheep (name, wool) select 'sheep ' || i, (i * 7919) % 1000 / 8.0 from n;
close
select name, wool from sheep order by wool desc, name limit 3;
begin;
delete from sheep where wool > 60;
select count(*) from sheep;
rollback;
select count(*), round(avg(wool), 6) from sheep;
select nothing;
pragma integrity_check;
";

/// A program and what it is given.
#[derive(Clone, Copy)]
struct Program {
    name: &'static str,
    module: &'static str,
    arguments: &'static [&'static str],
    stdin: &'static str,
    ways: &'static [&'static str],
}

impl Program {
    fn is_component(&self) -> bool {
        self.module.ends_with(".component.wasm")
    }
}

const WAYS: &[&str] = &["rehearse", "chain", "tmpfs::rehearse", "tmpfs::chain"];

const PROGRAMS: [Program; 7] = [
    Program {
        name: "sqlite",
        module: "sqlite.wasm",
        arguments: &["/work/sheep.db"],
        stdin: SQL,
        ways: WAYS,
    },
    Program {
        name: "cpython",
        module: "python.wasm",
        arguments: &["/script/job.py"],
        stdin: "dormouse\nmany\nthe end\n",
        ways: WAYS,
    },
    Program {
        name: "cpython-files",
        module: "python.wasm",
        arguments: &["/script/files.py"],
        stdin: "",
        // A rehearsal stops at each of thousands of reads, and takes minutes.
        ways: &["tmpfs::chain"],
    },
    Program {
        name: "cpython-component",
        module: "python.component.wasm",
        arguments: &[],
        stdin: "dormouse\nmany\nthe end\n",
        ways: &["rehearse", "tmpfs::chain"],
    },
    Program {
        name: "javascript-component",
        module: "javascript.component.wasm",
        arguments: &["Dolly", "and Shaun"],
        stdin: "",
        ways: &["rehearse", "chain"],
    },
    Program {
        name: "example-python",
        module: "example-python.component.wasm",
        arguments: &["Dolly", "and Shaun"],
        stdin: "",
        ways: &["rehearse"],
    },
    Program {
        name: "example-rust",
        module: "example-rust.component.wasm",
        arguments: &["Dolly", "and Shaun"],
        stdin: "",
        ways: &["rehearse", "chain"],
    },
];

pub fn trials() -> Vec<Trial> {
    let all = std::env::var_os("DORMOUSE_TEST_ALL").is_some();
    let mut trials = Vec::new();
    for program in PROGRAMS {
        for engine in engines() {
            for way in program.ways {
                let name = format!("program::{}::{engine}::{way}", program.name);
                let memory = way.starts_with("tmpfs");
                let trial = Trial::test(name, move || match way.ends_with("rehearse") {
                    true => rehearse(program, engine, memory).map_err(Failed::from),
                    false => chain(program, engine, memory).map_err(Failed::from),
                });
                let large = ["python.wasm", "example-python.component.wasm"];
                let slow = large.contains(&program.module) && engine == "wasmedge";
                trials.push(trial.with_ignored_flag(slow && !all));
            }
        }
    }
    trials
}

/// Directories of one run, and what it printed.
struct Run {
    root: tempfile::TempDir,
    printed: Vec<u8>,
    code: Option<i32>,
    errors: String,
    /// The work directory is one in memory.
    memory: bool,
}

impl Run {
    fn new(memory: bool) -> Self {
        let root = tempfile::tempdir().expect("a scratch directory");
        std::fs::create_dir(root.path().join("work")).expect("a directory");
        Self {
            root,
            printed: Vec::new(),
            code: None,
            errors: String::new(),
            memory,
        }
    }

    fn dirs(&self) -> Vec<String> {
        let work = self.root.path().join("work");
        let script = checkout("tests/end_to_end/programs");
        let mut dirs = vec!["--dir".into(), format!("{}::/script", script.display())];
        if !self.memory {
            dirs.extend(["--dir".into(), format!("{}::/work", work.display())]);
        }
        dirs
    }

    /// What only a new guest is given.
    fn memory(&self) -> &'static [&'static str] {
        match self.memory {
            true => &["--tmpfs", "/work"],
            false => &[],
        }
    }

    fn add(&mut self, output: std::process::Output) {
        self.code = output.status.code();
        self.errors = stderr(&output);
        self.printed.extend(output.stdout);
    }
}

fn module(program: Program) -> PathBuf {
    let path = cache().join("programs").join(program.module);
    assert!(
        path.exists(),
        "{} is not there; run `make setup`",
        path.display()
    );
    path
}

fn compare(program: Program, run: &Run) -> Result<(), String> {
    let mut expected = Run::new(false);
    let mut command = match program.is_component() {
        true => wasmtime(),
        false => oracle(&module(program)),
    };
    if program.is_component() {
        command.arg("run").args(expected.dirs());
        command.arg(module(program));
    } else {
        command.args(expected.dirs()).arg("--");
    }
    command.args(program.arguments);
    let stdin = input(expected.root.path(), program.stdin);
    let output = finish(&mut command, stdin.into());
    expected.add(output);
    check(
        run.code == expected.code && run.printed == expected.printed,
        || {
            format!(
                "exit code {:?} instead of {:?}, output\n{}\ninstead of\n{}\n{}",
                run.code,
                expected.code,
                String::from_utf8_lossy(&run.printed),
                String::from_utf8_lossy(&expected.printed),
                run.errors,
            )
        },
    )
}

fn rehearse(program: Program, engine: &str, memory: bool) -> Result<(), String> {
    let mut run = Run::new(memory);
    let mut command = dormouse();
    command
        .args(["run", "--rehearse", "--engine", engine])
        .args(run.dirs())
        .args(run.memory());
    command.arg(module(program)).args(program.arguments);
    let stdin = input(run.root.path(), program.stdin);
    let output = finish(&mut command, stdin.into());
    run.add(output);
    compare(program, &run)
}

fn chain(program: Program, engine: &str, memory: bool) -> Result<(), String> {
    let mut run = Run::new(memory);
    let snapshot = run.root.path().join("snapshot");
    let stdin = input(run.root.path(), program.stdin);
    let shared = || Stdio::from(stdin.try_clone().expect("a descriptor can be duplicated"));
    let mut command = dormouse();
    command.args([
        "run",
        "--engine",
        engine,
        "--suspend",
        "always",
        "--snapshot",
    ]);
    command.arg(&snapshot).args(run.dirs()).args(run.memory());
    command.arg(module(program)).args(program.arguments);
    run.add(finish(&mut command, shared()));
    let mut resumes = 0;
    while run.code == Some(75) && resumes < 200 {
        resumes += 1;
        let mut command = dormouse();
        command.args(["resume", "--engine", engine, "--suspend", "always"]);
        command.args(run.dirs()).arg::<&Path>(&snapshot);
        run.add(finish(&mut command, shared()));
    }
    compare(program, &run)?;
    check(resumes >= 3, || {
        format!("it was suspended {resumes} times only")
    })
}
