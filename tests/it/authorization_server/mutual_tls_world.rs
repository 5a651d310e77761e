//! A broker that ends TLS itself, certificates that openssl made, and clients that show them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mcp_auth_broker::time::{Clock, SystemClock};
use reqwest::{Client, Identity};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::product::{Product, Wire, mcp};

/// What clients call it; they are led to its socket.
pub(super) const URL: &str = "https://broker.example";

/// Runs openssl in this folder.
pub(super) fn openssl(directory: &Path, arguments: &str) -> String {
    let ran = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output();
    let ran = ran.expect("openssl is there");
    assert!(ran.status.success(), "{arguments}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Authorities and the certificates that they issued, in a folder that becomes the broker's.
pub(super) struct World {
    pub(super) directory: TempDir,
}

impl World {
    /// With the authority `ca`, the authority `other` that nobody knows, and the broker's own certificate.
    pub(super) fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap() };
        for name in ["ca", "other"] {
            world.self_signed(name, &format!("/CN={name}"));
        }
        world.self_signed("server", "/CN=broker.example");
        world
    }

    fn run(&self, arguments: &str) -> String {
        openssl(self.directory.path(), arguments)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.directory.path().join(name)).unwrap()
    }

    /// A certificate that nobody issued, and its key.
    pub(super) fn self_signed(&self, name: &str, subject: &str) {
        let key = format!("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key");
        self.run(&format!("req -x509 {key} -out {name}.pem -days 30 -subj {subject}"));
        let key = self.directory.path().join(format!("{name}.key"));
        let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(key, only_ours).unwrap();
    }

    /// One that `by` issued, with these lines of extensions, until so many days from now.
    pub(super) fn issued(
        &self,
        name: &str,
        by: &str,
        (subject, extensions): (&str, &str),
        days: u32,
    ) {
        std::fs::write(self.directory.path().join("extensions"), extensions).unwrap();
        let key = format!("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key");
        self.run(&format!("req -new {key} -out {name}.csr -subj {subject}"));
        let authority = format!("-CA {by}.pem -CAkey {by}.key -CAcreateserial");
        self.run(&format!(
            "x509 -req -in {name}.csr {authority} -out {name}.pem -days {days} -extfile extensions"
        ));
    }

    /// Shows this certificate behind its own.
    pub(super) fn comes_with(&self, name: &str, issuer: &str) {
        let both = [self.read(&format!("{name}.pem")), self.read(&format!("{issuer}.pem"))];
        std::fs::write(self.directory.path().join(format!("{name}.pem")), both.concat()).unwrap();
    }

    /// As an operator copies it into the settings.
    pub(super) fn subject(&self, name: &str) -> String {
        let printed = self.run(&format!("x509 -in {name}.pem -noout -subject -nameopt RFC2253"));
        printed.trim().strip_prefix("subject=").unwrap().to_owned()
    }

    /// Key and certificate of a client, for its connections.
    pub(super) fn identity(&self, name: &str) -> Identity {
        let both = [self.read(&format!("{name}.key")), self.read(&format!("{name}.pem"))].concat();
        Identity::from_pem(&both).unwrap()
    }

    /// The certificate as DER in base64.
    pub(super) fn x5c(&self, name: &str) -> String {
        let pem = String::from_utf8(self.read(&format!("{name}.pem"))).unwrap();
        pem.lines().filter(|line| !line.starts_with('-')).collect()
    }

    /// What `x5t#S256` has of it.
    pub(super) fn thumbprint(&self, name: &str) -> String {
        let printed = self.run(&format!("x509 -in {name}.pem -noout -fingerprint -sha256"));
        let (_, digits) = printed.trim().split_once('=').unwrap();
        let bytes = digits.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
        super::mutual_tls::base64url(&bytes.collect::<Vec<_>>())
    }

    /// A key set with this certificate beside its key.
    pub(super) fn jwks(&self, name: &str) -> Value {
        let printed = self.run(&format!("pkey -in {name}.key -noout -text"));
        let (_, point) = printed.split_once("pub:").unwrap();
        let (point, _) = point.split_once("ASN1").unwrap();
        let digits: String = point.chars().filter(char::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = (2..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        let [x, y] = [&bytes[..32], &bytes[32..]].map(super::mutual_tls::base64url);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y, "x5c": [self.x5c(name)] }] })
    }

    /// The same, with these proxies trusted.
    pub(super) async fn start_behind(self, proxies: &str, tls: &str, settings: &str) -> Running {
        let trusted = format!("trusted_proxies = [\"{proxies}\"]");
        self.begin((&trusted, tls), settings, Arc::new(SystemClock)).await
    }

    /// A broker that asks clients for certificates as `tls` says.
    pub(super) async fn start(self, tls: &str, settings: &str) -> Running {
        self.start_at(tls, settings, Arc::new(SystemClock)).await
    }

    /// The same at another time.
    pub(super) async fn start_at(
        self,
        tls: &str,
        settings: &str,
        clock: Arc<dyn Clock>,
    ) -> Running {
        self.begin(("", tls), settings, clock).await
    }

    async fn begin(
        self,
        (server, tls): (&str, &str),
        settings: &str,
        clock: Arc<dyn Clock>,
    ) -> Running {
        let settings = format!(
            "[server]\npublic_url = \"{URL}\"\n{server}\n[server.tls]\ncert = \"server.pem\"\nkey = \"file:{}\"\n{tls}\n{settings}",
            self.directory.path().join("server.key").display()
        );
        let kept = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), kept.path().join(entry.file_name())).unwrap();
        }
        let product = Product::start_in_at(self.directory, &settings, clock).await;
        Running { product, world: Self { directory: kept } }
    }
}

/// A broker, and the certificates that there are.
pub(super) struct Running {
    pub(super) product: Product,
    pub(super) world: World,
}

/// Status and JSON of an answer.
pub(super) type Told = (u16, Value);

impl Running {
    /// A client with this certificate, or none, on a connection of its own.
    #[expect(clippy::disallowed_methods, reason = "a client with a certificate, as others have it")]
    pub(super) fn client(&self, certificate: Option<&str>) -> Client {
        let address = self.product.authority.parse().unwrap();
        let client = Client::builder()
            .resolve("broker.example", address)
            .tls_danger_accept_invalid_certs(true);
        let client = match certificate {
            Some(name) => client.identity(self.world.identity(name)),
            None => client,
        };
        client.build().unwrap()
    }

    /// What the token endpoint says to this client with this certificate.
    pub(super) async fn token(&self, certificate: Option<&str>, client_id: &str) -> Told {
        self.token_with(&self.client(certificate), client_id, &[]).await
    }

    pub(super) async fn token_with(
        &self,
        client: &Client,
        client_id: &str,
        headers: &[(&str, String)],
    ) -> Told {
        let form = [("grant_type", "client_credentials"), ("client_id", client_id)];
        let mut request = client.post(format!("{URL}/token")).form(&form);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        told(request).await
    }

    /// What a tool call with this token is told.
    pub(super) async fn calls(&self, client: &Client, scheme: &str, token: &str) -> (u16, String) {
        let params = json!({ "name": "get_public_info", "arguments": {} });
        let request = mcp(Wire::Modern, None, "tools/call", params);
        let (path, headers, body) = request.parts();
        let mut request = client.post(format!("{URL}{path}")).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", format!("{scheme} {token}"));
        let answer = request.send().await.unwrap();
        let challenge = answer.headers().get("www-authenticate");
        let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), challenge.unwrap_or_default())
    }
}

pub(super) async fn told(request: reqwest::RequestBuilder) -> Told {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}
