//! What every provider of [`Storage`] must pass.

use super::{Put, Storage, StorageError};

/// Tries a provider on an empty storage; the error says what it does wrong.
///
/// # Errors
/// The first rule that isn't kept.
pub fn check(storage: &dyn Storage) -> Result<(), String> {
    let failed = |error: StorageError| error.to_string();
    let expect = |good: bool, rule: &str| if good { Ok(()) } else { Err(rule.to_owned()) };

    expect(storage.read("a/1").map_err(failed)?.is_none(), "what was never written is absent")?;
    expect(storage.put_if_absent("a/1", b"one") == Ok(Put::Written), "the first put writes")?;
    expect(storage.put_if_absent("a/1", b"two") == Ok(Put::Taken), "the second put is told so")?;
    expect(storage.put_if_absent("a/1", b"one") == Ok(Put::Taken), "also with the same bytes")?;
    let content = storage.read("a/1").map_err(failed)?;
    expect(content.as_deref() == Some(b"one"), "the first put's bytes stay")?;

    storage.write("a/b/2", b"0123456789").map_err(failed)?;
    expect(storage.write("a/b/2", b"x").is_err(), "a name is written once")?;
    let range = |offset, length| storage.read_range("a/b/2", offset, length).map_err(failed);
    expect(range(3, 4)?.as_deref() == Some(b"3456"), "a range is read")?;
    expect(range(8, 9)?.as_deref() == Some(b"89"), "a range ends with the object")?;
    expect(range(20, 1)?.as_deref() == Some(b""), "beyond the end is nothing")?;
    expect(storage.read_range("a/3", 0, 1) == Ok(None), "no range of what is absent")?;

    storage.write("ab", b"").map_err(failed)?;
    let list = |prefix| storage.list(prefix).map_err(failed);
    expect(list("")? == ["a/1", "a/b/2", "ab"], "all names, in order, with folders' contents")?;
    expect(list("a/")? == ["a/1", "a/b/2"], "a folder's names")?;
    expect(list("a")?.len() == 3, "a prefix isn't a folder")?;
    expect(list("none/")?.is_empty(), "nothing under an unknown prefix")?;

    storage.delete("a/1").map_err(failed)?;
    storage.delete("a/1").map_err(failed)?;
    expect(storage.read("a/1").map_err(failed)?.is_none(), "what is deleted is absent")?;
    expect(list("a/")? == ["a/b/2"], "and not listed")?;
    expect(storage.put_if_absent("a/1", b"again") == Ok(Put::Written), "and its name is free")?;
    one_of_many(storage)
}

/// Many writers at once: exactly one is told that it wrote, and its bytes are there.
fn one_of_many(storage: &dyn Storage) -> Result<(), String> {
    let winners: Vec<usize> = std::thread::scope(|scope| {
        let put = |writer: usize| {
            let bytes = vec![writer as u8; 10_000];
            storage.put_if_absent("race", &bytes) == Ok(Put::Written)
        };
        let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || put(writer))).collect();
        let won = writers.into_iter().map(|writer| writer.join().unwrap_or(false));
        won.enumerate().filter(|(_, won)| *won).map(|(writer, _)| writer).collect()
    });
    let [winner] = winners.as_slice() else {
        return Err(format!("of eight writers, {winners:?} were told that they wrote"));
    };
    let content = storage.read("race").map_err(|error| error.to_string())?;
    if content == Some(vec![*winner as u8; 10_000]) {
        Ok(())
    } else {
        Err("the winner's bytes aren't there".into())
    }
}
