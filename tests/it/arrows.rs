//! Which module may name which. The table here is the one that `docs/architecture.md` shows.

mod paths;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mcp_auth_broker::config::Environment;

use paths::paths;

/// Modules that know nothing else in the crate, but for what `ARROWS` lists.
const LEAVES: &[&str] = &[
    "api_key",
    "background",
    "certificate_name",
    "code",
    "id",
    "scope",
    "time",
    "random",
    "public_jwks",
    "redirect_uri",
    "host_trust",
    "secret_text",
    "secret_ref",
    "outbound",
    "process",
    "metrics",
    "steps",
    "login_provider",
];
const PARTS: &[&str] = &[
    "resource_server",
    "policy",
    "limits",
    "secret",
    "token",
    "graph",
    "audit",
    "store",
    "config",
    "oauth_client",
    "connections",
];
const EDGES: &[&str] = &["authorization_server", "mcp", "upstream", "forward_auth", "admin"];

/// What a module may use. `policy::Permit` is that one type, `policy` all of it.
const ARROWS: &[(&str, &[&[&str]])] = &[
    // leaves
    ("api_key", &[&["random", "secret_text"]]),
    ("background", &[]),
    ("certificate_name", &[]),
    ("code", &[]),
    ("id", &[&["random", "time"]]),
    ("scope", &[]),
    ("time", &[]),
    ("random", &[&["time"]]),
    ("public_jwks", &[]),
    ("redirect_uri", &[]),
    ("host_trust", &[]),
    ("secret_text", &[]),
    ("secret_ref", &[]),
    ("outbound", &[&["time"]]),
    ("process", &[]),
    ("metrics", &[&["time"]]),
    ("steps", &[&["id", "time"]]),
    ("login_provider", &[]),
    ("fake_http", &[&["outbound"]]), // in unit tests only
    // parts: leaves, and of each other only the type handed to them
    ("resource_server", &[LEAVES]),
    ("protect", &[LEAVES, &["resource_server"]]), // only in `mcp-auth-layer`
    ("policy", &[LEAVES]),
    ("limits", &[LEAVES, &["store"]]),
    ("secret", &[LEAVES, &["policy::Permit"]]),
    (
        "token",
        &[
            LEAVES,
            &["secret::Secret", "secret::SecretError", "policy::Permit", "policy::GraphGrant"],
        ],
    ),
    ("graph", &[LEAVES, &["token::ProviderToken", "policy::Permit", "policy::GraphGrant"]]),
    (
        "audit",
        &[
            LEAVES,
            &[
                "limits::NetworkShare",
                "limits::site",
                "policy::Decision",
                "policy::Difference",
                "policy::Effect",
                "policy::LoginNeeded",
                "policy::Obligations",
                "policy::Reason",
                "policy::Recorded",
                "policy::Step",
                "store",
            ],
        ],
    ),
    ("connections", &[LEAVES, &["oauth_client", "store"]]),
    ("oauth_client", &[LEAVES, &["secret::SecretError", "secret::Secrets"]]),
    ("store", &[LEAVES]),
    ("config", &[LEAVES]),
    // the use case
    ("broker", &[LEAVES, PARTS]),
    // what stands before every MCP endpoint
    ("guard", &[LEAVES, &["audit", "broker", "limits", "policy", "resource_server"]]),
    // edges: never each other
    ("authorization_server", &[LEAVES, PARTS, &["broker", "fake_http"]]), // the last in unit tests only
    ("mcp", &[LEAVES, PARTS, &["broker", "guard"]]),
    ("upstream", &[LEAVES, PARTS, &["broker", "guard"]]),
    ("forward_auth", &[LEAVES, PARTS, &["broker", "guard", "protect::Message"]]),
    ("admin", &[LEAVES, PARTS, &["broker"]]),
    ("http", &[LEAVES, PARTS, EDGES, &["broker", "guard"]]),
    // the top
    ("telemetry", &[LEAVES]),
    ("app", &[LEAVES, PARTS, EDGES, &["broker", "guard", "http", "telemetry", "cli"]]),
    ("cli", &[LEAVES, PARTS, EDGES, &["broker", "http", "telemetry", "app"]]),
    ("main", &[LEAVES, PARTS, EDGES, &["broker", "http", "telemetry", "app", "cli"]]),
    ("lib", &[LEAVES, &["protect", "resource_server"]]), // which it shows from `mcp_auth_layer`
];

/// How a module of either package is named from the other, or from within.
const CRATES: [&str; 3] = ["crate", "mcp_auth_broker", "mcp_auth_layer"];

/// Names from outside that only some modules may know.
const OUTSIDE: &[(&str, &[&str])] = &[
    (
        "axum",
        &[
            "http",
            "guard",
            "authorization_server",
            "mcp",
            "upstream",
            "forward_auth",
            "admin",
            "app",
        ],
    ),
    ("sqlx", &["store"]),
    ("rusqlite", &["store"]),
    ("rmcp", &["mcp", "upstream", "cli"]),
    ("reqwest", &["outbound"]),
    ("prometheus_client", &["metrics"]),
    ("std::env", &["config", "main"]),
];

#[test]
fn no_module_uses_what_the_table_does_not_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for package in ["", "layer"] {
        no_module_of(&root.join(package).join("src"));
    }
}

fn no_module_of(root: &Path) {
    let mut wrong = Vec::new();
    let mut files = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files += 1;
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                if is_test(name) {
                    continue; // a part's tests set up what hands it its values
                }
                wrong.extend(check(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files > 20, "the sources were found");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Whether a file holds unit tests alone: `tests.rs`, or anything in a folder `tests` or `…_tests`.
fn is_test(name: &str) -> bool {
    name.trim_end_matches(".rs")
        .split('/')
        .skip(1)
        .any(|part| part == "tests" || part.ends_with("_tests"))
}

/// Whoever reads the page reads what is executed.
#[test]
fn the_page_of_the_architecture_shows_this_table() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/architecture.md");
    const BEGIN: &str = "<!-- arrows: generated from tests/it/arrows.rs; `UPDATE_DOCS=1 cargo test` rewrites it -->\n";
    const END: &str = "<!-- arrows: end -->\n";
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let written = format!("{before}{BEGIN}{}{END}{after}", table());
    if Environment::capture().get("UPDATE_DOCS").is_some() {
        fs::write(PAGE, &written).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap();
    assert!(page == written, "UPDATE_DOCS=1 cargo test rewrites docs/architecture.md");
}

fn table() -> String {
    let named = |modules: &[&str]| {
        modules.iter().map(|module| format!("`{module}`")).collect::<Vec<_>>().join(", ")
    };
    let mut table = "\n| module | may use |\n|---|---|\n".to_owned();
    writeln!(table, "| *leaves* | {}: each what stands below, and nothing else |", named(LEAVES))
        .unwrap();
    writeln!(table, "| *parts* | {} |", named(PARTS)).unwrap();
    writeln!(table, "| *edges* | {} |", named(EDGES)).unwrap();
    for (module, groups) in ARROWS {
        let groups = groups.iter().map(|group| match *group {
            group if group == LEAVES => "*leaves*".to_owned(),
            group if group == PARTS => "*parts*".to_owned(),
            group if group == EDGES => "*edges*".to_owned(),
            group => named(group),
        });
        let may = groups.collect::<Vec<_>>().join(", ");
        let may = if may.is_empty() { "nothing" } else { &may };
        writeln!(table, "| `{module}` | {may} |").unwrap();
    }
    table.push('\n');
    table
}

/// The check itself: each of these lines is wrong where it stands.
#[test]
fn planted_wrong_arrows_are_found() {
    for (file, source) in [
        ("policy/mod.rs", "use crate::graph::GraphReply;"),
        ("secret/cache.rs", "use crate::policy::Decision;"),
        ("secret/cache.rs", "use crate::policy::{Permit, Decision};"),
        ("secret/cache.rs", "use crate::policy;"),
        ("secret/cache.rs", "use crate::policy::*;"),
        ("graph/path.rs", "fn f(x: crate::config::Config) {}"),
        ("code.rs", "use super::policy::Permit;"),
        ("graph/mod.rs", "use super::mcp::Caller;"),
        ("mcp/guard.rs", "use crate::upstream::Session;"),
        ("mcp/tools/a.rs", "use super::super::guard::Guard;"),
        ("broker/execute.rs", "use crate::{\n    mcp::Caller,\n    policy::Permit,\n};"),
        ("resource_server/layer.rs", "use axum::Router;"),
        ("secret/vault.rs", "use std::{env, fs};"),
        ("graph/client.rs", "let client = reqwest::Client::new();"),
        ("main.rs", "use mcp_auth_broker::unknown::X;"),
        ("graph/mod.rs", "use mcp_auth_layer::resource_server::Principal;"),
        ("surprise/mod.rs", "// a module that nobody listed"),
    ] {
        assert!(!check(file, source).is_empty(), "{file}: {source}");
    }
}

#[test]
fn what_is_allowed_or_only_written_about_is_not_found() {
    for (file, source) in [
        ("secret/cache.rs", "use crate::policy::Permit;\nuse crate::time::Clock;"),
        ("audit/event.rs", "use crate::policy::{Decision, Effect, Reason};"),
        ("graph/path.rs", "/// Not [`crate::config::Config`].\nconst A: &str = \"crate::mcp::X\";"),
        (
            "graph/path.rs",
            "const A: &str = r#\"use axum::Router; \" crate::mcp\"#; const Q: char = '\"';",
        ),
        ("policy/mod.rs", "pub(crate) fn f<'a>(x: &'a str) {}\nmod tests { use super::*; }"),
        ("mcp/tools/a.rs", "use crate::mcp::caller::Caller;\nuse axum::Router;"),
    ] {
        assert_eq!(check(file, source), Vec::<String>::new(), "{file}: {source}");
    }
}

/// Every arrow in `source` that its module may not have, one line of text each.
fn check(file: &str, source: &str) -> Vec<String> {
    let module = file.split('/').next().unwrap().trim_end_matches(".rs");
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "{file}: module `{module}` is not in the table of tests/it/arrows.rs"
        )];
    };
    let allowed: Vec<&str> = allowed.iter().flat_map(|list| list.iter().copied()).collect();
    let is_root = !file.contains('/') || file == format!("{module}/mod.rs");
    let mut wrong = Vec::new();
    for (line, path) in paths(source) {
        let shown = source.lines().nth(line - 1).unwrap_or_default().trim();
        let why = match crate_path(&path, is_root) {
            Some([]) => Some(
                "one `use` per module: no `use crate::{`, no `crate::*`, no `super::super`"
                    .to_owned(),
            ),
            Some([target, ..]) if target == module => None,
            Some(target) if is_allowed(target, &allowed) => None,
            Some(target) => Some(format!(
                "`{module}` may not use `{}`; it may use: {}",
                target.join("::"),
                allowed.join(", ")
            )),
            None => outside(&path, module),
        };
        wrong.extend(why.map(|why| format!("src/{file}:{line}: {shown}\n    {why}")));
    }
    wrong
}

/// The path within the crate, if it is one: `[]` for the crate's root itself.
fn crate_path(path: &[String], is_root: bool) -> Option<&[String]> {
    let known = |name: &String| ARROWS.iter().any(|(module, _)| module == name);
    match path {
        [first, rest @ ..] if CRATES.contains(&first.as_str()) => match rest {
            [star, ..] if star == "*" || star == "{" => Some(&[]),
            rest => Some(rest),
        },
        [first, second, ..] if first == "super" && second == "super" => Some(&[]),
        [first, rest @ ..] if first == "super" && is_root && rest.first().is_some_and(known) => {
            Some(rest)
        }
        _ => None,
    }
}

fn is_allowed(target: &[String], allowed: &[&str]) -> bool {
    allowed.iter().any(|entry| {
        let entry: Vec<&str> = entry.split("::").collect();
        target.len() >= entry.len() && entry.iter().zip(target).all(|(a, b)| a == b)
    })
}

fn outside(path: &[String], module: &str) -> Option<String> {
    let (name, allowed) = OUTSIDE.iter().find(|(name, _)| {
        let name: Vec<&str> = name.split("::").collect();
        path.len() >= name.len() && name.iter().zip(path).all(|(a, b)| a == b)
    })?;
    let fine = allowed.contains(&module);
    (!fine).then(|| format!("`{module}` may not name `{name}`; only: {}", allowed.join(", ")))
}
