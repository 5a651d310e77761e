//! `op://` through 1Password's command line: `op read --no-newline <reference>` with a service-account token.

use std::ffi::OsStr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures_util::future::{BoxFuture, FutureExt};
use zeroize::Zeroizing;

use crate::secret_ref::{OnePasswordRef, SecretRef};
use crate::secret_text::SecretText;

use super::child::{self, Output, Program};
use super::env::Environment;
use super::error::{Detail, Fault, SecretError};
use super::own::OwnCredential;
use super::provider::SecretProvider;
use super::settings::{OnePasswordCliSettings, SettingsError};
use super::value;

/// The `op` program. Official, closed, and installed by the operator.
#[derive(Debug)]
pub(super) struct OnePasswordCli {
    path: PathBuf,
    token: OwnCredential,
    config_dir: PathBuf,
    proxy: Option<SecretText>,
    ca_file: Option<PathBuf>,
}

impl OnePasswordCli {
    pub(super) fn new(
        settings: OnePasswordCliSettings,
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let OnePasswordCliSettings { op_path, token, config_dir, proxy, ca_file } = settings;
        if !op_path.is_absolute() || !config_dir.is_absolute() {
            return Err(SettingsError::OpPath);
        }
        let token = OwnCredential::new("OP_SERVICE_ACCOUNT_TOKEN", token, environment)?;
        Ok(Self { path: op_path, token, config_dir, proxy, ca_file })
    }

    async fn read(&self, reference: &OnePasswordRef, limit: Duration) -> Result<SecretText, Fault> {
        let token = self.token.text().await?;
        if !is_service_account_token(&token) {
            return Err(Fault::AccessDenied(Some(Detail::Credential)));
        }
        private_directory(&self.config_dir)?;
        let reference = reference.to_string();
        // `op://` in front: the last argument can never be taken for an option.
        let arguments = ["read", "--no-newline", reference.as_str()];
        let environment = self.environment(&token);
        let program =
            Program { path: &self.path, arguments: &arguments, environment: &environment };
        outcome(child::run(&program, limit).await?)
    }

    /// All that `op` gets to know. Its Connect, session, account and debug variables would change
    /// whom it asks or what it prints; they are simply not there.
    fn environment<'a>(&'a self, token: &'a SecretText) -> Vec<(&'a str, &'a OsStr)> {
        let mut variables = vec![
            ("OP_SERVICE_ACCOUNT_TOKEN", OsStr::new(token.expose())),
            ("OP_CONFIG_DIR", self.config_dir.as_os_str()),
            ("HOME", self.config_dir.as_os_str()),
            ("OP_CACHE", OsStr::new("false")),
            ("OP_FORMAT", OsStr::new("human-readable")),
            ("PATH", OsStr::new("/usr/bin:/bin")),
            ("LANG", OsStr::new("C")),
        ];
        if let Some(proxy) = &self.proxy {
            variables.push(("HTTPS_PROXY", OsStr::new(proxy.expose())));
        }
        if let Some(file) = &self.ca_file {
            variables.push(("SSL_CERT_FILE", file.as_os_str()));
        }
        variables
    }
}

impl SecretProvider for OnePasswordCli {
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>> {
        async move {
            let found = match reference {
                SecretRef::OnePassword(place) => self.read(place, limit).await,
                _ => Err(Fault::UNEXPECTED),
            };
            found.map_err(|fault| fault.at(reference))
        }
        .boxed()
    }
}

/// Success is exit status 0 and a value; warnings on stderr are not failures. The value is not
/// trimmed: a secret may end in a space.
fn outcome(output: Output) -> Result<SecretText, Fault> {
    if output.status.success() {
        value::from_bytes(output.stdout)
    } else {
        Err(complaint(&output.stderr))
    }
}

/// What `op` means. Its words are looked at and thrown away; the first row that matches counts.
///
/// Not checked against a live `op`: the texts are those that its users recorded.
fn complaint(stderr: &[u8]) -> Fault {
    const NOT_FOUND: &[&str] = &[
        "isn't a vault in this account",
        "isn't an item",
        "does not have a field",
        "isn't a field in",
        "no such section",
    ];
    const AMBIGUOUS: &[&str] = &["more than one item matches", "more than one vault matches"];
    const REFERENCE: &[&str] = &["too many '/'", "invalid secret reference"];
    const LIMITED: &[&str] = &["too many requests", "rate limit"];
    const ENVIRONMENT: &[&str] = &["cannot create directory", "permission denied"];
    const DENIED: &[&str] = &[
        "decodesacredentials",
        "failed to parsetoken",
        "service account token set, but not authenticated",
        "account is not signed in",
        "you are not currently signed in",
        "no account found",
        "unauthorized",
        "(401)",
        "forbidden",
        "(403)",
    ];
    const NETWORK: &[&str] =
        &["connection refused", "connection reset", "no such host", "network is unreachable"];
    const SLOW: &[&str] = &["timeout", "timed out", "deadline exceeded"];
    const CERTIFICATE: &[&str] = &["x509:", "certificate", "tls:"];
    let table: [(&[&str], Fault); 9] = [
        (NOT_FOUND, Fault::NotFound(None)),
        (AMBIGUOUS, Fault::NotFound(Some(Detail::Ambiguous))),
        (REFERENCE, Fault::MALFORMED),
        (LIMITED, Fault::Unavailable(Detail::RateLimited, None)),
        (ENVIRONMENT, Fault::Unavailable(Detail::CliEnvironment, None)),
        (DENIED, Fault::AccessDenied(None)),
        // The program makes several requests, of which others may have been counted.
        (CERTIFICATE, Fault::Unavailable(Detail::Faulty, None)),
        (NETWORK, Fault::Unavailable(Detail::Broken, None)),
        // Slow is not unreachable: the request may have been counted, so it is not tried again.
        (SLOW, Fault::Unavailable(Detail::Faulty, None)),
    ];
    let text = Zeroizing::new(String::from_utf8_lossy(stderr).to_lowercase());
    let meant = table.iter().find(|(words, _)| words.iter().any(|word| text.contains(word)));
    meant.map_or(Fault::UNEXPECTED, |(_, fault)| *fault)
}

/// `ops_` and base64 of a JSON object. It catches a Connect token in the wrong variable, and costs
/// no request. Not checked: whether 1Password still knows the token.
fn is_service_account_token(token: &SecretText) -> bool {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINES: [GeneralPurpose; 2] = [
        GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
        GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    ];
    let Some(body) = token.expose().strip_prefix("ops_") else { return false };
    ENGINES.iter().any(|engine| {
        engine.decode(body).map(Zeroizing::new).is_ok_and(|json| {
            json.first() == Some(&b'{')
                && serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_ok()
        })
    })
}

/// Makes the directory of `op`, or makes sure that the one found there is ours alone: in a shared
/// place such as `/tmp` anybody may have put it there before us.
fn private_directory(path: &Path) -> Result<(), Fault> {
    let unusable = Fault::Unavailable(Detail::CliEnvironment, None);
    // The folder around it is that of the store by default, which may be elsewhere.
    if let Some(around) = path.parent() {
        let mut folders = std::fs::DirBuilder::new();
        folders.recursive(true).mode(0o700).create(around).map_err(|_error| unusable)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(_error) => return Err(unusable),
    }
    let found = std::fs::symlink_metadata(path).map_err(|_error| unusable)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    let private = matches!(found.mode() & 0o777, 0o700);
    if found.is_dir() && ours && private { Ok(()) } else { Err(unusable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_complaints_get_their_codes() {
        let denied = Fault::AccessDenied(None);
        let absent = Fault::NotFound(None);
        for (text, fault) in [
            (r#""prod" isn't a vault in this account. Specify the vault"#, absent),
            (r#"could not read secret: "forbidden" isn't an item in the "x" vault"#, absent),
            ("item 'v/i' does not have a field 'x'", absent),
            ("More than one item matches \"x\"", Fault::NotFound(Some(Detail::Ambiguous))),
            ("Too many requests. Rate limit", Fault::Unavailable(Detail::RateLimited, None)),
            ("failed to DecodeSACredentials", denied),
            ("account is not signed in", denied),
            ("error: (403) Forbidden", denied),
            ("dial tcp: connection refused", Fault::Unavailable(Detail::Broken, None)),
            ("context deadline exceeded", Fault::Unavailable(Detail::Faulty, None)),
            ("cannot create directory \"/x\"", Fault::Unavailable(Detail::CliEnvironment, None)),
            ("something new", Fault::UNEXPECTED),
        ] {
            let line = format!("[ERROR] 2026/11/21 04:00:00 {text}\n");
            assert_eq!(complaint(line.as_bytes()), fault, "{text}");
        }
    }

    #[test]
    fn only_a_service_account_token_is_tried() {
        let token = |text: &str| is_service_account_token(&SecretText::new(text.to_owned()));
        assert!(token("ops_eyJhIjoxfQ") && token("ops_eyJhIjoxfQ=="));
        for bad in ["", "ops_", "eyJhIjoxfQ", "ops_%%%", "ops_aGVsbG8", "ops_W10", "OPS_eyJhIjoxfQ"]
        {
            assert!(!token(bad), "{bad}");
        }
    }
}
