//! The pool frames come from: bounded, two sizes, exact balance.
//!
//! All buffers are made when the pool is made, so the packet path never allocates memory. One
//! short mutex per size class guards a stack of free buffers; ports take and give back whole
//! bursts under one lock ([`FramePool::alloc_burst`], [`FramePool::free_burst`]).
//!
//! A buffer handed out still holds the bytes of its last use. Whoever sends a frame writes all of
//! it first.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::{Frame, HEADROOM};

/// Bytes of data an ordinary buffer has room for, headroom not counted.
pub const SMALL_ROOM: usize = 2048;

/// Bytes of data a buffer for super-packets has room for, headroom not counted: the largest IP
/// packet (65,535) with Ethernet header and VLAN tag (18), and some to spare behind it.
pub const LARGE_ROOM: usize = 65_535 + 18 + 111;

/// The size classes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameClass {
    /// Ordinary frames, up to [`SMALL_ROOM`] bytes.
    Small,
    /// Super-packets and jumbo frames, up to [`LARGE_ROOM`] bytes.
    Large,
}

impl FrameClass {
    /// The class a frame of `len` bytes comes from; `None` when no buffer is that large.
    pub const fn of(len: usize) -> Option<Self> {
        if len <= SMALL_ROOM {
            Some(Self::Small)
        } else if len <= LARGE_ROOM {
            Some(Self::Large)
        } else {
            None
        }
    }

    /// Bytes of data, headroom not counted.
    pub const fn room(self) -> usize {
        match self {
            Self::Small => SMALL_ROOM,
            Self::Large => LARGE_ROOM,
        }
    }
}

/// Buffers that are taken and given back; bounded.
pub struct FramePool {
    small: Class,
    large: Class,
}

struct Class {
    /// Bytes of one buffer, headroom included.
    buf_len: usize,
    free: Mutex<Vec<Box<[u8]>>>,
    capacity: usize,
    exhausted: AtomicU64,
}

impl FramePool {
    /// A pool of `small` ordinary buffers and `large` super-packet buffers.
    pub fn new(small: usize, large: usize) -> Arc<Self> {
        Arc::new(Self {
            small: Class::new(small, SMALL_ROOM),
            large: Class::new(large, LARGE_ROOM),
        })
    }

    /// A frame of `len` bytes with unspecified contents and the usual headroom.
    ///
    /// `None`, and counted in [`FramePool::exhausted`], when its size class has none left; `None`
    /// too when no class is that large.
    #[inline]
    pub fn alloc(self: &Arc<Self>, len: usize) -> Option<Frame> {
        let buf = self.class(FrameClass::of(len)?).take()?;
        Some(Frame::from_pool(buf, len, Arc::clone(self)))
    }

    /// A frame with a copy of `data`; `None` as for [`FramePool::alloc`].
    #[inline]
    pub fn alloc_from(self: &Arc<Self>, data: &[u8]) -> Option<Frame> {
        let mut frame = self.alloc(data.len())?;
        frame.bytes_mut().copy_from_slice(data);
        Some(frame)
    }

    /// An empty super-packet frame, if one is free: for whoever does as well without, so that none left is not
    /// counted as one missing.
    #[inline]
    pub fn alloc_spare(self: &Arc<Self>) -> Option<Frame> {
        let buf = self.large.lock().pop()?;
        Some(Frame::from_pool(buf, 0, Arc::clone(self)))
    }

    /// Adds up to `count` frames of `len` bytes to the end of `into` under one lock; returns how
    /// many. Fewer than asked counts once per missing frame in [`FramePool::exhausted`].
    pub fn alloc_burst(self: &Arc<Self>, len: usize, count: usize, into: &mut Vec<Frame>) -> usize {
        let Some(class) = FrameClass::of(len) else {
            return 0;
        };
        let class = self.class(class);
        let mut free = class.lock();
        let got = count.min(free.len());
        let first = free.len() - got;
        into.extend(free.drain(first..).map(|b| Frame::from_pool(b, len, Arc::clone(self))));
        drop(free);
        class.exhausted.fetch_add((count - got) as u64, Ordering::Relaxed);
        got
    }

    /// Drops all of `frames`, giving those of this pool back under one lock per size class.
    pub fn free_burst(self: &Arc<Self>, frames: &mut Vec<Frame>) {
        // One class at a time and foreign frames last: two locks are never held together.
        for class in [&self.small, &self.large] {
            let mut free = None;
            for frame in frames.iter_mut() {
                if let Some(buf) = frame.take_buffer_if(self, class.buf_len) {
                    free.get_or_insert_with(|| class.lock()).push(buf);
                }
            }
        }
        frames.clear();
    }

    /// Buffers that are out, both classes.
    pub fn in_use(&self) -> usize {
        self.in_use_of(FrameClass::Small) + self.in_use_of(FrameClass::Large)
    }

    /// Buffers of one class that are out.
    pub fn in_use_of(&self, class: FrameClass) -> usize {
        let class = self.class(class);
        class.capacity - class.lock().len()
    }

    /// Buffers in all, both classes.
    pub fn capacity(&self) -> usize {
        self.small.capacity + self.large.capacity
    }

    /// How often no buffer was left, both classes.
    pub fn exhausted(&self) -> u64 {
        self.exhausted_of(FrameClass::Small) + self.exhausted_of(FrameClass::Large)
    }

    /// How often no buffer of one class was left.
    pub fn exhausted_of(&self, class: FrameClass) -> u64 {
        self.class(class).exhausted.load(Ordering::Relaxed)
    }

    /// Takes a buffer of this pool back.
    #[inline]
    pub(crate) fn give_back(&self, buf: Box<[u8]>) {
        let class = if buf.len() == self.small.buf_len { &self.small } else { &self.large };
        class.lock().push(buf);
    }

    fn class(&self, class: FrameClass) -> &Class {
        match class {
            FrameClass::Small => &self.small,
            FrameClass::Large => &self.large,
        }
    }
}

impl std::fmt::Debug for FramePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FramePool")
            .field("in_use", &self.in_use())
            .field("capacity", &self.capacity())
            .field("exhausted", &self.exhausted())
            .finish()
    }
}

impl Class {
    fn new(capacity: usize, room: usize) -> Self {
        let buf_len = HEADROOM + room;
        let free = (0..capacity).map(|_| vec![0; buf_len].into_boxed_slice()).collect();
        Self { buf_len, free: Mutex::new(free), capacity, exhausted: AtomicU64::new(0) }
    }

    /// The free stack. A panic elsewhere while it was held leaves it whole: nothing runs inside
    /// the lock but pushes within capacity and pops.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn take(&self) -> Option<Box<[u8]>> {
        let buf = self.lock().pop();
        if buf.is_none() {
            self.exhausted.fetch_add(1, Ordering::Relaxed);
        }
        buf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balance_is_exact() {
        let pool = FramePool::new(3, 1);
        assert_eq!((pool.capacity(), pool.in_use()), (4, 0));
        let a = pool.alloc(60).expect("free");
        let b = pool.alloc_from(&[7; 9000]).expect("free");
        assert_eq!((a.len(), b.len(), a.headroom(), b.headroom()), (60, 9000, HEADROOM, HEADROOM));
        assert!(b.bytes().iter().all(|b| *b == 7));
        assert_eq!(pool.in_use_of(FrameClass::Small), 1);
        assert_eq!(pool.in_use_of(FrameClass::Large), 1);
        assert!(pool.alloc(SMALL_ROOM + 1).is_none(), "the only large one is out");
        assert_eq!((pool.exhausted(), pool.exhausted_of(FrameClass::Large)), (1, 1));
        drop(a);
        drop(b);
        assert_eq!(pool.in_use(), 0);
        assert!(pool.alloc(LARGE_ROOM).is_some());
        assert!(pool.alloc(LARGE_ROOM + 1).is_none());
        assert_eq!(pool.exhausted(), 1, "too large is not exhausted");
    }

    #[test]
    fn bursts_are_bounded_and_come_back() {
        let (pool, other) = (FramePool::new(5, 2), FramePool::new(1, 0));
        let mut frames = Vec::new();
        assert_eq!(pool.alloc_burst(100, 4, &mut frames), 4);
        assert_eq!(pool.alloc_burst(100, 4, &mut frames), 1);
        assert_eq!(pool.exhausted(), 3);
        assert_eq!(pool.alloc_burst(3000, 1, &mut frames), 1);
        frames.extend(other.alloc(1));
        frames.push(Frame::from_vec(vec![1]));
        assert_eq!((pool.in_use(), other.in_use()), (6, 1));
        pool.free_burst(&mut frames);
        assert_eq!((frames.len(), pool.in_use(), other.in_use()), (0, 0, 0));
    }

    #[test]
    fn a_reused_buffer_starts_clean() {
        let pool = FramePool::new(1, 0);
        let mut frame = pool.alloc(10).expect("free");
        frame.push_front(20).expect("room");
        frame.offloads.checksum = crate::Checksum::Verified;
        drop(frame);
        let frame = pool.alloc(5).expect("back");
        assert_eq!((frame.len(), frame.headroom()), (5, HEADROOM));
        assert_eq!(frame.offloads, crate::Offloads::default());
        assert!(frame.try_clone().is_none(), "the copy comes from the same pool");
    }

    #[test]
    fn threads_share_a_pool() {
        let pool = FramePool::new(64, 0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..1000 {
                        let frames: Vec<_> = (0..16).filter_map(|_| pool.alloc(60)).collect();
                        assert_eq!(frames.len(), 16);
                    }
                });
            }
        });
        assert_eq!((pool.in_use(), pool.exhausted()), (0, 0));
    }

    #[test]
    fn frames_outlive_the_handle() {
        let pool = FramePool::new(1, 0);
        let mut frame = pool.alloc_from(&[1, 2, 3]).expect("free");
        drop(pool);
        frame.bytes_mut()[0] = 9;
        assert_eq!(frame.bytes(), [9, 2, 3]);
    }
}
