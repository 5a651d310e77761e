//! The national clouds: where to log in, where Graph is, and what a token must be for.

use std::sync::Arc;

use url::Url;

/// One Microsoft cloud. Tokens of one are worthless in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Worldwide, and the US government's GCC.
    Global,
    /// US Government L4 (GCC High).
    UsGov,
    /// US Government L5 (`DoD`).
    UsGovDod,
    /// Operated by 21Vianet.
    China,
    /// From the settings file, never from a request.
    Custom(CustomCloud),
}

/// `[graph.custom_cloud]`: a sovereign cloud without a name here, or a stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomCloud {
    login: Url,
    graph: Url,
    resource: Arc<str>,
}

/// Why `[graph.custom_cloud]` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    #[error(
        "{0} must be an origin such as https://login.example, without path, query or user\n  hint: the tenant and the path are added"
    )]
    NotOrigin(&'static str),
    #[error(
        "{0} must use https; http is accepted on a loopback address only\n  hint: https://, with outbound.ca_file where an authority of your own signs"
    )]
    NotHttps(&'static str),
}

impl CustomCloud {
    /// `resource` defaults to the origin of Graph.
    ///
    /// # Errors
    ///
    /// [`CloudError`] if one of the three is not an `https` origin. The stand-ins on loopback may use
    /// `http`; that `prod` has none is checked where the environment is known.
    pub fn new(login: Url, graph: Url, resource: Option<&Url>) -> Result<Self, CloudError> {
        origin(&login, "graph.custom_cloud.login_url")?;
        origin(&graph, "graph.custom_cloud.graph_url")?;
        if let Some(resource) = resource {
            origin(resource, "graph.custom_cloud.resource")?;
        }
        let resource = resource.unwrap_or(&graph).origin().ascii_serialization().into();
        Ok(Self { login, graph, resource })
    }
}

fn origin(url: &Url, key: &'static str) -> Result<(), CloudError> {
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if !bare || !anonymous || url.host().is_none() {
        return Err(CloudError::NotOrigin(key));
    }
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(CloudError::NotHttps(key)),
    }
}

impl Cloud {
    /// The spelling of `graph.cloud`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::UsGov => "us_gov",
            Self::UsGovDod => "us_gov_dod",
            Self::China => "china",
            Self::Custom(_) => "custom",
        }
    }

    /// The origin whose token endpoint mints tokens.
    #[must_use]
    pub fn login(&self) -> Url {
        match self {
            Self::Global => known("https://login.microsoftonline.com/"),
            Self::UsGov | Self::UsGovDod => known("https://login.microsoftonline.us/"),
            Self::China => known("https://login.partner.microsoftonline.cn/"),
            Self::Custom(cloud) => cloud.login.clone(),
        }
    }

    /// The origin that is called.
    #[must_use]
    pub fn graph(&self) -> Url {
        match self {
            Self::Global => known("https://graph.microsoft.com/"),
            Self::UsGov => known("https://graph.microsoft.us/"),
            Self::UsGovDod => known("https://dod-graph.microsoft.us/"),
            Self::China => known("https://microsoftgraph.chinacloudapi.cn/"),
            Self::Custom(cloud) => cloud.graph.clone(),
        }
    }

    /// What a token is for; with `/.default` behind it, the scope on the wire.
    #[must_use]
    pub fn resource(&self) -> Arc<str> {
        match self {
            Self::Custom(cloud) => Arc::clone(&cloud.resource),
            Self::Global | Self::UsGov | Self::UsGovDod | Self::China => {
                self.graph().origin().ascii_serialization().into()
            }
        }
    }
}

fn known(text: &'static str) -> Url {
    #[expect(clippy::expect_used, reason = "constants; a test parses every one")]
    Url::parse(text).expect("a constant URL parses")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cloud_has_three_addresses_of_its_own() {
        let table: Vec<String> = [Cloud::Global, Cloud::UsGov, Cloud::UsGovDod, Cloud::China]
            .iter()
            .map(|cloud| format!("{} {} {}", cloud.name(), cloud.login(), cloud.resource()))
            .collect();
        assert_eq!(
            table,
            [
                "global https://login.microsoftonline.com/ https://graph.microsoft.com",
                "us_gov https://login.microsoftonline.us/ https://graph.microsoft.us",
                "us_gov_dod https://login.microsoftonline.us/ https://dod-graph.microsoft.us",
                "china https://login.partner.microsoftonline.cn/ https://microsoftgraph.chinacloudapi.cn",
            ]
        );
    }

    #[test]
    fn a_custom_cloud_is_https_or_on_loopback() {
        let url = |text: &str| Url::parse(text).unwrap();
        let good = url("https://login.example");
        for ok in [
            "https://graph.example",
            "http://127.0.0.1:9002",
            "http://[::1]:1",
            "http://localhost:1",
        ] {
            assert!(CustomCloud::new(good.clone(), url(ok), None).is_ok(), "{ok}");
        }
        for bad in [
            "http://graph.example",
            "https://graph.example/x",
            "https://u:p@graph.example",
            "ftp://h/",
        ] {
            assert!(CustomCloud::new(good.clone(), url(bad), None).is_err(), "{bad}");
            assert!(CustomCloud::new(url(bad), good.clone(), None).is_err(), "{bad}");
        }
    }
}
