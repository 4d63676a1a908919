//! AES-GCM in one pass, for registers of any width.
//!
//! A text is done in groups of registers, and what is left, from one byte to a whole group, as the tail.
//! In a group each round of the cipher goes with the hash of one register: of this group's own ciphertext
//! where it is opened, of the group before where it is sealed. The register that waits for the hash so far
//! comes last. The tail's rounds take the block that hides the tag with them, and it adds the block of
//! lengths.
//!
//! A macro, as functions with CPU features cannot be generic in what the features are for: it stands in a
//! file that has the registers.

/// Which byte of a block comes where when it is turned round.
pub(super) const REVERSED: [u8; 16] = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];

macro_rules! kernel {
    ($features:literal) => {
        use core::arch::x86_64::{
            _mm_aesenc_si128, _mm_aesenclast_si128, _mm_set_epi64x, _mm_shuffle_epi8,
        };

        use super::schedule::{Schedule, multiply, reduce};

        /// Bytes of a register.
        const BYTES: usize = 16 * BLOCKS;
        /// Bytes of a group.
        const GROUP_BYTES: usize = BYTES * GROUP;

        /// Encrypts or decrypts `text` in place and gives the tag of what is encrypted.
        #[target_feature(enable = $features)]
        pub(super) fn crypt<const SEAL: bool>(
            key: &Schedule,
            nonce: &[u8; 12],
            aad: &[u8],
            text: &mut [u8],
        ) -> [u8; 16] {
            let tag = if key.rounds() == 14 {
                pass::<14, SEAL>(key, nonce, aad, text)
            } else {
                pass::<10, SEAL>(key, nonce, aad, text)
            };
            let mut bytes = [0; 16];
            super::bytes::store(&mut bytes, tag);
            bytes
        }

        #[target_feature(enable = $features)]
        #[inline]
        fn pass<const ROUNDS: usize, const SEAL: bool>(
            key: &Schedule,
            nonce: &[u8; 12],
            aad: &[u8],
            text: &mut [u8],
        ) -> __m128i {
            let start = super::bytes::first_counter(nonce);
            let mut counters = add(reverse(broadcast(start)), ascending());
            let mut hash = hash_of(key, aad);
            let lengths = _mm_set_epi64x(aad.len() as i64 * 8, text.len() as i64 * 8);

            let whole = text.len().saturating_sub(1) / GROUP_BYTES;
            let (groups, tail) = text.split_at_mut(whole * GROUP_BYTES);
            let (groups, _) = groups.as_chunks_mut::<GROUP_BYTES>();
            for i in 0..groups.len() {
                let (done, rest) = groups.split_at_mut(i);
                hash = group::<ROUNDS, SEAL>(key, &mut counters, hash, &mut rest[0], done.last());
            }

            let ends = Ends { start, hash, before: groups.last().filter(|_| SEAL), lengths };
            match tail.len().div_ceil(BYTES) {
                0 => self::tail::<0, ROUNDS, SEAL>(key, counters, ends, tail),
                1 => self::tail::<1, ROUNDS, SEAL>(key, counters, ends, tail),
                2 => self::tail::<2, ROUNDS, SEAL>(key, counters, ends, tail),
                3 => self::tail::<3, ROUNDS, SEAL>(key, counters, ends, tail),
                4 => self::tail::<4, ROUNDS, SEAL>(key, counters, ends, tail),
                5 => self::tail::<5, ROUNDS, SEAL>(key, counters, ends, tail),
                6 => self::tail::<6, ROUNDS, SEAL>(key, counters, ends, tail),
                7 => self::tail::<7, ROUNDS, SEAL>(key, counters, ends, tail),
                _ => self::tail::<8, ROUNDS, SEAL>(key, counters, ends, tail),
            }
        }

        /// What the tail is told.
        struct Ends<'a> {
            /// The block that hides the tag, before the cipher.
            start: __m128i,
            /// The hash so far.
            hash: __m128i,
            /// A group that is not in it yet.
            before: Option<&'a [u8; GROUP_BYTES]>,
            /// The last block that is hashed.
            lengths: __m128i,
        }

        /// Encrypts or decrypts a group; the hash after it or, where it is sealed, after the one before.
        #[target_feature(enable = $features)]
        #[inline]
        fn group<const ROUNDS: usize, const SEAL: bool>(
            key: &Schedule,
            counters: &mut Register,
            hash: __m128i,
            text: &mut [u8; GROUP_BYTES],
            before: Option<&[u8; GROUP_BYTES]>,
        ) -> __m128i {
            let mut state = next::<GROUP>(key, counters);
            let hashed = if SEAL { before } else { Some(&*text) };
            let after = match hashed {
                Some(hashed) => rounds_with_hash::<GROUP, ROUNDS, false>(
                    key,
                    &mut state,
                    &mut zero_block(),
                    hash,
                    hashed,
                ),
                None => {
                    rounds::<GROUP, ROUNDS, false>(key, &mut state, &mut zero_block());
                    hash
                }
            };
            let round_key = broadcast(super::bytes::load(key.key(ROUNDS)));
            for (register, s) in text.as_chunks_mut::<BYTES>().0.iter_mut().zip(state) {
                let text = load(register);
                store(register, xor(text, last_round(s, round_key)));
            }
            after
        }

        /// All rounds but the last; with `ONE`, of one more block.
        #[target_feature(enable = $features)]
        #[inline]
        fn rounds<const N: usize, const ROUNDS: usize, const ONE: bool>(
            key: &Schedule,
            state: &mut [Register; N],
            one: &mut __m128i,
        ) {
            for r in 1..ROUNDS {
                let round_key = super::bytes::load(key.key(r));
                for s in state.iter_mut() {
                    *s = round(*s, broadcast(round_key));
                }
                if ONE {
                    *one = _mm_aesenc_si128(*one, round_key);
                }
            }
        }

        /// The same, and the hash after a group meanwhile.
        #[target_feature(enable = $features)]
        #[inline]
        fn rounds_with_hash<const N: usize, const ROUNDS: usize, const ONE: bool>(
            key: &Schedule,
            state: &mut [Register; N],
            one: &mut __m128i,
            hash: __m128i,
            hashed: &[u8; GROUP_BYTES],
        ) -> __m128i {
            let (hashed, _) = hashed.as_chunks::<BYTES>();
            let mut sum = Sum::new();
            for r in 1..ROUNDS {
                let round_key = super::bytes::load(key.key(r));
                for s in state.iter_mut() {
                    *s = round(*s, broadcast(round_key));
                }
                if ONE {
                    *one = _mm_aesenc_si128(*one, round_key);
                }
                if r <= GROUP {
                    let j = r % GROUP;
                    let mut block = reverse(load(&hashed[j]));
                    if j == 0 {
                        block = xor(block, first(hash));
                    }
                    sum.add(block, power(key, (GROUP - j) * BLOCKS));
                }
            }
            sum.reduced()
        }

        #[target_feature(enable = "sse2")]
        #[inline]
        fn zero_block() -> __m128i {
            _mm_set_epi64x(0, 0)
        }

        /// The rest, in `N` registers of which the last may not be full: the tag.
        #[target_feature(enable = $features)]
        #[inline]
        fn tail<const N: usize, const ROUNDS: usize, const SEAL: bool>(
            key: &Schedule,
            mut counters: Register,
            ends: Ends<'_>,
            text: &mut [u8],
        ) -> __m128i {
            let mut state = next::<N>(key, &mut counters);
            let mut hides = _mm_xor(ends.start, super::bytes::load(key.key(0)));
            let hash = match ends.before {
                Some(before) => rounds_with_hash::<N, ROUNDS, true>(
                    key, &mut state, &mut hides, ends.hash, before,
                ),
                None => {
                    rounds::<N, ROUNDS, true>(key, &mut state, &mut hides);
                    ends.hash
                }
            };
            let one = super::bytes::load(key.key(ROUNDS));
            let round_key = broadcast(one);
            hides = _mm_aesenclast_si128(hides, one);

            let blocks = text.len().div_ceil(16);
            let (registers, rest) = text.as_chunks_mut::<BYTES>();
            let mut sum = Sum::new();
            let mut hash = first(hash);
            for (j, s) in state.into_iter().enumerate() {
                let pad = last_round(s, round_key);
                let encrypted = if let Some(register) = registers.get_mut(j) {
                    let before = load(register);
                    let after = xor(before, pad);
                    store(register, after);
                    if SEAL { after } else { before }
                } else {
                    let before = load_less(rest);
                    let after = xor(before, pad);
                    store_less(rest, after);
                    if SEAL { keep(after, rest.len()) } else { before }
                };
                sum.add(xor(reverse(encrypted), hash), power(key, blocks + 1 - j * BLOCKS));
                hash = zero();
            }
            let lengths = xor(first(ends.lengths), hash);
            sum.add(lengths, first(lowest(power(key, 1))));
            let tag = _mm_shuffle_epi8(sum.reduced(), super::bytes::load(&REVERSED));
            _mm_xor(tag, hides)
        }

        /// The next counters, with the first round key added.
        #[target_feature(enable = $features)]
        #[inline]
        fn next<const N: usize>(key: &Schedule, counters: &mut Register) -> [Register; N] {
            let round_key = broadcast(super::bytes::load(key.key(0)));
            let mut state = [round_key; N];
            for s in &mut state {
                *s = xor(reverse(*counters), round_key);
                *counters = add(*counters, step());
            }
            state
        }

        /// The hash of additional data.
        #[target_feature(enable = $features)]
        #[inline]
        fn hash_of(key: &Schedule, aad: &[u8]) -> __m128i {
            let power = lowest(power(key, 1));
            let mut hash = _mm_set_epi64x(0, 0);
            for block in aad.chunks(16) {
                let block = super::bytes::load_part(block);
                let block = _mm_shuffle_epi8(block, super::bytes::load(&REVERSED));
                hash = multiply(_mm_xor(hash, block), power);
            }
            hash
        }

        /// Powers from the one given on, falling.
        #[target_feature(enable = $features)]
        #[inline]
        fn power(key: &Schedule, from: usize) -> Register {
            let powers: &[[u8; 16]; BLOCKS] = key.powers(from);
            load(powers.as_flattened().first_chunk().expect("invariant: a register of powers"))
        }

        #[target_feature(enable = "sse2")]
        #[inline]
        fn _mm_xor(a: __m128i, b: __m128i) -> __m128i {
            core::arch::x86_64::_mm_xor_si128(a, b)
        }

        /// Products that are to be added up and reduced.
        struct Sum {
            low: Register,
            middle: Register,
            high: Register,
        }

        impl Sum {
            #[target_feature(enable = $features)]
            #[inline]
            fn new() -> Self {
                Self { low: zero(), middle: zero(), high: zero() }
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn add(&mut self, blocks: Register, powers: Register) {
                let [low, one, other, high] = products(blocks, powers);
                self.low = xor(self.low, low);
                self.middle = xor3(self.middle, one, other);
                self.high = xor(self.high, high);
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn reduced(self) -> __m128i {
                reduce(fold(self.low), fold(self.middle), fold(self.high))
            }
        }
    };
}

pub(super) use kernel;
