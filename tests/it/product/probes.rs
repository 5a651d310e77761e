//! `broker health` and `ready` where TLS ends in the broker.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::child::{Served, command_beside};

/// A public name that is not where it listens, and TLS with what stands in the folder.
fn tls(directory: &Path) -> String {
    let key = directory.join("key.pem");
    format!(
        "[server]\npublic_url = \"https://broker.example\"\n\
         tls = {{ cert = \"cert.pem\", key = \"file:{}\" }}\n",
        key.display()
    )
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// Such as `openssl req -x509` makes: an authority for nobody but itself, and for another name than loopback.
fn self_signed(directory: &Path) {
    let mut parameters = CertificateParams::new(vec!["broker.example".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write(directory, "cert.pem", &parameters.self_signed(&key).unwrap().pem());
    write(directory, "key.pem", &key.serialize_pem());
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// One certificate of the authority, for these names.
fn issued(directory: &Path, by: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(names).unwrap().signed_by(&key, by).unwrap();
    write(directory, "cert.pem", &made.pem());
    write(directory, "key.pem", &key.serialize_pem());
}

/// The exit code with what was said.
fn probe(directory: &Path, authority: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command_beside(directory, authority, arguments);
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probes_know_the_certificate_of_the_broker_at_every_listen_address() {
    let directory = tempfile::tempdir().unwrap();
    self_signed(directory.path());
    let served = Served::start(directory.path(), &tls(directory.path()), &[]).await;
    let port = served.authority.rsplit_once(':').unwrap().1.to_owned();
    for listen in [served.authority.clone(), format!("0.0.0.0:{port}"), format!("[::]:{port}")] {
        for (command, says) in [("health", "\"up\""), ("ready", "\"ready\"")] {
            let arguments = ["--set", "server.dev_on_network=true", command];
            let (code, said) = probe(directory.path(), &listen, &arguments);
            assert!(code == Some(0) && said.contains(says), "{command} at {listen}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_broker_is_trusted_by_the_authorities_of_the_settings() {
    let directory = tempfile::tempdir().unwrap();
    let ca = authority();
    issued(directory.path(), &ca, &["localhost"]);
    write(directory.path(), "ca.pem", &ca.as_ref().pem());
    let served = Served::start(directory.path(), &tls(directory.path()), &[]).await;
    let url = format!("https://localhost:{}", served.authority.rsplit_once(':').unwrap().1);
    let trusted = ["--set", "outbound.ca_file=ca.pem", "health", "--url", &url];
    let (code, said) = probe(directory.path(), &served.authority, &trusted);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = probe(directory.path(), &served.authority, &trusted[2..]);
    assert!(code == Some(1) && said.contains("\nhint: ") && said.contains("outbound.ca_file"));
    let plain = url.replace("https", "http");
    let (code, said) = probe(directory.path(), &served.authority, &["health", "--url", &plain]);
    assert!(code == Some(1) && said.contains("https://"), "{said}");
}

/// No authority makes it known there, and the hint says what does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_broker_that_signed_itself_is_known_without_its_name() {
    let directory = tempfile::tempdir().unwrap();
    self_signed(directory.path());
    let served = Served::start(directory.path(), &tls(directory.path()), &[]).await;
    let url = format!("https://{}", served.authority);
    let named = ["--set", "outbound.ca_file=cert.pem", "health", "--url", &url];
    let (code, said) = probe(directory.path(), &served.authority, &named);
    assert!(
        code == Some(1) && said.contains("known from server.tls.cert, without --url"),
        "{said}"
    );
    let (code, said) = probe(directory.path(), &served.authority, &["health"]);
    assert_eq!(code, Some(0), "{said}");
}

/// Until it is started anew it shows the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_leaves_the_probes_alone_where_the_same_authority_issued_it() {
    let directory = tempfile::tempdir().unwrap();
    let ca = authority();
    issued(directory.path(), &ca, &["broker.example"]);
    let served = Served::start(directory.path(), &tls(directory.path()), &[]).await;
    issued(directory.path(), &ca, &["broker.example"]);
    let (code, said) = probe(directory.path(), &served.authority, &["health"]);
    assert!(code == Some(1) && said.contains("hint: ") && said.contains("restart"), "{said}");
    let renewed = std::fs::read_to_string(directory.path().join("cert.pem")).unwrap();
    write(directory.path(), "cert.pem", &format!("{renewed}{}", ca.as_ref().pem()));
    let (code, said) = probe(directory.path(), &served.authority, &["health"]);
    assert_eq!(code, Some(0), "{said}");
    let other = ["--set", "server.public_url=https://other.example", "health"];
    let (code, said) = probe(directory.path(), &served.authority, &other);
    assert_eq!(code, Some(1), "it is not the one of that name: {said}");
}
