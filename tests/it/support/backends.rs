//! Every backend of secrets at once: what each holds, and each way in which it fails. All that they say holds the mark.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::fake_http::{FakeHttp, Reply};
use crate::secret_support::script;

/// In every secret, every credential for a backend, and every word that a backend says.
pub(crate) const MARK: &str = "CANARY-4711";
/// `ops_` and the base64 of `{"a":"CANARY-4711"}`.
pub(crate) const SERVICE_ACCOUNT: &str = "ops_eyJhIjoiQ0FOQVJZLTQ3MTEifQ";
pub(crate) const VARIABLE: &str = "ENV-CANARY-4711-0123456789abcdef";

const VAULT_ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The programs, files and servers. Servers stop when this is dropped.
pub(crate) struct Backends {
    directory: PathBuf,
    vault: FakeHttp,
    connect: FakeHttp,
}

/// Who answers `op://`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnePassword {
    Program,
    Connect,
}

impl Backends {
    /// In `directory`, which is for them alone.
    pub(crate) async fn start(directory: &Path) -> Self {
        let said = json!({ "errors": [MARK], "message": MARK }).to_string();
        let vault = FakeHttp::start(status(404, &said)).await;
        let login = json!({ "auth": { "client_token": format!("VAULT-LOGIN-{MARK}"), "lease_duration": 3600 } });
        vault.answers_at("/v1/auth/approle/login", Reply::json(login.to_string()));
        let held = json!({ "data": { "data": { "s": format!("VAULT-{MARK}-0123456789abcdef") } } });
        vault.answers_at("/v1/secret/data/good", Reply::json(held.to_string()));
        vault.answers_at("/v1/secret/data/denied", status(403, &said));
        vault.answers_at("/v1/secret/data/broken", status(503, &said));
        vault.answers_at("/v1/secret/data/limited", status(429, &said).header("retry-after", "40"));
        vault.answers_at("/v1/secret/data/slow", Reply::Silence);
        let connect = FakeHttp::start(status(404, &said)).await;
        let field = json!({ "id": "f", "label": "secret", "type": "CONCEALED", "value": format!("CONNECT-{MARK}-0123456789abcdef") });
        let held = json!({ "id": "g".repeat(26), "fields": [field] }).to_string();
        connect.answers_at(item("gggggggggggggggggggggggggg"), Reply::json(held));
        connect.answers_at(item("dddddddddddddddddddddddddd"), status(403, &said));
        connect.answers_at(item("bbbbbbbbbbbbbbbbbbbbbbbbbb"), status(500, &said));
        connect.answers_at(item("ssssssssssssssssssssssssss"), Reply::Silence);
        let backends = Self { directory: directory.to_owned(), vault, connect };
        backends.write_programs();
        backends.write("file-good", &format!("FILE-{MARK}-0123456789abcdef"), 0o600);
        backends.write("file-open", MARK, 0o644);
        backends.write("op-token", SERVICE_ACCOUNT, 0o600);
        backends.write("connect-token", &format!("CONNECT-TOKEN-{MARK}"), 0o600);
        backends.write("vault-secret-id", &format!("VAULT-SECRET-ID-{MARK}"), 0o600);
        backends
    }

    fn write_programs(&self) {
        let complains = |text: &str| {
            format!("echo {MARK}; echo '[ERROR] 2026/11/21 04:00:00 {text} {MARK}' >&2; exit 1")
        };
        let op = format!(
            "case \"$3\" in\n*/good/*) printf 'OP-{MARK}-0123456789abcdef';;\n*/absent/*) {};;\n*/denied/*) {};;\n*/slow/*) sleep 600;;\n*) {};;\nesac",
            complains("\"x\" isn'\"'\"'t a vault in this account"),
            complains("(403)"),
            complains("what is this"),
        );
        script(&self.directory, "op", &op);
        let helper = format!(
            "case \"$1\" in\ngood) echo '{{\"value\": \"EXEC-{MARK}-0123456789abcdef\"}}';;\nabsent) echo {MARK};;\nslow) sleep 600;;\n*) echo {MARK}; echo {MARK} >&2; exit 3;;\nesac"
        );
        script(&self.directory, "helper", &helper);
    }

    /// How often Vault was asked for what behaves like that.
    pub(crate) fn asked_for(&self, what: &str) -> usize {
        let path = format!("/v1/secret/data/{what}");
        self.vault.asked().iter().filter(|asked| asked.path == path).count()
    }

    /// A file beside the programs.
    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where a secret of this backend is that behaves like that.
    pub(crate) fn reference(&self, one_password: OnePassword, backend: &str, what: &str) -> String {
        match (backend, one_password) {
            ("env", _) => {
                format!("env:{}", if what == "good" { "VARIABLE" } else { "NO_VARIABLE" })
            }
            ("file", _) => format!("file:{}", self.path(&format!("file-{what}")).display()),
            ("vault", _) => format!("vault:secret/{what}#s"),
            ("exec", _) => format!("exec:helper/{what}"),
            ("op", OnePassword::Program) => format!("op://vault/{what}/secret"),
            ("op", OnePassword::Connect) => {
                format!("op://{VAULT_ID}/{}/secret", what[..1].repeat(26))
            }
            (other, _) => panic!("no backend {other}"),
        }
    }

    /// `[secrets]`, with the credential for each.
    pub(crate) fn settings(&self, one_password: OnePassword) -> String {
        let provider = match one_password {
            OnePassword::Program => "1password",
            OnePassword::Connect => "1password-connect",
        };
        format!(
            r#"
            [secrets]
            provider = "{provider}"
            timeout_ms = 3000
            [secrets.onepassword]
            op_path = "{}"
            op_config_dir = "{}"
            service_account_token = "file:{}"
            connect_url = "{}"
            connect_token = "file:{}"
            [secrets.exec.helper]
            command = ["{}"]
            [secrets.vault]
            address = "{}"
            auth = {{ approle = {{ role_id = "broker", secret_id = "file:{}" }} }}
            "#,
            self.path("op").display(),
            self.path("op-config").display(),
            self.path("op-token").display(),
            self.connect.url(),
            self.path("connect-token").display(),
            self.path("helper").display(),
            self.vault.url(),
            self.path("vault-secret-id").display(),
        )
    }
}

fn status(status: u16, body: &str) -> Reply {
    let Reply::Answer(_, headers, body) = Reply::json(body) else { unreachable!() };
    Reply::Answer(status, headers, body)
}

/// The fakes want names that live for ever; there are four.
fn item(id: &str) -> &'static str {
    format!("/v1/vaults/{VAULT_ID}/items/{id}").leak()
}
