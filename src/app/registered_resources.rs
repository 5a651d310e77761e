//! What tokens for registered servers name, for commands that only look.

use crate::admin::ProxySettings;
use crate::config::Config;
use crate::resource_server::canonical;
use crate::store::{Database, PageRequest, ResourceRow, StoreError};

use super::endpoints::Name;
use super::registered::audiences;

const PAGE: u32 = 200;

/// Audiences of tokens for registered servers.
#[derive(Debug, Default)]
pub(super) struct RegisteredResources {
    /// Of those that are reached through us: their names here.
    pub(super) behind: Vec<String>,
    /// What other issuers' tokens may name for those.
    pub(super) others: Vec<String>,
    /// Of those that run elsewhere, for which proxies ask at a gate.
    pub(super) elsewhere: Vec<String>,
}

impl RegisteredResources {
    /// As a running broker serves them now.
    pub(super) async fn read(
        config: &Config,
        names: &[Name],
        store: &dyn Database,
    ) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let mut page = PageRequest { after: None, limit: PAGE };
        loop {
            let found = store.list_resources(&page).await?;
            for row in found.rows.iter().filter(|row| row.disabled_at.is_none()) {
                all.add(config, names, row);
            }
            let Some(after) = found.next else { return Ok(all) };
            page.after = Some(after);
        }
    }

    fn add(&mut self, config: &Config, names: &[Name], row: &ResourceRow) {
        if row.url.is_none() {
            self.elsewhere.extend(std::iter::once(&row.uri).chain(&row.aliases).cloned());
            return;
        }
        let ours = names.first().is_some_and(|name| canonical(&name.server(&row.id)) == row.uri);
        if !ours || config.upstream.servers.iter().any(|server| server.id == row.id) {
            return;
        }
        self.behind.extend(audiences(names, row));
        let credential = ProxySettings::of(row).ok().and_then(|proxy| proxy.credential);
        let mut known = config.upstream.credentials.iter();
        let known = known.find(|known| Some(&known.name) == credential.as_ref());
        self.others.extend(known.into_iter().flat_map(|known| known.audiences.iter().cloned()));
    }
}
