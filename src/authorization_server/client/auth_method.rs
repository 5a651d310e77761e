//! How a client proves who it is at the token endpoint (RFC 7591 §2, `token_endpoint_auth_method`).

/// A method of ours; every other one is unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// A public client: it cannot keep a secret.
    None,
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    /// A certificate of an authority, by a name in it (RFC 8705 §2.1).
    TlsClientAuth,
    /// A certificate that is registered itself (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
}

impl AuthMethod {
    /// What metadata lists, where TLS ends here.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
    ];

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// Whether it proves knowledge of a shared secret. Where one such method is registered the other is taken too:
    /// claude.ai posts its secret whatever was registered.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}
