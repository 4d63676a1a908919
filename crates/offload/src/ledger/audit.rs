//! The drift audit: does the engine hold what the ledger says, and nothing else?
//!
//! The audit only finds; repairs are the caller's, through [`Engine::remove`] and a new
//! installation. Run it when all pending [`EngineEvent`](crate::EngineEvent)s have been handled,
//! otherwise what the engine evicted a moment ago looks like drift.

use core::fmt;

use wire::Tuple;

use crate::{Direction, Engine, Handle};

/// A disagreement between ledger and engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The ledger says installed, the engine does not know the handle.
    MissingInEngine {
        /// Session.
        session: u32,
        /// Direction.
        direction: Direction,
        /// The handle the ledger has.
        handle: Handle,
    },
    /// The engine has a program the ledger does not know as installed.
    UnknownToLedger {
        /// The session the engine says.
        session: u32,
        /// The direction the engine says.
        direction: Direction,
        /// Its handle in the engine.
        handle: Handle,
        /// Its key in the engine.
        key: Tuple,
    },
    /// Both know the program, under different keys.
    WrongKey {
        /// Session.
        session: u32,
        /// Direction.
        direction: Direction,
        /// Its handle.
        handle: Handle,
        /// The key the session has.
        expected: Tuple,
        /// The key the engine has.
        found: Tuple,
    },
}

/// `wrong-key session 7 original: expected …, found …`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingInEngine { session, direction, .. } => {
                write!(f, "missing-in-engine session {session} {}", direction.name())
            }
            Self::UnknownToLedger { session, direction, key, .. } => {
                write!(f, "unknown-to-ledger session {session} {}: {key}", direction.name())
            }
            Self::WrongKey { session, direction, expected, found, .. } => write!(
                f,
                "wrong-key session {session} {}: expected {expected}, found {found}",
                direction.name()
            ),
        }
    }
}

/// A walk over one engine, a slice at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriftAudit {
    cursor: u32,
}

impl DriftAudit {
    /// Compares up to `max` programs of the engine with the ledger and appends what disagrees.
    /// `installed` tells what the ledger says: handle and key of a direction, if it is installed or
    /// hitting. True when the walk has reached the end; the next call starts again.
    pub fn step(
        &mut self,
        engine: &dyn Engine,
        max: u32,
        mut installed: impl FnMut(u32, Direction) -> Option<(Handle, Tuple)>,
        findings: &mut Vec<Finding>,
    ) -> bool {
        let next =
            engine.audit(
                self.cursor,
                max,
                &mut |handle, session, direction, found| match installed(session, direction) {
                    Some((known, expected)) if known == handle => {
                        if expected != found {
                            findings.push(Finding::WrongKey {
                                session,
                                direction,
                                handle,
                                expected,
                                found,
                            });
                        }
                    }
                    Some(_) | None => findings.push(Finding::UnknownToLedger {
                        session,
                        direction,
                        handle,
                        key: found,
                    }),
                },
            );
        self.cursor = next.unwrap_or(0);
        next.is_none()
    }
}

/// The other half of the audit: whether a direction the ledger says is installed is missing.
pub fn missing_in_engine(
    engine: &dyn Engine,
    session: u32,
    direction: Direction,
    handle: Handle,
) -> Option<Finding> {
    engine.stats(handle).is_none().then_some(Finding::MissingInEngine {
        session,
        direction,
        handle,
    })
}
