//! The platform that the broker runs on, where it gives out tokens: a virtual machine's metadata service, or App Service.

use url::Url;

use crate::outbound::{Outbound, OutboundSettings, PrivateTarget};
use crate::secret::Environment;
use crate::token::ManagedIdentity;

use super::error::AppError;

/// The virtual machine's metadata service.
const IMDS: &str = "http://169.254.169.254";
/// The variable by which Microsoft's own clients are told that the metadata service is elsewhere.
const IMDS_ELSEWHERE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const ENDPOINT: &str = "IDENTITY_ENDPOINT";

/// Where a managed identity is asked for tokens: at App Service's endpoint where the environment names one
/// (`IDENTITY_ENDPOINT` with `IDENTITY_HEADER`), else at the metadata service, which
/// `AZURE_POD_IDENTITY_AUTHORITY_HOST` may put elsewhere.
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
        (Some(_), None) => Err(wrong(ENDPOINT, "is set, and IDENTITY_HEADER is not")),
        (None, _) => {
            Ok(ManagedIdentity::Imds { endpoint: metadata_service(variables)?, client_id })
        }
    }
}

fn endpoint(variables: &Environment) -> Result<Option<Url>, AppError> {
    let Some(text) = variables.value(ENDPOINT) else { return Ok(None) };
    if variables.value("IDENTITY_SERVER_THUMBPRINT").is_some() {
        return Err(wrong(
            ENDPOINT,
            "is Service Fabric's, whose certificate cannot be pinned here",
        ));
    }
    let url = Url::parse(text.expose()).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty())
        .map(Some)
        .ok_or(wrong(ENDPOINT, "is no http URL"))
}

/// Its origin; the path is ours.
fn metadata_service(variables: &Environment) -> Result<Url, AppError> {
    let text = variables.value(IMDS_ELSEWHERE).map_or(IMDS, |text| text.expose());
    let url = Url::parse(text).ok().filter(|url| {
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https") && bare && url.username().is_empty()
    });
    url.ok_or(wrong(IMDS_ELSEWHERE, "is no http origin such as http://169.254.169.254"))
}

const fn wrong(variable: &'static str, problem: &'static str) -> AppError {
    AppError::IdentityEndpoint { variable, problem }
}

/// The client for managed identities. It may reach their private addresses, which no other client of ours
/// may, and never goes through a proxy.
pub(super) fn client(variables: &Environment) -> Result<Outbound, AppError> {
    // A wrong endpoint is no fault where no profile asks it.
    let named = [endpoint(variables).ok().flatten(), metadata_service(variables).ok()];
    let hosts = named.iter().flatten().filter_map(Url::host_str);
    let allow_private = hosts.map(private).collect();
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
        let elsewhere = |url| ("AZURE_POD_IDENTITY_AUTHORITY_HOST", url);
        let told = [
            identity(&[]),
            identity(&[header]),
            identity(&[endpoint, header]),
            identity(&[endpoint]),
            identity(&[("IDENTITY_ENDPOINT", "file:///x"), header]),
            identity(&[endpoint, header, ("IDENTITY_SERVER_THUMBPRINT", "AB")]),
            identity(&[elsewhere("http://127.0.0.1:40342")]),
            identity(&[elsewhere("http://127.0.0.1:40342"), endpoint, header]),
            identity(&[elsewhere("http://127.0.0.1/metadata")]),
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
        IMDS at http://127.0.0.1:40342/
        App Service at http://169.254.129.3:8081/msi/token with [redacted]
        the variable AZURE_POD_IDENTITY_AUTHORITY_HOST is no http origin such as http://169.254.169.254
          hint: a managed identity is asked at App Service (with IDENTITY_HEADER), or without the variable at 169.254.169.254
        ");
    }
}
