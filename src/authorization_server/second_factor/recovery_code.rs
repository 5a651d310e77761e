//! Codes for who has lost the app: 80 random bits each, known to the store by their digests, and good for once.

use zeroize::Zeroizing;

use crate::id::UserId;
use crate::random::Random;
use crate::store::Digest;

/// 32 letters, five bits each, without those that look like others.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 16;
/// How many a person gets.
const HOW_MANY: usize = 10;

/// A code as it was made or typed. `Debug` shows nothing.
pub(crate) struct RecoveryCode(Zeroizing<[u8; LENGTH]>);

impl std::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl RecoveryCode {
    /// As many as a person gets.
    pub(crate) fn generate_all(random: &dyn Random) -> Vec<Self> {
        std::iter::repeat_with(|| Self::generate(random)).take(HOW_MANY).collect()
    }

    fn generate(random: &dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        random.fill(&mut *bytes);
        for byte in bytes.iter_mut() {
            *byte = LETTERS.get(usize::from(*byte % 32)).copied().unwrap_or_default();
        }
        Self(bytes)
    }

    /// As somebody typed it: small letters, spaces and dashes make no difference, nor do letters that look like digits.
    /// `None` for what cannot be one.
    pub(crate) fn parse(unverified: &str) -> Option<Self> {
        if unverified.len() > 4 * LENGTH {
            return None;
        }
        let typed = unverified.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'\t'));
        let typed = typed.map(|byte| match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            byte => byte,
        });
        let typed = Zeroizing::new(typed.collect::<Vec<u8>>());
        let bytes = Zeroizing::new(<[u8; LENGTH]>::try_from(typed.as_slice()).ok()?);
        bytes.iter().all(|byte| LETTERS.contains(byte)).then_some(Self(bytes))
    }

    /// How the store knows it. With 80 random bits, a plain digest cannot be undone; with the user in it, one of each two
    /// people's is another.
    pub(crate) fn digest(&self, user_id: UserId) -> Digest {
        Digest::of(&Zeroizing::new(format!("recovery code|{user_id}|{}", *self.text())))
    }

    /// In four groups, as people read it.
    pub(crate) fn shown(&self) -> String {
        let text = self.text();
        let groups: Vec<_> =
            text.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        groups.join("-")
    }

    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|byte| char::from(*byte)).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::random::SeededRandom;

    use super::*;

    fn user(n: u8) -> UserId {
        format!("01930000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
    }

    #[test]
    fn ten_codes_are_all_different_and_read_back_however_they_are_typed() {
        let codes = RecoveryCode::generate_all(&SeededRandom::new(7));
        let digests: std::collections::HashSet<_> =
            codes.iter().map(|code| code.digest(user(1))).collect();
        assert_eq!(digests.len(), 10);
        let shown = codes[0].shown();
        assert_eq!(shown.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
        for typed in
            [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), shown.replace('-', " ")]
        {
            assert_eq!(
                RecoveryCode::parse(&typed).unwrap().digest(user(1)),
                codes[0].digest(user(1))
            );
        }
        assert_ne!(codes[0].digest(user(1)), codes[0].digest(user(2)));
        assert_eq!(format!("{:?}", codes[0]), "[redacted]");
    }

    #[test]
    fn letters_that_look_like_digits_are_taken_for_them_and_others_refused() {
        let typed = RecoveryCode::parse("oOiI-lL01-ABCD-EFGH").unwrap();
        assert_eq!(typed.shown(), "0011-1101-ABCD-EFGH");
        for typed in [
            "",
            "287082",
            "0011-1101-ABCD-EFG",
            "0011-1101-ABCD-EFGHJ",
            "0011-1101-ABCD-EFGU",
            "éééé-éééé",
        ] {
            assert!(RecoveryCode::parse(typed).is_none(), "{typed}");
        }
        assert!(RecoveryCode::parse(&" ".repeat(100)).is_none());
    }
}
