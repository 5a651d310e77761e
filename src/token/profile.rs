//! `[[graph.profile]]`: one app registration and how it proves itself.

use std::sync::Arc;

use url::Url;

use crate::id::{ProfileName, TenantId};

use super::credential::Credential;

/// Where tokens are minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The cloud's name, part of every cache key.
    pub cloud: Arc<str>,
    /// The login origin, such as `https://login.microsoftonline.com`.
    pub login: Url,
}

/// One app registration. Made by [`ProfileSettings::new`], so it always names one tenant.
#[derive(Clone, Debug)]
pub struct ProfileSettings {
    name: ProfileName,
    tenant: TenantId,
    client_id: String,
    authority: Authority,
    credential: Credential,
}

/// Why a profile cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error(
        "graph.profile.tenant_id must be one tenant: its GUID or a domain name\n  hint: Directory (tenant) ID on the app's page; common and organizations are not tenants"
    )]
    Tenant,
    #[error(
        "graph.profile.client_id must be the GUID or name of the app: letters, digits, `.`, `_`, `-`\n  hint: Application (client) ID on the app's page"
    )]
    ClientId,
}

impl ProfileSettings {
    /// # Errors
    ///
    /// [`ProfileError::Tenant`] for `common`, `organizations` and `consumers`, which this grant
    /// refuses (AADSTS9001023), and for what is neither a GUID nor a domain name. It becomes part of a URL.
    pub fn new(
        name: ProfileName,
        tenant: TenantId,
        client_id: &str,
        authority: Authority,
        credential: Credential,
    ) -> Result<Self, ProfileError> {
        if !is_tenant(tenant.as_str()) {
            return Err(ProfileError::Tenant);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if client_id.is_empty() || client_id.len() > 128 || !client_id.bytes().all(plain) {
            return Err(ProfileError::ClientId);
        }
        let client_id = client_id.to_owned();
        Ok(Self { name, tenant, client_id, authority, credential })
    }

    #[must_use]
    pub const fn name(&self) -> &ProfileName {
        &self.name
    }

    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// `{login}/{tenant}/oauth2/v2.0/token`, which is also the audience of an assertion.
    pub(super) fn token_endpoint(&self) -> Url {
        let mut url = self.authority.login.clone();
        url.set_path(&format!("/{}/oauth2/v2.0/token", self.tenant));
        url
    }
}

fn is_tenant(text: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let guid = text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
    guid || (text.contains('.') && text.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_guid_or_a_domain() {
        for good in ["0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b", "contoso.onmicrosoft.com"] {
            assert!(is_tenant(good), "{good}");
        }
        for bad in
            ["common", "organizations", "consumers", "..", ".", "a..b", "a.", "contoso", "-.com"]
        {
            assert!(!is_tenant(bad), "{bad}");
        }
    }
}
