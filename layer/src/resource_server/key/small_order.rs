//! Points of Ed25519 that are no keys.

/// The seven encodings, sign aside, of points whose order divides 8 (RFC 8037 §5, and table 1 of Chalkias, Garillot and Nikolaenko 2020).
///
/// Under such a key one signature fits every eighth message or all of them, and the library does not refuse it.
pub(super) const SMALL_ORDER: [[u8; 32]; 7] = [
    low(0),
    low(1),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    high(0xec),
    high(0xed),
    high(0xee),
];

const fn low(first: u8) -> [u8; 32] {
    let mut point = [0; 32];
    point[0] = first;
    point
}

const fn high(first: u8) -> [u8; 32] {
    let mut point = [0xff; 32];
    point[0] = first;
    point[31] = 0x7f;
    point
}

pub(super) fn has_small_order(mut point: [u8; 32]) -> bool {
    point[31] &= 0x7f;
    SMALL_ORDER.contains(&point)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, ParsedPublicKey};

    use super::*;

    /// The list is right: under each canonical point, R = 1 and S = 0 "signs" some of 200 messages.
    #[test]
    fn keys_of_small_order_would_sign_anything() {
        let forged = [&low(1)[..], &[0; 32]].concat();
        for point in SMALL_ORDER.iter().take(5) {
            let key = ParsedPublicKey::new(&ED25519, point).unwrap();
            let fooled = (0..200_u8).any(|message| key.verify_sig(&[message], &forged).is_ok());
            assert!(fooled, "{point:x?}");
        }
    }
}
