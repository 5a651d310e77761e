//! Which names an expression uses.

/// Which names an expression uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::policy::condition) struct Roots(u16);

impl Roots {
    pub(in crate::policy::condition) const CLAIMS: Self = Self(1);
    pub(in crate::policy::condition) const ARGUMENTS: Self = Self(2);
    pub(in crate::policy::condition) const CALLER: Self = Self(4);
    /// `request.tool`: always known.
    pub(in crate::policy::condition) const REQUEST: Self = Self(8);
    /// The rest of `request`: known once there is an operation.
    pub(in crate::policy::condition) const OPERATION: Self = Self(16);
    pub(in crate::policy::condition) const PATH: Self = Self(32);
    pub(in crate::policy::condition) const QUERY: Self = Self(64);
    pub(in crate::policy::condition) const NOW: Self = Self(128);
    /// `caller.groups` or `claims.groups`, which an issuer may have left out.
    pub(in crate::policy::condition) const GROUPS: Self = Self(256);
    /// `caller.groups` or `caller.roles`, of which a record names some.
    pub(in crate::policy::condition) const LISTS: Self = Self(512);
    /// `caller.roles` or `claims.roles`, which an issuer may have left out.
    pub(in crate::policy::condition) const ROLES: Self = Self(1024);

    pub(in crate::policy::condition) const fn has(self, root: Self) -> bool {
        self.0 & root.0 == root.0
    }

    pub(in crate::policy::condition) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(in crate::policy::condition) const fn name(self) -> &'static str {
        match self {
            Self::CLAIMS => "claims",
            Self::ARGUMENTS => "arguments",
            Self::CALLER => "caller",
            Self::PATH => "path",
            Self::QUERY => "query",
            Self::NOW => "now",
            _ => "request",
        }
    }
}
