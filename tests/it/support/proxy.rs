//! A TCP proxy that a test puts in front of a server, to do what networks do: freeze, cut, reset, delay, refuse.
//!
//! Start at [`Proxy::to`]. Deeds on the whole proxy take effect at once ([`Proxy::freeze`], [`Proxy::cut`]); a
//! [`Trap`] does one deed to one connection at an exact place of what goes over it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::sandbox::free_port;

/// How often a thread that waits for bytes looks whether something else happened.
const LOOK: Duration = Duration::from_millis(10);

/// The longest wait for a trap, and for the end of what was cut.
const LIMIT: Duration = Duration::from_secs(60);

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What a trap waits for.
#[derive(Clone, Debug)]
pub enum Sign {
    /// This text goes to the server, on any connection, for the `nth` time (from 1).
    Text { text: String, nth: usize },
    /// So many bytes went this way over one connection.
    Bytes { way: Way, count: usize },
}

/// Where the sign is when the deed is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Nothing of the message that holds the text was forwarded.
    Before,
    /// Everything up to the sign's last byte was forwarded, and not one byte more.
    Amid,
    /// The message was forwarded: all of it that one read gave, 64 KiB at most.
    After,
}

/// What is done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Both sides see an end of the stream.
    Cut,
    /// Both sides see "connection reset by peer".
    Reset,
    /// Bytes are accepted, and forwarded in neither direction until [`Proxy::thaw`].
    Freeze,
    /// What the server answers is accepted, and kept until [`Proxy::thaw`]. What goes to it goes.
    HoldAnswers,
}

/// One deed at one place. Springs once.
#[derive(Clone, Debug)]
pub struct Trap {
    pub sign: Sign,
    pub at: Point,
    pub deed: Deed,
}

impl Trap {
    /// A trap for the first time that this text goes to the server.
    pub fn at_text(text: &str, at: Point, deed: Deed) -> Trap {
        Trap { sign: Sign::Text { text: text.into(), nth: 1 }, at, deed }
    }

    /// The same for the `nth` time, from 1.
    pub fn nth(mut self, number: usize) -> Trap {
        if let Sign::Text { nth, .. } = &mut self.sign {
            *nth = number;
        }
        self
    }

    /// A trap after so many bytes of a connection.
    pub fn after_bytes(way: Way, count: usize, deed: Deed) -> Trap {
        Trap { sign: Sign::Bytes { way, count }, at: Point::Amid, deed }
    }
}

/// A proxy on a port of its own of 127.0.0.1. Dropping it cuts its connections and ends its threads.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: u16,
    /// `None` while new connections are refused.
    listener: Mutex<Option<TcpListener>>,
    links: Mutex<Vec<Arc<Link>>>,
    traps: Mutex<Vec<Armed>>,
    frozen: [AtomicBool; 2],
    delay_ms: AtomicU64,
    accepted: AtomicUsize,
    flights: AtomicUsize,
    sprung: AtomicUsize,
    ended: AtomicBool,
}

/// A trap, and how often its text went by.
struct Armed {
    trap: Trap,
    seen: usize,
}

/// One connection.
struct Link {
    /// Owned by the threads that forward, so that the sockets are closed when these end.
    sides: Weak<Sides>,
    frozen: [AtomicBool; 2],
    /// Whether the client spoke last.
    asked: AtomicBool,
    ended: AtomicBool,
}

/// The two sockets of a connection.
struct Sides {
    client: TcpStream,
    server: TcpStream,
}

impl Proxy {
    /// A proxy in front of a port of 127.0.0.1, which passes everything on.
    pub fn to(target: u16) -> Proxy {
        // Another process may take a port between our look and our use of it.
        let (port, listener) = (0..5).find_map(|_| listen_on(free_port())).expect("the proxy's port");
        let shared = Arc::new(Shared {
            target,
            listener: Mutex::new(Some(listener)),
            links: Mutex::default(),
            traps: Mutex::default(),
            frozen: Default::default(),
            delay_ms: AtomicU64::new(0),
            accepted: AtomicUsize::new(0),
            flights: AtomicUsize::new(0),
            sprung: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            spawn(move || accept(&shared))
        };
        Proxy { port, shared, acceptor: Some(acceptor) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A server's URL with the proxy's port in the place of the server's.
    #[track_caller]
    pub fn url(&self, url: &str) -> String {
        let [theirs, ours] = [self.shared.target, self.port].map(|port| format!("@127.0.0.1:{port}"));
        assert!(url.contains(&theirs), "the proxy stands in front of another port");
        url.replacen(&theirs, &ours, 1)
    }

    /// How many connections came in since the start.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }

    /// How often a client spoke after its server had: the round trips of all connections since the start. What is sent
    /// before the first answer of several questions comes is one.
    pub fn flights(&self) -> usize {
        self.shared.flights.load(SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        lock(&self.shared.links).iter().filter(|link| link.is_open()).count()
    }

    /// Forwards nothing any more, neither way, also for connections to come; accepts what is sent.
    pub fn freeze(&self) {
        self.freeze_way(Way::ToServer);
        self.freeze_way(Way::ToClient);
    }

    /// The same in one direction.
    pub fn freeze_way(&self, way: Way) {
        self.shared.frozen[way as usize].store(true, SeqCst);
    }

    /// Forwards again, and first what was kept: undoes every freeze.
    pub fn thaw(&self) {
        for way in [Way::ToServer, Way::ToClient] {
            self.shared.frozen[way as usize].store(false, SeqCst);
            lock(&self.shared.links).iter().for_each(|link| link.frozen[way as usize].store(false, SeqCst));
        }
    }

    /// Holds each chunk back for so long before it is forwarded; zero ends it.
    pub fn delay(&self, by: Duration) {
        self.shared.delay_ms.store(by.as_millis().try_into().expect("a short delay"), SeqCst);
    }

    /// Ends every open connection; both sides see an end of the stream. What was kept is lost.
    pub fn cut(&self) {
        self.end_all(Deed::Cut);
    }

    /// Ends every open connection; both sides see "connection reset by peer".
    pub fn reset(&self) {
        self.end_all(Deed::Reset);
    }

    /// Ends the connections that a trap froze, and no other: what was kept is lost.
    pub fn end_caught(&self, how: Deed) {
        let mut links = lock(&self.shared.links);
        let is_caught = |link: &mut Arc<Link>| link.frozen.iter().any(|frozen| frozen.load(SeqCst));
        let caught: Vec<_> = links.extract_if(.., is_caught).collect();
        drop(links);
        end_and_wait(&caught, how);
    }

    /// New connections are refused, as by a port where nobody listens. Open ones stay.
    pub fn refuse(&self) {
        *lock(&self.shared.listener) = None;
    }

    /// New connections are taken again.
    pub fn allow(&self) {
        lock(&self.shared.listener).get_or_insert_with(|| listen(self.port));
    }

    /// Sets a trap. It watches what is forwarded from now on.
    pub fn arm(&self, trap: Trap) {
        if let Sign::Text { text, nth } = &trap.sign {
            assert!(!text.is_empty() && *nth > 0, "a trap that cannot be told: {trap:?}");
        }
        lock(&self.shared.traps).push(Armed { trap, seen: 0 });
    }

    /// Takes away the traps that have not sprung.
    pub fn disarm(&self) {
        lock(&self.shared.traps).clear();
    }

    /// How many traps have sprung.
    pub fn sprung(&self) -> usize {
        self.shared.sprung.load(SeqCst)
    }

    /// Waits until so many traps have sprung since the start.
    #[track_caller]
    pub fn wait_sprung(&self, count: usize) {
        let begun = Instant::now();
        while self.sprung() < count {
            assert!(begun.elapsed() < LIMIT, "{} of {count} traps have sprung", self.sprung());
            sleep(LOOK / 2);
        }
    }

    fn end_all(&self, how: Deed) {
        let links = std::mem::take(&mut *lock(&self.shared.links));
        end_and_wait(&links, how);
    }
}

/// Ends these and waits until their sockets are closed.
fn end_and_wait(links: &[Arc<Link>], how: Deed) {
    links.iter().for_each(|link| link.end(how));
    let begun = Instant::now();
    while links.iter().any(|link| link.is_open()) && begun.elapsed() < LIMIT {
        sleep(LOOK / 2);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.end_all(Deed::Cut);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn is_frozen(&self, link: &Link, way: Way) -> bool {
        self.frozen[way as usize].load(SeqCst) || link.frozen[way as usize].load(SeqCst)
    }

    /// Counts a flight where a client speaks and its server spoke last: when the client's bytes are read, and when the
    /// server's go on.
    fn count(&self, link: &Link, way: Way) {
        let asks = way == Way::ToServer;
        if !link.asked.swap(asks, SeqCst) && asks {
            self.flights.fetch_add(1, SeqCst);
        }
    }

    /// The deed of the first trap that springs on `chunk`, and how much of the chunk goes on before it is done.
    fn spring(&self, watch: &mut Watch, chunk: &[u8]) -> Option<(Deed, usize)> {
        let mut traps = lock(&self.traps);
        // All are asked: they count.
        let ends: Vec<_> = traps.iter_mut().map(|armed| watch.meets(armed, chunk)).collect();
        let found = ends.iter().enumerate().find_map(|(index, end)| Some((index, (*end)?)));
        let Some((index, end)) = found else {
            watch.went(chunk);
            return None;
        };
        let Trap { at, deed, .. } = traps.remove(index).trap;
        let goes_on = match at {
            Point::Before => 0,
            Point::Amid => end,
            Point::After => chunk.len(),
        };
        watch.went(&chunk[..goes_on]);
        Some((deed, goes_on))
    }
}

/// What went by in one direction of one connection, as far as traps need it.
struct Watch {
    way: Way,
    bytes: usize,
    /// The end of what went by: a text may lie across two chunks.
    tail: Vec<u8>,
}

impl Watch {
    /// Where in `chunk` the trap's sign ends, if it is complete with it.
    fn meets(&self, armed: &mut Armed, chunk: &[u8]) -> Option<usize> {
        match &armed.trap.sign {
            Sign::Bytes { way, count } => {
                (*way == self.way && self.bytes + chunk.len() >= *count).then(|| count.saturating_sub(self.bytes))
            }
            Sign::Text { text, nth } if self.way == Way::ToServer => {
                let kept = self.tail.len().min(text.len().saturating_sub(1));
                let seen = [&self.tail[self.tail.len() - kept..], chunk].concat();
                let hits = seen.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
                let starts: Vec<usize> = hits.map(|(start, _)| start).collect();
                let hit = starts.get(nth - 1 - armed.seen).map(|start| start + text.len() - kept);
                if hit.is_none() {
                    armed.seen += starts.len();
                }
                hit
            }
            Sign::Text { .. } => None,
        }
    }

    fn went(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len();
        self.tail.extend_from_slice(chunk);
        self.tail.drain(..self.tail.len().saturating_sub(1024));
    }
}

impl Link {
    fn is_open(&self) -> bool {
        self.sides.strong_count() > 0
    }

    fn end(&self, how: Deed) {
        if let Some(sides) = self.sides.upgrade() {
            for side in [&sides.client, &sides.server] {
                if how == Deed::Reset {
                    // Closing such a socket sends RST. The threads close it: they look every few milliseconds.
                    let _ = socket2::SockRef::from(side).set_linger(Some(Duration::ZERO));
                } else {
                    let _ = side.shutdown(Shutdown::Both);
                }
            }
        }
        self.ended.store(true, SeqCst);
    }

    fn freeze(&self, way: Way) {
        self.frozen[way as usize].store(true, SeqCst);
    }
}

impl Sides {
    /// Where the bytes come from, and where they go.
    fn along(&self, way: Way) -> (&TcpStream, &TcpStream) {
        match way {
            Way::ToServer => (&self.client, &self.server),
            Way::ToClient => (&self.server, &self.client),
        }
    }
}

fn listen_on(port: u16) -> Option<(u16, TcpListener)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
    listener.set_nonblocking(true).expect("a listener");
    Some((port, listener))
}

fn listen(port: u16) -> TcpListener {
    listen_on(port).expect("the proxy's port").1
}

fn accept(shared: &Arc<Shared>) {
    while !shared.ended.load(SeqCst) {
        let accepted = lock(&shared.listener).as_ref().map(TcpListener::accept);
        match accepted {
            Some(Ok((client, _))) => {
                shared.accepted.fetch_add(1, SeqCst);
                connect(shared, client);
            }
            _ => sleep(LOOK / 5),
        }
    }
}

/// Connects to the server and starts forwarding; a server that is not there means a reset.
fn connect(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target)) else {
        let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
        return;
    };
    for side in [&client, &server] {
        side.set_nonblocking(false).expect("a socket");
        side.set_nodelay(true).expect("a socket");
        side.set_read_timeout(Some(LOOK)).expect("a socket");
        side.set_write_timeout(Some(LOOK)).expect("a socket");
    }
    let sides = Arc::new(Sides { client, server });
    let (frozen, asked, ended) = (Default::default(), AtomicBool::new(false), AtomicBool::new(false));
    let link = Arc::new(Link { sides: Arc::downgrade(&sides), frozen, asked, ended });
    let mut links = lock(&shared.links);
    links.retain(|link| link.is_open());
    links.push(Arc::clone(&link));
    for way in [Way::ToServer, Way::ToClient] {
        let (shared, link, sides) = (Arc::clone(shared), Arc::clone(&link), Arc::clone(&sides));
        spawn(move || pump(&shared, &link, &sides, way));
    }
}

/// Forwards one direction until an end.
fn pump(shared: &Shared, link: &Link, sides: &Sides, way: Way) {
    let (mut from, to) = sides.along(way);
    let mut watch = Watch { way, bytes: 0, tail: Vec::new() };
    let (mut buffer, mut kept, mut at_end) = (vec![0; 65_536], Vec::new(), false);
    while !shared.ended.load(SeqCst) && !link.ended.load(SeqCst) {
        if at_end {
            sleep(LOOK);
        } else {
            match from.read(&mut buffer) {
                Ok(0) => at_end = true,
                Ok(count) => {
                    if way == Way::ToServer {
                        shared.count(link, way);
                    }
                    kept.extend_from_slice(&buffer[..count]);
                }
                Err(error) if is_pause(&error) => {}
                Err(_) => link.end(Deed::Reset),
            }
        }
        if shared.is_frozen(link, way) {
            continue;
        }
        if !kept.is_empty() {
            if way == Way::ToClient {
                shared.count(link, way);
            }
            sleep(Duration::from_millis(shared.delay_ms.load(SeqCst)));
            kept = forward(shared, link, &mut watch, to, kept);
        } else if at_end {
            let _ = to.shutdown(Shutdown::Write);
            break;
        }
    }
}

/// Forwards a chunk, or what a trap lets go of it. Returns what is kept for later.
fn forward(shared: &Shared, link: &Link, watch: &mut Watch, to: &TcpStream, mut chunk: Vec<u8>) -> Vec<u8> {
    let Some((deed, goes_on)) = shared.spring(watch, &chunk) else {
        write(link, to, &chunk);
        return Vec::new();
    };
    if deed == Deed::HoldAnswers {
        link.freeze(Way::ToClient);
    }
    let rest = chunk.split_off(goes_on);
    write(link, to, &chunk);
    if deed == Deed::Freeze {
        link.freeze(Way::ToServer);
        link.freeze(Way::ToClient);
    }
    shared.sprung.fetch_add(1, SeqCst);
    if matches!(deed, Deed::Cut | Deed::Reset) {
        link.end(deed);
    }
    rest
}

/// Writes all, unless the connection ends meanwhile.
fn write(link: &Link, mut to: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() && !link.ended.load(SeqCst) {
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_pause(&error) => {}
            Err(_) => link.end(Deed::Reset),
        }
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
