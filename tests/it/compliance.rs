//! `docs/compliance.md` is written from the comments above the tests: which test holds which rule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use mcp_auth_broker::config::Environment;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How a comment that names its rule begins.
const SOURCES: [&str; 9] =
    ["RFC ", "OAuth ", "OIDC ", "WebAuthn ", "MCP ", "CIMD ", "CSP ", "OWASP ", "N"];

/// The last row of the list of attacks.
const ROWS: u32 = 120;

/// Rows that no test holds, and why.
const WITHOUT: [(u32, &str); 0] = [];

const HEAD: &str = "\
<!-- Generated from the comments above the tests; `UPDATE_DOCS=1 cargo test` rewrites it. -->

# Compliance

Which test holds which rule. Each is meant to fail when what it names is taken out; not each was seen to. Numbers such as N12, RS-21, AS-8 or TR-6 are those of our own lists
of attacks and of requirements. The official MCP conformance suites (server, client and authorization server), oauth4webapi, the MCP TypeScript clients, node
oidc-provider, msal, the Graph and Connect clients are asked beside these tests, by `scripts/conformance`, `scripts/conformance-client`, `scripts/authorization/run`, `scripts/clients` and
`scripts/oracles/run`.

N15 to N20, N27 and N59 ask for an error by redirect. A client that an administrator set up gets it, and an app on the person's own computer; one that registered
itself, or is known by its document only, and has its answers sent to a remote host gets a page with a button instead (RFC 9700 §4.11.2), `prompt=none` included.

AS-18 lets the URL that is a client's id name a port: here that is for the hosts of `authorization_server.client_metadata_private` alone. AS-21 wants no failure kept: one is
remembered for half a minute, so that nobody has the broker ask a host again and again.
";

#[test]
fn the_page_of_compliance_is_current() {
    let found = collect();
    assert!(found.len() > 100, "the comments were found");
    let page = page(&found);
    let path = format!("{ROOT}/docs/compliance.md");
    if Environment::capture().get("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "UPDATE_DOCS=1 cargo test rewrites docs/compliance.md");
}

/// A rule as its comment has it, and the tests under it.
type Rules = BTreeMap<String, Vec<String>>;

fn collect() -> Rules {
    let mut found = Rules::new();
    for folder in ["src", "layer/src", "layer/tests", "tests"] {
        collect_below(&Path::new(ROOT).join(folder), &mut found);
    }
    for tests in found.values_mut() {
        tests.sort();
    }
    found
}

fn collect_below(folder: &Path, found: &mut Rules) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(ROOT).unwrap().display().to_string();
            collect_in(&file, &std::fs::read_to_string(&path).unwrap(), found);
        }
    }
}

/// A comment counts where only attributes, one of them a test's, stand between it and a function.
fn collect_in(file: &str, text: &str, found: &mut Rules) {
    let mut rule: Option<&str> = None;
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("// ") {
            rule = SOURCES.iter().any(|source| names_a_rule(comment, source)).then_some(comment);
            is_test = false;
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        } else if let (Some(rule), true, Some(name)) = (rule.take(), is_test, function(line)) {
            found.entry(rule.to_owned()).or_default().push(format!("`{name}` ({file})"));
            is_test = false;
        }
    }
}

fn names_a_rule(comment: &str, source: &str) -> bool {
    let rest = comment.strip_prefix(source);
    rest.is_some_and(|rest| {
        source.len() > 1 || rest.starts_with(|first: char| first.is_ascii_digit())
    })
}

fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split('(').next()
}

fn page(found: &Rules) -> String {
    let mut page = HEAD.to_owned();
    for (title, source) in [
        ("OAuth", "OAuth "),
        ("RFCs", "RFC "),
        ("OpenID Connect", "OIDC "),
        ("Web Authentication", "WebAuthn "),
        ("Client ID metadata documents", "CIMD "),
        ("Model Context Protocol", "MCP "),
        ("Content Security Policy", "CSP "),
        ("OWASP", "OWASP "),
        ("Attacks without a section", "N"),
    ] {
        let rules = found.iter().filter(|(rule, _)| names_a_rule(rule, source));
        writeln!(page, "\n## {title}\n\n| rule | tests |\n|---|---|").unwrap();
        for (rule, tests) in rules {
            writeln!(page, "| {rule} | {} |", tests.join("<br>")).unwrap();
        }
    }
    let tested: Vec<u32> = found.keys().flat_map(|rule| rows(rule)).collect();
    let without = WITHOUT.iter().filter(|(row, _)| !tested.contains(row));
    let without: Vec<_> = without.collect();
    if !without.is_empty() {
        writeln!(page, "\n## Attacks that no test holds\n\n| row | why |\n|---|---|").unwrap();
    }
    for (row, why) in without {
        writeln!(page, "| N{row} | {why} |").unwrap();
    }
    page
}

/// The numbers of the list of attacks in a rule: `N3, N15 to N20`.
fn rows(rule: &str) -> Vec<u32> {
    numbered(rule, "N")
}

/// The same of another list.
fn numbered(rule: &str, prefix: &str) -> Vec<u32> {
    let words = rule.split([' ', ',']).filter(|word| !word.is_empty());
    let (mut rows, mut range) = (Vec::new(), false);
    for word in words {
        let number = word.strip_prefix(prefix).and_then(|digits| digits.parse().ok());
        match (number, rows.last()) {
            (Some(end), Some(&begin)) if range => rows.extend(begin + 1..=end),
            (Some(one), _) => rows.push(one),
            (None, _) => {}
        }
        range = word == "to";
    }
    rows
}

/// The last rows of the lists of what a resource server, its transport and its authorization server must do, and against
/// confused deputies.
const REQUIRED: [(&str, u32); 4] = [("RS-", 33), ("TR-", 27), ("AS-", 31), ("CD-", 6)];

#[test]
fn each_requirement_has_a_test() {
    let found = collect();
    for (prefix, last) in REQUIRED {
        let tested: Vec<u32> = found.keys().flat_map(|rule| numbered(rule, prefix)).collect();
        let forgotten: Vec<u32> = (1..=last).filter(|row| !tested.contains(row)).collect();
        assert_eq!(forgotten, Vec::<u32>::new(), "{prefix}");
    }
}

/// What nobody tests and nobody gave a reason for has been forgotten.
#[test]
fn each_row_of_the_list_of_attacks_has_a_test_or_a_reason() {
    let tested: Vec<u32> = collect().keys().flat_map(|rule| rows(rule)).collect();
    let known = |row: &u32| tested.contains(row) || WITHOUT.iter().any(|(known, _)| known == row);
    let forgotten: Vec<u32> = (1..=ROWS).filter(|row| !known(row)).collect();
    assert_eq!(forgotten, Vec::<u32>::new());
    assert_eq!(rows("RFC 6749 §3 — N3, N15 to N17, N20, CD-5"), [3, 15, 16, 17, 20]);
}

#[test]
fn only_comments_of_tests_are_rules() {
    let mut found = Rules::new();
    let text = "// RFC 1 §2 — N3\n#[tokio::test]\nasync fn a() {\n// RFC 9\nfn b() {\n// RFC 9\nlet x;\n#[test]\nfn c() {\n// N7\n#[test]\n#[expect(x)]\nfn d() {";
    collect_in("f.rs", text, &mut found);
    let expected = [("N7", "`d` (f.rs)"), ("RFC 1 §2 — N3", "`a` (f.rs)")];
    let expected = expected.map(|(rule, test)| (rule.to_owned(), vec![test.to_owned()]));
    assert_eq!(found, Rules::from(expected));
}
