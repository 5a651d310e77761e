//! An OAuth 2.1 resource server as a tower layer: RFC 6750 bearer tokens, RFC 9728 metadata, RFC 9068 access tokens.
//!
//! [`RequireTokenLayer`] lets a request through only with a token that is signed by (or known to) a configured issuer,
//! names this resource, is in date and is not revoked. Then the `Authorization` header is *gone*, so that no token can be
//! passed on, and a [`Principal`] is in the request's extensions. Otherwise the answer is `401` with a challenge that
//! leads the client to the metadata, `400` for a malformed header, or `503` while an issuer cannot be asked; a
//! [`Refusal`] in the *response's* extensions says why, for an audit layer around this one. The layer itself logs no
//! request.
//!
//! Three lines put it around any tower service:
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use mcp_auth_layer::resource_server::{IssuerSettings, KeySource, Principal, RequireTokenLayer, Verifier};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let secret = KeySource::SharedSecret("32 bytes that only we and it know".to_owned().into());
//! # let settings = IssuerSettings::new("https://idp.example".parse()?, vec!["https://api.example/mcp".into()], secret);
//! # let handler = service_fn(|request: Request<Full<bytes::Bytes>>| async move {
//! #     let caller = request.extensions().get::<Principal>().cloned();
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::from(format!("{caller:?}"))))
//! # });
//! let verifier = Verifier::builder().issuer(settings).build()?;
//! let guard = RequireTokenLayer::new(verifier, &"https://api.example/.well-known/oauth-protected-resource/mcp".parse()?);
//! let service = ServiceBuilder::new().layer(guard).service(handler);
//! # drop(service);
//! # Ok(())
//! # }
//! ```
//!
//! What is left to you:
//!
//! - serve [`ResourceMetadata`] at [`well_known_path`], outside the layer, and at the root form if there is one resource
//! - decide by the principal's scopes, and answer `403` with a [`Challenge`] that names all that the operation needs;
//!   this module only authenticates
//! - limit the header's and the body's size before it, and requests per caller
//! - write the audit trail: [`Principal::is_fresh`] marks a token's first use, [`Refusal`] a refusal
//! - report [`Verifier::health`] as degraded, not as down: other issuers' tokens still work
//! - implement [`Revocations`] where tokens can be revoked before they expire
//!
//! - call [`RequireTokenLayer::dpop`] where tokens are bound to keys (RFC 9449): without, such a token is refused
//!
//! - put a [`ClientCertificate`] into the extensions of requests where you end TLS and clients show certificates (RFC
//!   8705): a token that is bound to one is refused without, and on a connection with another
//!
//! What is *not* checked: tokens that are bound in other ways (they are refused), and whether the `jti` of a token was
//! seen before (access tokens are used many times).

mod algorithm;
mod assertion;
mod bearer;
mod builder;
mod cache;
mod certificate;
mod challenge;
mod claims;
mod dates;
mod discovery;
mod dpop;
mod entra;
mod error;
mod introspection;
mod issuer;
mod json;
mod jwks;
mod jwt;
mod key;
mod known;
mod layer;
mod local;
mod metadata;
mod principal;
mod reply;
mod revocation;
mod secret_source;
mod service;
mod signed;
mod token_type;
mod verify;

pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::assertion::{AssertionKeys, SignedAssertion};
pub use self::builder::VerifierBuilder;
pub use self::certificate::ClientCertificate;
pub use self::challenge::{Challenge, ChallengeError};
pub use self::discovery::{DiscoveryError, discover};
pub use self::dpop::{
    DpopNonces, DpopSettings, MemoryReplay, PROOF_ALGORITHMS, ProofChecker, ProofError,
    ProofReplay, ProofRequest, ProvenKey, ReplayUnavailable,
};
pub use self::error::{Refusal, TokenError};
pub use self::introspection::IntrospectionTiming;
pub use self::issuer::{IssuerSettings, KeySource, SettingsError};
pub(crate) use self::json::object as strict_json_object;
pub use self::jwks::{JwksTiming, KeyHealth};
pub use self::key::KeySetError;
pub use self::layer::RequireTokenLayer;
pub use self::local::LocalKeys;
pub use self::metadata::{
    DpopUse, MetadataError, PublishedMetadata, ResourceMetadata, canonical, well_known_path,
    well_known_url,
};
pub use self::principal::{EntraIdentity, EntraObject, Principal};
pub use self::revocation::{NoRevocations, Revocations};
pub use self::secret_source::SecretSource;
pub use self::service::{RequireToken, RequireTokenFuture};
pub use self::signed::{JwtHint, SignedJwt, SignedJwts};
pub use self::verify::{IssuerHealth, Verifier};
