//! The servers behind us as protected resources: what tokens for them name, and which scopes there are.

use url::Url;

use crate::authorization_server::{BehindUs, OwnResource};
use crate::config::{Config, Dpop, UpstreamServer};
use crate::resource_server::canonical;
use crate::scope::Scope;

use super::endpoints::Name;

/// What tokens for the servers name, under each of our names.
pub(super) fn audiences(config: &Config, names: &[Name]) -> Vec<String> {
    resources(config, names).into_iter().map(|resource| resource.uri).collect()
}

/// The servers as resources, under each of our names.
pub(super) fn resources(config: &Config, names: &[Name]) -> Vec<OwnResource> {
    let of = |name: &Name| {
        let servers = config.upstream.servers.iter();
        let resource = |server: &UpstreamServer| OwnResource {
            uri: canonical(&name.server(&server.id)).to_owned(),
            aliases: Vec::new(),
            behind: Some(BehindUs { id: server.id.clone(), scopes: scopes(server) }),
            dpop_required: server.dpop_required || config.resource_server.dpop == Dpop::Required,
        };
        servers.map(resource).collect::<Vec<_>>()
    };
    names.iter().flat_map(of).collect()
}

/// What else tokens of other issuers may name for them.
pub(super) fn other_audiences(config: &Config) -> Vec<String> {
    config.upstream.servers.iter().flat_map(|server| server.audiences.clone()).collect()
}

/// Its own URL, and what other issuers' tokens may name for it.
pub(super) fn audiences_of(settings: &UpstreamServer, resource: &Url) -> Vec<String> {
    let own = canonical(resource).to_owned();
    std::iter::once(own).chain(settings.audiences.iter().cloned()).collect()
}

/// Every scope that one of the server's grants asks for.
pub(super) fn scopes(settings: &UpstreamServer) -> Scope {
    let grants = settings.tools.iter().chain(&settings.prompts).chain(&settings.resources);
    grants.fold(Scope::empty(), |all, grant| all.union(&grant.scopes))
}
