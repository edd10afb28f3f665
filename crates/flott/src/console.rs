//! Text for people and scripts on standard output and standard error.
//!
//! Whoever reads may have gone (`flott list functions | head`): that ends nothing and panics nowhere.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// Writes a text to standard output as it is.
pub fn out(text: impl Display) {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            err(format_args!("error: cannot write to standard output: {error}\n"));
        }
        _ => {}
    }
}

/// Writes a text to standard error as it is. Nobody can be told if that fails.
pub fn err(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Whether the program that read standard output has gone.
pub fn stdout_is_closed() -> bool {
    let mut stdout = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
    // SAFETY: one valid descriptor to look at, without waiting.
    let found = unsafe { libc::poll(&raw mut stdout, 1, 0) };
    found > 0 && stdout.revents & (libc::POLLERR | libc::POLLHUP) != 0
}
