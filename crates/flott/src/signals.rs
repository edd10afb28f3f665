//! Ctrl-C and SIGTERM stop a run cleanly; a second one ends the process at once. While a script is looked at, which
//! brokers that are silent can draw out, there is nothing to stop yet: the first one ends the process.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
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
    state: Arc<AtomicU8>,
    _thread: io::Thread,
}

impl Listener {
    /// From here on a run can be stopped. Doesn't return if a signal was faster.
    pub fn begin(&self) {
        while !moves(&self.state, BEGUN) {
            std::thread::park();
        }
    }
}

/// Nothing has begun yet.
const LOOKING: u8 = 0;
/// A run can be stopped.
const BEGUN: u8 = 1;
/// A signal came before that: the process ends.
const LEAVING: u8 = 2;

/// From [`LOOKING`] to this state.
fn moves(state: &AtomicU8, to: u8) -> bool {
    state.compare_exchange(LOOKING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
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
    let state = Arc::new(AtomicU8::new(LOOKING));
    let its_state = state.clone();
    let thread = io::spawn("signals", move || {
        for signal in signals.forever() {
            if moves(&its_state, LEAVING) {
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
    Ok(Listener { handle, state, _thread: thread })
}
