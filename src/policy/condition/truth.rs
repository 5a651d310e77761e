//! What a condition comes to.

use serde::Serialize;

/// Four values: a part that fails is not a part that is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    False,
    /// It depends on something that is not said yet.
    Unknown,
    /// A name is missing, a type does not fit, or a value is too large.
    Error,
    True,
}

impl Truth {
    pub(in crate::policy) const fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Error | Self::Unknown => self,
        }
    }

    /// One that is false decides, as in CEL, in any order. One that is unknown may still be that one, so it counts more
    /// than one that fails.
    pub(in crate::policy) fn all(mut parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::True;
        while all != Self::False {
            let Some(part) = parts.next() else { break };
            all = all.min(part);
        }
        all
    }

    /// One that is true decides; one that is unknown may still be that one, so it counts more than one that fails.
    pub(in crate::policy) fn any(mut parts: impl Iterator<Item = Self>) -> Self {
        let mut any = Self::False;
        while any != Self::True {
            let Some(part) = parts.next() else { break };
            any = match (any, part) {
                (Self::True, _) | (_, Self::True) => Self::True,
                (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
                (Self::Error, _) | (_, Self::Error) => Self::Error,
                (Self::False, Self::False) => Self::False,
            };
        }
        any
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{Error, False, True, Unknown};
    use super::*;

    #[test]
    fn a_part_that_decides_hides_one_that_fails() {
        assert_eq!(Truth::all([Error, False, Unknown].into_iter()), False);
        assert_eq!(Truth::any([Error, True, Unknown].into_iter()), True);
    }

    #[test]
    fn a_part_that_is_unknown_may_still_decide_where_another_fails() {
        assert_eq!(Truth::all([Unknown, Error, True].into_iter()), Unknown);
        assert_eq!(Truth::any([Unknown, Error, False].into_iter()), Unknown);
        assert_eq!((Error.not(), Unknown.not()), (Error, Unknown));
    }
}
