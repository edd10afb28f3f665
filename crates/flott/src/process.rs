//! This process as others know it, and whether another one is gone.
//!
//! A process number alone says nothing: it may be another machine's, another container's, or used again. So a
//! process is known by its machine's start, its space of process numbers, its number and its beginning.

use flott_state::Holder;

/// This process.
pub fn this() -> Holder {
    let pid = std::process::id();
    Holder { host: host(), pid, machine: machine().unwrap_or_default(), started: started(pid).unwrap_or(0) }
}

/// Whether a process is certainly gone: it was one of this machine, and isn't there any more. False where
/// nobody can know.
pub fn is_gone(holder: &Holder) -> bool {
    is_here(holder) && started(holder.pid) != Some(holder.started)
}

/// Whether process numbers of that process mean the same here.
fn is_here(holder: &Holder) -> bool {
    holder.started > 0 && !holder.machine.is_empty() && machine().as_ref() == Some(&holder.machine)
}

/// The name of the machine.
fn host() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is as long as is said, and its last byte stays zero.
    let code = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    match name.get(..length) {
        Some(name) if code == 0 && length > 0 => String::from_utf8_lossy(name).into_owned(),
        _ => "this machine".into(),
    }
}

/// This start of the machine, and this space of process numbers.
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), space.display()))
}

/// When a process began, in ticks since the machine's start; `None` if there is none (a dead one that nobody
/// has fetched is none).
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets included.
    let mut rest = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = rest.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    rest.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_that_began_at_another_time_is_gone() {
        let this = this();
        assert!(!is_gone(&this));
        let earlier = Holder { started: this.started + 1, ..this.clone() };
        assert!(is_gone(&earlier), "its number was used again");
        let elsewhere = Holder { machine: "another".into(), ..earlier };
        assert!(!is_gone(&elsewhere), "nobody here can know");
    }
}
