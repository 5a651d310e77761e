//! Settings: layers, names, what is refused, and that one run tells everything.

use std::path::Path;

use mcp_auth_broker::config::{Deployment, Environment, Finding, Loaded, Severity, Sources, load};

mod binding;
mod check;
mod client_hosts;
mod layers;
mod parts;
mod production;
mod standing;

/// A working directory with a settings file.
struct Place {
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
    overrides: Vec<String>,
}

impl Place {
    fn new(settings: &str) -> Self {
        let place = Self {
            directory: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
            overrides: Vec::new(),
        };
        place.write("broker.toml", settings)
    }

    fn write(self, name: &str, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, text: &str) -> Self {
        self.overrides.push(text.to_owned());
        self
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn load(&self) -> Loaded {
        load(Sources {
            file: None,
            directory: self.path().to_owned(),
            environment: self.environment.iter().cloned().collect::<Environment>(),
            overrides: self.overrides.clone(),
        })
    }
}

/// `key: problem` of each error.
fn errors(loaded: &Loaded) -> Vec<String> {
    lines(loaded, Severity::Error)
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    lines(loaded, Severity::Warning)
}

fn lines(loaded: &Loaded, severity: Severity) -> Vec<String> {
    let matching = loaded.findings.iter().filter(|finding| finding.severity == severity);
    matching.map(|finding| format!("{}: {}", finding.key, finding.problem)).collect()
}

fn finding<'a>(loaded: &'a Loaded, key: &str) -> &'a Finding {
    let found = loaded.findings.iter().find(|finding| finding.key == key);
    found.unwrap_or_else(|| panic!("nothing about {key} in {:#?}", loaded.findings))
}

#[test]
fn without_any_settings_the_development_defaults_are_in_force() {
    let loaded = Place::new("").load();
    assert_eq!(loaded.findings, []);
    let config = loaded.config.unwrap();
    assert_eq!(config.deployment, Deployment::Dev);
    assert_eq!(config.server.public_url.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(config.server.loopback_alias.unwrap().as_str(), "http://localhost:8080/");
    assert_eq!(config.authorization_server.default_scopes.to_string(), "graph:read public:read");
}
