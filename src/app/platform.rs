//! The platform that the broker runs on, where it gives out tokens: a virtual machine's metadata service, or App Service.

use url::Url;

use crate::outbound::{Outbound, OutboundSettings, PrivateTarget};
use crate::secret::Environment;
use crate::token::ManagedIdentity;

use super::error::AppError;

/// The virtual machine's metadata service.
const IMDS: &str = "http://169.254.169.254";

/// Where a managed identity is asked for tokens: at App Service's endpoint where the environment names one
/// (`IDENTITY_ENDPOINT` with `IDENTITY_HEADER`), else at the metadata service.
///
/// # Errors
///
/// [`AppError::IdentityEndpoint`]: the variables are those of a platform whose protocol is not spoken (Azure Arc gives
/// no header, Service Fabric pins a certificate), or hold no URL.
pub(super) fn managed_identity(
    variables: &Environment,
    client_id: Option<String>,
) -> Result<ManagedIdentity, AppError> {
    match (endpoint(variables)?, variables.value("IDENTITY_HEADER")) {
        (Some(endpoint), Some(header)) => {
            let header = header.clone();
            Ok(ManagedIdentity::AppService { endpoint, header, client_id })
        }
        (Some(_), None) => Err(AppError::IdentityEndpoint("is set, and IDENTITY_HEADER is not")),
        (None, _) => {
            let endpoint =
                Url::parse(IMDS).map_err(|_| AppError::IdentityEndpoint("has no default"))?;
            Ok(ManagedIdentity::Imds { endpoint, client_id })
        }
    }
}

fn endpoint(variables: &Environment) -> Result<Option<Url>, AppError> {
    let Some(text) = variables.value("IDENTITY_ENDPOINT") else { return Ok(None) };
    if variables.value("IDENTITY_SERVER_THUMBPRINT").is_some() {
        let problem = "is Service Fabric's, whose certificate cannot be pinned here";
        return Err(AppError::IdentityEndpoint(problem));
    }
    let url = Url::parse(text.expose()).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty())
        .map(Some)
        .ok_or(AppError::IdentityEndpoint("is no http URL"))
}

/// The client for managed identities. It may reach their private addresses, which no other client of ours
/// may, and never goes through a proxy.
pub(super) fn client(variables: &Environment) -> Result<Outbound, AppError> {
    let mut allow_private: Vec<PrivateTarget> = "169.254.169.254".parse().into_iter().collect();
    // A wrong endpoint is no fault where no profile asks it.
    let named = endpoint(variables).ok().flatten();
    allow_private.extend(named.as_ref().and_then(Url::host_str).map(private));
    Ok(Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() })?)
}

fn private(host: &str) -> PrivateTarget {
    let Ok(target) = host.trim_matches(['[', ']']).parse();
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(variables: &[(&str, &str)]) -> String {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()));
        match managed_identity(&variables.collect(), None) {
            Ok(ManagedIdentity::Imds { endpoint, .. }) => format!("IMDS at {endpoint}"),
            Ok(ManagedIdentity::AppService { endpoint, header, .. }) => {
                format!("App Service at {endpoint} with {header:?}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_environment_says_which_platform_is_asked() {
        let endpoint = ("IDENTITY_ENDPOINT", "http://169.254.129.3:8081/msi/token");
        let header = ("IDENTITY_HEADER", "CANARY");
        let told = [
            identity(&[]),
            identity(&[header]),
            identity(&[endpoint, header]),
            identity(&[endpoint]),
            identity(&[("IDENTITY_ENDPOINT", "file:///x"), header]),
            identity(&[endpoint, header, ("IDENTITY_SERVER_THUMBPRINT", "AB")]),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        IMDS at http://169.254.169.254/
        IMDS at http://169.254.169.254/
        App Service at http://169.254.129.3:8081/msi/token with [redacted]
        the variable IDENTITY_ENDPOINT is set, and IDENTITY_HEADER is not
          hint: a managed identity is asked at App Service (with IDENTITY_HEADER), or without the variable at 169.254.169.254
        the variable IDENTITY_ENDPOINT is no http URL
          hint: a managed identity is asked at App Service (with IDENTITY_HEADER), or without the variable at 169.254.169.254
        the variable IDENTITY_ENDPOINT is Service Fabric's, whose certificate cannot be pinned here
          hint: a managed identity is asked at App Service (with IDENTITY_HEADER), or without the variable at 169.254.169.254
        ");
    }
}
