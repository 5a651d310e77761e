//! Secret-typed settings: literal or reference, and whether the reference can be followed.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checker::{Checker, reason};
use super::finding::{Finding, FindingCode, Severity};
use super::key::Key;
use super::model::{Deployment, RawSecret, SecretSource};
use super::schema;
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

/// Shared secrets that are printed in documentation: everybody knows them.
const FROM_DOCUMENTATION: [&str; 8] = [
    "a-string-secret-at-least-256-bits-long",
    "your-256-bit-secret",
    "your-super-secret-key-change-in-production",
    "your-secret-key-change-in-production",
    "change-me-in-production-at-least-32-bytes",
    "dev-secret-key-change-in-production",
    "0123456789abcdef0123456789abcdef",
    "this-is-a-very-long-secret-for-development",
];

impl Checker<'_> {
    /// A secret that may be kept in any backend.
    pub(super) fn secret(&mut self, key: &Key, raw: &RawSecret) -> Option<SecretSource> {
        let text = raw.text();
        if !SecretRef::looks_like_one(text.expose()) {
            self.exposed(key);
            return Some(SecretSource::Literal(text.clone()));
        }
        match text.expose().parse::<SecretRef>() {
            Ok(reference) => {
                self.reference(key, &reference);
                Some(SecretSource::Ref(reference))
            }
            Err(error) => {
                let finding = Finding::error(FindingCode::NotAllowed, key, error.to_string());
                self.add(finding.allowed("env:NAME, file:/path, op://…, vault:…#…, exec:name"));
                None
            }
        }
    }

    /// A variable of a program's environment. Few are secrets: one in the clear is only weak where its name says that it is one.
    pub(super) fn variable(
        &mut self,
        key: &Key,
        name: &str,
        raw: &RawSecret,
    ) -> Option<SecretSource> {
        const TELLING: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];
        let name = name.to_ascii_uppercase();
        let text = raw.text();
        if SecretRef::looks_like_one(text.expose())
            || TELLING.iter().any(|word| name.contains(word))
        {
            return self.secret(key, raw);
        }
        Some(SecretSource::Literal(text.clone()))
    }

    /// A secret that each start reads. Every other is read when it is first needed, so that what starts again and again uses up no quota.
    pub(super) fn secret_of_the_start(
        &mut self,
        key: &Key,
        raw: &RawSecret,
    ) -> Option<SecretSource> {
        let source = self.secret(key, raw)?;
        if let SecretSource::Ref(
            reference @ (SecretRef::OnePassword(_) | SecretRef::Vault { .. }),
        ) = &source
        {
            let problem = "is read at every start, which counts against the backend's quota";
            let finding = Finding::error(FindingCode::Weak, key, problem)
                .found(reference.to_string())
                .allowed("file:/path or env:NAME")
                .hint("keep it where starts cost nothing: a mounted file, a Kubernetes Secret, a systemd credential");
            self.add(Finding { severity: Severity::Warning, ..finding });
        }
        Some(source)
    }

    /// A credential for a backend itself, which therefore cannot be kept in a backend.
    pub(super) fn own_secret(&mut self, key: &Key, raw: &RawSecret) -> Option<SecretSource> {
        let source = self.secret(key, raw)?;
        let remote = match &source {
            SecretSource::Literal(_)
            | SecretSource::Ref(SecretRef::Env(_) | SecretRef::File(_)) => false,
            SecretSource::Ref(_) => true,
        };
        if remote {
            let problem = "refers to a backend, which needs a credential itself";
            self.add(
                Finding::error(FindingCode::NotAllowed, key, problem)
                    .allowed("env:NAME or file:/path"),
            );
        }
        (!remote).then_some(source)
    }

    fn exposed(&mut self, key: &Key) {
        if self.origin(key).is_exposed() {
            let problem = "is a secret written in the clear";
            let hint = "put it into a file and write file:/path, or into the environment and write env:NAME";
            self.weak(
                Finding::error(FindingCode::Weak, key, problem).allowed("a reference").hint(hint),
            );
        }
    }

    fn reference(&mut self, key: &Key, reference: &SecretRef) {
        let finding = match reference {
            SecretRef::Env(name) => {
                self.variables_read.push(name.clone());
                let set = self.environment.get(name).is_some_and(|value| !value.is_empty());
                (!set).then(|| {
                    self.absent(key, "names a variable that is not set, or empty", reference)
                        .hint(format!("set {name} for the broker's process, or in .env; what it holds is the secret"))
                })
            }
            SecretRef::File(path) => self.secret_file(key, path, reference),
            SecretRef::OnePassword(_) if !self.backends.one_password => Some(
                unresolved(key, "is an op:// reference, and nobody resolves those", reference)
                    .hint("set secrets.provider to 1password or 1password-connect"),
            ),
            SecretRef::Vault { .. } if !self.backends.vault => Some(
                unresolved(key, "is a vault: reference, and no Vault is configured", reference)
                    .hint("add [secrets.vault] with address and auth"),
            ),
            SecretRef::Exec { name, .. } if !self.backends.exec.contains(name) => {
                let near = schema::nearest(name, self.backends.exec.iter().map(String::as_str));
                let hint = near.map_or_else(
                    || format!("add [secrets.exec.{name}]"),
                    |near| format!("did you mean exec:{near}?"),
                );
                Some(unresolved(key, "names a helper that is not configured", reference).hint(hint))
            }
            SecretRef::OnePassword(_) | SecretRef::Vault { .. } | SecretRef::Exec { .. } => None,
        };
        if let Some(finding) = finding {
            self.add(finding);
        }
    }

    fn secret_file(&self, key: &Key, path: &Path, reference: &SecretRef) -> Option<Finding> {
        match std::fs::metadata(path) {
            Err(error) => {
                let problem = format!("names a file that {}", reason(&error));
                let hint = match error.kind() {
                    std::io::ErrorKind::NotFound => "make it, or correct the path",
                    _ => "the broker's user has to be able to read it",
                };
                Some(self.absent(key, &problem, reference).hint(hint))
            }
            Ok(metadata) if is_open(&metadata) => {
                let problem = "names a file that every user of this machine can read";
                let finding = Finding::error(FindingCode::Weak, key, problem);
                let finding = match self.deployment {
                    Deployment::Prod => finding,
                    Deployment::Dev | Deployment::Staging => {
                        Finding { severity: Severity::Warning, ..finding }
                    }
                };
                let finding = finding.found(reference.to_string());
                Some(finding.hint(format!("chmod 0600 {}", path.display())))
            }
            Ok(_) => None,
        }
    }

    /// Secrets are read when they are needed, so in dev one that is not there yet is a warning. Elsewhere the start waits for it:
    /// a pod that were ready without would fail what needs it, and nobody would know why.
    fn absent(&self, key: &Key, problem: &str, reference: &SecretRef) -> Finding {
        let finding =
            Finding::error(FindingCode::Unreadable, key, problem).found(reference.to_string());
        let finding = Finding { may_come: true, ..finding };
        match self.deployment {
            Deployment::Prod | Deployment::Staging => finding,
            Deployment::Dev => Finding { severity: Severity::Warning, ..finding },
        }
    }

    /// The secret itself, where it can be had without asking a backend.
    fn at_hand(&self, source: &SecretSource) -> Option<SecretText> {
        match source {
            SecretSource::Literal(text) => Some(text.clone()),
            SecretSource::Ref(SecretRef::Env(name)) => {
                self.environment.get(name).map(|value| SecretText::new(value.to_owned()))
            }
            SecretSource::Ref(SecretRef::File(path)) => {
                let text = std::fs::read_to_string(path).ok()?;
                Some(SecretText::new(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
            }
            SecretSource::Ref(_) => None,
        }
    }

    /// A key-encryption key is 32 bytes in base64, checked where it is at hand.
    pub(super) fn encryption_key(&mut self, key: &Key, source: &SecretSource) {
        let Some(text) = self.at_hand(source) else { return };
        let decoded = STANDARD.decode(text.expose().trim()).map(|bytes| bytes.len());
        if decoded != Ok(32) {
            let finding = Finding::error(FindingCode::NotAllowed, key, "is not 32 bytes in base64");
            self.add(finding.allowed("32 random bytes in base64").hint("openssl rand -base64 32"));
        }
    }

    /// What opens everything else, outside dev: a variable is seen by whoever looks at the process, and by what it starts.
    pub(super) fn not_for_the_environment(&mut self, key: &Key) {
        if self.deployment == Deployment::Dev {
            return;
        }
        let problem = "comes from the environment, which is for dev: whoever reads it there reads the whole store";
        let finding = Finding::warning(FindingCode::Weak, key, problem);
        self.add(finding.allowed("a file, or a systemd credential").hint(
            "file:/run/secrets/kek, mode 0600; with systemd LoadCredential= and file:/run/credentials/UNIT/kek",
        ));
    }

    /// A shared secret, a client's included, is at least 32 bytes long (RFC 7518 §3.2) and known to nobody else, checked where it is at hand.
    pub(super) fn shared_secret(&mut self, key: &Key, source: &SecretSource) {
        let Some(text) = self.at_hand(source) else { return };
        let Some(problem) = weakness(&text) else { return };
        let finding = Finding::error(FindingCode::Weak, key, problem);
        let finding = finding.allowed("32 random bytes or more").hint("openssl rand -base64 48");
        match self.deployment {
            Deployment::Dev => self.add(Finding { severity: Severity::Warning, ..finding }),
            Deployment::Staging | Deployment::Prod => self.weak(finding),
        }
    }
}

/// What is wrong with a shared secret: shorter than 32 bytes (RFC 7518 §3.2), or known to everybody. Says nothing about
/// how random it is.
#[must_use]
pub fn weakness(secret: &SecretText) -> Option<&'static str> {
    if FROM_DOCUMENTATION.iter().any(|known| secret.expose().eq_ignore_ascii_case(known)) {
        Some("is a secret from documentation, which everybody knows")
    } else if secret.len() < 32 {
        Some("is shorter than 32 bytes (RFC 7518 §3.2)")
    } else {
        None
    }
}

fn unresolved(key: &Key, problem: &str, reference: &SecretRef) -> Finding {
    Finding::error(FindingCode::Unreadable, key, problem).found(reference.to_string())
}

#[cfg(unix)]
fn is_open(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn is_open(_: &std::fs::Metadata) -> bool {
    false
}
