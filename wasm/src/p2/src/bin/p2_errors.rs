//! Files, directories and stdin by the standard library: what works, and each error with its number.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
fn k<T: std::fmt::Debug>(what: &str, r: io::Result<T>) {
    match r {
        Ok(v) => println!("{what}: ok {v:?}"),
        Err(e) => println!("{what}: {:?} {:?}", e.kind(), e.raw_os_error()),
    }
}
fn main() {
    k("mkdir", fs::create_dir("/work/d"));
    k("mkdir again", fs::create_dir("/work/d"));
    k("write", fs::write("/work/d/f", b"hello"));
    k("read", fs::read_to_string("/work/d/f"));
    k(
        "open dir w",
        fs::OpenOptions::new().write(true).open("/work/d").map(drop),
    );
    k("open dir r", fs::File::open("/work/d").map(drop));
    k("read dir as file", fs::read("/work/d"));
    k(
        "excl",
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open("/work/d/f")
            .map(drop),
    );
    k("noent", fs::read("/work/nope"));
    k("notdir", fs::read("/work/d/f/x"));
    k("rmdir full", fs::remove_dir("/work/d"));
    k("unlink dir", fs::remove_file("/work/d"));
    k("escape", fs::read("/work/../x"));
    k("escape2", fs::read("/work/d/../../x"));
    k("rename", fs::rename("/work/d/f", "/work/d/g"));
    k("rename noent", fs::rename("/work/d/f", "/work/d/h"));
    k("rename over dir", fs::rename("/work/d/g", "/work/d"));
    k("link", fs::hard_link("/work/d/g", "/work/d/l"));
    k("links", fs::metadata("/work/d/g").map(|m| m.len()));
    let long = "x".repeat(300);
    k("long", fs::write(format!("/work/{long}"), b"x"));
    let mut f = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/work/d/g")
        .unwrap();
    k("seek", f.seek(SeekFrom::End(2)));
    k("w", f.write(b"!!"));
    k("seek neg", f.seek(SeekFrom::Current(-100)));
    k("rewind", f.rewind());
    let mut s = Vec::new();
    k("r", f.read_to_end(&mut s));
    println!("{s:?}");
    k("trunc", f.set_len(3));
    k("len", f.metadata().map(|m| (m.len(), m.is_file())));
    k("trunc big", f.set_len(u64::MAX));
    let mut r = fs::File::open("/work/d/g").unwrap();
    k("write ro", r.write(b"x"));
    k("trunc ro", r.set_len(0));
    let mut w = fs::OpenOptions::new()
        .write(true)
        .open("/work/d/g")
        .unwrap();
    k("read wo", w.read(&mut [0; 3]));
    let mut a = fs::OpenOptions::new()
        .append(true)
        .open("/work/d/g")
        .unwrap();
    k("append", a.write(b"APP"));
    k("append2", a.write(b"END"));
    k("read", fs::read_to_string("/work/d/g"));
    let t = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1234567);
    k("times", f.set_modified(t));
    k(
        "mtime",
        f.metadata().and_then(|m| m.modified()).map(|m| m == t),
    );
    let mut names: Vec<_> = fs::read_dir("/work/d")
        .unwrap()
        .map(|e| {
            let e = e.unwrap();
            (e.file_name(), e.file_type().unwrap().is_file())
        })
        .collect();
    names.sort();
    println!("{names:?}");
    k("readdir file", fs::read_dir("/work/d/g").map(|d| d.count()));
    k("sync", f.sync_all());
    k("datasync", f.sync_data());
    k("readlink file", fs::read_link("/work/d/g"));
    k("canon", fs::canonicalize("/work/d"));
    #[allow(deprecated)]
    {
        k("symlink", fs::soft_link("g", "/work/d/s"));
    }
    k(
        "stat link",
        fs::symlink_metadata("/work/d/s").map(|m| m.file_type().is_symlink()),
    );
    k("follow", fs::read_to_string("/work/d/s"));
    k("empty", fs::read(""));
    k("slash", fs::write("/work/d/new/", b"x"));
    k("rm", fs::remove_dir_all("/work/d"));
    print!("prompt> ");
    io::stdout().flush().unwrap();
    let mut line = String::new();
    k("line", io::stdin().read_line(&mut line));
    println!("{line:?}");
    let mut rest = String::new();
    k("rest", io::stdin().read_to_string(&mut rest));
    println!("{rest:?}");
    eprintln!("err");
    std::process::exit(7);
}
