//! A TCP proxy in front of PostgreSQL or PgBouncer that does one thing wrong at one point.
//!
//! It counts the bytes and the requests of all connections together. At its point something happens
//! once: connections break or go silent, or somebody else is told to act. It reads as
//! much of the protocol as counting takes, which TLS would hide: its URLs say `sslmode=disable`.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep_until,
};

use crate::frames::{Frame, Frames};

/// Who is to get something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Towards {
    Server,
    Client,
}

/// When, in the life of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The client has said it, the server has not heard it.
    Said,
    /// The server has heard it.
    Heard,
    /// The server has answered, the client does not know.
    Answered,
    /// The client has its answer.
    Known,
}

/// Where it happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Point {
    /// After so many bytes in this direction.
    Byte(Towards, u64),
    /// At this request, counted from 1; opening a connection is one.
    Request(u64, Phase),
}

/// What happens to connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Break {
    /// Both sides are told: the end of the stream, or a reset.
    Off { reset: bool },
    /// Nobody hears anything for a time; then it goes on where it was.
    Silence(Duration),
    /// The same, but after the time the server is told that it is over, and clients never are.
    Gone(Duration),
}

/// What happens at the point.
pub(crate) enum Effect {
    /// To the connection where it is, or to all; new ones are turned away for a time.
    Break { what: Break, all: bool, away: Duration },
    /// Something is done by somebody else. It holds up the connection where the point is.
    Call(Box<dyn FnOnce() + Send>),
}

/// How much has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
    pub(crate) requests: u64,
}

/// What has become of connections.
#[derive(Clone, Copy, Debug)]
struct Fate {
    what: Break,
    /// Which connection; all if none.
    only: Option<usize>,
    since: Instant,
    /// Until when new ones are turned away.
    away: Instant,
}

struct State {
    passed: Passed,
    plan: Option<(Point, Effect)>,
    fired: Option<SystemTime>,
}

struct Shared {
    target: AtomicU16,
    state: Mutex<State>,
    fate: watch::Sender<Option<Fate>>,
}

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    over: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Proxy {
    /// Forwards to a port of this machine, and does what is planned once.
    pub(crate) fn to(target: u16, plan: Option<(Point, Effect)>) -> Self {
        let state = Mutex::new(State { passed: Passed::default(), plan, fired: None });
        let (fate, _) = watch::channel(None);
        let shared = Arc::new(Shared { target: AtomicU16::new(target), state, fate });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (over, ended) = tokio::sync::oneshot::channel();
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(&listener, &ours) => (),
                    _ = ended => (),
                }
            });
        });
        Self { port, shared, over: Some(over) }
    }

    /// Has it do something else than it was told at first.
    pub(crate) fn plan(&self, point: Point, effect: Effect) {
        self.shared.state.lock().unwrap().plan = Some((point, effect));
    }

    /// Does not do any more what has not been done yet.
    pub(crate) fn disarm(&self) {
        self.shared.state.lock().unwrap().plan = None;
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A URL of the server, with the proxy in its place.
    pub(crate) fn url(&self, url: &str) -> String {
        let (before, rest) = url.split_once("@127.0.0.1:").unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{before}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Who switches it over to another server; connections that are open stay where they are.
    pub(crate) fn switch(&self) -> impl Fn(u16) + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move |target| shared.target.store(target, Ordering::SeqCst)
    }

    /// When the point was reached, if it was.
    pub(crate) fn fired(&self) -> Option<SystemTime> {
        self.shared.state.lock().unwrap().fired
    }

    pub(crate) fn passed(&self) -> Passed {
        self.shared.state.lock().unwrap().passed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.over.take());
    }
}

async fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in 1.. {
        let Ok((client, _)) = listener.accept().await else { return };
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // A connection that breaks is what this is about.
            let _ = carry(&shared, client, connection).await;
        });
    }
}

async fn carry(shared: &Shared, client: TcpStream, connection: usize) -> io::Result<()> {
    let mut fates = shared.fate.subscribe();
    let before = *fates.borrow_and_update();
    if let Some(fate) = before {
        if Instant::now() < fate.away {
            return Ok(());
        }
        match (fate.what, fate.only) {
            (Break::Silence(time), None) => sleep_until((fate.since + time).into()).await,
            (Break::Gone(_), None) => return std::future::pending().await,
            _ => (),
        }
    }
    let server = TcpStream::connect(("127.0.0.1", shared.target.load(Ordering::SeqCst))).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let mut both = Both { shared, connection, client, server, open: VecDeque::new() };
    let (mut up, mut down) = (Frames::opening(), Frames::default());
    loop {
        tokio::select! {
            biased;
            _ = fates.changed() => {
                let fate = *fates.borrow_and_update();
                if let Some(fate) = fate.filter(|fate| fate.concerns(connection)) {
                    match fate.what {
                        Break::Off { reset } => return both.off(reset),
                        Break::Silence(time) => sleep_until((fate.since + time).into()).await,
                        Break::Gone(time) => return both.gone(fate.since + time).await,
                    }
                }
            }
            ready = both.client.readable() => {
                ready?;
                if !up.read(&both.client)? {
                    return Ok(());
                }
                while let Some(frame) = up.next() {
                    both.up(&frame).await?;
                }
            }
            ready = both.server.readable() => {
                ready?;
                if !down.read(&both.server)? {
                    return Ok(());
                }
                while let Some(frame) = down.next() {
                    both.down(&frame).await?;
                }
            }
        }
    }
}

impl Fate {
    fn concerns(&self, connection: usize) -> bool {
        self.only.is_none_or(|only| only == connection)
    }
}

/// A client and its server.
struct Both<'s> {
    shared: &'s Shared,
    connection: usize,
    client: TcpStream,
    server: TcpStream,
    /// Requests without an answer.
    open: VecDeque<u64>,
}

impl Both<'_> {
    async fn up(&mut self, frame: &Frame) -> io::Result<()> {
        let request = frame.is_request().then(|| {
            let mut state = self.shared.state.lock().unwrap();
            state.passed.requests += 1;
            state.passed.requests
        });
        if let Some(number) = request {
            self.open.push_back(number);
            self.reach(Point::Request(number, Phase::Said)).await?;
        }
        self.send(Towards::Server, &frame.bytes).await?;
        match request {
            Some(number) => self.reach(Point::Request(number, Phase::Heard)).await,
            None => Ok(()),
        }
    }

    async fn down(&mut self, frame: &Frame) -> io::Result<()> {
        let answered = if frame.kind == b'Z' { self.open.pop_front() } else { None };
        if let Some(number) = answered {
            self.reach(Point::Request(number, Phase::Answered)).await?;
        }
        self.send(Towards::Client, &frame.bytes).await?;
        match answered {
            Some(number) => self.reach(Point::Request(number, Phase::Known)).await,
            None => Ok(()),
        }
    }

    /// Passes bytes on, up to the point if it lies within.
    async fn send(&mut self, towards: Towards, bytes: &[u8]) -> io::Result<()> {
        let split = {
            let mut state = self.shared.state.lock().unwrap();
            let passed = match towards {
                Towards::Server => &mut state.passed.to_server,
                Towards::Client => &mut state.passed.to_client,
            };
            let from = *passed;
            *passed += u64::try_from(bytes.len()).unwrap();
            let to = *passed;
            match &state.plan {
                Some((Point::Byte(way, at), _)) if *way == towards && (from..to).contains(at) => {
                    Some((*at, usize::try_from(at - from).unwrap()))
                }
                _ => None,
            }
        };
        let Some((at, split)) = split else { return self.write(towards, bytes).await };
        self.write(towards, &bytes[..split]).await?;
        self.reach(Point::Byte(towards, at)).await?;
        self.write(towards, &bytes[split..]).await
    }

    async fn write(&self, towards: Towards, mut bytes: &[u8]) -> io::Result<()> {
        let stream = match towards {
            Towards::Server => &self.server,
            Towards::Client => &self.client,
        };
        while !bytes.is_empty() {
            stream.writable().await?;
            match stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Does what is planned if it is planned here. An error means that this connection is over.
    async fn reach(&mut self, here: Point) -> io::Result<()> {
        let effect = {
            let mut state = self.shared.state.lock().unwrap();
            match state.plan.take_if(|(point, _)| *point == here) {
                Some((_, effect)) => {
                    state.fired = Some(SystemTime::now());
                    effect
                }
                None => return Ok(()),
            }
        };
        match effect {
            Effect::Call(call) => {
                call();
                Ok(())
            }
            Effect::Break { what, all, away } => {
                let since = Instant::now();
                let only = (!all).then_some(self.connection);
                let fate = Fate { what, only, since, away: since + away };
                self.shared.fate.send_replace(Some(fate));
                match what {
                    Break::Off { reset } => {
                        self.off(reset)?;
                        Err(io::ErrorKind::ConnectionAborted.into())
                    }
                    Break::Silence(time) => {
                        sleep_until((since + time).into()).await;
                        Ok(())
                    }
                    Break::Gone(time) => self.gone(since + time).await,
                }
            }
        }
    }

    /// Both streams end when they are dropped.
    fn off(&self, reset: bool) -> io::Result<()> {
        if reset {
            self.client.set_zero_linger()?;
            self.server.set_zero_linger()?;
        }
        Ok(())
    }

    /// The server learns of it at that time, and the client never.
    async fn gone(&mut self, at: Instant) -> io::Result<()> {
        sleep_until(at.into()).await;
        self.server.set_zero_linger()?;
        // A stream to nobody takes its place.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        self.server = TcpStream::connect(listener.local_addr()?).await?;
        std::future::pending().await
    }
}
