//! Secrets that stand in the settings where they should not, or in files of a form that nobody reads: no command shows them.

use std::path::Path;
use std::process::Command;

/// What every command says that looks at these settings, as one text.
fn everything_said(directory: &Path) -> String {
    let commands: [&[&str]; 7] = [
        &["serve"],
        &["check"],
        &["check", "--json"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["doctor", "--json"],
        &["support-bundle", "--out", "-"],
    ];
    said_by(directory, &commands)
}

fn said_by(directory: &Path, commands: &[&[&str]]) -> String {
    let said = commands.iter().map(|arguments| {
        // With nothing set but what the file says.
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_broker")]).args(*arguments);
        let output = command.current_dir(directory).env_clear().output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    });
    said.collect::<Vec<_>>().join("\n")
}

// CWE-209, CWE-532 — N115
#[test]
fn the_password_of_a_database_is_not_shown_however_the_url_is_spelt() {
    for url in [
        "host=127.0.0.1 port=1 user=u password=CANARY dbname=b",
        "postgres//u:CANARY@127.0.0.1:1/b",
        "postgres:/u:CANARY@127.0.0.1:1/b",
        "u:CANARY@127.0.0.1:1/b",
        "postgres://u@127.0.0.1:1/b?password=CANARY",
        "postgres://u:CANARY@127.0.0.1:1/b",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let settings = format!("[store]\nurl = \"{url}\"\n");
        std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
        // What is a URL is taken, and each command but these would wait for the database that is not there.
        let said = if url.starts_with("postgres://") {
            let offline: &[&str] = &["support-bundle", "--offline", "--out", "-"];
            said_by(directory.path(), &[&["config", "show"], &["check"], offline])
        } else {
            everything_said(directory.path())
        };
        assert!(said.contains("store.url"), "{said}");
        assert!(!said.contains("CANARY"), "{url}: {said}");
    }
}

/// What Kubernetes, Terraform and shells make of a PEM that nobody put in quotes.
// CWE-209, CWE-532 — N115
#[test]
fn a_private_key_that_lost_its_line_breaks_is_not_shown() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.signing_key.serialize_pem();
    let flat = pem.replace('\n', " ");
    let without_end = flat.replace("-----END PRIVATE KEY-----", "");
    let bundle = format!("{} {flat}", made.cert.pem().replace('\n', " "));
    let secret = pem.lines().nth(1).unwrap().get(..24).unwrap();
    let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    let bytes = bytes.join(", ");
    for (cert, key) in
        [(made.cert.pem(), flat), (made.cert.pem(), without_end), (bundle, pem.clone())]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("cert.pem"), cert).unwrap();
        std::fs::write(path("key.pem"), key).unwrap();
        let settings = format!(
            "[server.tls]\ncert = \"cert.pem\"\nkey = \"file:{}\"\n",
            path("key.pem").display()
        );
        std::fs::write(path("broker.toml"), settings).unwrap();
        let said = everything_said(directory.path());
        assert!(said.contains("PEM"), "{said}");
        assert!(!said.contains(secret) && !said.contains(&bytes), "{said}");
    }
}
