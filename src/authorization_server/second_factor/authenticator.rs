//! What an authenticator app and we have in common (RFC 6238): 160 random bits, and the time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::authorization_server::seal::KeyEncryptionKey;
use crate::id::UserId;
use crate::random::Random;
use crate::store::Digest;
use crate::time::Timestamp;

/// As RFC 4226 §4 recommends.
const SECRET_BYTES: usize = 20;
/// What every app can do: others silently fall back to it.
const DIGITS: u8 = 6;
const STEP_SECONDS: u64 = 30;
/// Steps before and after ours that count as well (RFC 6238 §5.2): a clock that is a little off, and a slow hand.
const SKEW: u16 = 1;

/// The secret of one app. `Debug` shows nothing.
pub(crate) struct Authenticator(Totp);

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Authenticator {
    pub(crate) fn generate(random: &dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        random.fill(&mut *bytes);
        Self::of(Secret::from(*bytes))
    }

    fn of(secret: Secret) -> Self {
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_step_duration(STEP_SECONDS)
            .with_skew(SKEW)
            .with_secret(secret);
        // Compliant all the same: the constants above are, and every secret has its length.
        Self(totp.build_noncompliant())
    }

    /// The time step that this code is of, if that is now, just over, or about to begin. Whether a code of it was used
    /// before is the store's to say.
    pub(crate) fn step_of(&self, unverified: &str, now: Timestamp) -> Option<u64> {
        let typed: Zeroizing<String> =
            Zeroizing::new(unverified.chars().filter(|c| !c.is_whitespace()).collect());
        self.0.check(&typed, u64::try_from(now.unix_seconds()).ok()?)
    }

    /// As it is typed where no camera helps: groups of four.
    pub(crate) fn in_groups(&self) -> String {
        let text = Zeroizing::new(self.0.secret().to_base32());
        let groups: Vec<_> =
            text.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        groups.join(" ")
    }

    /// What apps read from a picture or a link: `otpauth://totp/…`.
    pub(crate) fn link(&self, host: &str, username: &str) -> String {
        let plain = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let (host, username) = (plain(host), plain(username));
        let secret = Zeroizing::new(self.0.secret().to_base32());
        format!(
            "otpauth://totp/{host}:{username}?secret={}&issuer={host}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
            *secret
        )
    }

    /// For the store. `None` never happens: AES-256-GCM seals whatever fits into memory.
    pub(crate) fn seal(&self, key: &KeyEncryptionKey, user_id: UserId) -> Option<String> {
        key.seal_text(&Zeroizing::new(self.0.secret().to_base32()), &stored(user_id))
    }

    /// `None` where the key or the user is another, or something was changed.
    pub(crate) fn open(key: &KeyEncryptionKey, user_id: UserId, sealed: &str) -> Option<Self> {
        Self::parse(key.open_text(sealed, &stored(user_id))?)
    }

    /// For the form that confirms it: opens in the same session or browser alone.
    pub(crate) fn seal_for(
        &self,
        key: &KeyEncryptionKey,
        user_id: UserId,
        whom: &Digest,
    ) -> Option<String> {
        let plain = Zeroizing::new(self.0.secret().to_base32());
        key.seal_text(&plain, &offered(user_id, whom)).map(|text| URL_SAFE_NO_PAD.encode(text))
    }

    /// `None` as for [`Self::open`].
    pub(crate) fn open_for(
        key: &KeyEncryptionKey,
        user_id: UserId,
        whom: &Digest,
        sealed: &str,
    ) -> Option<Self> {
        let sealed = String::from_utf8(URL_SAFE_NO_PAD.decode(sealed).ok()?).ok()?;
        Self::parse(key.open_text(&sealed, &offered(user_id, whom))?)
    }

    fn parse(base32: String) -> Option<Self> {
        let secret = Secret::try_from_base32(&*Zeroizing::new(base32)).ok()?;
        (secret.as_bytes().len() == SECRET_BYTES).then(|| Self::of(secret))
    }
}

fn stored(user_id: UserId) -> String {
    authenticator_context(&user_id.to_string())
}

/// What a stored secret belongs to: it opens as nothing else.
#[must_use]
pub fn authenticator_context(user_id: &str) -> String {
    format!("authenticator v1|{user_id}")
}

fn offered(user_id: UserId, whom: &Digest) -> String {
    format!("authenticator offered v1|{user_id}|{}", whom.to_hex())
}

#[cfg(test)]
impl Authenticator {
    /// What the app shows at this moment.
    pub(crate) fn code_at(&self, now: Timestamp) -> String {
        self.0.generate(now.unix_seconds().unsigned_abs()).to_string()
    }

    /// From the text that a person would type into the app.
    pub(crate) fn typed_in(groups: &str) -> Self {
        Self::parse(groups.replace(' ', "")).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use crate::random::SeededRandom;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn of_the_rfc() -> Authenticator {
        Authenticator::of(Secret::from(*b"12345678901234567890"))
    }

    // RFC 6238 Appendix B: its eight digits, of which six are ours
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, code) in [
            (59_i64, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = seconds.cast_unsigned() / 30;
            assert_eq!(of_the_rfc().step_of(code, at(seconds)), Some(step), "{seconds}");
        }
    }

    // RFC 6238 §5.2
    #[test]
    fn a_code_counts_one_step_early_and_one_late_and_no_more() {
        let code = of_the_rfc().code_at(at(3_000));
        let step_at = |seconds| of_the_rfc().step_of(&code, at(seconds));
        for seconds in [2_970, 2_999, 3_000, 3_029, 3_059] {
            assert_eq!(step_at(seconds), Some(100), "{seconds}");
        }
        assert_eq!((step_at(2_969), step_at(3_060)), (None, None));
    }

    #[test]
    fn a_code_may_have_spaces_and_nothing_else() {
        let right = of_the_rfc().code_at(at(59));
        assert_eq!(right, "287082");
        for typed in ["287 082", " 287082 ", "287\u{a0}082"] {
            assert_eq!(of_the_rfc().step_of(typed, at(59)), Some(1), "{typed}");
        }
        for typed in ["", "28708", "2870820", "+87082", "28708a", "２８７０８２", "94287082"]
        {
            assert_eq!(of_the_rfc().step_of(typed, at(59)), None, "{typed}");
        }
        assert_eq!(of_the_rfc().step_of("287082", at(-59)), None);
    }

    #[test]
    fn a_sealed_secret_opens_for_its_user_alone_and_an_offered_one_in_its_session() {
        let key = |byte| KeyEncryptionKey::parse(&STANDARD.encode([byte; 32]).into()).unwrap();
        let user = |n: u8| format!("01930000-0000-7000-8000-0000000000{n:02}").parse().unwrap();
        let (mine, other) = (Digest::of("mine"), Digest::of("other"));
        let made = Authenticator::generate(&SeededRandom::new(7));
        let sealed = made.seal(&key(1), user(1)).unwrap();
        assert!(!sealed.contains(&made.in_groups().replace(' ', "")));
        let opened = Authenticator::open(&key(1), user(1), &sealed).unwrap();
        assert_eq!(opened.code_at(at(59)), made.code_at(at(59)));
        assert!(Authenticator::open(&key(1), user(2), &sealed).is_none());
        assert!(Authenticator::open(&key(2), user(1), &sealed).is_none());
        let offered = made.seal_for(&key(1), user(1), &mine).unwrap();
        assert!(Authenticator::open_for(&key(1), user(1), &mine, &offered).is_some());
        assert!(Authenticator::open_for(&key(1), user(1), &other, &offered).is_none());
        assert!(Authenticator::open(&key(1), user(1), &offered).is_none());
    }

    #[test]
    fn a_link_names_us_and_the_person_and_escapes_both() {
        let link = of_the_rfc().link("b.example:8443", "ada&issuer=x");
        assert_eq!(
            link,
            "otpauth://totp/b%2Eexample%3A8443:ada%26issuer%3Dx?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=b%2Eexample%3A8443&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(of_the_rfc().in_groups(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert_eq!(format!("{:?}", of_the_rfc()), "[redacted]");
    }
}
