//! Files and directories by `wasi:filesystem` itself, with its error codes, and sleeps between.

use wasi::clocks::monotonic_clock;
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DescriptorType, NewTimestamp, OpenFlags, PathFlags,
};

fn nap() {
    monotonic_clock::subscribe_duration(3_000_000).block();
}

fn open(at: &Descriptor, path: &str, how: OpenFlags, flags: DescriptorFlags) -> String {
    match at.open_at(PathFlags::empty(), path, how, flags) {
        Ok(descriptor) => format!("{:?} {:?}", descriptor.get_type(), descriptor.get_flags()),
        Err(code) => format!("{code:?}"),
    }
}

fn entries(directory: &Descriptor) -> Vec<String> {
    let stream = directory.read_directory().expect("it is a directory");
    let mut found = Vec::new();
    while let Some(entry) = stream.read_directory_entry().expect("it can be read") {
        nap();
        found.push(format!("{} {:?}", entry.name, entry.type_));
    }
    found.sort();
    found
}

fn main() {
    let directories = get_directories();
    println!(
        "directories: {:?}",
        directories.iter().map(|(_, name)| name).collect::<Vec<_>>()
    );
    let Some((root, _)) = directories.into_iter().next() else {
        return println!("no directory");
    };
    println!("type: {:?}", root.get_type());
    root.create_directory_at("d").expect("it is new");
    println!("again: {:?}", root.create_directory_at("d"));
    let d = root
        .open_at(
            PathFlags::empty(),
            "d",
            OpenFlags::DIRECTORY,
            DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
        )
        .expect("it is there");
    let file = d
        .open_at(
            PathFlags::empty(),
            "f",
            OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
            DescriptorFlags::READ | DescriptorFlags::WRITE,
        )
        .expect("it can be made");
    println!("write: {:?}", file.write(b"hello, file system", 0));
    nap();
    println!("write behind the end: {:?}", file.write(b"!", 30));
    println!(
        "read: {:?}",
        file.read(10, 0)
            .map(|(bytes, end)| (String::from_utf8_lossy(&bytes).into_owned(), end))
    );
    println!(
        "read the rest: {:?}",
        file.read(100, 7).map(|(bytes, end)| (bytes.len(), end))
    );
    println!("read past: {:?}", file.read(5, 100));
    let stat = file.stat().expect("it can be looked at");
    println!("stat: {:?} {} {}", stat.type_, stat.size, stat.link_count);
    println!(
        "set size: {:?} {}",
        file.set_size(12),
        file.stat().expect("so can that").size
    );
    println!("sync: {:?} {:?}", file.sync(), file.sync_data());
    println!("advise: {:?}", file.advise(0, 10, Advice::Sequential));
    let output = file.write_via_stream(6).expect("it is a file");
    output
        .blocking_write_and_flush(b"streams")
        .expect("there is room");
    nap();
    output
        .blocking_write_and_flush(b" go on")
        .expect("there is room");
    drop(output);
    let more = file.append_via_stream().expect("it is a file");
    more.blocking_write_and_flush(b", appended")
        .expect("there is room");
    drop(more);
    let input = file.read_via_stream(2).expect("it is a file");
    println!(
        "stream: {:?}",
        input
            .blocking_read(9)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|_| "error")
    );
    nap();
    println!(
        "stream: {:?}",
        input
            .blocking_read(100)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|_| "error")
    );
    println!("end: {}", input.blocking_read(1).is_err());
    drop(input);
    let time = NewTimestamp::Timestamp(wasi::clocks::wall_clock::Datetime {
        seconds: 1_000_000_000,
        nanoseconds: 5,
    });
    println!("times: {:?}", file.set_times(time, time));
    println!(
        "modified: {:?}",
        file.stat()
            .expect("it is there")
            .data_modification_timestamp
    );
    println!(
        "times at: {:?}",
        d.set_times_at(
            PathFlags::empty(),
            "f",
            NewTimestamp::NoChange,
            NewTimestamp::Now
        )
    );
    println!("link: {:?}", d.link_at(PathFlags::empty(), "f", &root, "g"));
    println!("symlink: {:?}", d.symlink_at("f", "s"));
    println!(
        "readlink: {:?} {:?}",
        d.readlink_at("s"),
        d.readlink_at("f")
    );
    println!(
        "stat at: {:?}",
        d.stat_at(PathFlags::empty(), "s").map(|s| s.type_)
    );
    println!(
        "followed: {:?}",
        d.stat_at(PathFlags::SYMLINK_FOLLOW, "s")
            .map(|s| (s.type_, s.size, s.link_count))
    );
    println!("rename: {:?}", root.rename_at("g", &d, "h"));
    println!(
        "same: {}",
        file.is_same_object(
            &d.open_at(
                PathFlags::empty(),
                "h",
                OpenFlags::empty(),
                DescriptorFlags::READ
            )
            .expect("it is there")
        )
    );
    println!(
        "hash: {}",
        file.metadata_hash().expect("it has one").lower
            == d.metadata_hash_at(PathFlags::empty(), "h")
                .expect("it has one")
                .lower
    );
    println!("entries: {:?}", entries(&d));
    let create = OpenFlags::CREATE;
    for (path, how, flags) in [
        ("f", OpenFlags::empty(), DescriptorFlags::READ),
        ("f", OpenFlags::DIRECTORY, DescriptorFlags::READ),
        ("f", create | OpenFlags::EXCLUSIVE, DescriptorFlags::WRITE),
        ("none", OpenFlags::empty(), DescriptorFlags::READ),
        ("none/f", create, DescriptorFlags::WRITE),
        ("../out", create, DescriptorFlags::WRITE),
        ("/etc/passwd", OpenFlags::empty(), DescriptorFlags::READ),
        ("s", OpenFlags::empty(), DescriptorFlags::READ),
        ("", OpenFlags::empty(), DescriptorFlags::READ),
        (".", OpenFlags::empty(), DescriptorFlags::READ),
    ] {
        println!("open {path:?}: {}", open(&d, path, how, flags));
    }
    println!("remove a full one: {:?}", root.remove_directory_at("d"));
    println!(
        "unlink a directory: {:?}",
        root.unlink_file_at("d").is_err()
    );
    for name in ["f", "h", "s"] {
        println!("unlink: {:?}", d.unlink_file_at(name));
        nap();
    }
    println!("unlink again: {:?}", d.unlink_file_at("f"));
    // The file is open, and has no name any more.
    println!(
        "still there: {:?}",
        file.read(5, 0)
            .map(|(bytes, end)| (String::from_utf8_lossy(&bytes).into_owned(), end))
    );
    println!(
        "a file as a directory: {:?}",
        file.read_directory().map(|_| ()).is_err()
    );
    println!(
        "kind: {}",
        matches!(file.get_type(), Ok(DescriptorType::RegularFile))
    );
    println!("remove: {:?}", root.remove_directory_at("d"));
    root.open_at(PathFlags::empty(), "kept", create, DescriptorFlags::WRITE)
        .and_then(|kept| kept.write(b"what is left\n", 0))
        .expect("there is room");
}
