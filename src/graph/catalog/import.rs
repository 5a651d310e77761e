//! Reads Microsoft's machine-readable permission data, minding what is known to be odd in it.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use http::Method;
use serde::Deserialize;

use super::{Operation, Risk, builtin};

/// The file is 3 MB today.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Where the permission that the data calls least is not the one an operator should grant.
/// Method, path in lower case, the permission to name, why.
pub(super) const OVERRIDES: [(&str, &str, &str, &str); 6] = [
    (
        "GET",
        "/groups/{id}",
        "Group.ReadBasic.All",
        "the data names Group-NestingSupport.ReadWrite.All, which reads one property",
    ),
    (
        "PATCH",
        "/groups/{id}",
        "Group.ReadWrite.All",
        "the data names a permission for one property only",
    ),
    (
        "GET",
        "/organization",
        "Organization.Read.All",
        "the data names DeviceManagementServiceConfig.Read.All, an Intune permission",
    ),
    (
        "GET",
        "/teams/{id}",
        "Team.ReadBasic.All",
        "the data names TeamSettings.Read.Group, granted per team",
    ),
    (
        "GET",
        "/teams/{id}/channels",
        "Channel.ReadBasic.All",
        "the data names ChannelSettings.Read.Group, granted per team",
    ),
    (
        "GET",
        "/teams/{id}/channels/{id}/messages",
        "ChannelMessage.Read.All",
        "the data names ChannelMessage.Read.Group, granted per team",
    ),
];

/// Why a file is not the permission data.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("the file is larger than {MAX_BYTES} bytes, unpacked")]
    TooLarge,
    #[error("the file begins like gzip and cannot be unpacked")]
    Gzip(#[source] std::io::Error),
    #[error("the file is not permissions.json of microsoftgraph/microsoft-graph-devx-content")]
    Json(#[source] serde_json::Error),
    #[error("the file names no operation that an app can do")]
    Empty,
}

#[derive(Deserialize)]
struct File {
    permissions: BTreeMap<String, RawPermission>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPermission {
    schemes: BTreeMap<String, RawScheme>,
    path_sets: Vec<PathSet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawScheme {
    privilege_level: Option<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PathSet {
    scheme_keys: Vec<String>,
    methods: Vec<String>,
    paths: BTreeMap<String, String>,
}

/// One permission for one operation; the order is "least first".
///
/// `least` is given per path and path set, not per method, so it is often ambiguous: then the set with
/// fewest methods, the lowest privilege level and a name that only reads come first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Permissions granted per team or chat (`*.Group`, `*.Chat`) are not an app's to have everywhere.
    per_resource: bool,
    not_least: bool,
    methods: usize,
    privilege: u8,
    writes: bool,
    name: String,
}

pub(super) fn import(bytes: &[u8]) -> Result<Vec<Operation>, ImportError> {
    let file: File = serde_json::from_slice(&unpack(bytes)?).map_err(ImportError::Json)?;
    let mut found: BTreeMap<(String, String), Vec<Candidate>> = BTreeMap::new();
    for (name, permission) in &file.permissions {
        // Hidden and delegated-only permissions have no such scheme.
        let Some(scheme) = permission.schemes.get("Application") else { continue };
        let privilege = scheme.privilege_level.unwrap_or(u8::MAX);
        for set in &permission.path_sets {
            collect(name, privilege, set, &mut found);
        }
    }
    let operations: Vec<Operation> = found.into_iter().filter_map(operation).collect();
    if operations.is_empty() { Err(ImportError::Empty) } else { Ok(operations) }
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, ImportError> {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut limited = MultiGzDecoder::new(bytes).take(MAX_BYTES + 1);
        limited.read_to_end(&mut plain).map_err(ImportError::Gzip)?;
    } else {
        plain.extend_from_slice(bytes);
    }
    let size = u64::try_from(plain.len()).unwrap_or(u64::MAX);
    if size > MAX_BYTES { Err(ImportError::TooLarge) } else { Ok(plain) }
}

fn collect(
    name: &str,
    privilege: u8,
    set: &PathSet,
    found: &mut BTreeMap<(String, String), Vec<Candidate>>,
) {
    let application = |key: &str| key.trim() == "Application";
    if !set.scheme_keys.iter().any(|key| application(key)) {
        return;
    }
    for (path, notes) in &set.paths {
        let least = notes.split(';').filter_map(|note| note.trim().strip_prefix("least="));
        let least = least.flat_map(|keys| keys.split(',')).any(application);
        let candidate = Candidate {
            per_resource: [".Group", ".Chat", ".User"].iter().any(|end| name.ends_with(end)),
            not_least: !least,
            methods: set.methods.len(),
            privilege,
            writes: !name.contains("Read") || name.contains("Write"),
            name: name.to_owned(),
        };
        for method in &set.methods {
            // Paths differ in case alone in 37 places; Graph does not tell them apart.
            let key = (method.to_ascii_uppercase(), path.to_ascii_lowercase());
            found.entry(key).or_default().push(candidate.clone());
        }
    }
}

fn operation(
    ((method, path), mut candidates): ((String, String), Vec<Candidate>),
) -> Option<Operation> {
    candidates.sort();
    let mut permissions = Vec::new();
    let ours = OVERRIDES.iter().find(|(m, p, ..)| *m == method && *p == path);
    let names = ours.map(|(.., name, _)| *name).into_iter();
    for name in names.chain(candidates.iter().map(|candidate| candidate.name.as_str())) {
        let permission = name.parse().ok()?;
        if !permissions.contains(&permission) {
            permissions.push(permission);
        }
    }
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let known = builtin::operations()
        .into_iter()
        .find(|known| known.method == method && known.path_template.eq_ignore_ascii_case(&path));
    let (risk, description) = match known {
        Some(known) => (known.risk, known.description),
        None => (risk(&method), "".into()),
    };
    Some(Operation { method, path_template: path.into(), permissions, risk, description })
}

fn risk(method: &Method) -> Risk {
    match method.as_str() {
        "GET" => Risk::Read,
        "DELETE" => Risk::Destructive,
        _ => Risk::Write,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::*;
    use crate::graph::catalog::Catalog;

    /// Written by hand in the shape of the real file, one entry per oddity.
    fn sample() -> Vec<u8> {
        let scheme = |level: u8| json!({"Application": {"privilegeLevel": level}});
        let set = |methods: &[&str], path: &str, notes: &str| json!([{"schemeKeys": ["DelegatedWork", "Application"], "methods": methods, "paths": {path: notes}}]);
        json!({"permissions": {
            "User.ReadWrite.All": {"schemes": scheme(4), "pathSets": set(&["GET", "PATCH"], "/users/{id}", "least=Application")},
            "User.Read.All": {"schemes": scheme(3), "pathSets": set(&["GET"], "/Users/{id}", "least=DelegatedWork,Application;AlsoRequires=X")},
            "User.Read": {"schemes": {"DelegatedWork": {"privilegeLevel": 1}}, "pathSets": set(&["GET"], "/users/{id}", "")},
            "TeamSettings.Read.Group": {"schemes": scheme(1), "pathSets": set(&["GET"], "/chats/{id}", "least=Application")},
            "Chat.Read.All": {"schemes": scheme(3), "pathSets": set(&["GET"], "/chats/{id}", "")},
            "Group-NestingSupport.ReadWrite.All": {"schemes": scheme(3), "pathSets": set(&["GET"], "/groups/{id}", "least=Application")},
        }})
        .to_string()
        .into_bytes()
    }

    fn least(catalog: &Catalog, method: &Method, path: &str) -> Option<String> {
        catalog.explain(method, path)?.least().map(ToString::to_string)
    }

    #[test]
    fn the_least_permission_survives_the_oddities_of_the_data() {
        let catalog = Catalog::import(&sample()).unwrap();
        let get = |path: &str| least(&catalog, &Method::GET, path);
        assert_eq!(
            get("/users/1").as_deref(),
            Some("User.Read.All"),
            "fewest methods, case folded"
        );
        assert_eq!(
            get("/chats/1").as_deref(),
            Some("Chat.Read.All"),
            "not the one granted per team"
        );
        assert_eq!(get("/groups/1").as_deref(), Some("Group.ReadBasic.All"), "overridden");
        let patch = least(&catalog, &Method::PATCH, "/users/1");
        assert_eq!(patch.as_deref(), Some("User.ReadWrite.All"));
    }

    #[test]
    fn gzip_is_unpacked_and_rubbish_is_refused() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&sample()).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(Catalog::import(&gzip).unwrap().list().len(), 4);
        assert!(matches!(Catalog::import(&gzip[..20]), Err(ImportError::Gzip(_))));
        assert!(matches!(Catalog::import(b"{}"), Err(ImportError::Json(_))));
        assert!(matches!(Catalog::import(br#"{"permissions":{}}"#), Err(ImportError::Empty)));
    }

    #[test]
    fn a_gzip_bomb_is_not_unpacked() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![b' '; 1024 * 1024];
        (0..65).for_each(|_| gzip.write_all(&zeros).unwrap());
        assert!(matches!(Catalog::import(&gzip.finish().unwrap()), Err(ImportError::TooLarge)));
    }
}
