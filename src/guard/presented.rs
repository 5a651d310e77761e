//! The caller's own token, kept for the one exchange that may have it: with the authorization server that issued it.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};

use crate::secret_text::SecretText;

/// A token as it was presented. It goes to the token endpoint of its issuer, and never to a server behind us.
#[derive(Clone)]
pub struct Presented(Arc<SecretText>);

impl Presented {
    /// Notes it before the token's check takes the header away. A request that has it in no form that the check takes
    /// is refused there, and what is noted here goes with it.
    pub fn note(request: &mut Request<Body>) {
        let value = request.headers().get(header::AUTHORIZATION);
        let token = value.and_then(|value| value.to_str().ok()?.split_once(' '));
        let Some((scheme, token)) = token else { return };
        if ["dpop", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            let token = Arc::new(SecretText::new(token.trim().to_owned()));
            request.extensions_mut().insert(Self(token));
        }
    }

    #[must_use]
    pub fn text(&self) -> &SecretText {
        &self.0
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
