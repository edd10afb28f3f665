//! A storage in memory, with faults on request: for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Effect, Put, Storage, StorageError, StorageResult};

/// What goes wrong with the next request to write a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It takes effect, and the answer is lost.
    LostAnswer,
    /// It takes effect only when [`MemoryStorage::deliver`] is called; the answer is lost.
    Late,
    /// It has no effect, and the answer is lost.
    LostRequest,
    /// There is no space left.
    NoSpace,
}

/// Objects in memory. Clones share them, as two processes share a disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    faults: Vec<(String, Fault)>,
    late: Vec<(String, Vec<u8>)>,
}

impl MemoryStorage {
    /// Nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next write of a name that contains this text goes wrong.
    pub fn fail(&self, name_contains: &str, fault: Fault) {
        self.state().faults.push((name_contains.to_owned(), fault));
    }

    /// Delivers the requests that were late; where the name is taken they have no effect.
    pub fn deliver(&self) {
        let mut state = self.state();
        for (name, bytes) in std::mem::take(&mut state.late) {
            state.objects.entry(name).or_insert(bytes);
        }
    }

    /// Changes an object's bytes behind everybody's back.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(bytes) = self.state().objects.get_mut(name) {
            change(bytes);
        }
    }

    /// A copy that shares nothing with this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        let copy = Self::default();
        copy.state().objects = self.state().objects.clone();
        copy
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fault(&mut self, name: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|(text, _)| name.contains(text.as_str()))?;
        Some(self.faults.remove(at).1)
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> StorageResult<Put> {
        let lost = |effect, why: &str| StorageError {
            name: name.to_owned(),
            what: format!("could not be written: {why}"),
            effect,
            passing: true,
        };
        let fault = self.fault(name);
        match fault {
            Some(Fault::NoSpace) => return Err(lost(Effect::None, "no space left on device")),
            Some(Fault::LostRequest) => return Err(lost(Effect::Unknown, "no answer")),
            Some(Fault::Late) => {
                self.late.push((name.to_owned(), bytes.to_vec()));
                return Err(lost(Effect::Unknown, "no answer"));
            }
            Some(Fault::LostAnswer) | None => {}
        }
        let put = if self.objects.contains_key(name) {
            Put::Taken
        } else {
            self.objects.insert(name.to_owned(), bytes.to_vec());
            Put::Written
        };
        if fault.is_some() { Err(lost(Effect::Unknown, "no answer")) } else { Ok(put) }
    }
}

impl Storage for MemoryStorage {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> StorageResult<Put> {
        self.state().put(name, bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
        match self.state().put(name, bytes)? {
            Put::Written => Ok(()),
            Put::Taken => {
                let what = "could not be written: the name is taken".to_owned();
                Err(StorageError { name: name.to_owned(), what, effect: Effect::None, passing: false })
            }
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
        self.state().objects.remove(name);
        self.write(name, bytes)
    }

    fn read(&self, name: &str) -> StorageResult<Option<Vec<u8>>> {
        Ok(self.state().objects.get(name).cloned())
    }

    fn read_range(&self, name: &str, offset: u64, length: u64) -> StorageResult<Option<Vec<u8>>> {
        let state = self.state();
        let Some(bytes) = state.objects.get(name) else { return Ok(None) };
        let end = bytes.len() as u64;
        let range = offset.min(end) as usize..offset.saturating_add(length).min(end) as usize;
        Ok(Some(bytes.get(range).unwrap_or_default().to_vec()))
    }

    fn list(&self, prefix: &str) -> StorageResult<Vec<String>> {
        Ok(self.state().objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn delete(&self, name: &str) -> StorageResult<()> {
        self.state().objects.remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conforms() {
        super::super::check(&super::MemoryStorage::new()).unwrap();
    }
}
