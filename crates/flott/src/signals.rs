//! Ctrl-C and SIGTERM stop a run cleanly; a second one ends the process at once.

use flott_connector::{StopSignal, io};
use flott_types::{Code, Diagnostic, Result};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};

/// Listens for signals until it is dropped.
pub struct Listener {
    handle: Handle,
    _thread: io::Thread,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Begins to listen.
///
/// # Errors
/// `Internal` if the operating system refuses.
pub fn listen(stop: StopSignal) -> Result<Listener> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Diagnostic::error(Code::Internal, format!("cannot listen for signals: {error}")))?;
    let handle = signals.handle();
    let thread = io::spawn("signals", move || {
        for signal in signals.forever() {
            if stop.is_stopped() {
                // Asked twice: end now. What isn't published stays hidden.
                std::process::exit(128 + signal);
            }
            stop.stop();
        }
    })?;
    Ok(Listener { handle, _thread: thread })
}
