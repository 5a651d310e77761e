//! The secrets a client may prove that it knows: the one in force, and the one before until its end.

use subtle::{Choice, ConstantTimeEq};

use crate::secret_text::SecretText;
use crate::store::Digest;
use crate::time::Timestamp;

/// Digests only. Empty for clients without a secret.
#[derive(Clone, Debug, Default)]
pub(in crate::authorization_server) struct Secrets {
    current: Option<Digest>,
    previous: Option<(Digest, Timestamp)>,
    /// Somebody chose it, and so short that it may be found by trying.
    guessable: bool,
}

/// As long as a shared key for HS256 has to be (RFC 7518 §3.2).
const LONG_ENOUGH: usize = 32;

impl Secrets {
    pub(in crate::authorization_server) const fn new(
        current: Option<Digest>,
        previous: Option<(Digest, Timestamp)>,
    ) -> Self {
        Self { current, previous, guessable: false }
    }

    /// One that an operator chose.
    pub(in crate::authorization_server) fn chosen(secret: &SecretText) -> Self {
        let guessable = secret.len() < LONG_ENOUGH;
        Self { current: Some(Digest::of(secret.expose())), previous: None, guessable }
    }

    /// Whether who tries often enough may find it. What we make has 256 random bits.
    pub(in crate::authorization_server) const fn is_guessable(&self) -> bool {
        self.guessable
    }

    /// Compares digests, all of them, in constant time: how long it takes says nothing (N57).
    pub(in crate::authorization_server) fn accepts(&self, presented: &str, now: Timestamp) -> bool {
        let presented = Digest::of(presented);
        let equals = |known: Option<&Digest>| match known {
            Some(known) => known.as_bytes().ct_eq(presented.as_bytes()),
            None => [0; 32].ct_eq(presented.as_bytes()) & Choice::from(0),
        };
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until);
        (equals(self.current.as_ref()) | equals(previous.map(|(digest, _)| digest))).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_secret_is_taken_until_its_end() {
        let at = Timestamp::from_unix_seconds;
        let secrets = Secrets::new(Some(Digest::of("new")), Some((Digest::of("old"), at(100))));
        assert!(secrets.accepts("new", at(1000)) && secrets.accepts("old", at(99)));
        assert!(!secrets.accepts("old", at(100)) && !secrets.accepts("other", at(0)));
        assert!(!Secrets::default().accepts("", at(0)));
    }
}
