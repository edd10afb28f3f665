//! TCP between a client and a server, which a test disturbs: cut, slow, silent; now or at a moment.
//!
//! ```text
//!            requests, in frames of Kafka's protocol if a moment names a request
//!   client ─────────────────────────────► proxy ─────────────────────────────► broker
//!          ◄─────────────────────────────       ◄─────────────────────────────
//!
//!   cut before a request     ✗ the broker never sees it
//!   cut before its answer      the broker has done it ── answer ─ ✗ the client never knows
//! ```
//!
//! Invariants
//! - After a cut nobody gets through until [`Proxy::heal`]; clients are refused, as by a machine that lost
//!   its server.
//! - A planned cut happens once; [`Proxy::is_cut`] says whether it has.
//! - Threads end with the proxy.

use std::{
    collections::HashMap,
    fmt, io,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Skipped, ports::Port, process::pause, wire::Request};

/// How long a thread waits for bytes before it looks at what the test wants.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes that are passed on at once.
const CHUNK: usize = 64 << 10;
/// Longer frames are no requests of tests.
const LARGEST: usize = 256 << 20;

/// When the proxy cuts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// A request of that kind comes: the broker never sees it.
    Before(Request),
    /// The answer to such a request comes: the broker has seen it, the client sees no answer.
    BeforeAnswer(Request),
    /// Clients have sent so many bytes more; the last ones arrive.
    AfterBytes(u64),
    /// These bytes come from a client: the server never sees the piece that they lie in.
    Seen(Vec<u8>),
}

/// What the test wants.
#[derive(Debug, Default)]
struct Wish {
    server: String,
    cut: bool,
    silent: bool,
    delay: Duration,
    moment: Option<Moment>,
    /// At that moment it falls silent, and cuts nothing.
    hush: bool,
    /// Rises when all connections shall end.
    generation: u64,
    seen: HashMap<i16, u64>,
}

/// A proxy in front of a server.
pub struct Proxy {
    port: Port,
    wish: Arc<Mutex<Wish>>,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} -> {:?}", self.port.address(), wish(&self.wish))
    }
}

impl Proxy {
    /// A proxy that leads nowhere yet.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start() -> Result<Self, Skipped> {
        let port = Port::free()?;
        let told = |error: io::Error| Skipped::failed(format!("the proxy can't start: {error}"));
        let listener = TcpListener::bind(port.address()).map_err(told)?;
        listener.set_nonblocking(true).map_err(told)?;
        let (wish, ended) = (Arc::<Mutex<Wish>>::default(), Arc::<AtomicBool>::default());
        let shared = (Arc::clone(&wish), Arc::clone(&ended));
        let acceptor = thread::Builder::new()
            .name("proxy".into())
            .spawn(move || accept(&listener, &shared.0, &shared.1))
            .map_err(told)?;
        Ok(Self { port, wish, ended, acceptor: Some(acceptor) })
    }

    /// A proxy in front of `host:port`.
    ///
    /// # Errors
    /// There is no free port.
    pub fn to(server: &str) -> Result<Self, Skipped> {
        let proxy = Self::start()?;
        proxy.lead_to(server);
        Ok(proxy)
    }

    /// From now on connections go to `host:port`.
    pub fn lead_to(&self, server: &str) {
        wish(&self.wish).server = server.into();
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Ends all connections; new ones are refused until [`Self::heal`].
    pub fn cut(&self) {
        cut(&mut wish(&self.wish));
    }

    /// Ends all connections; new ones get through.
    pub fn drop_connections(&self) {
        wish(&self.wish).generation += 1;
    }

    /// Cuts at that moment, once.
    pub fn cut_at(&self, moment: Moment) {
        let mut wish = wish(&self.wish);
        (wish.moment, wish.hush) = (Some(moment), false);
    }

    /// Falls silent at that moment, once, as by [`Self::black_hole`]: what would have been cut off waits, and arrives
    /// when it is healed.
    pub fn silent_at(&self, moment: Moment) {
        let mut wish = wish(&self.wish);
        (wish.moment, wish.hush) = (Some(moment), true);
    }

    /// Passes nothing on, in both directions, and keeps connections open until [`Self::heal`].
    pub fn black_hole(&self) {
        wish(&self.wish).silent = true;
    }

    /// Every piece waits so long, in each direction.
    pub fn delay(&self, delay: Duration) {
        wish(&self.wish).delay = delay;
    }

    /// Everything gets through again; a moment that has not come is forgotten.
    pub fn heal(&self) {
        let mut wish = wish(&self.wish);
        (wish.cut, wish.silent, wish.delay, wish.moment) = (false, false, Duration::ZERO, None);
    }

    /// Whether it is cut.
    pub fn is_cut(&self) -> bool {
        wish(&self.wish).cut
    }

    /// Waits until it is cut; whether that happened in time.
    pub fn wait_for_cut(&self, patience: Duration) -> bool {
        wait_for(patience, || self.is_cut())
    }

    /// Waits until it is silent; whether that happened in time.
    pub fn wait_for_silence(&self, patience: Duration) -> bool {
        wait_for(patience, || wish(&self.wish).silent)
    }

    /// How many requests of that kind clients have sent.
    pub fn requests(&self, request: Request) -> u64 {
        wish(&self.wish).seen.get(&(request as i16)).copied().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.cut();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn wish(wish: &Mutex<Wish>) -> MutexGuard<'_, Wish> {
    wish.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_for(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    for _ in 0..=patience.as_millis() / LOOK.as_millis() {
        if is_so() {
            return true;
        }
        pause(LOOK);
    }
    false
}

/// The moment has come. Whether what it comes with ends here.
fn strike(wish: &mut Wish) -> bool {
    wish.moment = None;
    if wish.hush {
        wish.silent = true;
    } else {
        cut(wish);
    }
    !wish.hush
}

fn cut(wish: &mut Wish) {
    wish.cut = true;
    wish.generation += 1;
}

fn accept(listener: &TcpListener, wished: &Arc<Mutex<Wish>>, ended: &AtomicBool) {
    let mut threads: Vec<JoinHandle<()>> = vec![];
    while !ended.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((client, _)) => threads.extend(connect(client, wished).into_iter().flatten()),
            Err(_) => pause(LOOK),
        }
        threads.retain(|it| !it.is_finished());
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// The threads of a connection; none if it is refused.
fn connect(client: TcpStream, wished: &Arc<Mutex<Wish>>) -> io::Result<Vec<JoinHandle<()>>> {
    let (server, generation) = {
        let wish = wish(wished);
        if wish.cut {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        (wish.server.clone(), wish.generation)
    };
    let server = TcpStream::connect(server)?;
    for stream in [&client, &server] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let answers = Arc::<Mutex<Vec<i32>>>::default();
    let up = Way {
        from: client.try_clone()?,
        to: server.try_clone()?,
        wish: Arc::clone(wished),
        generation,
        frames: Frames::default(),
        awaited: Arc::clone(&answers),
        is_up: true,
    };
    let down = Way {
        from: server,
        to: client,
        wish: Arc::clone(wished),
        generation,
        frames: Frames::default(),
        awaited: answers,
        is_up: false,
    };
    [up, down]
        .into_iter()
        .map(|way| thread::Builder::new().name("proxy".into()).spawn(|| way.run()))
        .collect()
}

/// One direction of a connection.
struct Way {
    from: TcpStream,
    to: TcpStream,
    wish: Arc<Mutex<Wish>>,
    generation: u64,
    frames: Frames,
    /// Correlation ids of the requests whose answers must not arrive.
    awaited: Arc<Mutex<Vec<i32>>>,
    is_up: bool,
}

/// What becomes of a piece.
#[derive(PartialEq, Eq)]
enum Verdict {
    Pass,
    /// Pass it on, then end.
    PassAndEnd,
    End,
}

impl Way {
    fn run(mut self) {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read) = self.read(&mut buffer) {
            let Some(piece) = buffer.get(..read).filter(|_| read > 0) else { continue };
            let verdict = self.judge(piece);
            if verdict == Verdict::End || !self.wait() || self.to.write_all(piece).is_err() {
                break;
            }
            if verdict == Verdict::PassAndEnd {
                break;
            }
        }
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }

    /// Bytes that came, 0 if none came yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if wish(&self.wish).generation != self.generation {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.from.read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(0)
            }
            read => read,
        }
    }

    /// Waits as long as the test wants; whether the connection is still wanted.
    fn wait(&self) -> bool {
        let delay = wish(&self.wish).delay;
        if !delay.is_zero() {
            pause(delay);
        }
        loop {
            let wish = wish(&self.wish);
            let (silent, wanted) = (wish.silent, wish.generation == self.generation);
            drop(wish);
            if !silent || !wanted {
                return wanted;
            }
            pause(LOOK);
        }
    }

    fn judge(&mut self, piece: &[u8]) -> Verdict {
        let frames = self.frames.push(piece, self.is_up);
        let mut wish = wish(&self.wish);
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_up {
            let comes = frames.iter().any(|it| awaited.contains(&it.correlation));
            return if comes && strike(&mut wish) { Verdict::End } else { Verdict::Pass };
        }
        for frame in &frames {
            *wish.seen.entry(frame.key).or_default() += 1;
        }
        let is_one = |request: Request| frames.iter().find(|it| it.key == request as i16);
        let verdict = match &mut wish.moment {
            None => Verdict::Pass,
            Some(Moment::Before(request)) => is_one(*request).map_or(Verdict::Pass, |_| Verdict::End),
            Some(Moment::BeforeAnswer(request)) => {
                if let Some(frame) = is_one(*request) {
                    awaited.push(frame.correlation);
                    wish.moment = None;
                }
                return Verdict::Pass;
            }
            Some(Moment::AfterBytes(left)) => {
                *left = left.saturating_sub(piece.len() as u64);
                if *left == 0 { Verdict::PassAndEnd } else { Verdict::Pass }
            }
            Some(Moment::Seen(bytes)) => {
                if self.frames.contains(piece, bytes) {
                    Verdict::End
                } else {
                    Verdict::Pass
                }
            }
        };
        if verdict != Verdict::Pass && !strike(&mut wish) {
            return Verdict::Pass;
        }
        verdict
    }
}

/// What a request or an answer begins with; answers have no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    key: i16,
    correlation: i32,
}

/// Finds where frames begin in a stream that comes in pieces.
#[derive(Debug, Default)]
struct Frames {
    /// The beginning of a frame of which too little has come.
    head: Vec<u8>,
    /// Bytes of the current frame that are still to come.
    rest: usize,
    /// The end of the piece before, in which a pattern may begin.
    tail: Vec<u8>,
}

impl Frames {
    /// The frames whose heads end in this piece.
    fn push(&mut self, mut piece: &[u8], is_request: bool) -> Vec<Frame> {
        let head = if is_request { 12 } else { 8 };
        let mut frames = vec![];
        while !piece.is_empty() {
            if self.rest > 0 {
                let passed = self.rest.min(piece.len());
                self.rest -= passed;
                piece = piece.get(passed..).unwrap_or_default();
                continue;
            }
            let taken = piece.len().min(head - self.head.len());
            let (now, later) = piece.split_at(taken);
            self.head.extend(now);
            piece = later;
            if self.head.len() == head {
                let (frame, length) = Frame::of(&self.head, is_request);
                frames.push(frame);
                // A stream that is no Kafka is never in step again, and nobody asks for its requests.
                self.rest = length.min(LARGEST).saturating_sub(head - 4);
                self.head.clear();
            }
        }
        frames
    }

    /// Whether a pattern ends in this piece.
    fn contains(&mut self, piece: &[u8], pattern: &[u8]) -> bool {
        self.tail.extend(piece);
        let found = pattern.is_empty() || self.tail.windows(pattern.len()).any(|it| it == pattern);
        let kept = pattern.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        found
    }
}

impl Frame {
    /// A frame by its head, and the length that it names.
    fn of(head: &[u8], is_request: bool) -> (Self, usize) {
        let int32 =
            |at: usize| head.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, i32::from_be_bytes);
        let key = head.get(4..6).and_then(|it| it.try_into().ok()).map_or(0, i16::from_be_bytes);
        let length = usize::try_from(int32(0)).unwrap_or_default();
        let frame = match is_request {
            true => Self { key, correlation: int32(8) },
            false => Self { key: -1, correlation: int32(4) },
        };
        (frame, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request: length, key, version, correlation, and some bytes.
    fn request(key: Request, correlation: i32, body: usize) -> Vec<u8> {
        let length = i32::try_from(8 + body).unwrap();
        let head =
            [&length.to_be_bytes()[..], &(key as i16).to_be_bytes(), &[0, 0], &correlation.to_be_bytes()];
        [head.concat(), vec![7; body]].concat()
    }

    fn answer(correlation: i32) -> Vec<u8> {
        [6_i32.to_be_bytes().to_vec(), correlation.to_be_bytes().to_vec(), vec![0, 0]].concat()
    }

    /// A server that answers every request.
    fn server() -> (String, Arc<Mutex<Vec<Frame>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Vec<Frame>>>::default();
        let shared = Arc::clone(&seen);
        let serve = move || {
            for stream in listener.incoming() {
                let (mut stream, mut frames) = (stream.unwrap(), Frames::default());
                let mut buffer = [0; 1000];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    for frame in frames.push(&buffer[..read], true) {
                        shared.lock().unwrap().push(frame);
                        let _ = stream.write_all(&answer(frame.correlation));
                    }
                }
            }
        };
        let _detached = thread::Builder::new().spawn(serve).unwrap();
        (address, seen)
    }

    fn ask(stream: &mut TcpStream, key: Request, correlation: i32) -> io::Result<()> {
        stream.write_all(&request(key, correlation, 3))?;
        let mut bytes = [0; 10];
        stream.read_exact(&mut bytes)
    }

    fn connected(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let stream = [request(Request::Fetch, 1, 0), request(Request::EndTransaction, 2, 5)].concat();
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let found: Vec<_> = stream.chunks(size).flat_map(|it| frames.push(it, true)).collect();
            assert_eq!(found, [Frame { key: 1, correlation: 1 }, Frame { key: 26, correlation: 2 }]);
        }
    }

    #[test]
    fn a_cut_before_a_request_hides_it_from_the_server() {
        let (address, seen) = server();
        let proxy = Proxy::to(&address).unwrap();
        let mut stream = connected(&proxy);
        proxy.cut_at(Moment::Before(Request::EndTransaction));
        ask(&mut stream, Request::Produce, 1).unwrap();
        ask(&mut stream, Request::EndTransaction, 2).unwrap_err();
        assert!(proxy.is_cut());
        ask(&mut connected(&proxy), Request::Produce, 3).unwrap_err();
        assert_eq!(seen.lock().unwrap().len(), 1);
        proxy.heal();
        ask(&mut connected(&proxy), Request::Produce, 4).unwrap();
        assert_eq!(proxy.requests(Request::Produce), 2);
    }

    #[test]
    fn a_cut_before_an_answer_lets_the_server_do_it() {
        let (address, seen) = server();
        let proxy = Proxy::to(&address).unwrap();
        let mut stream = connected(&proxy);
        proxy.cut_at(Moment::BeforeAnswer(Request::EndTransaction));
        ask(&mut stream, Request::Produce, 1).unwrap();
        ask(&mut stream, Request::EndTransaction, 2).unwrap_err();
        assert!(proxy.wait_for_cut(Duration::from_secs(5)));
        assert_eq!(seen.lock().unwrap().last().unwrap().key, Request::EndTransaction as i16);
    }

    #[test]
    fn silence_keeps_connections_and_ends() {
        let (address, _seen) = server();
        let proxy = Proxy::to(&address).unwrap();
        let mut stream = connected(&proxy);
        ask(&mut stream, Request::Produce, 1).unwrap();
        proxy.black_hole();
        let silent = ask(&mut stream, Request::Produce, 2).unwrap_err();
        assert!(matches!(silent.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        proxy.heal();
        stream.read_exact(&mut [0; 10]).unwrap();
    }

    #[test]
    fn bytes_and_patterns_are_moments() {
        let (address, _seen) = server();
        let proxy = Proxy::to(&address).unwrap();
        let mut stream = connected(&proxy);
        proxy.cut_at(Moment::AfterBytes(20));
        ask(&mut stream, Request::Produce, 1).unwrap();
        ask(&mut stream, Request::Produce, 2).unwrap_err();
        proxy.heal();
        let mut stream = connected(&proxy);
        proxy.cut_at(Moment::Seen(vec![7, 7, 7, 0]));
        ask(&mut stream, Request::Produce, 1).unwrap();
        ask(&mut stream, Request::Produce, 2).unwrap_err();
        assert!(proxy.is_cut());
    }
}
