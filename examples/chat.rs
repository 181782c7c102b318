//! A chat room that sleeps while nobody speaks, with everybody still connected.
//!
//! `cargo run --example chat`

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::sync::Arc;
use std::time::Duration;

use dormouse::Error;
use dormouse::daemon::{Daemon, Options};
use dormouse::model::spec::Network;
use dormouse::model::{TaskId, TaskSpec, TaskState};
use dormouse::store::Sqlite;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

type Line = BufReader<TcpStream>;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Sqlite::open(folder.path())?);
    let options = Options {
        hibernate_after: Duration::from_millis(200),
        ..Options::default()
    };
    let daemon = Daemon::start(store, options)?;

    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let wasm = include_bytes!("../wasm/bin/ex_chat.wasm").to_vec();
    let room = TaskSpec {
        module: Some(daemon.add_module(wasm).await?.into()),
        program: Some("chat".into()),
        args: vec![address.clone()],
        // A guest reaches what it is granted, and nothing else.
        network: Network {
            allow_listen: vec![address.parse().expect("an address is a rule")],
            ..Network::default()
        },
        ..TaskSpec::default()
    };
    let mut ids = daemon.submit(vec![room]).await?;
    let id = ids.remove(0)?;

    let mut ann = join(&address, "ann").await;
    let mut ben = join(&address, "ben").await;
    println!("ann hears: {}", hear(&mut ann).await);
    for said in ["hello", "is anybody there?"] {
        asleep(&daemon, id).await?;
        say(&mut ann, said).await;
        println!("ben hears: {}", hear(&mut ben).await);
    }
    daemon.close().await;
    Ok(())
}

/// Waits until the room is nothing but some bytes on the disk.
async fn asleep(daemon: &Daemon, id: TaskId) -> Result<(), Error> {
    loop {
        let task = daemon.task(id).await?;
        if task.state == TaskState::Hibernated && task.memory == 0 {
            println!(
                "the room sleeps, {} bytes in the store",
                task.snapshot_bytes
            );
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn join(address: &str, name: &str) -> Line {
    let stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let mut line = BufReader::new(stream);
    say(&mut line, name).await;
    println!("{name} hears: {}", hear(&mut line).await);
    line
}

async fn say(to: &mut Line, text: &str) {
    let text = format!("{text}\n");
    to.write_all(text.as_bytes()).await.expect("it is sent");
}

async fn hear(from: &mut Line) -> String {
    let mut line = String::new();
    from.read_line(&mut line).await.expect("a line");
    line.trim_end().to_string()
}
