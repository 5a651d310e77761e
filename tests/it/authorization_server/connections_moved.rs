//! Tokens of a person are shown where the server was that they connected, whoever asks for them and from when.

use std::sync::Arc;

use mcp_auth_broker::connections::{Connections, Parts, ServerSettings};
use mcp_auth_broker::oauth_client::{ClientIdentity, NoToken};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{Database, UpstreamAccountRow};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::json;
use url::Url;

use crate::store::Place;
use crate::store::rows::user;
use crate::support::fake_http::loopback_outbound;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn at(place: &Url) -> Vec<ServerSettings> {
    vec![ServerSettings {
        id: "docs".to_owned(),
        url: place.clone(),
        endpoints: None,
        client: None,
        issuer: None,
        scope: None,
        redirect_uri: url("https://broker.example/account/connections/docs/callback"),
        outbound: loopback_outbound(),
    }]
}

/// Nothing is sealed.
fn connections(store: &Arc<dyn Database>) -> Connections {
    Connections::new(Parts {
        store: Arc::clone(store) as _,
        seal: Arc::new(|text, _| Some(text.to_owned())),
        open: Arc::new(|sealed, _| Some(sealed.to_owned())),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()),
        identity: ClientIdentity {
            document: url("https://broker.example/client"),
            redirect_uris: Vec::new(),
            name: "broker".to_owned(),
            home: None,
        },
        page: "https://broker.example/account".into(),
        servers: Vec::new(),
    })
}

/// A call outlives the server's entry, and a registered server can move meanwhile.
#[tokio::test]
async fn who_still_calls_the_old_place_gets_no_token_for_the_new_one() {
    let place = Place::sqlite();
    let store = place.open().await;
    let ada = user("ada");
    assert!(store.add_user(&ada).await.unwrap());
    let connections = connections(&store);
    let (old, new) = (url("https://docs.example/mcp"), url("https://docs-new.example/mcp"));
    let connected = async |place: &Url, token: &str| {
        let kept = json!({
            "issuer": "https://login.example", "server_url": place, "access_token": token,
            "refresh_token": null, "ends": SystemClock.now().plus_seconds(3600).unix_millis(),
        });
        let row = UpstreamAccountRow {
            user_id: ada.id,
            server: "docs".to_owned(),
            sealed: kept.to_string(),
            version: 0,
            connected_at: SystemClock.now(),
        };
        assert!(store.put_upstream_account(&row).await.unwrap());
    };
    connections.replace(at(&old));
    connected(&old, "for the old one").await;
    let shown = async |place: &Url| connections.token(ada.id, ("docs", place)).await;
    assert_eq!(shown(&old).await.unwrap().expose(), "for the old one");
    let refused = shown(&new).await.unwrap_err();
    assert!(matches!(refused, NoToken::NotConnected(_)), "it is not known there yet: {refused:?}");
    assert_eq!(shown(&old).await.unwrap().expose(), "for the old one", "the account stays");
    connections.replace(at(&new));
    connected(&new, "for the new one").await;
    let refused = shown(&old).await.unwrap_err();
    assert!(matches!(refused, NoToken::NotConnected(_)), "{refused:?}");
    assert_eq!(shown(&new).await.unwrap().expose(), "for the new one", "the account stays");
}
