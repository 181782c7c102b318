//! PostgreSQL servers that tests start themselves.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// The port that names the socket of a server without TCP.
const DEFAULT_PORT: u16 = 5432;

/// A server; it ends with the process, or when it is dropped.
pub struct Server {
    bin: PathBuf,
    directory: String,
    /// Its port for TCP; its socket is named after it.
    port: String,
    /// `None` only while it is dropped.
    stdin: Mutex<Option<ChildStdin>>,
    stdout: Mutex<BufReader<ChildStdout>>,
    shell: Mutex<Child>,
    databases: AtomicU32,
}

/// What a server has for TLS, each in PEM, and who may connect how.
pub struct ServerTls {
    /// Its certificate.
    pub certificate: String,
    /// The key of that.
    pub key: String,
    /// The authority whose certificates clients may show.
    pub authority: String,
    /// Lines of `pg_hba.conf`.
    pub clients: &'static str,
}

impl Server {
    /// A server of these settings. `None` where there is none on this machine, and only root could
    /// install it.
    pub fn start(settings: &[&str]) -> Option<Self> {
        Self::start_with(settings, DEFAULT_PORT, &[])
    }

    /// A server that listens at this port of 127.0.0.1, too, and speaks TLS there.
    pub fn start_tls(port: u16, tls: &ServerTls) -> Option<Self> {
        let settings = [
            "fsync=off",
            "listen_addresses=127.0.0.1",
            "ssl=on",
            "ssl_ca_file=root.crt",
        ];
        let files = [
            ("SERVER_CRT", tls.certificate.as_str()),
            ("SERVER_KEY", &tls.key),
            ("ROOT_CRT", &tls.authority),
            ("PG_HBA", tls.clients),
        ];
        Self::start_with(&settings, port, &files)
    }

    /// The files are told the shell by variables.
    fn start_with(settings: &[&str], port: u16, files: &[(&str, &str)]) -> Option<Self> {
        let me = std::fs::metadata("/proc/self").expect("Linux");
        let is_root = me.uid() == 0;
        let Some(bin) = programs() else {
            assert!(
                !is_root,
                "PostgreSQL is missing: tests/setup.sh installs it"
            );
            eprintln!("skipped: there is no PostgreSQL, and only root can install it");
            return None;
        };
        let mut command = match is_root {
            // The server refuses to run as root.
            true => {
                let mut command = Command::new("setpriv");
                command.args([
                    "--reuid=postgres",
                    "--regid=postgres",
                    "--init-groups",
                    "sh",
                ]);
                command
            }
            false => Command::new("sh"),
        };
        command.args(["-c", include_str!("postgres.sh"), "sh"]);
        command.arg(&bin);
        let common = ["shared_buffers=32MB", "max_connections=90"];
        for setting in common.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        let port = port.to_string();
        let mut shell = command
            .envs(files.iter().copied())
            .env("PGPORT", &port)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .current_dir("/")
            .spawn()
            .expect("a shell starts");
        let stdin = shell.stdin.take().expect("it is a pipe");
        let stdout = shell.stdout.take().expect("it is a pipe");
        let mut server = Self {
            bin,
            directory: String::new(),
            port,
            stdin: Mutex::new(Some(stdin)),
            stdout: Mutex::new(BufReader::new(stdout)),
            shell: Mutex::new(shell),
            databases: AtomicU32::new(0),
        };
        server.directory = server.tell("start");
        Some(server)
    }

    /// Sends a command, and returns the answer.
    fn tell(&self, command: &str) -> String {
        if let Some(stdin) = &mut *self.stdin.lock().expect("nobody has panicked") {
            writeln!(stdin, "{command}").expect("the shell reads");
        }
        let mut answer = String::new();
        let mut stdout = self.stdout.lock().expect("nobody has panicked");
        stdout.read_line(&mut answer).expect("the shell answers");
        assert!(!answer.is_empty(), "the server did not {command}");
        answer.trim_end().into()
    }

    /// Kills all processes of the server.
    pub fn kill(&self) {
        self.tell("kill");
    }

    /// Starts it again.
    pub fn start_again(&self) {
        self.tell("start");
    }

    /// Where the server's socket is.
    pub fn socket(&self) -> PathBuf {
        Path::new(&self.directory).join(format!(".s.PGSQL.{}", self.port))
    }

    /// Runs SQL, and returns the rows.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args(["-h", &self.directory, "-p", &self.port])
            .args(["-U", "postgres", "-d", database])
            .args(["-v", "ON_ERROR_STOP=1", "-qAtc", sql])
            .output()
            .expect("psql runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {told}");
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    }

    /// Makes a database; returns its name.
    pub fn create_database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        let host = self.directory.replace('/', "%2F");
        format!("postgres://postgres@{host}:{}/{database}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without its pipe the shell ends, and the server with it.
        drop(self.stdin.lock().expect("nobody has panicked").take());
        let _ = self.shell.lock().expect("nobody has panicked").wait();
    }
}

/// The newest PostgreSQL of this machine.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let all = versions.map(|version| version.path().join("bin"));
    let mut all: Vec<PathBuf> = all.filter(|bin| bin.join("initdb").exists()).collect();
    all.sort();
    all.pop()
}
