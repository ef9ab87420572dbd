//! What holds prelaunch: a name server that never answers, ports that stay silent, a stderr that
//! takes no more.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
    process::Command,
};

use nix::{libc, unistd::Uid};

use crate::{database::eventually, prelaunch::Prelaunch, running::Running};

/// A port that accepts connections and says nothing.
#[derive(Debug)]
pub(super) struct Silent(TcpListener);

impl Silent {
    pub(super) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(super) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next connection, once somebody has said something over it.
    #[track_caller]
    pub(super) fn accept(&self) -> TcpStream {
        eventually("a connection with a request", || {
            let (connection, _) = self.0.accept().ok()?;
            connection.set_nonblocking(false).unwrap();
            connection.peek(&mut [0]).unwrap();
            Some(connection)
        })
    }
}

/// A port whose queue of connections is full: new ones stay on their way.
#[derive(Debug)]
pub(super) struct Full {
    listener: TcpListener,
    _queued: TcpStream,
}

impl Full {
    #[expect(unsafe_code, reason = "std chooses the length of the queue by itself")]
    pub(super) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // SAFETY: it takes two numbers; on a socket that listens it changes the length.
        let listens = unsafe { libc::listen(listener.as_raw_fd(), 0) };
        assert_eq!(listens, 0);
        let queued = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self { listener, _queued: queued }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Waits until a connection is on its way: state 02 in the kernel's list.
    #[track_caller]
    pub(super) fn is_knocked_at(&self) {
        let on_its_way = format!(":{:04X} 02 ", self.port());
        eventually("a connection is on its way", || {
            fs::read_to_string("/proc/net/tcp").unwrap().contains(&on_its_way).then_some(())
        });
    }
}

/// Has prelaunch start in a network of its own, with a name server that never answers: prelaunch
/// inherits its socket and does not know of it.
pub(super) fn in_a_network_without_answers(start: Prelaunch) -> Prelaunch {
    const SETUP: &str = r#"
        use Socket;
        $^F = 100;
        socket(my $server, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
        my $up = pack("a16 s x22", "lo", 1);
        ioctl($server, 0x8914, $up) or die "lo: $!";
        bind($server, pack_sockaddr_in(53, INADDR_LOOPBACK)) or die "bind: $!";
        for my $name ("resolv.conf", "nsswitch.conf") {
            next unless -e "/etc/$name";
            system("mount", "--bind", "etc/$name", "/etc/$name") == 0 or die "mount";
        }
        exec @ARGV or die "exec: $!";
    "#;
    // Who is not root is it in a user namespace.
    let unshare: &[&str] = if Uid::effective().is_root() { &["-mn"] } else { &["-rmn"] };
    start
        .file("etc/resolv.conf", "nameserver 127.0.0.1\n")
        .file("etc/nsswitch.conf", "hosts: files dns\n")
        .under(&[&["unshare"], unshare, &["perl", "-e", SETUP]].concat())
}

/// Waits until the name server of the process has got a question.
#[track_caller]
pub(super) fn asks_for_a_name(running: &Running) {
    let sockets = format!("/proc/{}/net/udp", running.pid());
    eventually("a question to the name server", || {
        let sockets = fs::read_to_string(&sockets).ok()?;
        // Its own address is the second field; what is queued stands in the fifth.
        let mut sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let server = sockets.find(|fields| fields.get(1) == Some(&"0100007F:0035"))?;
        let (_, received) = server.get(4)?.split_once(':')?;
        (u64::from_str_radix(received, 16).ok()? > 0).then_some(())
    });
}

/// Waits until the process has the file open.
#[track_caller]
pub(super) fn has_open(running: &Running, path: &Path) {
    let descriptors = format!("/proc/{}/fd", running.pid());
    eventually("the file is open", || {
        let mut open = fs::read_dir(&descriptors).ok()?.filter_map(Result::ok);
        open.any(|one| fs::read_link(one.path()).is_ok_and(|file| file == path)).then_some(())
    });
}

/// Waits until the process is inside of a system call whose first argument is this.
#[track_caller]
pub(super) fn is_in(running: &Running, call: libc::c_long, argument: &str) {
    let (path, call) = (format!("/proc/{}/syscall", running.pid()), call.to_string());
    eventually("it is in the system call", || {
        let text = fs::read_to_string(&path).ok()?;
        let mut words = text.split_whitespace();
        (words.next() == Some(&call) && words.next() == Some(argument)).then_some(())
    });
}

/// A stderr that takes some bytes, and then holds whoever writes, until it is opened.
#[derive(Debug)]
pub(super) struct Gate {
    pipe: File,
    heard: Vec<u8>,
}

impl Gate {
    /// What has a process write its stderr there.
    pub(super) const UNDER: &[&str] = &["sh", "-c", "exec \"$@\" 2>gate", "sh"];

    /// A pipe in the directory of the start with room for so many bytes, fewer than a page has.
    pub(super) fn with_room(start: &Prelaunch, room: usize) -> Self {
        let path = start.directory().join("gate");
        // It is there from the second time on.
        let _ = fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let mut gate = Self { pipe: options.open(path).unwrap(), heard: Vec::new() };
        // How much it takes is seen by filling it.
        gate.fill(usize::MAX);
        gate.open();
        let size = std::mem::take(&mut gate.heard).len();
        gate.fill(size - room);
        gate
    }

    fn fill(&mut self, mut count: usize) {
        while count > 0 {
            match self.pipe.write(&[b'\n'; 4096][..count.min(4096)]) {
                Ok(written) => count -= written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until it holds the process, which hangs in writing to stderr.
    #[track_caller]
    pub(super) fn holds(running: &Running) {
        is_in(running, libc::SYS_write, "0x2");
    }

    /// Lets everything through that came until now, and makes room for what comes.
    pub(super) fn open(&mut self) {
        match self.pipe.read_to_end(&mut self.heard) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            read => panic!("{read:?}"),
        }
    }

    /// All that was written.
    pub(super) fn heard(mut self) -> String {
        self.open();
        String::from_utf8(self.heard).unwrap().trim_start_matches('\n').to_owned()
    }
}
