//! This process as others know it, and whether another one is gone.
//!
//! A process number alone says nothing: it may be another machine's, another container's, or used again. So a
//! process is known by its machine's start, its space of process numbers, its number and its beginning.

use flott_state::Holder;

/// This process.
pub fn this() -> Holder {
    let pid = std::process::id();
    Holder { host: host(), pid, machine: machine().unwrap_or_default(), started: ticks(started(pid)) }
}

/// Whether a process is certainly gone: it was one of this machine, and isn't there any more. False where
/// nobody can know.
pub fn is_gone(holder: &Holder) -> bool {
    if !is_here(holder) {
        return false;
    }
    match started(holder.pid) {
        Seen::Began(ticks) => ticks != holder.started,
        Seen::Gone => true,
        Seen::Hidden => false,
    }
}

/// What can be seen of a process.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// When it began, in ticks since the machine's start.
    Began(u64),
    /// There is none, or a dead one that nobody has fetched.
    Gone,
    /// Whatever there is, this process isn't shown it.
    Hidden,
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

fn ticks(seen: Seen) -> u64 {
    match seen {
        Seen::Began(ticks) => ticks,
        Seen::Gone | Seen::Hidden => 0,
    }
}

/// When a process began.
fn started(pid: u32) -> Seen {
    let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !exists(pid) => return Seen::Gone,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Seen::Gone,
        // Others' processes may be hidden.
        Err(_) => return Seen::Hidden,
    };
    // The name stands in brackets and may hold anything, brackets included.
    let mut rest = stat.rsplit_once(')').map_or("", |it| it.1).split_ascii_whitespace();
    match rest.next() {
        Some("Z" | "X") => Seen::Gone,
        _ => rest.nth(18).and_then(|ticks| ticks.parse().ok()).map_or(Seen::Hidden, Seen::Began),
    }
}

/// Whether a process has this number, seen or not.
fn exists(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 is no signal; it only asks.
    let code = unsafe { libc::kill(pid, 0) };
    code == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
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
