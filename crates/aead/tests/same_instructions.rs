//! AES-GCM of our own takes the same instructions, one after the other, whatever key, text and tag are: a
//! child process does it under `ptrace`, step by step, and the addresses of all its instructions are
//! compared. Lengths are no secret and may tell. As no instruction reads memory by a secret index
//! either (there is no table but that of lengths, `wide256::KEPT`), time tells nothing.
//!
//! The same is asked of `constant_time_eq`. What it cannot see is time inside an instruction; AES and
//! carry-less multiplication have none that depends on data.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(unsafe_code, reason = "fork and ptrace")]

use lockgate_aead::{
    AeadKey as _, Algorithm, Key, Open, Provider, Seal, Selection, TAG_LEN, constant_time_eq,
};

/// Where the instructions of `work` are, in order, from a stop of the child to its end.
fn trace(work: impl Fn()) -> Vec<u64> {
    // SAFETY: the child does nothing but `work`, which takes no lock and allocates nothing, and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no process: {}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: no pointer is passed that is read; a child that cannot be traced ends with 1.
        unsafe {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
                libc::_exit(1);
            }
            libc::raise(libc::SIGSTOP);
            work();
            libc::_exit(0);
        }
    }
    let wait = || {
        let mut status = 0;
        // SAFETY: the status is ours to be written.
        let got = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(got, child, "no news of the child: {}", std::io::Error::last_os_error());
        status
    };
    let mut status = wait();
    let stopped = libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP;
    assert!(stopped, "the child cannot be traced: ptrace is not allowed here");
    let mut addresses = Vec::new();
    loop {
        // SAFETY: the child is stopped; nothing is read or written by pointer.
        let stepped = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child, 0, 0) };
        assert_eq!(stepped, 0, "{}", std::io::Error::last_os_error());
        status = wait();
        if libc::WIFEXITED(status) {
            assert_eq!(libc::WEXITSTATUS(status), 0, "the child failed");
            return addresses;
        }
        assert!(
            libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP,
            "status {status:#x}"
        );
        // SAFETY: registers are numbers, of which all bits are good.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        // SAFETY: the child is stopped, and there is room for its registers.
        let read = unsafe { libc::ptrace(libc::PTRACE_GETREGS, child, 0, &raw mut registers) };
        assert_eq!(read, 0, "{}", std::io::Error::last_os_error());
        addresses.push(registers.rip);
    }
}

fn providers() -> impl Iterator<Item = Provider> {
    let list = [Provider::Vaes256, Provider::Vaes512].into_iter();
    let mut list = list.filter(|p| p.serves(Algorithm::Aes256Gcm)).peekable();
    let known = std::env::var_os("LOCKGATE_WITHOUT_VAES").is_some();
    assert!(
        list.peek().is_some() || known,
        "this CPU has no VAES; LOCKGATE_WITHOUT_VAES=1 leaves the test out"
    );
    list
}

/// Zeros, ones, and bytes that do not repeat.
fn secrets<const N: usize>() -> [[u8; N]; 4] {
    let mixed = |seed: usize| core::array::from_fn(|i| (i * 151 + seed * 89 + (i * i) % 251) as u8);
    [[0; N], [0xff; N], mixed(1), mixed(2)]
}

/// The traces of all secrets are the same, and long enough to have been of the work.
fn same(what: &str, least: usize, traces: impl IntoIterator<Item = Vec<u64>>) {
    let mut traces = traces.into_iter();
    let first = traces.next().expect("there are secrets");
    assert!(first.len() > least, "{what}: {} instructions are too few to be true", first.len());
    for (n, other) in traces.enumerate() {
        let differs = first.iter().zip(&other).position(|(a, b)| a != b);
        assert!(
            first == other,
            "{what}: with secret {} it takes {} instructions instead of {}; the first that differs: {differs:?}",
            n + 1,
            other.len(),
            first.len()
        );
    }
}

#[test]
fn sealing_and_opening() {
    for provider in providers() {
        for algorithm in [Algorithm::Aes128Gcm, Algorithm::Aes256Gcm] {
            let of = |secret: &[u8; 32]| {
                let secret = &secret[..algorithm.key_len()];
                Key::new(algorithm, secret, &Selection::only(provider)).expect("it serves it")
            };
            for len in [0, 13, 100, 600] {
                let what = format!("{provider:?} {algorithm:?} {len} bytes");
                let made: Vec<_> = secrets::<32>()
                    .iter()
                    .zip(secrets::<1400>())
                    .map(|(secret, plain)| {
                        let (key, mut text, mut tag) =
                            (of(secret), plain[..len].to_vec(), [0; TAG_LEN]);
                        key.seal(&mut [Seal {
                            nonce: [1; 12],
                            aad: &[2; 8],
                            text: &mut text,
                            tag: &mut tag,
                        }]);
                        (key, plain, text, tag)
                    })
                    .collect();
                same(
                    &format!("sealing, {what}"),
                    100,
                    made.iter().map(|(key, plain, ..)| {
                        let place = std::cell::RefCell::new(*plain);
                        trace(|| {
                            let (mut text, mut tag) = (place.borrow_mut(), [0; TAG_LEN]);
                            let text = &mut text[..len];
                            key.seal(&mut [Seal {
                                nonce: [1; 12],
                                aad: &[2; 8],
                                text,
                                tag: &mut tag,
                            }]);
                            std::hint::black_box(tag);
                        })
                    }),
                );
                let opened = |key: &Key, sealed: &[u8], tag: &[u8; TAG_LEN], authentic| {
                    let mut room = [0; 1400];
                    room[..len].copy_from_slice(sealed);
                    let place = std::cell::RefCell::new(room);
                    trace(|| {
                        let mut text = place.borrow_mut();
                        let text = &mut text[..len];
                        let mut jobs =
                            [Open { nonce: [1; 12], aad: &[2; 8], text, tag, authentic: false }];
                        key.open(&mut jobs);
                        if jobs[0].authentic != authentic {
                            // SAFETY: it ends the child, which says so.
                            unsafe { libc::_exit(2) }
                        }
                    })
                };
                let right = made.iter().map(|(key, _, text, tag)| opened(key, text, tag, true));
                same(&format!("opening, {what}"), 100, right);
                // how much of a wrong tag is right
                let (key, _, text, tag) = &made[2];
                let wrong = [0, 15].map(|at| {
                    let mut tag = *tag;
                    tag[at] ^= 1;
                    opened(key, text, &tag, false)
                });
                same(&format!("refusing, {what}"), 100, wrong);
            }
        }
    }
}

#[test]
fn making_keys() {
    for provider in providers() {
        for algorithm in [Algorithm::Aes128Gcm, Algorithm::Aes256Gcm] {
            let selection = Selection::only(provider);
            same(
                &format!("{provider:?} {algorithm:?}"),
                500,
                secrets::<32>().iter().map(|secret| {
                    trace(|| {
                        let key = Key::new(algorithm, &secret[..algorithm.key_len()], &selection);
                        std::hint::black_box(key.is_ok());
                    })
                }),
            );
        }
    }
}

#[test]
fn comparing() {
    let all = secrets::<32>();
    same(
        "constant_time_eq",
        20,
        [0, 1, 15, 31].map(|at| {
            let mut other = all[2];
            other[at] ^= 1;
            trace(|| {
                std::hint::black_box(constant_time_eq(&all[2], &other));
            })
        }),
    );
}

/// It would find a branch: a comparison that ends at the first difference.
#[test]
#[should_panic(expected = "it takes")]
fn a_comparison_that_ends_early_is_found() {
    let all = secrets::<32>();
    same(
        "early",
        20,
        [0, 31].map(|at| {
            let mut other = all[2];
            other[at] ^= 1;
            trace(|| {
                let equal = all[2]
                    .iter()
                    .zip(&other)
                    .all(|(a, b)| std::hint::black_box(a) == std::hint::black_box(b));
                std::hint::black_box(equal);
            })
        }),
    );
}
