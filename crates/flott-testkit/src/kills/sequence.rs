//! The numbered objects of a job's checkpoints, as they lie in its directory.
//!
//! ```text
//!   00000001          00000002   00000002.confirmed   00000003
//!   claim of a start  manifest   its mark             manifest without mark: pending
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{CHECKPOINTS, Job, Tally, readers::entries};

/// What lay there at one look.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    claims: Vec<u64>,
    manifests: Vec<u64>,
    /// Those with the mark that says everything is published.
    confirmed: Vec<u64>,
}

impl Sequence {
    fn folder(place: &Path, job: &Job) -> PathBuf {
        place.join(CHECKPOINTS).join(&job.name).join("sequence")
    }

    pub(super) fn read(place: &Path, job: &Job) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in entries(&Self::folder(place, job))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(number) = name.strip_suffix(".confirmed").and_then(|it| it.parse().ok()) {
                found.confirmed.push(number);
            } else if let Ok(number) = name.parse() {
                match fs::read(entry.path()) {
                    Ok(bytes) if is_claim(&bytes) => found.claims.push(number),
                    // Gone: retention has taken a manifest meanwhile, never a claim.
                    _ => found.manifests.push(number),
                }
            }
        }
        Ok(found)
    }

    fn last(&self) -> u64 {
        self.claims.iter().chain(&self.manifests).copied().max().unwrap_or(0)
    }

    /// Manifests there are or have been: claims are never removed, so all other numbers were theirs.
    pub(super) fn manifests_ever(&self) -> u64 {
        self.last().saturating_sub(self.claims.len() as u64)
    }

    /// Whether the start that is watched has claimed: its claim is the number after the last.
    pub(super) fn is_claimed(&self, place: &Path, job: &Job) -> bool {
        Self::folder(place, job).join(format!("{:08}", self.last() + 1)).exists()
    }

    /// The newest manifest and the newest mark since this look, 0 if there is none.
    fn since(&self, place: &Path, job: &Job) -> io::Result<(u64, u64)> {
        let (mut newest, mut marked) = (0, 0);
        for entry in entries(&Self::folder(place, job))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.strip_suffix(".confirmed") {
                Some(number) => marked = number.parse().unwrap_or(0).max(marked),
                None => newest = name.parse().unwrap_or(0).max(newest),
            }
        }
        let new = |number| if number > self.last() + 1 { number } else { 0 };
        Ok((new(newest), new(marked)))
    }

    /// Whether a manifest lies there without its mark that is the watched start's own, after so many others.
    pub(super) fn has_new_pending(&self, place: &Path, job: &Job, after: u64) -> io::Result<bool> {
        let (newest, marked) = self.since(place, job)?;
        Ok(newest > marked && newest > self.last() + 1 + after)
    }

    /// Whether the watched start has made a checkpoint and marked it.
    pub(super) fn has_new_mark(&self, place: &Path, job: &Job) -> io::Result<bool> {
        Ok(self.since(place, job)?.1 > 0)
    }

    /// Counts the kill of a start that found `before`.
    pub(super) fn count_kill(&self, before: &Self, tally: &mut Tally) {
        let newest = self.manifests.iter().copied().max().unwrap_or(0);
        if newest <= before.last() {
            tally.early += 1;
        } else if self.confirmed.contains(&newest) {
            tally.running += 1;
        } else {
            tally.pending += 1;
        }
    }
}

fn is_claim(bytes: &[u8]) -> bool {
    let mark = br#""kind":"claim""#;
    bytes.windows(mark.len()).any(|window| window == mark)
}
