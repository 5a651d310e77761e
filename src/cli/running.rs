//! The running broker that a command asks: the one of the settings at its own listener, or another by its URL.

use std::path::PathBuf;

use http::{HeaderValue, header};
use url::{Position, Url};

use crate::config::{Config, Environment};
use crate::outbound::{
    Answer, Call, KnownServer, Limits, Outbound, OutboundError, OutboundSettings, PrivateTarget,
};

use super::failure::Failure;
use super::settings::SettingsArgs;

/// A broker to ask.
pub(super) struct Running {
    base: Url,
    /// What it is called, where that is not where it is reached.
    host: Option<HeaderValue>,
    client: Outbound,
    hints: Hints,
}

/// What to do where it does not answer.
struct Hints {
    connect: &'static str,
    tls: &'static str,
    broken: &'static str,
}

const CONFIGURED: Hints = Hints {
    connect: "is the broker running? Name another address with --url",
    tls: "it shows another certificate than server.tls.cert holds now: a renewed one needs a restart of the broker",
    broken: "is it a broker that listens there, and with these settings? Name another address with --url",
};

const NAMED: Hints = Hints {
    connect: "is the broker running? --url names its scheme, host and port",
    tls: "--url has to have the name that its certificate is for; where an authority of your own signs: outbound.ca_file; one that signed itself as an authority, as openssl req -x509 makes them, is known from server.tls.cert, without --url",
    broken: "is it a broker that listens there? Where it ends TLS itself, --url begins with https://",
};

impl Running {
    /// The one that `url` names, else that of the settings.
    pub(super) fn at(
        url: Option<&Url>,
        settings: &SettingsArgs,
        environment: Environment,
    ) -> Result<Self, Failure> {
        match url {
            Some(url) => Self::named(url, settings, environment),
            None => Self::configured(&settings.load(environment)?.config),
        }
    }

    /// Over loopback, whatever the public name is; there it is called by that name, and known by its own certificate.
    pub(super) fn configured(config: &Config) -> Result<Self, Failure> {
        let server = &config.server;
        let mut listen = server.listen;
        if listen.ip().is_unspecified() {
            // `[::]` takes connections of both families.
            listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let base = Url::parse(&format!("{scheme}://{listen}")).map_err(|_| {
            Failure::new("server.listen is no address to ask").hint("name one with --url")
        })?;
        let public = &server.public_url;
        let client = match &server.tls {
            Some(tls) => Outbound::to_known(&KnownServer {
                certificate: tls.cert.clone(),
                ca_file: config.outbound.ca_file.clone(),
                name: public.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            })
            .map_err(|error| Failure::of(&error))?,
            None => client(&base, None)?,
        };
        let host = HeaderValue::try_from(&public[Position::BeforeHost..Position::AfterPort]).ok();
        Ok(Self { base, host, client, hints: CONFIGURED })
    }

    fn named(
        url: &Url,
        settings: &SettingsArgs,
        environment: Environment,
    ) -> Result<Self, Failure> {
        let client = client(url, settings.ca_file(environment))?;
        Ok(Self { base: url.clone(), host: None, client, hints: NAMED })
    }

    /// Where a path of it is.
    pub(super) fn below(&self, path: &str) -> Url {
        below(&self.base, path)
    }

    /// Asks it, and says what to do where it does not answer.
    pub(super) async fn send(&self, mut call: Call, limits: Limits) -> Result<Answer, Failure> {
        if let Some(host) = &self.host {
            call = call.header(header::HOST, host.clone());
        }
        self.client.send(call, limits).await.map_err(|error| {
            let hint = match &error {
                OutboundError::Connect { .. } | OutboundError::Timeout { .. } => self.hints.connect,
                OutboundError::Tls { .. } => self.hints.tls,
                OutboundError::Broken { .. } => self.hints.broken,
                OutboundError::TooLarge { .. }
                | OutboundError::Compressed { .. }
                | OutboundError::PrivateAddress { .. } => error.hint(),
            };
            Failure::new(error.to_string()).hint(hint)
        })
    }
}

/// `path` below `base`, which may have a path of its own.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// A client for a host that the operator names: whatever its address is, it is meant.
pub(super) fn client(url: &Url, ca_file: Option<PathBuf>) -> Result<Outbound, Failure> {
    let host = url.host_str().unwrap_or_default();
    let allow_private =
        [host, "0.0.0.0/0", "::/0"].into_iter().flat_map(str::parse::<PrivateTarget>).collect();
    let settings = OutboundSettings { allow_private, ca_file, ..OutboundSettings::default() };
    Outbound::new(&settings).map_err(|error| Failure::of(&error))
}
