//! What a value must be, whichever backend it came from: text, not empty, at most 64 KiB.

use zeroize::Zeroizing;

use crate::secret_text::SecretText;

use super::error::Fault;

/// The largest value we accept. A PEM chain or a JSON key file fits many times.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The largest JSON answer of a backend: one value, worst-case escaped, and its surroundings.
pub(super) const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Turns bytes into a value without copying them. Bytes that are refused are zeroed as well.
pub(super) fn from_bytes(mut bytes: Zeroizing<Vec<u8>>) -> Result<SecretText, Fault> {
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => checked(SecretText::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(Fault::MALFORMED)
        }
    }
}

/// Refuses a value that is empty or too large.
pub(super) fn checked(text: SecretText) -> Result<SecretText, Fault> {
    if text.is_empty() || text.len() > MAX_BYTES { Err(Fault::MALFORMED) } else { Ok(text) }
}
