//! Runs that start, crash, meet each other and find damage.

use super::*;
use crate::storage::{Fault, MemoryStorage};

fn claim(storage: &MemoryStorage, nonce: u64) -> Incarnation {
    Incarnation::claim(Arc::new(storage.clone()), "orders", nonce, 0).unwrap()
}

fn recover(storage: &MemoryStorage, nonce: u64) -> (Incarnation, Recovered) {
    let mut run = claim(storage, nonce);
    let recovered = run.recover(Token::NotNeeded).unwrap();
    (run, recovered)
}

/// A manifest of one epoch, with a segment that really is there.
fn manifest(run: &Incarnation, epoch: u64) -> Manifest {
    let mut manifest = Manifest::new("orders", 128, epoch, 0);
    manifest.sources.insert("bids".to_owned(), epoch.into());
    let name = run.segment_name(epoch, 0);
    let bytes = format!("state of epoch {epoch}").into_bytes();
    let block = crate::manifest::BlockRef {
        segment: name.clone(),
        offset: 0,
        bytes: bytes.len() as u64,
        checksum: twox_hash::XxHash3_64::oneshot(&bytes),
        epoch,
        groups: crate::manifest::GroupRange(0, 128),
        full: true,
        rows: 1,
        buckets: None,
    };
    run.storage().write(&name, &bytes).unwrap();
    let entry = manifest.operators.entry("counts".to_owned()).or_default();
    entry.tables.entry("table".to_owned()).or_default().blocks.push(block);
    manifest
}

fn checkpoint(run: &mut Incarnation, epoch: u64) -> u64 {
    let mut manifest = manifest(run, epoch);
    let number = run.publish(&mut manifest).unwrap();
    run.confirm().unwrap();
    run.retain(1).unwrap();
    number
}

fn epoch(recovered: &Recovered) -> Option<u64> {
    recovered.manifest.as_ref().map(|manifest| manifest.epoch)
}

#[test]
fn a_run_goes_on_where_the_last_one_was() {
    let storage = MemoryStorage::new();
    let (mut first, recovered) = recover(&storage, 1);
    assert!(recovered.manifest.is_none() && first.generation() == 1);
    assert_eq!((checkpoint(&mut first, 1), checkpoint(&mut first, 2)), (2, 3));
    let (mut second, recovered) = recover(&storage, 2);
    assert_eq!((epoch(&recovered), recovered.finish, second.generation()), (Some(2), false, 4));
    assert_eq!(checkpoint(&mut second, 3), 5);
    assert_eq!((first.store_id(), second.store_id()), (1, 1));
    // One manifest, both claims, one segment are left.
    let names = storage.list("").unwrap();
    assert_eq!(
        names,
        [
            "FLOTT",
            "segments/00000004-00000005-3-0",
            "sequence/00000001",
            "sequence/00000004",
            "sequence/00000005",
            "sequence/00000005.confirmed"
        ]
    );
}

#[test]
fn a_crash_before_the_mark_is_finished_by_the_next_run() {
    let storage = MemoryStorage::new();
    let (mut first, _) = recover(&storage, 1);
    let mut pending = manifest(&first, 1);
    first.publish(&mut pending).unwrap();
    drop(first);
    let (mut second, recovered) = recover(&storage, 2);
    assert_eq!((epoch(&recovered), recovered.finish), (Some(1), true));
    let mut next = manifest(&second, 2);
    assert!(
        matches!(second.publish(&mut next), Err(PublishError::Stop(_))),
        "not before the tip is confirmed"
    );
    second.confirm().unwrap();
    second.publish(&mut next).unwrap();
}

#[test]
fn an_older_run_meets_the_newer_ones_claim_and_stops() {
    let storage = MemoryStorage::new();
    let (mut old, _) = recover(&storage, 1);
    checkpoint(&mut old, 1);
    let (mut new, recovered) = recover(&storage, 2);
    assert_eq!(epoch(&recovered), Some(1));
    let mut late = manifest(&old, 2);
    let Err(PublishError::Stop(error)) = old.publish(&mut late) else { panic!("a zombie published") };
    assert_eq!(error.code, Code::Superseded);
    assert!(error.message.contains("claimed number 3"), "{}", error.message);
    checkpoint(&mut new, 2);
    // What the zombie wrote is swept with the newer run's retention.
    assert_eq!(storage.list("segments/").unwrap(), ["segments/00000003-00000004-2-0"]);
    // And it cannot sweep what is the newer run's.
    old.retain(1).unwrap();
    assert_eq!(storage.list("segments/").unwrap().len(), 1);
}

#[test]
fn a_run_whose_directory_another_has_begun_anew_writes_nothing_there() {
    let storage = MemoryStorage::new();
    let (mut old, _) = recover(&storage, 1);
    checkpoint(&mut old, 1);
    delete_all(&storage).unwrap();
    assert_eq!(old.check_place().unwrap_err().code, Code::CheckpointFailed, "it may come back");
    let (mut new, _) = recover(&storage, 2);
    assert_eq!(new.generation(), old.generation());
    for error in [old.check_place().unwrap_err(), old.check_fence().unwrap_err()] {
        assert_eq!(error.code, Code::Superseded, "{error:?}");
    }
    checkpoint(&mut new, 1);
    assert!(new.check_place().is_ok() && new.check_fence().is_ok());
}

#[test]
fn of_two_claimers_the_one_with_the_higher_number_owns_the_job() {
    let storage = MemoryStorage::new();
    let mut first = claim(&storage, 1);
    let mut second = claim(&storage, 2);
    assert_eq!(first.recover(Token::NotNeeded).unwrap_err().code, Code::Superseded);
    assert!(second.recover(Token::NotNeeded).is_ok());
}

/// Every kind of lost answer, for claim, manifest and mark.
#[test]
fn a_lost_answer_is_asked_for_again_until_it_is_certain() {
    for fault in [Fault::LostAnswer, Fault::LostRequest, Fault::Late] {
        let storage = MemoryStorage::new();
        storage.fail("sequence/", fault);
        let (mut run, _) = recover(&storage, 1);
        assert_eq!(run.generation(), 1);
        storage.fail("sequence/00000002", fault);
        let mut first = manifest(&run, 1);
        assert_eq!(run.publish(&mut first).unwrap(), 2);
        storage.fail("confirmed", fault);
        run.confirm().unwrap();
        storage.deliver();
        let (_, recovered) = recover(&storage, 2);
        assert_eq!((recovered.manifest, recovered.finish), (Some(first), false), "{fault:?}");
    }
}

#[test]
fn while_an_answer_is_uncertain_no_other_manifest_takes_the_number() {
    let storage = MemoryStorage::new();
    let (mut run, _) = recover(&storage, 1);
    (0..TRIES).for_each(|_| storage.fail("sequence/00000002", Fault::LostRequest));
    let mut first = manifest(&run, 1);
    assert!(matches!(run.publish(&mut first), Err(PublishError::Unsettled(_))));
    let mut second = manifest(&run, 2);
    assert!(matches!(run.publish(&mut second), Err(PublishError::Stop(_))));
    assert_eq!(run.publish(&mut first).unwrap(), 2);
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole_and_the_next_one_succeeds() {
    let storage = MemoryStorage::new();
    let (mut run, _) = recover(&storage, 1);
    checkpoint(&mut run, 1);
    storage.fail("sequence/", Fault::NoSpace);
    let mut failed = manifest(&run, 2);
    let Err(PublishError::Failed(error)) = run.publish(&mut failed) else {
        panic!("published on a full disk")
    };
    assert!(error.message.contains("no space left on device"), "{}", error.message);
    assert_eq!(epoch(&recover(&storage.fork(), 2).1), Some(1));
    assert_eq!(checkpoint(&mut run, 3), 3);
    assert_eq!(epoch(&recover(&storage, 2).1), Some(3));
    assert_eq!(storage.list("segments/").unwrap().len(), 1, "the failed one's segment is swept");
}

type Flip = fn(&mut Vec<u8>);

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let storage = MemoryStorage::new();
    let (mut run, _) = recover(&storage, 1);
    for epoch in 1..=3 {
        let mut manifest = manifest(&run, epoch);
        run.publish(&mut manifest).unwrap();
        run.confirm().unwrap();
        run.retain(3).unwrap();
    }
    let flips: [(&str, Flip); 4] = [
        ("sequence/00000004", |bytes| bytes[70] ^= 4),
        ("sequence/00000004", |bytes| bytes.truncate(100)),
        ("segments/00000001-00000004-3-0", |bytes| bytes[7] ^= 1),
        ("segments/00000001-00000004-3-0", |bytes| bytes.truncate(7)),
    ];
    for (name, flip) in flips {
        let storage = storage.fork();
        storage.damage(name, flip);
        let (mut next, recovered) = recover(&storage, 2);
        assert_eq!((epoch(&recovered), recovered.finish), (Some(2), false), "{name}");
        assert!(
            matches!(recovered.skipped.as_slice(), [damage] if damage.number == 4 && damage.what.contains(name))
        );
        // Nothing is deleted before a newer checkpoint is confirmed.
        next.retain(1).unwrap();
        assert!(storage.read(name).unwrap().is_some());
        checkpoint(&mut next, 4);
        assert_eq!(epoch(&recover(&storage, 3).1), Some(4));
    }
    storage.list("sequence/").unwrap().iter().for_each(|name| {
        if !name.ends_with('1') {
            storage.damage(name, |bytes| bytes.clear());
        }
    });
    let error = claim(&storage, 4).recover(Token::NotNeeded).unwrap_err();
    assert!(error.message.contains("no checkpoint of this job is whole"), "{}", error.message);
}

#[test]
fn a_foreign_or_newer_directory_is_refused() {
    let storage = MemoryStorage::new();
    storage.write("holiday/photo.jpg", b"x").unwrap();
    let error = Incarnation::claim(Arc::new(storage.clone()), "orders", 1, 0).unwrap_err();
    assert!(error.message.contains("it holds 'holiday/photo.jpg'"), "{}", error.message);
    assert_eq!(storage.list("").unwrap().len(), 1, "nothing was written into it");
    let storage = MemoryStorage::new();
    storage.write(MARKER, b"flott checkpoints, format 2\n").unwrap();
    let error = Incarnation::claim(Arc::new(storage), "orders", 1, 0).unwrap_err();
    assert!(error.message.contains("format 2"), "{}", error.message);
}

#[test]
fn a_job_without_a_token_is_not_guessed_at() {
    let storage = MemoryStorage::new();
    let (mut run, _) = recover(&storage, 1);
    checkpoint(&mut run, 1);
    let mut next = claim(&storage, 2);
    assert_eq!(next.recover(Token::Of(None)).unwrap_err().code, Code::CheckpointUnusable);
    assert_eq!(epoch(&next.recover(Token::Of(Some(2))).unwrap()), Some(1));
}

#[test]
fn folders_of_jobs_are_plain_names() {
    assert_eq!(job_folder("orders-1.5"), "orders-1.5");
    assert_eq!(job_folder("../a b"), "%2E.%2Fa%20b");
    assert_ne!(job_folder(&"a".repeat(300)), job_folder(&"a".repeat(301)));
    assert_eq!(job_folder(""), "%");
}

/// A run that starts afresh on purpose leaves the older checkpoints whole until it has its own.
#[test]
fn starting_afresh_deletes_nothing_before_its_first_checkpoint() {
    let storage = MemoryStorage::new();
    let (mut run, _) = recover(&storage, 1);
    checkpoint(&mut run, 1);
    let mut afresh = claim(&storage, 2);
    afresh.retain(1).unwrap();
    assert_eq!(epoch(&recover(&storage.fork(), 3).1), Some(1));
    checkpoint(&mut afresh, 1);
    let (run, recovered) = recover(&storage, 4);
    assert_eq!((recovered.manifest.map(|manifest| manifest.generation), run.tip()), (Some(3), 4));
    assert_eq!(storage.list("segments/").unwrap(), ["segments/00000003-00000004-1-0"]);
}

/// The same on a disk, with the files that people see.
#[test]
fn a_directory_holds_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(job_folder("my orders"));
    let storage: Arc<dyn Storage> = Arc::new(crate::storage::LocalStorage::new(&root));
    for round in 1..=3 {
        let mut run = Incarnation::claim(storage.clone(), "my orders", round, 0).unwrap();
        let recovered = run.recover(Token::NotNeeded).unwrap();
        assert_eq!(recovered.manifest.map(|manifest| manifest.epoch), (round > 1).then(|| round - 1));
        checkpoint(&mut run, round);
    }
    assert!(root.ends_with("my%20orders") && root.join("FLOTT").is_file());
    assert_eq!(read_checkpoint(storage.as_ref(), None, &[]).unwrap().0.epoch, 3);
    assert_eq!(contents(storage.as_ref()).unwrap().claims.len(), 3);
    assert!(delete_all(storage.as_ref()).unwrap() > 3);
    assert!(!is_ours(storage.as_ref()).unwrap());
}
