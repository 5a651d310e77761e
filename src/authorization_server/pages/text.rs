//! Names that others chose, made fit to be shown: nothing in them may change how the page reads.

const LONGEST: usize = 60;

/// One line of at most 60 characters; controls, direction marks and other invisible characters are gone (N93).
///
/// Escaping for HTML is the template's business.
pub(crate) fn clean(unverified: &str) -> String {
    clean_to(unverified, LONGEST)
}

/// The same with another length.
pub(crate) fn clean_to(unverified: &str, longest: usize) -> String {
    let spaced = unverified.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let visible: String = spaced.filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    let words = visible.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let mut shown: String = words.chars().take(longest).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    shown
}

/// A text as the value of a query parameter of one of our own links.
pub(crate) fn query_value(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Format characters (Unicode Cf), fillers, and marks that stack on the letter before.
const fn is_invisible(c: char) -> bool {
    matches!(
        c as u32,
        0xad | 0x34f
            | 0x61c
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x202a..=0x202e
            | 0x2060..=0x206f
            | 0x2800
            | 0x3164
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfffb
            | 0x300..=0x36f
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // N93
    #[test]
    fn a_name_cannot_turn_around_hide_or_fill_the_page() {
        assert_eq!(clean("Claude\u{202e}gnp.exe\u{200b}"), "Claudegnp.exe");
        assert_eq!(clean("  a \n\t b\u{a0}\u{3000}c "), "a b c");
        assert_eq!(clean("a\u{0}\u{1b}[31mb"), "a[31mb");
        assert_eq!(clean(&"x".repeat(500)).chars().count(), LONGEST + 1);
        assert_eq!(clean("Z\u{335}\u{336}algo"), "Zalgo");
        assert_eq!(clean("天気 ✓ ñ"), "天気 ✓ ñ");
    }
}
