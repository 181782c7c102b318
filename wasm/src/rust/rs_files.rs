//! Behaviour: std::fs across sleeps: write, append, seek, read_dir, metadata, copy, rename, remove.
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::thread::sleep;
use std::time::Duration;

const WORK: &str = "/work";

fn nap() {
    sleep(Duration::from_millis(8));
}

fn names(path: &str) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if all.len() % 3 == 1 {
            nap();
        }
        let kind = if entry.file_type()?.is_dir() { "/" } else { "" };
        all.push(format!("{}{kind}", entry.file_name().to_string_lossy()));
    }
    // The order is the host's own affair.
    all.sort();
    Ok(all)
}

fn main() -> io::Result<()> {
    fs::create_dir_all(format!("{WORK}/a/b/c"))?;
    for i in 0..7 {
        fs::write(format!("{WORK}/a/file{i}"), format!("contents {i}"))?;
    }
    nap();
    println!("{:?}", names(&format!("{WORK}/a"))?);

    let path = format!("{WORK}/a/lines");
    let mut writer = BufWriter::new(File::create(&path)?);
    for i in 0..300 {
        writeln!(writer, "line {i}")?;
        if i % 100 == 50 {
            nap();
        }
    }
    writer.flush()?;
    drop(writer);
    println!("size {}", fs::metadata(&path)?.len());

    let mut sum = 0;
    for (i, line) in BufReader::new(File::open(&path)?).lines().enumerate() {
        let line = line?;
        sum += line.len();
        if i % 100 == 99 {
            nap();
            println!("read {line}");
        }
    }
    println!("letters {sum}");

    let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
    file.write_all(b"appended")?;
    file.seek(SeekFrom::End(-8))?;
    nap();
    let mut tail = String::new();
    file.read_to_string(&mut tail)?;
    println!("tail {tail}");

    fs::rename(&path, format!("{WORK}/moved"))?;
    file.write_all(b" and after the rename")?;
    nap();
    println!("copied {}", fs::copy(format!("{WORK}/moved"), format!("{WORK}/copy"))?);
    let meta = fs::metadata(format!("{WORK}/moved"))?;
    println!("is_file {} is_dir {} len {}", meta.is_file(), meta.is_dir(), meta.len());
    file.set_len(10)?;
    println!("cut to {:?}", fs::read_to_string(format!("{WORK}/moved"))?);

    for bad in ["missing", "../outside", "copy"] {
        match fs::read(format!("{WORK}/{bad}")) {
            Ok(all) => println!("{bad}: {} bytes", all.len()),
            Err(e) => println!("{bad}: {:?}", e.kind()),
        }
    }
    nap();
    fs::remove_file(format!("{WORK}/moved"))?;
    // By hand: remove_dir_all deletes while it lists, and what a listing then skips is the host's own affair.
    for name in names(&format!("{WORK}/a"))? {
        match name.strip_suffix('/') {
            Some(dir) => {
                fs::remove_dir(format!("{WORK}/a/{dir}/c"))?;
                fs::remove_dir(format!("{WORK}/a/{dir}"))?;
            }
            None => fs::remove_file(format!("{WORK}/a/{name}"))?,
        }
    }
    fs::remove_dir(format!("{WORK}/a"))?;
    println!("left {:?}", names(WORK)?);
    Ok(())
}
