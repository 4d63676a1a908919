//! Network namespaces with hosts in them, and traffic between the hosts.

use std::{
    fs::File,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, RawFd},
    process::{self, Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

/// Longest wait for anything that should come at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether to run; says so when the tests are left out on purpose, and fails when they cannot run.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn kernel_tests_wanted() -> bool {
    if std::env::var_os("LOCKGATE_SKIP_KERNEL_TESTS").is_some_and(|v| v == "1") {
        eprintln!("skipped: LOCKGATE_SKIP_KERNEL_TESTS=1");
        return false;
    }
    let help = "set LOCKGATE_SKIP_KERNEL_TESTS=1 to leave the kernel tests out";
    // SAFETY: no arguments.
    let user = unsafe { libc::geteuid() };
    assert_eq!(user, 0, "the kernel tests need root; {help}");
    for program in ["ip", "ping", "ethtool"] {
        let there = Command::new(program).arg("-V").output().is_ok();
        assert!(there, "the kernel tests need `{program}`; {help}");
    }
    true
}

/// Namespaces of one test; deleted with the value, and with them their devices.
pub struct Net {
    prefix: String,
    names: Vec<String>,
}

impl Net {
    pub fn new(names: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("lgp{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut net = Self { prefix, names: Vec::new() };
        for name in names {
            let name = net.name(name);
            ip(&["netns", "add", &name]);
            net.names.push(name.clone());
            ip(&["-n", &name, "link", "set", "dev", "lo", "up"]);
        }
        net
    }

    /// The full name of a namespace.
    pub fn name(&self, namespace: &str) -> String {
        format!("{}-{namespace}", self.prefix)
    }

    /// Runs `ip` in a namespace.
    pub fn ip(&self, namespace: &str, command: &str) {
        let name = self.name(namespace);
        let args: Vec<_> = ["-n", &name].into_iter().chain(command.split(' ')).collect();
        ip(&args);
    }

    /// Runs another program in a namespace.
    pub fn run(&self, namespace: &str, program: &str, command: &str) {
        let name = self.name(namespace);
        let args: Vec<_> =
            ["netns", "exec", &name, program].into_iter().chain(command.split(' ')).collect();
        ip(&args);
    }

    /// Writes a number to a file as a namespace sees it.
    pub fn set(&self, namespace: &str, path: &str, value: u32) {
        let line = format!("echo {value} > {path}");
        ip(&["netns", "exec", &self.name(namespace), "sh", "-c", &line]);
    }

    /// Whether what `ip` shows in a namespace has a word in it.
    pub fn shows(&self, namespace: &str, command: &str, word: &str) -> bool {
        let name = self.name(namespace);
        let args: Vec<_> = ["-n", &name].into_iter().chain(command.split(' ')).collect();
        String::from_utf8_lossy(&ip(&args).stdout).contains(word)
    }

    /// A veth pair, both ends up, without link-local addresses.
    pub fn veth(&self, (ns_a, a): (&str, &str), (ns_b, b): (&str, &str)) {
        let other = self.name(ns_b);
        self.ip(ns_a, &format!("link add {a} type veth peer name {b} netns {other}"));
        for (namespace, device) in [(ns_a, a), (ns_b, b)] {
            self.ip(namespace, &format!("link set dev {device} addrgenmode none up"));
        }
    }

    /// Gives a host its addresses 10.9.0.N and fd09::N.
    pub fn address(&self, host: &str, device: &str, octet: u8) {
        self.ip(host, &format!("link set dev {device} addrgenmode none up"));
        self.ip(host, &format!("address add 10.9.0.{octet}/24 dev {device}"));
        self.ip(host, &format!("address add fd09::{octet}/64 dev {device} nodad"));
    }

    /// The MAC of a device as the kernel prints it.
    pub fn mac(&self, namespace: &str, device: &str) -> String {
        let path = format!("/sys/class/net/{device}/address");
        let out = run(&["ip", "netns", "exec", &self.name(namespace), "cat", &path]);
        String::from_utf8_lossy(&out.stdout).trim().into()
    }

    /// Pings host N from a host, small and full-sized.
    pub fn ping(&self, host: &str, octet: u8, v6: bool) {
        let to = address(octet, v6).to_string();
        for size in ["56", "1400"] {
            run(&[
                "ip",
                "netns",
                "exec",
                &self.name(host),
                "ping",
                "-c",
                "3",
                "-i",
                "0.01",
                "-W",
                "5",
                "-s",
                size,
                &to,
            ]);
        }
    }

    /// Sends `bytes` over TCP from one host to host N and checks every one of them.
    pub fn tcp(&self, from: &str, to: &str, octet: u8, v6: bool, bytes: usize) {
        let at = SocketAddr::new(address(octet, v6), 7001);
        let listener = in_namespace(&self.name(to), || TcpListener::bind(at).expect("bound"));
        let block: Vec<u8> = (0..251u8).cycle().take(251 * 1024).collect();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("accepted");
                stream.set_read_timeout(Some(PATIENCE)).expect("set");
                let (mut buf, mut total) = (vec![0; 256 << 10], 0usize);
                loop {
                    let n = stream.read(&mut buf).expect("received");
                    if n == 0 {
                        return total;
                    }
                    let right =
                        buf[..n].iter().enumerate().all(|(i, b)| *b as usize == (total + i) % 251);
                    assert!(right, "wrong bytes after {total}");
                    total += n;
                }
            });
            let mut stream = in_namespace(&self.name(from), || {
                TcpStream::connect_timeout(&at, PATIENCE).expect("connected")
            });
            stream.set_write_timeout(Some(PATIENCE)).expect("set");
            let blocks = bytes.div_ceil(block.len());
            for _ in 0..blocks {
                stream.write_all(&block).expect("sent");
            }
            drop(stream);
            assert_eq!(receiver.join().expect("no panic"), blocks * block.len());
        });
    }

    /// Sends `count` datagrams of `size` bytes in one call (UDP_SEGMENT) and receives them all.
    pub fn udp_segments(
        &self,
        from: &str,
        to: &str,
        octet: u8,
        v6: bool,
        count: usize,
        size: usize,
    ) {
        self.udp(from, (to, octet, v6), (count, size), true);
    }

    /// Sends as many one by one, and checks each.
    pub fn udp_datagrams(&self, from: &str, to: &str, octet: u8, count: usize, size: usize) {
        self.udp(from, (to, octet, false), (count, size), false);
    }

    fn udp(
        &self,
        from: &str,
        (to, octet, v6): (&str, u8, bool),
        (count, size): (usize, usize),
        at_once: bool,
    ) {
        let at = SocketAddr::new(address(octet, v6), 7002);
        let receiver = in_namespace(&self.name(to), || UdpSocket::bind(at).expect("bound"));
        receiver.set_read_timeout(Some(PATIENCE)).expect("set");
        in_namespace(&self.name(from), || {
            let any = if v6 { "[::]:0" } else { "0.0.0.0:0" };
            let sender = UdpSocket::bind(any).expect("bound");
            sender.connect(at).expect("connected");
            // Settles the neighbour; a queue for an unresolved one is short.
            sender.send(&[1]).expect("sent");
            assert_eq!(receiver.recv(&mut [0; 9]).expect("received"), 1);
            let data: Vec<u8> = (0..count).flat_map(|i| vec![i as u8; size]).collect();
            if !at_once {
                data.chunks(size).for_each(|datagram| {
                    assert_eq!(sender.send(datagram).expect("sent"), size);
                });
                return;
            }
            let segment = size as libc::c_int;
            // SAFETY: the pointer and length describe `segment`.
            let set = unsafe {
                libc::setsockopt(
                    sender.as_raw_fd(),
                    libc::SOL_UDP,
                    libc::UDP_SEGMENT,
                    (&raw const segment).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                )
            };
            assert_eq!(set, 0, "UDP_SEGMENT");
            assert_eq!(sender.send(&data).expect("sent"), data.len());
        });
        let mut buf = vec![0; 65536];
        for i in 0..count {
            let len = receiver.recv(&mut buf).unwrap_or_else(|e| panic!("datagram {i}: {e}"));
            assert_eq!(buf[..len], vec![i as u8; size], "datagram {i}");
        }
    }

    /// Sends one datagram, whoever hears it.
    pub fn send_datagram(&self, from: &str, to: &str) {
        in_namespace(&self.name(from), || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
            socket.send_to(&[1], to).expect("sent");
        });
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn address(octet: u8, v6: bool) -> IpAddr {
    if v6 { [0xfd09, 0, 0, 0, 0, 0, 0, u16::from(octet)].into() } else { [10, 9, 0, octet].into() }
}

fn ip(args: &[&str]) -> Output {
    let command: Vec<_> = ["ip"].iter().chain(args).copied().collect();
    run(&command)
}

fn run(command: &[&str]) -> Output {
    let out = Command::new(command[0]).args(&command[1..]).output().expect("started");
    let (said, wrong) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{}: {said}{wrong}", command.join(" "));
    out
}

/// Runs `f` on a thread inside a namespace. Sockets and devices it opens stay there.
pub fn in_namespace<T: Send>(name: &str, f: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(format!("/run/netns/{name}")).expect("the namespace");
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: the descriptor is open; only this thread changes its namespace.
            let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "setns: {}", std::io::Error::last_os_error());
            f()
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Gives up all capabilities, on this thread only.
pub fn become_nobody() {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: the raw call, unlike the C library's, changes the calling thread alone.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0, "setresuid");
}

/// Whether a descriptor becomes readable within `millis`.
pub fn readable(fd: RawFd, millis: i32) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid entry for the whole call.
    unsafe { libc::poll(&mut poll, 1, millis) == 1 }
}
