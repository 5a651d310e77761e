//! Looking whether the documents of the catalogue are still what their hosts publish. Nothing is taken over by this: it says
//! what is otherwise, and makes the catalogue that somebody may put in place of the old one.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use crate::authorization_server::client_metadata;
use crate::outbound::{Call, Limits, Outbound};

use super::{KnownClients, SERVER, for_servers};

/// As where a client comes with such a document.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 10 * 1024 };
/// What is read of a document here; everything else is its host's own.
const MEMBERS: [&str; 20] = [
    "client_id",
    "client_name",
    "client_uri",
    "redirect_uris",
    "grant_types",
    "response_types",
    "token_endpoint_auth_method",
    "token_endpoint_auth_methods_supported",
    "jwks",
    "jwks_uri",
    "application_type",
    "scope",
    "require_pushed_authorization_requests",
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
];

const METHODS: [&str; 2] = ["token_endpoint_auth_method", "token_endpoint_auth_methods_supported"];
const BONDS: [&str; 3] = [
    "require_pushed_authorization_requests",
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
];

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Its URL, which is the client's id.
    pub client_id: String,
    pub now: Now,
}

/// What its host says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Now {
    Same,
    /// Something else than before.
    Changed {
        differences: Vec<Difference>,
        document: Map<String, Value>,
    },
    /// It could not be asked, or what it said is no document of this client: the one before stays.
    Kept(String),
}

/// One value that is there or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub member: String,
    pub value: String,
    /// `false`: it was there, and is no more.
    pub added: bool,
    /// Whether answers could go where they could not go before, or somebody else could prove to be this client, or needs no
    /// proof, or no key, any more.
    pub widens: bool,
}

impl Looked {
    /// Whether somebody has to say that they want this, and not only that the catalogue is to be written.
    #[must_use]
    pub fn widens(&self) -> bool {
        match &self.now {
            Now::Changed { differences, .. } => differences.iter().any(|one| one.widens),
            Now::Same | Now::Kept(_) => false,
        }
    }
}

impl KnownClients {
    /// Asks each host for its document, one after the other.
    pub async fn look(&self, outbound: &Outbound) -> Vec<Looked> {
        let mut all = Vec::with_capacity(self.documents.len());
        for (client_id, document) in &self.documents {
            let now = match fetch(outbound, client_id).await {
                Ok(fetched) => compare(client_id, document, fetched),
                Err(reason) => Now::Kept(reason),
            };
            all.push(Looked { client_id: client_id.clone(), now });
        }
        all
    }

    /// The catalogue with what was found, where that widens nothing or is among the ids that are `accepted`.
    #[must_use]
    pub fn with(&self, looked: &[Looked], accepted: &[String]) -> Self {
        let mut documents = self.documents.clone();
        for one in looked {
            let Now::Changed { document, .. } = &one.now else { continue };
            if !one.widens() || accepted.contains(&one.client_id) {
                documents.insert(one.client_id.clone(), document.clone());
            }
        }
        Self { source: self.source.clone(), documents }
    }
}

/// The document, or why there is none, in words of ours.
async fn fetch(outbound: &Outbound, client_id: &str) -> Result<Map<String, Value>, String> {
    let url: Url = client_id.parse().map_err(|_| "its id is no URL".to_owned())?;
    let call = Call::get(url).header(ACCEPT, HeaderValue::from_static("application/json"));
    let answer = outbound.send(call, LIMITS).await.map_err(|error| error.to_string())?;
    if answer.status != StatusCode::OK {
        return Err(format!("its host answered {}", answer.status));
    }
    client_metadata::parse(client_id, &answer.body).map_err(|error| error.to_string())?;
    let all: Map<String, Value> =
        serde_json::from_slice(&answer.body).map_err(|_| "it is no JSON object".to_owned())?;
    Ok(all.into_iter().filter(|(name, _)| MEMBERS.contains(&name.as_str())).collect())
}

/// Redirect URIs that stand for one of our resources are ours: no host lists them.
fn compare(client_id: &str, known: &Map<String, Value>, mut fetched: Map<String, Value>) -> Now {
    let ours = texts(known.get("redirect_uris"));
    let ours = ours.into_iter().filter(|uri| uri.contains(SERVER)).map(Value::from);
    if let Some(uris) = fetched.get_mut("redirect_uris").and_then(Value::as_array_mut) {
        uris.extend(ours);
    }
    // What is written is read again: with ours beside them, its own may be too many.
    let text = for_servers(fetched.clone(), ["https://server.example/mcp"].into_iter());
    if let Err(error) = client_metadata::parse(client_id, text.as_bytes()) {
        return Now::Kept(format!(
            "with the redirect URIs that stand for servers of ours: {error}"
        ));
    }
    let unproven = is_public(&fetched) && !is_public(known);
    let names: BTreeSet<&String> = known.keys().chain(fetched.keys()).collect();
    let differences: Vec<Difference> = names
        .into_iter()
        .flat_map(|name| of_member(name, known.get(name), fetched.get(name)))
        .map(|one| {
            let widens = one.widens || unproven && METHODS.contains(&one.member.as_str());
            Difference { widens, ..one }
        })
        .collect();
    if differences.is_empty() {
        return Now::Same;
    }
    Now::Changed { differences, document: fetched }
}

fn of_member(name: &str, before: Option<&Value>, after: Option<&Value>) -> Vec<Difference> {
    let (before, after) = (texts(before), texts(after));
    let one = |value: &String, added: bool| Difference {
        member: name.to_owned(),
        value: value.clone(),
        added,
        widens: if added { is_power(name, value) } else { is_bond(name, value) },
    };
    let gone = before.difference(&after).map(|value| one(value, false));
    let new = after.difference(&before).map(|value| one(value, true));
    gone.chain(new).collect()
}

/// Whether a client need not prove itself, as what is read of its document says: one that names no method is public.
fn is_public(document: &Map<String, Value>) -> bool {
    let [one, more] = METHODS.map(|name| texts(document.get(name)));
    one.is_empty() || one.contains("none") || more.contains("none")
}

/// What makes codes and tokens worthless to who steals them.
fn is_bond(name: &str, value: &str) -> bool {
    BONDS.contains(&name) && value == "true"
}

/// Where answers go, and with what a client proves who it is.
fn is_power(name: &str, value: &str) -> bool {
    match name {
        "redirect_uris" | "jwks" | "jwks_uri" => true,
        "token_endpoint_auth_method" | "token_endpoint_auth_methods_supported" => value == "none",
        _ => false,
    }
}

/// The values of a list, or the one value.
fn texts(value: Option<&Value>) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        None => BTreeSet::new(),
        Some(Value::Array(values)) => values.iter().map(text).collect(),
        Some(value) => BTreeSet::from([text(value)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_http::{Act, FakeHttp, loopback_client};

    fn known(client_id: &str, uris: &[&str]) -> KnownClients {
        let document = serde_json::json!({
            "client_id": client_id, "client_name": "App", "redirect_uris": uris,
            "token_endpoint_auth_method": "none",
        });
        let catalogue = serde_json::json!({ "source": "test", "documents": [document] });
        KnownClients::parse(&catalogue.to_string()).unwrap()
    }

    async fn looked(body: &str, status: u16) -> (KnownClients, Vec<Looked>) {
        let host = FakeHttp::start(vec![Act::json(status, body)]).await;
        let id = format!("{}client", host.origin);
        let known = known(&id, &["http://127.0.0.1/cb", "http://127.0.0.1/cb/%SERVER%"]);
        let looked = known.look(&loopback_client()).await;
        (known, looked)
    }

    const SAME: &str = r#"{"client_id":"%ORIGIN%client","client_name":"App","redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none","logo_uri":"https://x.example"}"#;

    #[tokio::test]
    async fn what_is_still_the_same_is_said_to_be_and_ours_stays() {
        let (_, looked) = looked(SAME, 200).await;
        assert_eq!(looked[0].now, Now::Same);
    }

    #[tokio::test]
    async fn a_new_redirect_uri_counts_only_where_it_was_accepted() {
        let wider = SAME.replace("/cb\"]", "/cb\",\"https://evil.example/cb\"]");
        let (known, looked) = looked(&wider, 200).await;
        let Now::Changed { differences, .. } = &looked[0].now else { panic!("{looked:?}") };
        assert_eq!(
            (differences.len(), differences[0].value.as_str(), differences[0].widens),
            (1, "https://evil.example/cb", true)
        );
        let holds = |known: &KnownClients| known.written().contains("evil.example");
        assert!(!holds(&known.with(&looked, &[])));
        let accepted = known.with(&looked, &[looked[0].client_id.clone()]);
        assert!(holds(&accepted) && accepted.written().contains("%SERVER%"));
    }

    #[tokio::test]
    async fn another_name_or_a_uri_less_is_taken_over_without_more() {
        let (known, looked) = looked(&SAME.replace("\"App\"", "\"App 2\""), 200).await;
        assert!(!looked[0].widens());
        assert!(known.with(&looked, &[]).written().contains("App 2"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_leaves_the_old_one() {
        for (body, status) in [
            (SAME, 404),
            ("<html>", 200),
            (&*SAME.replace("%ORIGIN%client", "https://other.example/client"), 200),
            (&*SAME.replace("\"logo_uri\"", "\"client_secret\""), 200),
        ] {
            let (known, looked) = looked(body, status).await;
            assert!(matches!(looked[0].now, Now::Kept(_)), "{looked:?}");
            assert_eq!(known.with(&looked, &[]).written(), known.written());
        }
    }

    fn compared(before: &Value, after: &Value) -> Now {
        let map = |document: &Value| {
            let mut document = document.as_object().unwrap().clone();
            document.insert("client_id".to_owned(), "https://h.example/c".into());
            document.insert("client_name".to_owned(), "App".into());
            document.entry("redirect_uris").or_insert(serde_json::json!(["https://h.example/cb"]));
            document
        };
        compare("https://h.example/c", &map(before), map(after))
    }

    fn widens(before: &Value, after: &Value) -> bool {
        Looked { client_id: "c".to_owned(), now: compared(before, after) }.widens()
    }

    #[test]
    fn a_client_that_need_not_prove_itself_any_more_widens_however_its_document_says_so() {
        use serde_json::json;
        let keys = json!({
            "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://h.example/jwks",
        });
        let uri = &keys["jwks_uri"];
        for after in [
            json!({}),
            json!({ "jwks_uri": uri }),
            json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"], "jwks_uri": uri }),
            json!({ "token_endpoint_auth_method": "none", "jwks_uri": uri }),
        ] {
            assert!(widens(&keys, &after), "{after}");
            assert!(!widens(&after, &keys) || after.get("jwks_uri").is_none(), "{after}");
        }
        assert!(!widens(&json!({}), &json!({ "token_endpoint_auth_methods_supported": [] })));
    }

    // RFC 9126 §6, RFC 9449 §5.2
    #[tokio::test]
    async fn what_binds_codes_and_tokens_stays_with_the_document_and_widens_where_it_goes() {
        use serde_json::json;
        for bond in BONDS {
            let bound = json!({ bond: true });
            assert_eq!(compared(&bound, &bound), Now::Same);
            assert!(
                widens(&bound, &json!({})) && widens(&bound, &json!({ bond: false })),
                "{bond}"
            );
            assert!(!widens(&json!({}), &bound), "{bond}");
            let more =
                SAME.replace("\"logo_uri\":\"https://x.example\"", &format!("\"{bond}\":true"));
            let (known, looked) = looked(&more, 200).await;
            assert!(known.with(&looked, &[]).written().contains(bond), "{bond}");
        }
    }

    #[test]
    fn what_would_not_be_read_again_is_not_taken_over() {
        let uris = |count: usize, more: &[&str]| {
            let uris = (0..count).map(|n| format!("https://h.example/{n}"));
            let uris: Vec<_> = uris.chain(more.iter().map(|uri| (*uri).to_owned())).collect();
            serde_json::json!({ "redirect_uris": uris })
        };
        let ours = uris(1, &["http://127.0.0.1/cb/%SERVER%"]);
        assert!(matches!(compared(&ours, &uris(31, &[])), Now::Changed { .. }));
        assert!(matches!(compared(&ours, &uris(32, &[])), Now::Kept(_)));
    }

    #[test]
    fn keys_and_a_method_without_any_widen_too() {
        for (member, value, widens) in [
            ("jwks_uri", "https://x.example/j", true),
            ("token_endpoint_auth_method", "none", true),
            ("token_endpoint_auth_method", "private_key_jwt", false),
            ("client_name", "x", false),
        ] {
            assert_eq!(is_power(member, value), widens, "{member} {value}");
        }
    }
}
