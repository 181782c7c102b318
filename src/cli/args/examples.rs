//! Examples for each command: `--help` and the manual show them, and tests run them.
//!
//! They have their files in common, as the tests make them: a module `job.wasm`, components
//! `app.wasm`, `greeter.wasm` and `api.wasm`, a directory `mail`, a task file `task.toml`, keys `mine` and
//! `box`, and the tasks `nap` and `nightly`.

use crate::cli::exit;

/// A command line, and what it does.
pub(crate) struct Example {
    pub(crate) line: &'static str,
    pub(crate) does: &'static str,
}

macro_rules! examples {
    ($($command:literal { $($line:literal => $does:literal,)+ })+) => {
        /// The examples of each command. A command is named by its words without `dormouse`.
        const EXAMPLES: &[(&str, &[Example])] = &[
            $(($command, &[$(Example { line: $line, does: $does }),+])),+
        ];
    };
}

examples! {
    "" {
        "dormouse run --suspend after=10s job.wasm" =>
            "Run a program. A wait of more than 10 s is written to ./snapshot, and the process ends.",
        "dormouse resume ./snapshot" =>
            "Wait for what is left of it, then go on.",
        "dormouse serve" =>
            "Run a daemon for many tasks.",
    }
    "run" {
        "dormouse run --suspend after=1s job.wasm" =>
            "A wait of more than 1 s is written to ./snapshot, and the process ends with 75.",
        "dormouse run --dir mail::/mail --env VERBOSE=1 --limit cpu=10m job.wasm --all" =>
            "Give a directory and a variable, take no more than 10 minutes of CPU time. --all is the guest's.",
        "dormouse run --suspend always --sign-key mine --encrypt-to box.pub job.wasm" =>
            "Sign and encrypt the snapshot with keys of `dormouse keygen`.",
        "dormouse run --config task.toml --engine wasmtime" =>
            "Take what the guest is given from a file, but for the engine.",
        "dormouse run --rehearse job.wasm" =>
            "Suspend at every call that may block: would the program survive it?",
    }
    "serve-http" {
        "dormouse serve-http --listen 127.0.0.1:0 api.wasm" =>
            "Answer requests until Ctrl-C. One instance answers one request after another.",
    }
    "resume" {
        "dormouse resume ./snapshot" =>
            "Wait until the time has come, then go on.",
        "dormouse resume --suspend always --dir mail::/mail ./snapshot" =>
            "Go on with the directory given again, as far as the next wait.",
        "dormouse resume --verify-key mine.pub --decrypt-key box ./snapshot" =>
            "Take it only if it is signed with this key, and decrypt it.",
        "dormouse resume --limit cpu=20m nap" =>
            "Let a daemon's paused task go on, with more CPU time.",
    }
    "inspect" {
        "dormouse inspect ./snapshot" =>
            "Show what waits in a file, and for what.",
        "dormouse inspect --json nap" =>
            "Show a daemon's task, for a program.",
    }
    "build" {
        "dormouse build job.wasm -o resumable.wasm" =>
            "Only rewrite the module.",
        "dormouse build --functions job.wasm -o resumable.wasm" =>
            "Show too which functions were rewritten, and which calls make that necessary.",
        "dormouse build --timings job.wasm -o resumable.wasm" =>
            "Show what each step takes, with compiling for each engine.",
    }
    "compose" {
        "dormouse compose app.wasm greeter.wasm -o whole.wasm" =>
            "Give app.wasm what it imports from greeter.wasm.",
    }
    "compile" {
        "dormouse compile job.wasm" =>
            "Make a module ready ahead of its first run.",
        "dormouse compile --engine wasmtime --preempt job.wasm" =>
            "For this engine, and for guests that can be suspended while they compute.",
        "dormouse compile --output job.dormouse --sign-key mine job.wasm" =>
            "Into a file, which `dormouse run --verify-key mine.pub job.dormouse` starts elsewhere.",
    }
    "cache" {
        "dormouse cache ls" =>
            "List what was made ready, with sizes and the day of the last use.",
        "dormouse cache prune --older-than 30d" =>
            "Remove what was not used for a month.",
    }
    "cache ls" {
        "dormouse cache ls --json" =>
            "List what was made ready, for a program.",
    }
    "cache prune" {
        "dormouse cache prune --max-size 1G" =>
            "Remove what was not used for longest, until 1 GiB is left.",
        "dormouse cache prune --older-than 30d" =>
            "Remove what was not used for a month.",
    }
    "cache verify" {
        "dormouse cache verify --repair" =>
            "Compare all files with their digests, and remove those that are damaged.",
    }
    "keygen" {
        "dormouse keygen sign mine" =>
            "Write the secret key to mine and the public one to mine.pub.",
        "dormouse keygen encrypt box" =>
            "The same for encryption: box opens what is encrypted to box.pub.",
    }
    "audit" {
        "dormouse audit task.toml" =>
            "List what is broad or risky; end with 82 if something at least medium is found.",
        "dormouse audit --json --fail-on high task.toml" =>
            "The same for a program, and only what is high is a failure.",
    }
    "serve" {
        "dormouse serve" =>
            "Serve on 127.0.0.1:7433 with everything in ~/.local/share/dormouse.",
        "dormouse serve --data /srv/dormouse --listen 127.0.0.1:0 --memory 4G --limit memory=512M" =>
            "Another directory, a free port, and bounds for all guests together and for each.",
        "dormouse serve --store postgres://user@db/dormouse --node a --label zone=eu" =>
            "Keep the tasks in a database, with other daemons: when one dies, the others go on with its tasks.",
        "dormouse serve --takeover" =>
            "Take the place of the daemon that runs, with its tasks' connections.",
        "dormouse serve --peer-listen 10.0.0.2:7434" =>
            "Let other daemons send tasks here.",
        "dormouse serve --listen 0.0.0.0:7433 --host box.example.com --tls-cert chain.pem --tls-key key.pem" =>
            "Speak TLS, so that other machines can ask it.",
    }
    "store" {
        "dormouse store check" =>
            "Look whether the store of this user's daemon is whole.",
        "dormouse store backup copy" =>
            "Copy the data directory while the daemon runs.",
    }
    "store check" {
        "dormouse store check" =>
            "Look whether the store of this user's daemon is whole.",
    }
    "store compact" {
        "dormouse store compact" =>
            "Give unused room back to the disk.",
    }
    "store backup" {
        "dormouse store backup copy" =>
            "Make the directory copy; `dormouse serve --data copy` is the same daemon.",
    }
    "submit" {
        "dormouse submit --name nap job.wasm" =>
            "Run a program in the daemon, and print the task's number.",
        "dormouse submit --name nightly --every '15 2 * * *' --dir mail::/mail job.wasm --all" =>
            "Run it every night at 02:15, with a directory.",
        "dormouse submit --at +10m --restart on-failure --limit memory=256M job.wasm" =>
            "Start in ten minutes, and again whenever it fails.",
        "dormouse submit --place zone=eu,disk=ssd job.wasm" =>
            "Run it at a daemon that has these labels, of those that share a database.",
        "dormouse submit --config task.toml" =>
            "Take what the task is given from a file.",
    }
    "ps" {
        "dormouse ps" =>
            "List the newest hundred tasks.",
        "dormouse ps --state hibernated,paused --sort wakes" =>
            "List those that sleep, the next one to wake first.",
    }
    "logs" {
        "dormouse logs --follow nap" =>
            "Print what the task has written and goes on to write, until it is over.",
        "dormouse logs --tail 20 --timestamps nap" =>
            "Print the last 20 lines with their times.",
    }
    "pause" {
        "dormouse pause nap" =>
            "Keep a task in the store until `dormouse resume nap`.",
        "dormouse pause --name 'mail-*'" =>
            "Pause all tasks whose name begins with mail-.",
    }
    "kill" {
        "dormouse kill nap" =>
            "End a task.",
        "dormouse kill --state paused" =>
            "End all tasks that are paused.",
    }
    "rm" {
        "dormouse rm nap" =>
            "Remove a task that is over or paused.",
        "dormouse rm --state exited,failed" =>
            "Remove all tasks that are over.",
    }
    "start" {
        "dormouse start nightly" =>
            "Run a task now that waits for its schedule, which goes on.",
    }
    "runs" {
        "dormouse runs nightly" =>
            "Show when it ran, for how long, and how each run ended.",
    }
    "export" {
        "dormouse export nap --output nap.snapshot" =>
            "Write a copy of the task to a file, which `dormouse resume` takes anywhere.",
    }
    "import" {
        "dormouse import --name copy nap.snapshot" =>
            "Let the daemon go on with a snapshot file.",
    }
    "migrate" {
        "dormouse migrate nap b" =>
            "Move a task to the peer b, and print its number there.",
        "dormouse migrate --node b nap" =>
            "Have node b go on with it, of those that share the database.",
        "dormouse migrate --dir /srv/mail::/mail nap 10.0.0.2:7434" =>
            "Give it another directory there.",
    }
    "drain" {
        "dormouse drain --to b --to c" =>
            "Move all tasks to two peers, and take no new ones.",
        "dormouse drain --node a" =>
            "Have the other nodes that share the database go on with all that node a has.",
        "dormouse drain --cancel" =>
            "Take tasks again.",
    }
    "peers" {
        "dormouse peers" =>
            "Show this daemon's fingerprint, and the daemons that it knows.",
    }
    "peers ls" {
        "dormouse peers ls" =>
            "Show this daemon's fingerprint, and the daemons that it knows.",
    }
    "peers add" {
        "dormouse peers add b FINGERPRINT --address 10.0.0.2:7434" =>
            "Know a daemon by the fingerprint that `dormouse peers` prints there.",
        "dormouse peers add c FINGERPRINT --dir /srv/mail --listen '127.0.0.1:*'" =>
            "Its tasks may use this directory here, and listen on ports of this address.",
    }
    "peers rm" {
        "dormouse peers rm b" =>
            "Trust a daemon no longer.",
    }
    "token" {
        "dormouse token ls" =>
            "List the tokens, with their roles and tenants.",
    }
    "token create" {
        "dormouse token create --role submit ci" =>
            "Make a token that may add tasks and look at them, and print it.",
        "dormouse token create --role operator --tenant acme pat" =>
            "Make one for whoever looks after the tasks of a tenant.",
    }
    "token ls" {
        "dormouse token ls" =>
            "List the tokens, with their roles and tenants.",
    }
    "token revoke" {
        "dormouse token revoke ci" =>
            "Let a token count no more.",
    }
    "tenant" {
        "dormouse tenant ls" =>
            "List the tenants, with what they have and may have.",
    }
    "tenant create" {
        "dormouse tenant create --max-tasks 1000 --limit memory=64M --dir /srv/acme acme" =>
            "Make a tenant with 1000 tasks of 64 MiB at most, which may be given a directory.",
    }
    "tenant set" {
        "dormouse tenant set --max-tasks 2000 --connect '10.0.0.5:*' acme" =>
            "Let it have more tasks, and let these connect to a host.",
    }
    "tenant ls" {
        "dormouse tenant ls" =>
            "List the tenants, with what they have and may have.",
    }
    "tenant rm" {
        "dormouse tenant rm acme" =>
            "Remove a tenant that has no tasks and no tokens any more.",
    }
    "audit-log" {
        "dormouse audit-log" =>
            "Show the last requests that changed something, or were refused.",
        "dormouse audit-log -n 20 --token ci" =>
            "Show the last 20 of one token's.",
    }
    "nodes" {
        "dormouse nodes" =>
            "List the daemons that share the store of the one that is asked.",
    }
    "moves" {
        "dormouse moves" =>
            "List the moves that are open, and what each waits for.",
    }
    "decide" {
        "dormouse decide nap --keep" =>
            "The task is here: it goes on, if the other daemon agrees.",
        "dormouse decide nap --drop --force" =>
            "The task is the other daemon's, although that one does not answer.",
    }
    "top" {
        "dormouse top" =>
            "Show tasks and rates, every second.",
        "dormouse top --once --json" =>
            "Print the figures once, for a program.",
    }
    "completions" {
        "dormouse completions bash > ~/.local/share/bash-completion/completions/dormouse" =>
            "Complete in bash, from the next shell on.",
        "dormouse completions zsh > _dormouse" =>
            "A function for a directory of zsh's $fpath.",
        "dormouse completions fish > ~/.config/fish/completions/dormouse.fish" =>
            "Complete in fish.",
    }
    "man" {
        "dormouse man ~/.local/share/man/man1" =>
            "Write the pages of all commands to where `man dormouse-run` finds them.",
        "dormouse man > dormouse.1" =>
            "Write the page of dormouse alone.",
    }
}

/// The examples of a command.
pub(crate) fn of(command: &str) -> &'static [Example] {
    let found = EXAMPLES.iter().find(|(name, _)| *name == command);
    found.map_or(&[], |(_, examples)| examples)
}

/// What the help of a command ends with.
pub(crate) fn after_help(command: &str) -> String {
    let examples = of(command).iter();
    let examples = examples.map(|Example { line, does }| format!("\n  {line}\n      {does}"));
    let mut text: String = std::iter::once("Examples:".to_string())
        .chain(examples)
        .collect();
    if command.is_empty() {
        text.push_str("\n\n");
        text.push_str(&exit::table());
    }
    text
}
