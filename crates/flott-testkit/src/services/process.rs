//! A server as a process: started, asked until it answers, disturbed, ended.
//!
//! ```text
//!   test process ── Child ──► java …            its log: <directory>/log
//!        │
//!        └─ pipe ──► sh: waits for the end of the pipe, then kills java and removes the directory
//!                    (the pipe ends with the test process, even by SIGKILL)
//! ```
//!
//! Invariant: only processes that were started here are signalled, by their id, before they are reaped.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

#[cfg(unix)]
use std::os::unix::process::CommandExt;

use super::Skipped;

/// How long one look at a starting or ending server waits for the next.
const PAUSE: Duration = Duration::from_millis(25);
/// How long a server may take to answer; other tests share the processors.
const START: Duration = Duration::from_secs(120);
/// How long a server that was asked to stop may take.
const STOP: Duration = Duration::from_secs(30);
/// Lines of a log that are shown.
const TAIL: usize = 25;

/// Whether a server answers; why not.
pub type Answers = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// How a server is started, and how it is asked whether it answers.
#[derive(Clone)]
pub struct Spec {
    /// Its name in messages.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its working directory, with its data and its log; removed with the server.
    pub directory: PathBuf,
    /// Asks it.
    pub answers: Answers,
}

impl fmt::Debug for Spec {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} in {}", self.name, self.directory.display())
    }
}

impl Spec {
    /// Where it writes what it says.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Starts it.
    pub(super) fn spawn(&self) -> io::Result<Child> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = alone(r#"exec "$@""#);
        command.arg(&self.program).args(&self.arguments).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn()
    }

    /// Waits until it answers.
    pub(super) fn wait(&self, child: &mut Child) -> Result<(), Skipped> {
        let failed = |why: &str| Skipped::failed(format!("{} {why}\n{}", self.name, self.tail()));
        let mut why = String::new();
        for _ in 0..pauses(START) {
            match (self.answers)() {
                Ok(()) => return Ok(()),
                Err(said) => why = said,
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(failed(&format!("ended with {status} before it answered")));
            }
            pause(PAUSE);
        }
        Err(failed(&format!("does not answer after {} s ({why})", START.as_secs())))
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail(&self.log())
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(TAIL);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// A server that ends with this value, and at the latest with this process.
#[derive(Debug)]
pub struct Server {
    spec: Spec,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    watchdog: Child,
}

impl Server {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or does not answer in time: with the end of its log.
    pub fn start(spec: Spec) -> Result<Self, Skipped> {
        let mut server = Self::spawn(spec)?;
        server.wait()?;
        Ok(server)
    }

    /// Starts it.
    ///
    /// # Errors
    /// The process can't be started.
    pub fn spawn(spec: Spec) -> Result<Self, Skipped> {
        let mut server = Self { spec, running: None };
        server.spawn_again()?;
        Ok(server)
    }

    fn spawn_again(&mut self) -> Result<(), Skipped> {
        let told =
            |error: io::Error| Skipped::failed(format!("{} can't be started: {error}", self.spec.name));
        let mut child = self.spec.spawn().map_err(told)?;
        let watchdog = watchdog(child.id(), &self.spec.directory).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        });
        self.running = Some(Running { child, watchdog: watchdog.map_err(told)? });
        Ok(())
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It ended, or does not answer in time.
    pub fn wait(&mut self) -> Result<(), Skipped> {
        match &mut self.running {
            Some(running) => self.spec.wait(&mut running.child),
            None => Err(Skipped::failed(format!("{} was stopped", self.spec.name))),
        }
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on its ports and data, without waiting.
    ///
    /// # Errors
    /// The process can't be started.
    pub fn respawn(&mut self) -> Result<(), Skipped> {
        self.kill();
        self.spawn_again()
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or does not answer in time.
    pub fn restart(&mut self) -> Result<(), Skipped> {
        self.respawn()?;
        self.wait()
    }

    /// Asks it to end in good order (SIGTERM), and waits for it.
    pub fn stop(&mut self) {
        if let Some(running) = &mut self.running {
            signal("TERM", running.child.id());
            wait_for_end(&mut running.child);
        }
        self.kill();
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
            let _ = running.watchdog.kill();
            let _ = running.watchdog.wait();
        }
    }

    /// Stops its threads, without closing its connections (SIGSTOP).
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets its threads go on (SIGCONT).
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|it| matches!(it.child.try_wait(), Ok(None)))
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|it| it.child.id())
    }

    /// How it is started.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn signal(&self, name: &str) {
        if let Some(running) = &self.running {
            signal(name, running.child.id());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends the server and removes its directory as soon as this process is gone.
fn watchdog(server: u32, directory: &Path) -> io::Result<Child> {
    let mut watchdog = alone(r#"cat >/dev/null; kill -9 "$1" 2>/dev/null; sleep 1; rm -rf "$2""#);
    watchdog.arg(server.to_string()).arg(directory);
    watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    watchdog.spawn()
}

/// A shell script in a process group of its own, which the terminal's signals don't reach, and without the
/// files that whoever started this process has left open: such as locks, which would be held as long as a
/// server runs.
fn alone(script: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; {script}");
    shell.args(["-c", &script, "sh"]);
    #[cfg(unix)]
    shell.process_group(0);
    shell
}

/// Sends a signal to a process of ours.
pub(super) fn signal(name: &str, process: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &process.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    kill.status().is_ok_and(|it| it.success())
}

fn wait_for_end(child: &mut Child) {
    for _ in 0..pauses(STOP) {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        pause(PAUSE);
    }
}

/// How many looks fit into that time.
fn pauses(time: Duration) -> u128 {
    time.as_millis() / PAUSE.as_millis()
}

/// Waits a moment; it may be a shorter one.
pub(super) fn pause(time: Duration) {
    thread::park_timeout(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(script: &str, directory: &Path) -> Spec {
        let ready = directory.join("ready");
        Spec {
            name: "a script".into(),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            directory: directory.into(),
            answers: Arc::new(move || ready.exists().then_some(()).ok_or_else(|| "no file".into())),
        }
    }

    #[test]
    fn a_server_ends_with_its_value() {
        let directory = crate::temp_dir().unwrap();
        let mut server = Server::start(spec("touch ready; exec sleep 1000", directory.path())).unwrap();
        let id = server.id().unwrap();
        assert!(server.is_running());
        server.pause();
        server.go_on();
        drop(server);
        assert!(!signal("0", id));
        assert!(directory.path().exists());
    }

    #[test]
    fn a_server_that_does_not_start_shows_its_log() {
        let directory = crate::temp_dir().unwrap();
        let failed = Server::start(spec("echo no such luck; exit 3", directory.path())).unwrap_err();
        assert!(failed.must_fail());
        assert!(failed.to_string().contains("no such luck"), "{failed}");
    }

    #[test]
    fn the_watchdog_ends_a_server_whose_owner_is_gone() {
        let directory = crate::temp_dir().unwrap();
        let place = directory.path().join("server");
        fs::create_dir(&place).unwrap();
        let mut child = spec("exec sleep 1000", &place).spawn().unwrap();
        let mut dog = watchdog(child.id(), &place).unwrap();
        // The end of this process would close the pipe as well.
        drop(dog.stdin.take());
        assert!(!child.wait().unwrap().success());
        dog.wait().unwrap();
        assert!(!place.exists());
    }
}
