//! The run's end: a thread of its own that answers, one connection after the other.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flott_connector::{Clock, StopSignal, io as threads};
use flott_engine::{Counters, activity::Place};
use flott_plan::{NodeKind, StreamPlan, explain_json, explain_lines};
use serde_json::Value;

use super::{
    Answer, PATH_BYTES_MAX, PROTOCOL, QUESTION_BYTES_MAX, Question, ShownLine, ShownPlan, entries, folder,
    socket_at,
};

/// How often the thread looks whether somebody asks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Who takes longer for a question or an answer is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers until it is dropped, which removes the socket.
pub struct Server {
    done: StopSignal,
    bound: Bound,
    thread: Option<threads::Thread>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.done.stop();
        drop(self.thread.take());
        self.bound.remove();
    }
}

/// A plan to be shown. `mask`: hides secrets.
pub fn shown(plan: &StreamPlan, mask: &dyn Fn(&str) -> String) -> ShownPlan {
    let lines = explain_lines(plan).into_iter().map(|line| ShownLine {
        text: mask(&line.text),
        last_of: line.last_of,
        indent: line.indent,
    });
    let (mut sources, mut operators, mut sinks) = (0.., 0.., 0..);
    let mut place = |kind: &NodeKind| match kind {
        NodeKind::Source(_) => sources.next().map(Place::Source),
        NodeKind::Operator(_) => operators.next().map(Place::Operator),
        NodeKind::Sink(_) => sinks.next().map(Place::Sink),
        NodeKind::Calc(_) => None,
    };
    let json = serde_json::from_str(&mask(&explain_json(plan).to_string())).unwrap_or(Value::Null);
    ShownPlan { lines: lines.collect(), json, places: plan.nodes.iter().map(|it| place(&it.kind)).collect() }
}

/// Begins to answer for the run whose checkpoints are in this folder. Without a socket the run goes on, and
/// says so in its log.
pub fn serve(job: &Path, counters: Arc<Counters>, plan: ShownPlan, clock: Arc<dyn Clock>) -> Option<Server> {
    let generation = counters.activity.generation();
    sweep(job, generation);
    let (listener, bound) = match bind(job, generation) {
        Ok(bound) => bound,
        Err(error) => {
            tracing::warn!("no socket for `flott why` in '{}': {error}", folder(job).display());
            return None;
        }
    };
    let done = StopSignal::new();
    let until = done.clone();
    let answering = move || {
        while !until.is_stopped() {
            match listener.accept() {
                // Who went away, or sent nonsense, has no answer.
                Ok((stream, _)) => drop(answer(stream, &counters, &plan, clock.as_ref())),
                Err(_) => drop(until.wait(LOOK_EVERY)),
            }
        }
    };
    match threads::spawn("why", answering) {
        Ok(thread) => Some(Server { done, bound, thread: Some(thread) }),
        Err(error) => {
            tracing::warn!("nobody answers `flott why`: {}", error.message);
            bound.remove();
            None
        }
    }
}

fn answer(
    mut stream: UnixStream,
    counters: &Counters,
    plan: &ShownPlan,
    clock: &dyn Clock,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    let patient = Patient { stream: &stream, clock, until: clock.monotonic() + PATIENCE };
    BufReader::new(patient.take(QUESTION_BYTES_MAX)).read_line(&mut line)?;
    let mut answer = Answer { protocol: PROTOCOL, ..Answer::default() };
    match serde_json::from_str(&line) {
        Ok(Question::Sample) => answer.sample = Some(counters.sample(clock)),
        Ok(Question::Plan) => answer.plan = Some(plan.clone()),
        Err(error) => answer.error = Some(format!("not a question that this run knows: {error}")),
    }
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    stream.write_all(&text)
}

/// Reads until its time is up, however the bytes come.
struct Patient<'a> {
    stream: &'a UnixStream,
    clock: &'a dyn Clock,
    until: Duration,
}

impl Read for Patient<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_sub(self.clock.monotonic());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(bytes)
    }
}

/// What is to be removed in the end.
struct Bound {
    socket: PathBuf,
    /// The directory below the temporary one, and the file that names the socket there.
    elsewhere: Option<(PathBuf, PathBuf)>,
}

impl Bound {
    fn remove(&self) {
        // What can't be removed refuses connections, and the next run removes it.
        let _ = fs::remove_file(&self.socket);
        if let Some((directory, named_in)) = &self.elsewhere {
            let _ = fs::remove_file(named_in);
            let _ = fs::remove_dir(directory);
        }
    }
}

fn private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(directory)
}

fn bind(job: &Path, generation: u64) -> io::Result<(UnixListener, Bound)> {
    let folder = folder(job);
    match private(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let socket = folder.join(format!("{generation}.sock"));
    if socket.as_os_str().len() <= PATH_BYTES_MAX
        && let Ok(listener) = listen(&socket)
    {
        return Ok((listener, Bound { socket, elsewhere: None }));
    }
    let directory = std::env::temp_dir().join(format!("flott-{}-{generation}", std::process::id()));
    private(&directory)?;
    let (socket, named_in) = (directory.join("sock"), folder.join(format!("{generation}.at")));
    let bound = Bound { socket, elsewhere: Some((directory, named_in)) };
    let named = |bound: &Bound| {
        let listener = listen(&bound.socket)?;
        if let Some((_, named_in)) = &bound.elsewhere {
            fs::write(named_in, bound.socket.as_os_str().as_encoded_bytes())?;
        }
        Ok(listener)
    };
    match named(&bound) {
        Ok(listener) => Ok((listener, bound)),
        Err(error) => {
            bound.remove();
            Err(error)
        }
    }
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes what dead runs have left behind.
fn sweep(job: &Path, mine: u64) {
    for (generation, path, is_socket) in entries(job) {
        let socket = socket_at(&path, is_socket);
        if generation != mine && socket.as_deref().is_some_and(is_alive) {
            continue;
        }
        let _ = fs::remove_file(&path);
    }
}

/// Whether somebody listens there: one that is full is alive too.
fn is_alive(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound),
    }
}
