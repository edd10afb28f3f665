//! A disk that forgets what was not made durable.
//!
//! ```text
//!   bytes   ▇▇▇▇▇▇▇▇▇▇ ░░░░░      certain up to the last sync; of the rest a power cut keeps a beginning,
//!                      ^synced    or a beginning that ends in zeros
//!   names   durable ── journal: made a, renamed a → b, removed c ──► as processes see them
//!                      each entry is kept or lost by a power cut unless its directory was synced
//! ```
//! A rename is one entry: never half of it. A process that is killed loses nothing of what it has written.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use flott_connector::{
    Disk, DiskEntry, DiskFile,
    io::{Step, Work, Worker},
};
use flott_types::Result;

use super::world::{self, Op, Verdict, with};
use crate::kills::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: usize,
}

type Names = BTreeMap<PathBuf, BTreeMap<String, Node>>;

/// A change of names that isn't durable yet: each name, and what it stands for afterwards.
type Change = Vec<(PathBuf, String, Option<Node>)>;

/// What is on the disk, and what a power cut would leave of it.
#[derive(Debug)]
pub(super) struct DiskModel {
    inodes: Vec<Inode>,
    names: Names,
    durable: Names,
    journal: Vec<Change>,
}

impl Default for DiskModel {
    fn default() -> Self {
        let root: Names = [(PathBuf::from("/"), BTreeMap::new())].into();
        Self { inodes: Vec::new(), names: root.clone(), durable: root, journal: Vec::new() }
    }
}

fn split(path: &Path) -> io::Result<(PathBuf, String)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent.to_path_buf(), name.to_string_lossy().into_owned())),
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}

fn apply(names: &mut Names, change: &Change) {
    for (directory, name, node) in change {
        // Names in a directory can be durable before the directory's own name is.
        let entries = names.entry(directory.clone()).or_default();
        match node {
            Some(node) => {
                entries.insert(name.clone(), *node);
                if *node == Node::Directory {
                    names.entry(directory.join(name)).or_default();
                }
            }
            None => _ = entries.remove(name),
        }
    }
}

impl DiskModel {
    fn node(&self, path: &Path) -> Option<Node> {
        if self.names.contains_key(path) {
            return Some(Node::Directory);
        }
        let (parent, name) = split(path).ok()?;
        self.names.get(&parent)?.get(&name).copied()
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.journal.push(change);
    }

    fn create(&mut self, path: &Path) -> io::Result<usize> {
        let (parent, name) = split(path)?;
        match (self.names.contains_key(&parent), self.node(path)) {
            (false, _) => Err(ErrorKind::NotFound.into()),
            (true, Some(_)) => Err(ErrorKind::AlreadyExists.into()),
            (true, None) => {
                self.inodes.push(Inode::default());
                let inode = self.inodes.len() - 1;
                self.change(vec![(parent, name, Some(Node::File(inode)))]);
                Ok(inode)
            }
        }
    }

    fn append(&mut self, path: &Path, create: bool) -> io::Result<usize> {
        match self.node(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Directory) => Err(ErrorKind::IsADirectory.into()),
            None if create => self.create(path),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let Some(node @ Node::File(_)) = self.node(from) else { return Err(ErrorKind::NotFound.into()) };
        let ((from, old), (to, new)) = (split(from)?, split(to)?);
        if !self.names.contains_key(&to) {
            return Err(ErrorKind::NotFound.into());
        }
        self.change(vec![(from, old, None), (to, new, Some(node))]);
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let Some(Node::File(_)) = self.node(path) else { return Err(ErrorKind::NotFound.into()) };
        let (parent, name) = split(path)?;
        self.change(vec![(parent, name, None)]);
        Ok(())
    }

    fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|it| !self.names.contains_key(*it)).collect();
        for directory in missing.into_iter().rev() {
            let (parent, name) = split(directory)?;
            self.change(vec![(parent, name, Some(Node::Directory))]);
        }
        Ok(())
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        if !self.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let (synced, left) = std::mem::take(&mut self.journal)
            .into_iter()
            .partition(|change: &Change| change.iter().any(|(directory, ..)| directory == path));
        self.journal = left;
        synced.iter().for_each(|change| apply(&mut self.durable, change));
        Ok(())
    }

    fn sync_file(&mut self, inode: usize) {
        if let Some(it) = self.inodes.get_mut(inode) {
            it.synced = it.bytes.len();
        }
    }

    fn sync_all(&mut self) {
        (0..self.inodes.len()).for_each(|inode| self.sync_file(inode));
        std::mem::take(&mut self.journal).iter().for_each(|change| apply(&mut self.durable, change));
    }

    /// The machine has lost power: what was not durable is there or isn't.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.journal) {
            if random.below(2) == 0 {
                apply(&mut self.durable, &change);
            }
        }
        // What no name leads to is gone.
        let mut reached: Names = Names::new();
        for (directory, entries) in &self.durable {
            let parent = directory.parent().zip(directory.file_name());
            let is_there = parent.is_none_or(|(parent, name)| {
                reached.get(parent).is_some_and(|it| it.contains_key(&*name.to_string_lossy()))
            });
            if is_there {
                reached.insert(directory.clone(), entries.clone());
            }
        }
        (self.durable, self.names) = (reached.clone(), reached);
        for inode in &mut self.inodes {
            let unsynced = inode.bytes.len() - inode.synced;
            let kept = random.below(unsynced as u64 + 1) as usize;
            inode.bytes.truncate(inode.synced + kept);
            if kept > 0 && random.below(2) == 0 {
                let from = inode.synced + random.below(kept as u64) as usize;
                inode.bytes[from..].fill(0);
            }
            inode.synced = inode.bytes.len();
        }
    }

    /// The files below a directory: their names, and their bytes. Hidden: those whose name, or a
    /// directory's on the way to them, begins with a dot.
    pub(super) fn files(&self, below: &Path) -> Vec<(PathBuf, bool, &[u8])> {
        let mut found = Vec::new();
        for (directory, entries) in self.names.range(below.to_path_buf()..) {
            let Ok(inside) = directory.strip_prefix(below) else { continue };
            let dotted = |name: &str| name.starts_with(['.', '_']);
            let in_hidden = inside.iter().any(|name| dotted(&name.to_string_lossy()));
            for (name, node) in entries {
                let Node::File(inode) = node else { continue };
                let bytes = self.inodes.get(*inode).map_or(&[][..], |it| &it.bytes);
                found.push((directory.join(name), in_hidden || dotted(name), bytes));
            }
        }
        found
    }
}

/// The disk as one incarnation sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SimDisk {
    pub(super) process: usize,
}

struct SimFile {
    process: usize,
    inode: usize,
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

/// One request: asks the world what becomes of it, does it if it is to be done.
fn request<T>(
    process: usize,
    op: Op,
    path: &Path,
    act: impl FnOnce(&mut DiskModel) -> io::Result<T>,
) -> io::Result<T> {
    let verdict = world::op(process, op, &|| path.display().to_string());
    match verdict {
        Verdict::Go => with(|world| act(&mut world.disk)),
        Verdict::Full => Err(ErrorKind::StorageFull.into()),
        Verdict::Broken => Err(io::Error::other("input/output error")),
        Verdict::DieAfter(how) => {
            let _ = with(|world| act(&mut world.disk));
            world::die(process, how);
            Err(dead())
        }
        Verdict::Die(how) => {
            world::die(process, how);
            Err(dead())
        }
        Verdict::Dead | Verdict::LostRequest | Verdict::LostAnswer | Verdict::Late => Err(dead()),
    }
}

impl io::Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let verdict = world::op(self.process, Op::Write, &|| format!("file {}", self.inode));
        let part = with(|world| world.random.below(bytes.len() as u64 + 1) as usize);
        let put = |length: usize| {
            with(|world| {
                if let (Some(inode), Some(some)) =
                    (world.disk.inodes.get_mut(self.inode), bytes.get(..length))
                {
                    inode.bytes.extend_from_slice(some);
                }
            });
        };
        match verdict {
            Verdict::Go => {
                put(bytes.len());
                Ok(bytes.len())
            }
            Verdict::Full => {
                put(part);
                Err(ErrorKind::StorageFull.into())
            }
            Verdict::Die(how) | Verdict::DieAfter(how) => {
                put(part);
                world::die(self.process, how);
                Err(dead())
            }
            Verdict::Broken => Err(io::Error::other("input/output error")),
            Verdict::Dead | Verdict::LostRequest | Verdict::LostAnswer | Verdict::Late => Err(dead()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn sync(&self) -> io::Result<()> {
        let path = PathBuf::from(format!("file {}", self.inode));
        request(self.process, Op::Sync, &path, |disk| {
            disk.sync_file(self.inode);
            Ok(())
        })
    }
    fn sync_file_system(&self) -> io::Result<()> {
        request(self.process, Op::Sync, Path::new("all"), |disk| {
            disk.sync_all();
            Ok(())
        })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = request(self.process, Op::Create, path, |disk| disk.create(path))?;
        Ok(Box::new(SimFile { process: self.process, inode }))
    }
    fn append(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let inode = request(self.process, Op::Create, path, |disk| disk.append(path, create))?;
        Ok(Box::new(SimFile { process: self.process, inode }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        request(self.process, Op::Rename, to, |disk| disk.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        request(self.process, Op::Remove, path, |disk| disk.remove(path))
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        request(self.process, Op::Remove, path, |_| Err(ErrorKind::DirectoryNotEmpty.into()))
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        request(self.process, Op::Create, path, |disk| disk.create_directory(path))
    }
    fn sync_directory(&self, path: &Path, file_system: bool) -> io::Result<()> {
        request(self.process, Op::SyncDirectory, path, |disk| {
            if file_system {
                disk.sync_all();
                return Ok(());
            }
            disk.sync_directory(path)
        })
    }
    fn exists(&self, path: &Path) -> bool {
        with(|world| world.disk.node(path).is_some())
    }
    fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        request(self.process, Op::Entries, path, |disk| {
            let entries = disk.names.get(path).ok_or(ErrorKind::NotFound)?;
            let entry = |(name, node): (&String, &Node)| DiskEntry {
                name: name.clone(),
                is_directory: *node == Node::Directory,
            };
            Ok(entries.iter().map(entry).collect())
        })
    }
    fn start(&self, _: String, work: Box<dyn Work>) -> Result<Box<dyn Worker>> {
        let id = with(|world| world.add_worker(self.process, work));
        Ok(Box::new(SimWorker { id }))
    }
}

/// Work that has its turn when the scheduler says so.
struct SimWorker {
    id: usize,
}

impl Worker for SimWorker {
    fn is_finished(&self) -> bool {
        with(|world| !world.has_worker(self.id))
    }
}

impl Drop for SimWorker {
    /// Waits for the work's end, as a thread's handle does; of a dead process nothing is waited for.
    fn drop(&mut self) {
        let Some((mut work, is_dead)) = with(|world| world.take_worker(self.id)) else { return };
        while !is_dead && work.step(false) == Step::Busy {}
    }
}

/// The clock as one incarnation sees it: its wall clock may be wrong, and jump.
pub(super) struct SimClock {
    pub(super) process: usize,
}

impl flott_connector::Clock for SimClock {
    fn now_micros(&self) -> i64 {
        with(|world| world.wall(self.process))
    }
    fn monotonic(&self) -> std::time::Duration {
        with(|world| std::time::Duration::from_micros(world.now))
    }
}

/// All that an incarnation gets of the disk.
pub(super) fn disk_of(process: usize) -> Arc<dyn Disk> {
    Arc::new(SimDisk { process })
}
