//! Puts a [`Verifier`] together, and refuses what would weaken it.

use std::sync::Arc;
use std::time::Duration;

use crate::outbound::Outbound;
use crate::time::{Clock, SystemClock};

use super::cache::VerifiedTokens;
use super::discovery::Discovery;
use super::introspection::{Answers, Endpoint, Introspection, IntrospectionTiming};
use super::issuer::{IssuerSettings, KeySource, SettingsError};
use super::jwks::{JwksTiming, Place, RemoteKeys};
use super::jwt::media_type;
use super::known::Known;
use super::revocation::{NoRevocations, Revocations};
use super::verify::{AcceptedIssuer, Keys, Verifier};

/// What a [`Verifier`] is made of. The issuers are required, and [`VerifierBuilder::outbound`] where one is remote.
#[derive(Debug)]
#[must_use]
pub struct VerifierBuilder {
    issuers: Vec<IssuerSettings>,
    outbound: Option<Outbound>,
    clock: Arc<dyn Clock>,
    revocations: Arc<dyn Revocations>,
    cache_entries: u64,
    cache_for: Duration,
    jwks: JwksTiming,
    introspection: IntrospectionTiming,
    before: Option<Known>,
}

impl Default for VerifierBuilder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            outbound: None,
            clock: Arc::new(SystemClock),
            revocations: Arc::new(NoRevocations),
            cache_entries: 10_000,
            cache_for: Duration::from_mins(1),
            jwks: JwksTiming::default(),
            introspection: IntrospectionTiming::default(),
            before: None,
        }
    }
}

impl VerifierBuilder {
    /// Accepts tokens of one more issuer.
    pub fn issuer(mut self, settings: IssuerSettings) -> Self {
        self.issuers.push(settings);
        self
    }

    /// Who fetches key sets and asks about opaque tokens.
    pub fn outbound(mut self, outbound: Outbound) -> Self {
        self.outbound = Some(outbound);
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who is asked on every request whether the caller was revoked. Default: nobody.
    pub fn revocations(mut self, revocations: Arc<dyn Revocations>) -> Self {
        self.revocations = revocations;
        self
    }

    /// How many tokens are remembered, and how long: the longest that a retired key still serves. Default: 10 000, 60 s.
    pub const fn cache(mut self, entries: u64, keep: Duration) -> Self {
        self.cache_entries = entries;
        self.cache_for = keep;
        self
    }

    /// How long key sets are kept.
    pub const fn jwks_timing(mut self, timing: JwksTiming) -> Self {
        self.jwks = timing;
        self
    }

    /// How long answers about opaque tokens are kept.
    pub const fn introspection_timing(mut self, timing: IntrospectionTiming) -> Self {
        self.introspection = timing;
        self
    }

    /// Goes on with what `before`, in whose place this one comes, knows of issuers elsewhere: their key sets, and what they said of
    /// tokens. So a change of audiences costs no fetch, and none that fails while an issuer is away.
    ///
    /// Of an issuer that is asked in another way (its URL, our client there, the algorithms, or how long its answers are kept)
    /// nothing is taken over, of one with another clock neither. Tokens that were verified are verified anew. *Not* compared is the
    /// [`Outbound`] that it came by: do not go on where that is another because what it let in is not trusted any more.
    pub fn going_on_from(mut self, before: &Verifier) -> Self {
        self.before = Some(Known::of(before));
        self
    }

    /// # Errors
    ///
    /// The first [`SettingsError`]. Nothing is fetched: keys of others are asked for when they are first needed.
    pub fn build(self) -> Result<Verifier, SettingsError> {
        self.check_together()?;
        let mut accepted = Vec::new();
        for settings in &self.issuers {
            settings.check()?;
            accepted.push(self.accept(settings.clone())?);
        }
        // An issuer that is named outright goes before a template that would match it too.
        accepted.sort_by_key(|issuer| issuer.settings.issuer.as_str().contains('{'));
        Ok(Verifier {
            issuers: accepted,
            verified: VerifiedTokens::new(self.cache_entries, self.cache_for),
            clock: self.clock,
            revocations: self.revocations,
        })
    }

    fn check_together(&self) -> Result<(), SettingsError> {
        if self.issuers.is_empty() {
            return Err(SettingsError::NoIssuer);
        }
        for (index, settings) in self.issuers.iter().enumerate() {
            for earlier in self.issuers.iter().take(index) {
                if earlier.issuer == settings.issuer {
                    return Err(SettingsError::RepeatedIssuer(settings.issuer.clone()));
                }
                if earlier.opaque_tokens && settings.opaque_tokens {
                    let (first, second) = (earlier.issuer.clone(), settings.issuer.clone());
                    return Err(SettingsError::TwoOpaque(first, second));
                }
            }
        }
        Ok(())
    }

    fn accept(&self, mut settings: IssuerSettings) -> Result<AcceptedIssuer, SettingsError> {
        for typ in &mut settings.token_types {
            *typ = media_type(typ);
        }
        let outbound = || {
            self.outbound.clone().ok_or_else(|| SettingsError::NoOutbound(settings.issuer.clone()))
        };
        let clock = Arc::clone(&self.clock);
        let keys = match settings.keys.clone() {
            KeySource::Local(keys) => Keys::Local(keys),
            KeySource::Jwks { url } => self.remote(&settings, Place::Known(url), outbound()?),
            KeySource::Discovery => {
                let place = Discovery::new(&settings.issuer)
                    .map(|discovery| Place::Discovered(Box::new(discovery)))
                    .ok_or_else(|| SettingsError::NotDiscoverable(settings.issuer.clone()))?;
                self.remote(&settings, place, outbound()?)
            }
            KeySource::SharedSecret(secret) => Keys::Shared(secret),
            KeySource::Introspection { url, client_id, client_secret } => {
                let endpoint = Endpoint { url, client_id, client_secret };
                let (outbound, timing) = (outbound()?, self.introspection);
                let before = self.before.as_ref();
                let answers = before.and_then(|before| before.answers(&settings, &clock, timing));
                let answers = answers.unwrap_or_else(|| Arc::new(Answers::none(timing)));
                let asking = Introspection::going_on(answers, endpoint, outbound, clock, timing);
                Keys::Ask(Box::new(asking))
            }
        };
        Ok(AcceptedIssuer { settings, keys })
    }

    fn remote(&self, settings: &IssuerSettings, place: Place, outbound: Outbound) -> Keys {
        let clock = Arc::clone(&self.clock);
        let before = self.before.as_ref();
        let known = before.and_then(|before| before.keys(settings, &clock)).unwrap_or_default();
        let asked = (place, settings.algorithms.clone());
        Keys::Remote(RemoteKeys::going_on(known, asked, outbound, clock, self.jwks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(issuer: &str) -> IssuerSettings {
        let keys = KeySource::SharedSecret("0123456789abcdef".to_owned().into());
        IssuerSettings::new(issuer.parse().unwrap(), vec!["https://b.example".to_owned()], keys)
    }

    fn refused(builder: VerifierBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn issuers_that_cannot_be_told_apart_are_refused() {
        let twice = Verifier::builder().issuer(settings("a")).issuer(settings("a"));
        let hint = "name it once; several audiences are a list";
        assert_eq!(refused(twice), format!("issuer `a` is configured twice\n  hint: {hint}"));
        assert_eq!(refused(Verifier::builder()), SettingsError::NoIssuer.to_string());
    }

    #[test]
    fn a_remote_issuer_needs_an_http_client() {
        let mut remote = settings("a");
        remote.keys = KeySource::Jwks { url: "https://a.example/jwks".parse().unwrap() };
        remote.algorithms = vec![crate::resource_server::Algorithm::ES256];
        assert_eq!(
            refused(Verifier::builder().issuer(remote)),
            "issuer `a` is remote: it needs an HTTP client"
        );
    }
}
