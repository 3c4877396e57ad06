//! How much memory the kernel lets this process have before it kills it.

use std::path::{Path, PathBuf};

/// Where Linux shows control groups.
const ROOT: &str = "/sys/fs/cgroup";

/// A limit from here on is none: version 1 shows the largest number that fits its pages.
const NONE: u64 = 1 << 60;

/// The least limit of the control groups that this process is in; `None` where there is none, or none that can be seen.
pub(crate) fn memory_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    least(Path::new(ROOT), &groups)
}

/// `groups` has a line for each hierarchy: its number, its controllers, and the group in it.
fn least(root: &Path, groups: &str) -> Option<u64> {
    let lines = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let files = lines.filter_map(|(number, controllers, group)| {
        let (hierarchy, file) = match (number, controllers) {
            ("0", "") => (root.to_owned(), "memory.max"),
            (_, names) if names.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        Some(above(&hierarchy, group).into_iter().map(move |group| group.join(file)))
    });
    let limits = files.flatten().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.filter(|limit| *limit < NONE).min()
}

/// A group and all above it, each of which may have a limit. In a container the group may be named as the host sees it, and
/// only the root is there.
fn above(hierarchy: &Path, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|group| hierarchy.join(group)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_least_of_all_above() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |file: &str, text: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/a/memory.limit_in_bytes", "1000\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("x/memory.max", "max\n");
        write("memory.max", "2000\n");
        let limit = |groups| least(root, groups);
        assert_eq!(limit("7:pids:/\n4:memory:/a/b\n0::/\n"), Some(1000));
        assert_eq!(limit("4:cpu,memory:/\n"), None);
        assert_eq!(limit("0::/x\n"), Some(2000));
        assert_eq!(limit("0::/not/seen/here\n"), Some(2000));
        assert_eq!(limit("7:pids:/\n"), None);
        assert_eq!(limit(""), None);
    }
}
