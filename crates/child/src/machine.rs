//! How much memory there is: that of the machine, within the limits of the process's control
//! groups.

use std::fs;
use std::path::{Path, PathBuf};

/// The bytes of memory that are assumed where the system does not say how much there is.
const ASSUMED_BYTES: u64 = 4 << 30;

/// Bytes of memory that this process and its children may still take: what is available on the
/// machine, or the lowest limit of a control group, whichever is less.
pub fn available_memory() -> u64 {
    let machine = machine(&read("/proc/meminfo"));
    let group = group(Path::new("/"));
    machine
        .into_iter()
        .chain(group)
        .min()
        .unwrap_or(ASSUMED_BYTES)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Bytes that are available on the machine, from the text of `/proc/meminfo`.
fn machine(meminfo: &str) -> Option<u64> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    let fields = [field("MemTotal:"), field("MemAvailable:")];
    fields.into_iter().flatten().min()
}

/// The lowest limit of the control groups that the process is in, of both versions. `root` is where
/// `/proc` and the mounts are.
fn group(root: &Path) -> Option<u64> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let groups = read(below("/proc/self/cgroup"));
    let mounts = read(below("/proc/self/mountinfo"));
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|one| one == "memory") {
            continue;
        }
        let file = if unified {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        for (mounted_root, mount) in mounts.lines().filter_map(|line| mount(line, unified)) {
            // This mount shows another part of the tree.
            let Ok(inside) = Path::new(path).strip_prefix(&mounted_root) else {
                continue;
            };
            let whole = inside
                .ancestors()
                .map(|part| below(&mount).join(part).join(file));
            let limits = whole.filter_map(|file| read(file).trim().parse().ok());
            least = limits.chain(least).min();
        }
    }
    // Without a limit, version 1 shows a number larger than any machine's memory.
    least.filter(|limit| *limit < 1 << 60)
}

/// The root and the mount point of a mount of control groups, from a line of `mountinfo`.
fn mount(line: &str, unified: bool) -> Option<(PathBuf, String)> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(3);
    let (root, mount_point) = (front.next()?, front.next()?);
    let mut back = back.split(' ');
    let (kind, _, options) = (back.next()?, back.next()?, back.next()?);
    let fits = match unified {
        true => kind == "cgroup2",
        false => kind == "cgroup" && options.split(',').any(|one| one == "memory"),
    };
    fits.then(|| (root.into(), mount_point.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    /// The kernel's documentation has these formats: proc(5), cgroups(7).
    #[test]
    fn the_tightest_group_of_all_ancestors_counts() {
        let two = tree(&[
            ("proc/self/cgroup", "0::/a/b/c\n"),
            (
                "proc/self/mountinfo",
                "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
            ),
            ("sys/fs/cgroup/a/memory.max", "1000000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/c/memory.max", "2000000\n"),
        ]);
        assert_eq!(group(two.path()), Some(1_000_000));
        let one = tree(&[
            (
                "proc/self/cgroup",
                "4:cpu,memory:/x/y\n1:name=systemd:/x\n0::/\n",
            ),
            (
                "proc/self/mountinfo",
                "31 23 0:27 /x /cg/memory rw shared:9 - cgroup cgroup rw,cpu,memory\n\
                 32 23 0:28 / /cg/unified rw - cgroup2 cgroup2 rw\n",
            ),
            ("cg/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cg/memory/y/memory.limit_in_bytes", "3221225472\n"),
        ]);
        assert_eq!(group(one.path()), Some(3 << 30));
        let none = tree(&[
            ("proc/self/cgroup", "4:memory:/\n"),
            (
                "proc/self/mountinfo",
                "31 23 0:27 / /cg rw - cgroup cgroup rw,memory\n",
            ),
            ("cg/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(group(none.path()), None);
        assert_eq!(group(Path::new("/nowhere")), None);
    }

    #[test]
    fn the_machine_has_what_is_available() {
        let text = "MemTotal:       24000000 kB\nMemFree: 1 kB\nMemAvailable:    2000000 kB\n";
        assert_eq!(machine(text), Some(2_048_000_000));
        assert_eq!(machine(""), None);
    }
}
