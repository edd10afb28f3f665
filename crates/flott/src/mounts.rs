//! Whether a directory is on a disk, or in memory and gone with the machine.
//!
//! ```text
//!   /proc/self/mounts    tmpfs /dev/shm tmpfs rw…     the longest mount point above a path tells its kind
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Kinds of file systems that keep nothing on a disk.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// The mount point of the file system in memory that a directory is on, or would be on once it is made. None
/// if it is on a disk, and where nobody says.
pub fn in_memory(directory: &Path) -> Option<PathBuf> {
    let existing = std::path::absolute(directory).ok()?;
    let existing = existing.ancestors().find_map(|it| it.canonicalize().ok())?;
    mounted_in_memory(&fs::read_to_string("/proc/self/mounts").ok()?, &existing)
}

fn mounted_in_memory(mounts: &str, path: &Path) -> Option<PathBuf> {
    let mount = |line: &str| {
        let mut words = line.split(' ').skip(1);
        // Spaces stand there as octal numbers.
        let point = PathBuf::from(words.next()?.replace("\\040", " "));
        Some((point, words.next()?.to_string()))
    };
    let above = mounts.lines().filter_map(mount).filter(|(point, _)| path.starts_with(point));
    // Of mounts over each other at the same point the last one counts.
    let (point, kind) = above.max_by_key(|(point, _)| point.as_os_str().len())?;
    IN_MEMORY.contains(&kind.as_str()).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_above_a_path_tells() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n\
                      tmpfs /mnt/a\\040b tmpfs rw 0 0\n/dev/sdb1 /dev/shm/disk ext4 rw 0 0\n";
        let found = |path: &str| mounted_in_memory(mounts, Path::new(path));
        assert_eq!(found("/dev/shm/checkpoints"), Some("/dev/shm".into()));
        assert_eq!(found("/mnt/a b/c"), Some("/mnt/a b".into()));
        assert_eq!((found("/dev/shm/disk/c"), found("/dev/shmoo"), found("/var")), (None, None, None));
    }
}
