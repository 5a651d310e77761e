//! The Rust SDK's own client, from a bare URL to a step-up; a person answers the pages by forms.

use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationManager, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransportConfig, StreamableHttpError,
};

use crate::support::product::Product;

use super::browser::Browser;
use super::client::REDIRECT;

type Client = RunningService<RoleClient, ()>;

/// What an application does with the SDK: connect, be told to authorize, ask its person, connect again.
struct Application<'a> {
    product: &'a Product,
    browser: Browser<'a>,
}

impl Application<'_> {
    fn transport(&self) -> StreamableHttpClientTransportConfig {
        StreamableHttpClientTransportConfig::with_uri(self.product.url("/mcp"))
    }

    /// Opens the browser at `authorize`; gives where it was sent with the answer.
    async fn asks(&mut self, authorize: &str) -> String {
        let path = authorize.strip_prefix(&self.product.url("")).expect("our own page").to_owned();
        self.browser.answers(&path, "allow").await
    }

    /// Discovery from the challenge, registration, consent, code, token.
    async fn authorizes(&mut self, challenge: &str) -> AuthorizationManager {
        let mut state = OAuthState::new(self.product.url("/mcp"), None).await.unwrap();
        let request = AuthorizationRequest::new(REDIRECT)
            .with_client_name("an application on rmcp")
            .with_application_type("native")
            .with_challenge(challenge);
        state.start_authorization(request).await.unwrap();
        let authorize = state.get_authorization_url().await.unwrap();
        let location = self.asks(&authorize).await;
        state.handle_callback_url(&location).await.unwrap();
        state.into_authorization_manager().expect("authorized")
    }

    async fn connects(
        &self,
        manager: AuthorizationManager,
    ) -> (Client, AuthClient<reqwest::Client>) {
        let client = AuthClient::new(reqwest::Client::default(), manager);
        let transport =
            StreamableHttpClientTransport::with_client(client.clone(), self.transport());
        (().serve(transport).await.unwrap(), client)
    }

    /// The challenge that a client without a token meets.
    async fn is_challenged(&self) -> String {
        let plain = reqwest::Client::default();
        let transport = StreamableHttpClientTransport::with_client(plain, self.transport());
        let Err(refused) = ().serve(transport).await else { panic!("let in without a token") };
        refused.auth_challenge().expect("a 401 with a challenge").to_owned()
    }
}

async fn tools(client: &Client) -> Vec<String> {
    let tools = client.list_all_tools().await.unwrap();
    tools.into_iter().map(|tool| tool.name.into_owned()).collect()
}

async fn call(client: &Client, tool: &'static str) -> Result<String, ServiceError> {
    let result = client.call_tool(CallToolRequestParams::new(tool)).await?;
    Ok(serde_json::to_string(&result).unwrap())
}

/// The scope that a refused call asks for (MCP, step-up authorization).
fn missing_scope(error: &ServiceError) -> String {
    let ServiceError::TransportSend(transport) = error else { panic!("{error:?}") };
    let refused = transport.error.downcast_ref::<StreamableHttpError<reqwest::Error>>();
    let Some(StreamableHttpError::InsufficientScope(refused)) = refused else {
        panic!("{error:?}")
    };
    refused.required_scope.clone().expect("a scope in the challenge")
}

// MCP authorization — RFC 9728 §5.1, RFC 8414 §3, RFC 7591, RFC 9207
#[tokio::test]
async fn the_rust_sdk_goes_from_a_bare_url_to_a_step_up() {
    let product = Product::dev().await;
    let browser = Browser::of_the_administrator(&product).await;
    let mut application = Application { product: &product, browser };
    let challenge = application.is_challenged().await;
    let manager = application.authorizes(&challenge).await;
    let (client, auth) = application.connects(manager).await;
    assert!(tools(&client).await.contains(&"get_public_info".to_owned()));
    call(&client, "get_public_info").await.unwrap();
    let refused = call(&client, "get_confidential_info").await.unwrap_err();
    let scope = missing_scope(&refused);
    assert!(scope.contains("confidential:read"), "{scope}");
    let manager = auth.auth_manager.lock().await;
    let authorize = manager.request_scope_upgrade(&scope).await.unwrap();
    let location = application.asks(&authorize).await;
    let answer = super::client::told(&location);
    let (code, told) = (&answer["code"], answer.get("iss").map(String::as_str));
    let exchanged = manager.exchange_code_for_token_with_issuer(code, &answer["state"], told).await;
    exchanged.unwrap();
    drop(manager);
    call(&client, "get_confidential_info").await.unwrap();
    call(&client, "get_public_info").await.unwrap();
}

// OAuth 2.1 §4.3
#[tokio::test]
async fn the_rust_sdk_renews_its_tokens() {
    let product = Product::dev().await;
    let browser = Browser::of_the_administrator(&product).await;
    let mut application = Application { product: &product, browser };
    let challenge = application.is_challenged().await;
    let manager = application.authorizes(&challenge).await;
    let before = manager.get_access_token().await.unwrap();
    manager.refresh_token().await.unwrap();
    assert_ne!(manager.get_access_token().await.unwrap(), before);
    let (client, _) = application.connects(manager).await;
    call(&client, "get_public_info").await.unwrap();
}
