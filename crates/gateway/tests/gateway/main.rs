//! One gateway by itself: frames in, frames out, and an engine that does what a test wants of it.

mod bench;
mod discovery;
mod drift;
mod show;
