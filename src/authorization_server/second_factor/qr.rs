//! A text as a QR code that needs no image of its own: lines of an inline SVG, so that the policy of our pages stands.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Light modules all around, as ISO/IEC 18004 wants them.
const QUIET: usize = 4;

/// What a template puts into `<svg>`.
pub(crate) struct QrPicture {
    /// Modules of one side, the quiet zone included.
    pub(crate) side: usize,
    /// The dark modules, for `d` of a path.
    pub(crate) path: String,
}

impl std::fmt::Debug for QrPicture {
    /// Whoever sees the modules can read the text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl QrPicture {
    /// `None` where the text is longer than a QR code holds.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (place, color) in code.to_colors().into_iter().enumerate() {
            if color == Color::Dark {
                let (x, y) = (place % width + QUIET, place / width + QUIET);
                let _ = write!(path, "M{x} {y}h1v1h-1z");
            }
        }
        Some(Self { side: width + 2 * QUIET, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_three_corners_and_a_quiet_zone() {
        let picture = QrPicture::of("otpauth://totp/b:ada?secret=GEZDGNBVGY3TQOJQ").unwrap();
        let last = picture.side - QUIET - 1;
        for (x, y) in [(QUIET, QUIET), (last, QUIET), (QUIET, last)] {
            assert!(picture.path.contains(&format!("M{x} {y}h1")), "{x} {y}");
        }
        assert!(!picture.path.contains("M3 ") && !picture.path.contains(" 3h"));
        assert!(picture.path.bytes().all(|byte| b"M 0123456789hv-z".contains(&byte)));
    }

    #[test]
    fn a_text_that_is_too_long_is_none() {
        assert!(QrPicture::of(&"x".repeat(4_000)).is_none());
    }
}
