//! A password that somebody may choose (NIST SP 800-63B §3.1.1: length counts, composition rules do not).

use crate::secret_text::SecretText;

const SHORTEST: usize = 12;
/// Argon2 takes any length; reading and hashing it should stay cheap.
const LONGEST: usize = 256;

/// A password that is long enough and not the user's name.
#[derive(Clone, Debug)]
pub struct NewPassword(SecretText);

/// Why a password was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("The password needs at least {SHORTEST} characters. A few unrelated words do well.")]
    TooShort,
    #[error("The password is too long: {LONGEST} bytes at most.")]
    TooLong,
    #[error("The password must not contain the user name.")]
    HasUsername,
    #[error("The password repeats one or two characters. A few unrelated words do well.")]
    Monotonous,
    #[error("The two passwords are not the same.")]
    Differ,
}

impl NewPassword {
    /// Takes what was typed twice.
    ///
    /// # Errors
    ///
    /// [`WeakPassword`]. Does *not* look the password up in lists of leaked ones.
    pub fn choose(
        typed: &SecretText,
        again: &SecretText,
        username: &str,
    ) -> Result<Self, WeakPassword> {
        let text = typed.expose();
        if typed != again {
            return Err(WeakPassword::Differ);
        }
        if text.chars().count() < SHORTEST {
            return Err(WeakPassword::TooShort);
        }
        if text.len() > LONGEST {
            return Err(WeakPassword::TooLong);
        }
        let distinct: std::collections::BTreeSet<char> = text.chars().collect();
        if distinct.len() < 4 {
            return Err(WeakPassword::Monotonous);
        }
        // A short name is in many good passwords by chance.
        if username.len() >= 4 && text.to_lowercase().contains(&username.to_lowercase()) {
            return Err(WeakPassword::HasUsername);
        }
        Ok(Self(typed.clone()))
    }

    pub(super) fn into_secret(self) -> SecretText {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(typed: &str, again: &str) -> Result<NewPassword, WeakPassword> {
        NewPassword::choose(&typed.to_owned().into(), &again.to_owned().into(), "lovelace")
    }

    #[test]
    fn short_monotonous_and_named_passwords_are_not_taken() {
        let long = "ab1!".repeat(70);
        for (typed, why) in [
            ("elevenchars", WeakPassword::TooShort),
            ("", WeakPassword::TooShort),
            ("aaaaaaaaaaaaaaaa", WeakPassword::Monotonous),
            ("my LoveLace password", WeakPassword::HasUsername),
            (long.as_str(), WeakPassword::TooLong),
        ] {
            assert_eq!(choose(typed, typed).unwrap_err(), why, "{typed}");
        }
        assert_eq!(
            choose("correct horse bat", "correct horse cat").unwrap_err(),
            WeakPassword::Differ
        );
        assert!(choose("correct horse bat", "correct horse bat").is_ok());
        assert!(choose("пароль из слов", "пароль из слов").is_ok());
    }
}
