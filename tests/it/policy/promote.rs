//! `broker policy promote`: the shadow rules become the live ones.

use std::os::unix::fs::PermissionsExt as _;

use super::{HELPDESK, as_json, said, write};

#[test]
fn the_shadow_rules_are_promoted_whole_and_the_old_ones_kept() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[policy]\nfile = \"live.toml\"\nshadow_file = \"next.toml\"\n";
    write(directory.path(), "broker.toml", settings);
    write(directory.path(), "live.toml", HELPDESK);
    let next = HELPDESK.replace("helpdesk\"", "next\"");
    write(directory.path(), "next.toml", &next);
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let (refused, code) = said(directory.path(), &["promote", "--version", "other"]);
    assert_eq!((code, read("live.toml").as_str()), (Some(1), HELPDESK), "{refused}");
    let would = as_json(directory.path(), &["promote", "--dry-run"]);
    assert_eq!(would["promoted"], false, "{would}");
    assert!(would["policy_version"].as_str().unwrap().starts_with("next+"), "{would}");
    let (done, code) = said(directory.path(), &["promote"]);
    assert_eq!(code, Some(0), "{done}");
    assert_eq!((read("live.toml"), read("live.previous.toml")), (next, HELPDESK.to_owned()));
    let log = read("audit.commands.jsonl");
    assert!(log.contains("admin.change.ended") && log.contains("\"requester_id\":\"uid:"), "{log}");
    // Once more there is nothing to promote, and the way back stays.
    let (again, code) = said(directory.path(), &["promote"]);
    assert_eq!(code, Some(1), "{again}");
    assert_eq!(read("live.previous.toml"), HELPDESK);
}

#[test]
fn rules_that_a_link_leads_to_are_promoted_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[policy]\nfile = \"live.toml\"\nshadow_file = \"next.toml\"\n";
    write(directory.path(), "broker.toml", settings);
    write(directory.path(), "target.toml", HELPDESK);
    let (link, target) = (directory.path().join("live.toml"), directory.path().join("target.toml"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(&target, mode.clone()).unwrap();
    let next = HELPDESK.replace("helpdesk\"", "next\"");
    write(directory.path(), "next.toml", &next);
    let (done, code) = said(directory.path(), &["promote"]);
    assert_eq!(code, Some(0), "{done}");
    assert_eq!(std::fs::read_link(&link).unwrap(), target);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), next);
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, mode.mode());
}

#[test]
fn shadow_rules_with_a_fault_are_not_promoted() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[policy]\nfile = \"live.toml\"\nshadow_file = \"next.toml\"\n";
    write(directory.path(), "broker.toml", settings);
    write(directory.path(), "live.toml", HELPDESK);
    write(directory.path(), "next.toml", &HELPDESK.replace("allow", "alow"));
    let (said, code) = said(directory.path(), &["promote"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("next.toml:5:"), "{said}");
    assert_eq!(std::fs::read_to_string(directory.path().join("live.toml")).unwrap(), HELPDESK);
}

/// A broker that runs may have others in force, which are in no file any more.
#[test]
fn a_file_with_faults_is_not_called_the_old_rules() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[policy]\nfile = \"live.toml\"\nshadow_file = \"next.toml\"\n";
    write(directory.path(), "broker.toml", settings);
    write(directory.path(), "live.toml", &HELPDESK.replace("allow", "alow"));
    write(directory.path(), "next.toml", HELPDESK);
    let (said, code) = said(directory.path(), &["promote"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("takes the place of rules with faults"), "{said}");
    assert!(said.contains("what the file held is in "), "{said}");
    assert!(!said.contains("old rules"), "{said}");
}
