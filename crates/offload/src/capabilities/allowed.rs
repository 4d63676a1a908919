//! What may be: anything, or one of a list.

use core::fmt;

/// Anything, or one of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed<T: 'static> {
    /// Not restricted.
    Any,
    /// One of these.
    Only(&'static [T]),
}

impl<T: PartialEq> Allowed<T> {
    /// Whether it may be this.
    pub fn has(&self, value: &T) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => list.contains(value),
        }
    }

    /// The list in words, separated by commas: `any` without a restriction, `none` when nothing is
    /// allowed.
    pub fn list<W: fmt::Display, F: Fn(&T) -> W>(&self, word: F) -> List<'_, T, F> {
        List(self, word)
    }
}

/// The words of an [`Allowed`].
pub struct List<'a, T: 'static, F>(&'a Allowed<T>, F);

impl<T, W: fmt::Display, F: Fn(&T) -> W> fmt::Display for List<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Allowed::Any => f.write_str("any"),
            Allowed::Only([]) => f.write_str("none"),
            Allowed::Only(list) => {
                for (n, value) in list.iter().enumerate() {
                    f.write_str(if n == 0 { "" } else { "," })?;
                    (self.1)(value).fmt(f)?;
                }
                Ok(())
            }
        }
    }
}
