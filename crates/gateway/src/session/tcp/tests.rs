use offload::Direction::{self, Original, Reply};
use proptest::prelude::*;

use super::*;
use crate::session::SessionState::*;

const CLIENT: u32 = 1_000;
const SERVER: u32 = 5_000;

/// A segment of the test's alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Letter {
    name: &'static str,
    from: Direction,
    flags: u8,
    seq: u32,
    ack: u32,
    len: u32,
}

const fn letter(
    name: &'static str,
    from: Direction,
    flags: u8,
    seq: u32,
    ack: u32,
    len: u32,
) -> Letter {
    Letter { name, from, flags, seq, ack, len }
}

const SYN_: Letter = letter("syn", Original, SYN, CLIENT, 0, 0);
const SYN_ACK: Letter = letter("syn-ack", Reply, SYN | ACK, SERVER, CLIENT + 1, 0);
const ACK_: Letter = letter("ack", Original, ACK, CLIENT + 1, SERVER + 1, 0);
const DATA: Letter = letter("data", Original, ACK, CLIENT + 1, SERVER + 1, 10);
const ANSWER: Letter = letter("answer", Reply, ACK, SERVER + 1, CLIENT + 1, 10);
const FIN_: Letter = letter("fin", Original, FIN | ACK, CLIENT + 1, SERVER + 1, 0);
const FIN_BACK: Letter = letter("fin back", Reply, FIN | ACK, SERVER + 1, CLIENT + 2, 0);
const LAST: Letter = letter("last ack", Original, ACK, CLIENT + 2, SERVER + 2, 0);
const RESET: Letter = letter("rst", Reply, RST | ACK, SERVER + 1, CLIENT + 1, 0);

const ALPHABET: [Letter; 18] = [
    SYN_,
    SYN_ACK,
    ACK_,
    DATA,
    ANSWER,
    FIN_,
    FIN_BACK,
    LAST,
    RESET,
    letter("other syn", Original, SYN, CLIENT + 500, 0, 0),
    letter("syn-ack for another", Reply, SYN | ACK, SERVER, CLIENT + 77, 0),
    letter("other syn-ack", Reply, SYN | ACK, SERVER + 800, CLIENT + 1, 0),
    letter("ack of nothing", Original, ACK, CLIENT + 1, SERVER + 7_000, 0),
    letter("ack too old", Original, ACK, CLIENT + 1, SERVER, 0),
    letter("syn back", Reply, SYN, SERVER, 0, 0),
    letter("crossing syn-ack", Original, SYN | ACK, CLIENT, SERVER + 1, 0),
    letter("loose rst", Reply, RST, SERVER + 300, 0, 0),
    letter("wild rst", Original, RST, CLIENT + 900_000, 0, 0),
];

struct Run {
    windows: TcpWindows,
    slot: u32,
    state: SessionState,
}

impl Run {
    fn new() -> Self {
        Self { windows: TcpWindows::new(1), slot: NO_SLOT, state: New }
    }

    fn send(&mut self, letter: Letter) -> Step {
        let Letter { from, flags, seq, ack, len, .. } = letter;
        let segment = Segment { seq, ack, window: 8_000, len, flags };
        let segment = TcpSegment { segment, scale: None, mss: None };
        let step = step(self.state, &mut self.slot, from, &segment, &self.windows);
        if let Step::To(state) = step {
            self.state = state;
        }
        step
    }

    fn after(letters: &[Letter]) -> Self {
        let mut run = Self::new();
        for letter in letters {
            let step = run.send(*letter);
            assert!(matches!(step, Step::To(_)), "{}: {step:?}", letter.name);
        }
        run
    }
}

#[test]
fn a_connection_lives_and_dies() {
    let mut run = Run::new();
    for (letter, state) in [
        (SYN_, SynSent),
        (SYN_, SynSent),
        (SYN_ACK, SynReceived),
        (SYN_, SynReceived),
        (SYN_ACK, SynReceived),
        (ACK_, Established),
        (SYN_ACK, Established),
        (DATA, Established),
        (letter("answer", Reply, ACK, SERVER + 1, CLIENT + 11, 10), Established),
        (letter("fin", Original, FIN | ACK, CLIENT + 11, SERVER + 11, 0), FinWaitOriginal),
        (letter("more", Reply, ACK, SERVER + 11, CLIENT + 12, 10), FinWaitOriginal),
        (letter("fin back", Reply, FIN | ACK, SERVER + 21, CLIENT + 12, 0), LastAck),
        (letter("last", Original, ACK, CLIENT + 12, SERVER + 22, 0), TimeWait),
        (letter("fin back again", Reply, FIN | ACK, SERVER + 21, CLIENT + 12, 0), TimeWait),
    ] {
        assert_eq!(run.send(letter), Step::To(state), "{}", letter.name);
    }
    let late = letter("late data", Reply, ACK, SERVER + 22, CLIENT + 12, 5);
    assert_eq!(run.send(late), Step::Drop(DropReason::SessionClosed));
    assert_eq!(run.send(SYN_), Step::Reopen);
}

#[test]
fn both_may_open_and_close_at_once() {
    let crossing = letter("crossing", Original, SYN | ACK, CLIENT, SERVER + 1, 0);
    let mut run = Run::new();
    for (letter, state) in [
        (SYN_, SynSent),
        (letter("syn back", Reply, SYN, SERVER, 0, 0), SimultaneousOpen),
        (SYN_, SimultaneousOpen),
        (crossing, SimultaneousOpenReply),
        (crossing, SimultaneousOpenReply),
        (SYN_ACK, Established),
        (FIN_, FinWaitOriginal),
        (letter("fin", Reply, FIN | ACK, SERVER + 1, CLIENT + 1, 0), LastAck),
        (letter("ack", Reply, ACK, SERVER + 2, CLIENT + 2, 0), LastAck),
        (LAST, TimeWait),
    ] {
        assert_eq!(run.send(letter), Step::To(state), "{}", letter.name);
    }
}

#[test]
fn every_wrong_segment_has_its_reason() {
    let half = [SYN_, SYN_ACK];
    let open = [SYN_, SYN_ACK, ACK_];
    let closing = [SYN_, SYN_ACK, ACK_, FIN_];
    let closed = [SYN_, SYN_ACK, ACK_, RESET];
    let rows: [(&[Letter], Letter, DropReason); 27] = [
        (&[], ACK_, DropReason::TcpNotSyn),
        (&[], SYN_ACK, DropReason::TcpNotSyn),
        (&[], RESET, DropReason::TcpNotSyn),
        (&[], letter("syn from nowhere", Reply, SYN, SERVER, 0, 0), DropReason::TcpNotSyn),
        (&[], letter("null", Original, 0, CLIENT, 0, 0), DropReason::AnomalyTcpFlags),
        (&open, letter("xmas", Reply, 0xff, SERVER, 0, 0), DropReason::AnomalyTcpFlags),
        (&open, letter("syn fin", Reply, SYN | FIN, SERVER, 0, 0), DropReason::AnomalyTcpFlags),
        (&open, letter("bare fin", Original, FIN, CLIENT, 0, 0), DropReason::AnomalyTcpFlags),
        (&[SYN_], ACK_, DropReason::TcpHandshakeInvalid),
        (&[SYN_], DATA, DropReason::TcpHandshakeInvalid),
        (&[SYN_], ANSWER, DropReason::TcpHandshakeInvalid),
        (&[SYN_], ALPHABET[10], DropReason::TcpHandshakeInvalid),
        (&[SYN_], FIN_, DropReason::TcpHandshakeInvalid),
        (&[SYN_], letter("blind rst", Reply, RST, SERVER, 0, 0), DropReason::TcpOutOfWindow),
        (&half, ANSWER, DropReason::TcpHandshakeInvalid),
        (&half, FIN_BACK, DropReason::TcpHandshakeInvalid),
        (
            &half,
            letter("old", Original, ACK, CLIENT + 1, SERVER, 0),
            DropReason::TcpHandshakeInvalid,
        ),
        (&half, ALPHABET[12], DropReason::TcpOutOfWindow),
        (&half, ALPHABET[9], DropReason::TcpHandshakeInvalid),
        (&open, SYN_, DropReason::TcpHandshakeInvalid),
        (&open, ALPHABET[11], DropReason::TcpHandshakeInvalid),
        (
            &open,
            letter("ahead", Reply, ACK, SERVER + 900_000, CLIENT + 1, 1),
            DropReason::TcpOutOfWindow,
        ),
        (&open, ALPHABET[16], DropReason::TcpResetInvalid),
        (&open, ALPHABET[17], DropReason::TcpOutOfWindow),
        (
            &closing,
            letter("after fin", Original, ACK, CLIENT + 2, SERVER + 1, 9),
            DropReason::SessionClosed,
        ),
        (&closed, ANSWER, DropReason::SessionClosed),
        (&closed, ALPHABET[16], DropReason::SessionClosed),
    ];
    for (before, letter, reason) in rows {
        let mut run = Run::after(before);
        let state = run.state;
        assert_eq!(run.send(letter), Step::Drop(reason), "{} after {before:?}", letter.name);
        assert_eq!(run.state, state);
    }
    assert_eq!(Run::after(&closed).send(RESET), Step::To(Closed));
    assert_eq!(Run::after(&closed).send(SYN_), Step::Reopen);
    assert_eq!(Run::after(&[SYN_, RESET]).state, Closed);
}

#[test]
fn no_slot_no_session() {
    let windows = TcpWindows::new(0);
    let segment = TcpSegment {
        segment: Segment { flags: SYN, ..Segment::default() },
        ..TcpSegment::default()
    };
    let step = step(New, &mut NO_SLOT.clone(), Original, &segment, &windows);
    assert_eq!(step, Step::Drop(DropReason::SessionTableFull));
}

/// What must have passed for a state to be reached, whatever the order of everything else.
fn justified(state: SessionState, passed: &[Letter]) -> bool {
    let at = |test: &dyn Fn(&Letter) -> bool, from: usize| {
        passed.iter().skip(from).position(test).map(|n| n + from + 1)
    };
    let acknowledges = |letter: &Letter, who: Direction| {
        letter.from == who && letter.flags & ACK != 0 && letter.flags & RST == 0
    };
    let syn = at(&|l| l.from == Original && l.flags & SYN != 0, 0);
    let Some(answered) = syn.and_then(|n| at(&|l| l.from == Reply && l.flags & SYN != 0, n)) else {
        return matches!(state, New | SynSent | Closed);
    };
    let by_original = at(&|l| acknowledges(l, Original), answered).is_some();
    let by_reply = at(&|l| acknowledges(l, Reply), syn.unwrap_or(0)).is_some();
    let fin = |who| passed.iter().any(|l| l.from == who && l.flags & FIN != 0);
    match state {
        New => passed.is_empty(),
        SynSent | SynReceived | SimultaneousOpen | Closed => true,
        SimultaneousOpenOriginal => by_reply,
        SimultaneousOpenReply => by_original,
        Established => by_original && by_reply,
        FinWaitOriginal => by_original && by_reply && fin(Original) && !fin(Reply),
        FinWaitReply => by_original && by_reply && fin(Reply) && !fin(Original),
        LastAck | TimeWait => by_original && by_reply && fin(Original) && fin(Reply),
        _ => false,
    }
}

/// Sends a word, checks after every letter, and returns whether the last letter changed anything.
fn check_word(word: &[Letter]) -> Result<bool, String> {
    let mut run = Run::new();
    let mut passed = Vec::new();
    let mut last_mattered = false;
    for letter in word {
        let before = run.state;
        let step = run.send(*letter);
        let fail = |what: &str| Err(format!("{what}: {before:?} {step:?} {word:?}"));
        last_mattered = true;
        match step {
            Step::To(state) => {
                passed.push(*letter);
                if !justified(state, &passed) {
                    return fail("unjustified state");
                }
                let data = letter.len > 0 && letter.flags & (SYN | RST) == 0;
                if data && (state.is_half_open() || before == Closed) {
                    return fail("data outside of the connection");
                }
                let reset = letter.flags & RST != 0;
                if reset != (state == Closed) {
                    return fail("closed without a reset, or reset without a close");
                }
                let rank = |s| SessionState::ALL.iter().position(|x| *x == s);
                if rank(state) < rank(before) {
                    return fail("a state went backwards");
                }
            }
            Step::Drop(_) => last_mattered = false,
            Step::Reopen => {
                if !before.is_closed() || letter.flags & (SYN | ACK) != SYN {
                    return fail("reopened without need");
                }
                last_mattered = false;
            }
        }
    }
    Ok(last_mattered)
}

/// All words of up to seven letters; what a dropped letter leaves behind is not tried again.
#[test]
fn no_word_reaches_a_state_it_does_not_justify() {
    fn extend(word: &mut Vec<Letter>, reached: &mut Vec<SessionState>, count: &mut u64) {
        if word.len() == 7 {
            return;
        }
        for letter in ALPHABET {
            word.push(letter);
            *count += 1;
            match check_word(word) {
                Ok(true) => {
                    let state = Run::after(word).state;
                    if !reached.contains(&state) {
                        reached.push(state);
                    }
                    extend(word, reached, count);
                }
                Ok(false) => {}
                Err(fault) => panic!("{fault}"),
            }
            word.pop();
        }
    }
    let (mut reached, mut count) = (Vec::new(), 0);
    extend(&mut Vec::new(), &mut reached, &mut count);
    reached.sort_unstable();
    assert_eq!(
        reached,
        [
            SynSent,
            SynReceived,
            SimultaneousOpen,
            SimultaneousOpenOriginal,
            SimultaneousOpenReply,
            Established,
            FinWaitOriginal,
            FinWaitReply,
            LastAck,
            TimeWait,
            Closed
        ]
    );
    assert!(count > 100_000, "only {count} words were tried");
}

fn any_letter() -> impl Strategy<Value = Letter> {
    let near = |n: u32| prop_oneof![n..n + 4, Just(n + 11), any::<u32>()];
    let flags = prop_oneof![Just(SYN), Just(SYN | ACK), Just(ACK), Just(FIN | ACK), any::<u8>()];
    (any::<bool>(), flags, near(CLIENT), near(SERVER), prop_oneof![Just(0u32), 0u32..20]).prop_map(
        |(original, flags, client, server, len)| match original {
            true => letter("random", Original, flags, client, server, len),
            false => letter("random", Reply, flags, server, client, len),
        },
    )
}

proptest! {
    #[test]
    fn no_numbers_reach_a_state_they_do_not_justify(
        start in 0usize..4,
        word in prop::collection::vec(any_letter(), 0..12),
    ) {
        let word: Vec<_> = [SYN_, SYN_ACK, ACK_].into_iter().take(start).chain(word).collect();
        check_word(&word).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn any_options_are_read_without_panic(options in prop::collection::vec(any::<u8>(), 0..60)) {
        read_options(&options, &mut TcpSegment::default());
    }
}

#[test]
fn options_of_a_syn_are_read_in_any_order() {
    let read = |options: &[u8]| {
        let mut segment = TcpSegment::default();
        read_options(options, &mut segment);
        (segment.mss, segment.scale)
    };
    assert_eq!(read(&[2, 4, 5, 0xb4, 4, 2, 1, 1, 3, 3, 7]), (Some(1460), Some(7)));
    assert_eq!(
        read(&[8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 9, 2, 4, 2, 0]),
        (Some(512), Some(9))
    );
    assert_eq!(read(&[0, 3, 3, 9]), (None, None));
    assert_eq!(read(&[8, 200, 3, 3, 9]), (None, None));
    assert_eq!(read(&[8, 0, 3, 3, 9]), (None, None));
    assert_eq!(read(&[3, 3]), (None, None));
}
