//! New bearer artefacts: random enough that a plain digest is all that need be kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::random::Random;

/// 256 random bits as 43 characters of base64url, for a code, a token or a handle.
pub(super) fn random_text(random: &dyn Random) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(&mut *bytes);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}
