//! `auth.graph.operation.execute.v1` with each kind of credential, as a user configures it, against the stand-ins of Entra
//! and Graph: what works, and what an operator is told where it does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::graph::simulated::{
    CLIENT_ID, Options, RESOURCE, Simulation, TENANT, TrustedKey,
};
use mcp_auth_broker::outbound::{Call, Limits};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::secret::Environment as Variables;
use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::fake_http::loopback_outbound;
use crate::support::product::Product;

mod certificate;
mod clouds;
mod federated;
mod managed_identity;

const ADA: &str = "/v1.0/users/ada@contoso.example";
const POLICY: &str = r#"
    version = "t"
    default = "deny"
    [[rule]]
    id = "graph.user"
    effect = "allow"
    tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
    graph = { profile = "reader", methods = ["GET"], paths = ["/v1.0/users/{id}"], permissions = ["User.Read.All"] }
"#;
/// A provider token is used for a minute and no longer, so that a test need not wait an hour.
const A_MINUTE: &str = "token_max_ttl_seconds = 60\ntoken_skew_seconds = 0";

/// The stand-ins, and the time at which everything happens.
struct Microsoft {
    simulation: Simulation,
    clock: Arc<FixedClock>,
}

impl Microsoft {
    async fn start(trusted_keys: Vec<TrustedKey>) -> Self {
        Self::with(Options { trusted_keys, ..Options::default() }).await
    }

    async fn with(options: Options) -> Self {
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let random = Arc::new(SystemRandom::new());
        let simulation = Simulation::start_with(clock.clone(), random, options).await.unwrap();
        Self { simulation, clock }
    }

    /// A broker with one profile, `reader`, whose tenant and Graph are the stand-ins.
    async fn broker(
        &self,
        directory: TempDir,
        client_id: &str,
        credential: &str,
        variables: &[(&str, &str)],
    ) -> Product {
        let settings = format!(
            r#"
            [outbound]
            allow_private = ["127.0.0.1"]
            [graph]
            cloud = "custom"
            custom_cloud = {{ login_url = "{0}", graph_url = "{0}", resource = "{RESOURCE}" }}
            "#,
            self.simulation.origin(),
        );
        self.broker_with(directory, &settings, client_id, credential, variables).await
    }

    /// The same with other settings of `outbound` and `graph`, the latter last.
    async fn broker_with(
        &self,
        directory: TempDir,
        settings: &str,
        client_id: &str,
        credential: &str,
        variables: &[(&str, &str)],
    ) -> Product {
        std::fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
        let client_id = if client_id.is_empty() {
            String::new()
        } else {
            format!("client_id = \"{client_id}\"")
        };
        let settings = format!(
            r#"
            policy.file = "policy.toml"
            {settings}
            mode = "live"
            {A_MINUTE}
            [[graph.profile]]
            name = "reader"
            tenant_id = "{TENANT}"
            {client_id}
            credential = {{ {credential} }}
            "#
        );
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()));
        let variables: Variables = variables.collect();
        Product::start_then(directory, &settings, variables, self.clock.clone()).await
    }

    /// A token of the stand-in, for whoever gives out tokens in its name.
    async fn token(&self) -> String {
        let secret = self.simulation.client_secret().expose();
        let scope = format!("{RESOURCE}/.default");
        let fields = [
            ("client_id", CLIENT_ID),
            ("client_secret", secret),
            ("grant_type", "client_credentials"),
            ("scope", scope.as_str()),
        ];
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.simulation.origin());
        let call = Call::post_form(url.parse().unwrap(), &fields);
        let limits = Limits { timeout: Duration::from_secs(10), max_bytes: 1 << 20 };
        let answer = loopback_outbound().send(call, limits).await.unwrap();
        let granted: Value = serde_json::from_slice(&answer.body).unwrap();
        granted["access_token"].as_str().unwrap().to_owned()
    }
}

/// Ada, as Graph has her.
async fn executes(product: &Product) {
    let reply = product.graph_get(&product.token(&[]), ADA).await;
    assert_eq!(reply["status"], "ok", "{reply}");
    let execution = &reply["result"]["execution"];
    assert_eq!(execution["http_status"], 200, "{reply}");
    assert_eq!(execution["response_body"]["displayName"], "Ada Lovelace", "{reply}");
}

/// Code, detail and the rest of the metadata of a call that fails.
async fn fails(product: &Product) -> (String, String, Value) {
    let reply = product.graph_get(&product.token(&[]), ADA).await;
    let error = &reply["error"];
    let code = error["code"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
    let detail = error["metadata"]["detail"].as_str().unwrap_or_default().to_owned();
    (code, detail, error["metadata"].clone())
}

/// The two that most tests compare.
async fn refused(product: &Product) -> (String, String) {
    let (code, detail, _) = fails(product).await;
    (code, detail)
}

fn outcome(code: &str, detail: &str) -> (String, String) {
    (code.to_owned(), detail.to_owned())
}

/// A file that only its owner reads.
fn private(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}
