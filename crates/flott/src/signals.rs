//! Ctrl-C and SIGTERM stop a run cleanly; a second one ends the process at once. While a script is looked at, which
//! brokers that are silent can draw out, there is nothing to stop yet: the first one ends the process.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use flott_connector::{StopSignal, io};
use flott_types::{Code, Diagnostic, Result};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};

/// Listens for signals until it is dropped.
pub struct Listener {
    handle: Handle,
    begun: Arc<AtomicBool>,
    _thread: io::Thread,
}

impl Listener {
    /// From here on a run can be stopped.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Begins to listen. `leave`: says that nothing has begun, before the process ends.
///
/// # Errors
/// `Internal` if the operating system refuses.
pub fn listen(stop: StopSignal, leave: impl Fn() + Send + 'static) -> Result<Listener> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Diagnostic::error(Code::Internal, format!("cannot listen for signals: {error}")))?;
    let handle = signals.handle();
    let begun = Arc::new(AtomicBool::new(false));
    let has_begun = begun.clone();
    let thread = io::spawn("signals", move || {
        for signal in signals.forever() {
            if !has_begun.load(Ordering::Acquire) {
                leave();
                std::process::exit(0);
            }
            if stop.is_stopped() {
                // Asked twice: end now. What isn't published stays hidden.
                std::process::exit(128 + signal);
            }
            stop.stop();
        }
    })?;
    Ok(Listener { handle, begun, _thread: thread })
}
