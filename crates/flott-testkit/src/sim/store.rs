//! A checkpoint store whose answers get lost, and whose requests may arrive late.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use flott_state::{
    Storage, Stores,
    storage::{Effect, Put, StorageError, StorageResult},
};

use super::world::{self, Op, Verdict, with};

/// What is in the store.
#[derive(Debug, Default)]
pub(super) struct StoreModel {
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    /// Manifests that were ever written.
    pub(super) manifests: u64,
    /// Requests that arrive later.
    late: Vec<(String, Vec<u8>)>,
}

impl StoreModel {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Put {
        if self.objects.contains_key(name) {
            return Put::Taken;
        }
        self.objects.insert(name.to_owned(), bytes.to_vec());
        let is_manifest = name.starts_with("sequence/") && !name.ends_with(".confirmed") && !is_claim(bytes);
        self.manifests += u64::from(is_manifest);
        Put::Written
    }

    /// A late request arrives, if one is under way.
    pub(super) fn deliver(&mut self) -> Option<String> {
        if self.late.is_empty() {
            return None;
        }
        let (name, bytes) = self.late.remove(0);
        self.put(&name, &bytes);
        Some(name)
    }
}

fn is_claim(bytes: &[u8]) -> bool {
    let mark = br#""kind":"claim""#;
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// The store as one incarnation sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SimStore {
    pub(super) process: usize,
}

impl Stores for SimStore {
    fn open(&self, _: &Path) -> Arc<dyn Storage> {
        Arc::new(*self)
    }
    fn parallel(&self) -> bool {
        false
    }
}

fn failed(name: &str, why: &str, effect: Effect) -> StorageError {
    StorageError { name: name.to_owned(), what: format!("could not be asked: {why}"), effect, passing: false }
}

impl SimStore {
    /// A request that changes something.
    fn change<T>(
        &self,
        op: Op,
        name: &str,
        late: Option<&[u8]>,
        act: impl FnOnce(&mut StoreModel) -> T,
    ) -> StorageResult<T> {
        match world::op(self.process, op, &|| name.to_owned()) {
            Verdict::Go => Ok(with(|world| act(&mut world.store))),
            Verdict::Full | Verdict::Broken => Err(failed(name, "no space left on device", Effect::None)),
            Verdict::LostAnswer => {
                with(|world| act(&mut world.store));
                Err(failed(name, "no answer", Effect::Unknown))
            }
            Verdict::LostRequest => Err(failed(name, "no answer", Effect::Unknown)),
            Verdict::Late => {
                if let Some(bytes) = late {
                    with(|world| world.store.late.push((name.to_owned(), bytes.to_vec())));
                }
                Err(failed(name, "no answer", Effect::Unknown))
            }
            Verdict::DieAfter(how) => {
                with(|world| act(&mut world.store));
                world::die(self.process, how);
                Err(failed(name, "the process is dead", Effect::Unknown))
            }
            Verdict::Die(how) => {
                world::die(self.process, how);
                Err(failed(name, "the process is dead", Effect::Unknown))
            }
            Verdict::Dead => Err(failed(name, "the process is dead", Effect::Unknown)),
        }
    }

    /// A request that only looks.
    fn look<T>(&self, op: Op, name: &str, act: impl FnOnce(&StoreModel) -> T) -> StorageResult<T> {
        self.change(op, name, None, |store| act(store))
    }
}

impl Storage for SimStore {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> StorageResult<Put> {
        let op = if name.ends_with(".confirmed") { Op::Mark } else { Op::Put };
        self.change(op, name, Some(bytes), |store| store.put(name, bytes))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
        let part = with(|world| world.random.below(bytes.len() as u64 + 1) as usize);
        let before = with(|world| world.store.objects.contains_key(name));
        let put = self.change(Op::Segment, name, Some(bytes), |store| store.put(name, bytes));
        let died = with(|world| world.is_dead(self.process));
        if died && !before {
            // Whoever wasn't told its name may see a part of it.
            let torn = bytes.get(..part).unwrap_or_default().to_vec();
            with(|world| _ = world.store.objects.entry(name.to_owned()).or_insert(torn));
        }
        match put? {
            Put::Written => Ok(()),
            Put::Taken => Err(failed(name, "the name is taken", Effect::None)),
        }
    }

    fn read(&self, name: &str) -> StorageResult<Option<Vec<u8>>> {
        self.look(Op::Read, name, |store| store.objects.get(name).cloned())
    }

    fn read_range(&self, name: &str, offset: u64, length: u64) -> StorageResult<Option<Vec<u8>>> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let end = bytes.len() as u64;
        let range = offset.min(end) as usize..offset.saturating_add(length).min(end) as usize;
        Ok(Some(bytes.get(range).unwrap_or_default().to_vec()))
    }

    fn list(&self, prefix: &str) -> StorageResult<Vec<String>> {
        self.look(Op::List, prefix, |store| {
            store.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
        })
    }

    fn delete(&self, name: &str) -> StorageResult<()> {
        self.change(Op::Delete, name, None, |store| {
            store.objects.remove(name);
        })
    }
}
