//! The national clouds, under the names that Microsoft gives them: a proxy and an authority of the test's own stand
//! between, which are settings of any company, and nothing in the product knows of the test.

use super::*;
use crate::support::national::Internet;

/// `graph.cloud`, its login host, its Graph host.
const CLOUDS: [[&str; 3]; 4] = [
    ["global", "login.microsoftonline.com", "graph.microsoft.com"],
    ["us_gov", "login.microsoftonline.us", "graph.microsoft.us"],
    ["us_gov_dod", "login.microsoftonline.us", "dod-graph.microsoft.us"],
    ["china", "login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"],
];

/// One cloud as it is: its login host, tokens for its Graph alone, and the way there.
async fn cloud(login: &str, graph: &str, keys: Vec<TrustedKey>) -> (Microsoft, Internet) {
    let options = Options {
        public_origin: Some(format!("https://{login}").parse().unwrap()),
        resource: Some(format!("https://{graph}")),
        trusted_keys: keys,
        ..Options::default()
    };
    let microsoft = Microsoft::with(options).await;
    let behind = microsoft.simulation.origin().replace("http://", "");
    let internet = Internet::of(&[login, graph], &behind).await;
    (microsoft, internet)
}

async fn broker(name: &str, microsoft: &Microsoft, internet: &Internet) -> Product {
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("authority.pem");
    std::fs::write(&authority, &internet.authority).unwrap();
    let secret = directory.path().join("secret");
    private(&secret, microsoft.simulation.client_secret().expose());
    let settings = format!(
        "[outbound]\nproxy = \"{}\"\nca_file = \"{}\"\n[graph]\ncloud = \"{name}\"\n",
        internet.proxy,
        authority.display(),
    );
    let credential = format!("client_secret = \"file:{}\"", secret.display());
    microsoft.broker_with(directory, &settings, CLIENT_ID, &credential, &[]).await
}

#[tokio::test]
async fn each_cloud_has_its_own_login_its_own_graph_and_nothing_else_is_asked() {
    for [name, login, graph] in CLOUDS {
        let (microsoft, internet) = cloud(login, graph, Vec::new()).await;
        let product = broker(name, &microsoft, &internet).await;
        executes(&product).await;
        assert_eq!(internet.asked(), [format!("{login}:443"), format!("{graph}:443")], "{name}");
    }
}

/// What a tenant of another cloud says, and what the broker makes of it.
#[tokio::test]
async fn a_cloud_whose_tokens_are_for_another_graph_refuses() {
    let [name, login, _] = CLOUDS[1];
    let (microsoft, internet) = cloud(login, "graph.microsoft.com", Vec::new()).await;
    let product = broker(name, &microsoft, &internet).await;
    let wrong = outcome("provider.auth_failed", "scope_invalid");
    assert_eq!(refused(&product).await, wrong);
    assert_eq!(internet.asked(), [format!("{login}:443")]);
}

#[tokio::test]
async fn a_call_cannot_name_another_cloud() {
    let [name, login, graph] = CLOUDS[3];
    let (microsoft, internet) = cloud(login, graph, Vec::new()).await;
    let product = broker(name, &microsoft, &internet).await;
    let call = |resource: &str| {
        let operation = serde_json::json!({ "method": "GET", "path": ADA });
        let graph = serde_json::json!({ "resource": resource });
        serde_json::json!({ "operation": operation, "graph": graph })
    };
    let token = product.token(&[]);
    let other = product.graph(&token, call("https://graph.microsoft.com")).await;
    let reason = &other["error"]["metadata"]["reason_code"];
    assert_eq!(reason, "policy.rule.deny.provider.not_permitted", "{other}");
    assert_eq!(internet.asked(), [""; 0]);
    let own = product.graph(&token, call(&format!("https://{graph}"))).await;
    assert_eq!(own["status"], "ok", "{own}");
}

/// Whoever stands between without the authority's certificate is not believed, and gets no secret.
#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_ends_the_call() {
    let [name, login, graph] = CLOUDS[0];
    let (microsoft, mut internet) = cloud(login, graph, Vec::new()).await;
    internet.authority = Internet::of(&["other.example"], "127.0.0.1:9").await.authority;
    let product = broker(name, &microsoft, &internet).await;
    assert_eq!(refused(&product).await, outcome("provider.unavailable", "tls"));
}

/// The audience of an assertion is the cloud's own token endpoint.
#[tokio::test]
async fn a_certificate_works_in_a_national_cloud() {
    let [name, login, graph] = CLOUDS[1];
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let made = rcgen::CertificateParams::new(["reader.example".to_owned()]).unwrap();
    let pem = made.self_signed(&key).unwrap().pem();
    let chain = mcp_auth_broker::token::CertificateChain::from_pem(pem.as_bytes()).unwrap();
    let thumbprint = chain.thumbprint().to_owned();
    let public_key_pem = key.public_key_pem();
    let trusted = TrustedKey::Certificate { thumbprint, public_key_pem, ends: None };
    let (microsoft, internet) = cloud(login, graph, vec![trusted]).await;
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    std::fs::write(at("authority.pem"), &internet.authority).unwrap();
    std::fs::write(at("reader.pem"), pem).unwrap();
    private(&at("reader.key"), &key.serialize_pem());
    let settings = format!(
        "[outbound]\nproxy = \"{}\"\nca_file = \"{}\"\n[graph]\ncloud = \"{name}\"\n",
        internet.proxy,
        at("authority.pem").display(),
    );
    let credential = format!(
        "certificate = \"{}\", private_key = \"file:{}\"",
        at("reader.pem").display(),
        at("reader.key").display(),
    );
    let product = microsoft.broker_with(directory, &settings, CLIENT_ID, &credential, &[]).await;
    executes(&product).await;
}
