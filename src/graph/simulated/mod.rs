//! A small but honest stand-in for Entra's token endpoint and Microsoft Graph, over real HTTP on loopback.
//!
//! For the development profile, tests and demonstrations: the broker talks to it through the same
//! client as to Microsoft. It knows users, groups, members and messages, keeps changes in memory,
//! and answers errors in Microsoft's shapes. What it does not know it refuses; it never makes up an answer.

mod answer;
mod data;
mod directory;
mod login;
mod mail;
mod on_behalf_of;
mod query;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use crate::random::Random;
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::catalog::Catalog;
use super::path::GraphPath;

use answer::{Reply, problem};
use data::Data;
use login::Login;

pub use login::TrustedKey;

/// The one tenant of the simulation.
pub const TENANT: &str = "contoso.example";
/// The one app of the simulation.
pub const CLIENT_ID: &str = "5e8f2c1a-0000-4000-8000-000000000001";
/// What its tokens are for.
pub const RESOURCE: &str = "https://graph.microsoft.com";

/// The permissions that were granted to the app; everything else is 403.
const GRANTED: [&str; 8] = [
    "User.Read.All",
    "User.ReadWrite.All",
    "Group.Read.All",
    "GroupMember.Read.All",
    "Mail.Read",
    "Mail.ReadWrite",
    "Mail.Send",
    "ProfilePhoto.Read.All",
];

const MAX_BODY: usize = 1024 * 1024;

/// How a simulation differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// 0: any free port.
    pub port: u16,
    /// The origin at which others see it, where something (a TLS terminator) stands in front.
    pub public_origin: Option<Url>,
    /// What its tokens are for, where that is not [`RESOURCE`]: Graph in another cloud.
    pub resource: Option<String>,
    /// Keys whose client assertions are accepted.
    pub trusted_keys: Vec<TrustedKey>,
}

/// A running simulation. Stops when dropped.
#[derive(Debug)]
pub struct Simulation {
    address: SocketAddr,
    client_secret: SecretText,
    /// Held for its drop, which ends the server and its connections.
    _server: JoinSet<()>,
}

impl Simulation {
    /// Starts on a free loopback port. The client secret is new each time.
    ///
    /// # Errors
    ///
    /// Any error of binding the socket.
    pub async fn start(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> io::Result<Self> {
        Self::start_with(clock, random, Options::default()).await
    }

    /// # Errors
    ///
    /// Any error of binding the socket.
    pub async fn start_with(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        options: Options,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        let address = listener.local_addr()?;
        let client_secret =
            SecretText::new(format!("sim-{}", random.uuid_v7(clock.now()).simple()));
        let origin = match &options.public_origin {
            Some(url) => url.origin().ascii_serialization(),
            None => format!("http://{address}"),
        };
        let resource = options.resource.unwrap_or_else(|| RESOURCE.to_owned());
        let login =
            Login::new(origin.clone(), resource, client_secret.clone(), options.trusted_keys);
        let data = Mutex::new(Data::seed());
        let catalog = Catalog::built_in();
        let server = Arc::new(Server { clock, random, origin, login, data, catalog });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server));
        Ok(Self { address, client_secret, _server: tasks })
    }

    /// The origin of both the login endpoint and Graph.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The secret of the app [`CLIENT_ID`].
    #[must_use]
    pub const fn client_secret(&self) -> &SecretText {
        &self.client_secret
    }
}

/// What every connection shares.
#[derive(Debug)]
struct Server {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    origin: String,
    login: Login,
    data: Mutex<Data>,
    catalog: Catalog,
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&server)));
                } else {
                    tokio::task::yield_now().await; // out of file descriptors: others may end meanwhile
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, server: Arc<Server>) {
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, std::convert::Infallible>(server.respond(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // A connection that breaks is the client's business; there is nobody here to tell.
    let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
}

/// One request, its body read.
struct Asked {
    method: Method,
    path: GraphPath,
    headers: http::HeaderMap,
    body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Server {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let request_id = self.random.uuid_v7(self.clock.now()).to_string();
        let client_request_id = parts.headers.get("client-request-id").cloned();
        let reply = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => self.route(&parts, &body.to_bytes()),
            Err(_) => {
                problem(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", "The body is too large.")
            }
        };
        let ids = (request_id.as_str(), client_request_id.as_ref());
        reply.into_response(ids, self.clock.now())
    }

    fn route(&self, parts: &http::request::Parts, body: &[u8]) -> Reply {
        if let Some(reply) =
            self.login.route(self, &parts.method, parts.uri.path(), &parts.headers, body)
        {
            return reply;
        }
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let Ok(path) = GraphPath::parse(target) else {
            return problem(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                "The path is not one of Graph's.",
            );
        };
        if let Err(refusal) = self.login.check_bearer(self, &parts.headers) {
            return refusal;
        }
        let body = match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(_) if body.is_empty() => Value::Null,
            Err(_) => {
                return problem(
                    StatusCode::BAD_REQUEST,
                    "BadRequest",
                    "Unable to read JSON request payload.",
                );
            }
        };
        let asked =
            Asked { method: parts.method.clone(), path, headers: parts.headers.clone(), body };
        self.check_permission(&asked).unwrap_or_else(|| self.graph(&asked))
    }

    /// 403 for an operation that needs a permission the app was not granted.
    fn check_permission(&self, asked: &Asked) -> Option<Reply> {
        let operation = self.catalog.find(&asked.method, asked.path.segments())?;
        let granted = operation.permissions.iter().any(|name| GRANTED.contains(&name.as_str()));
        (!granted).then(|| {
            let text = "Insufficient privileges to complete the operation.";
            problem(StatusCode::FORBIDDEN, "Authorization_RequestDenied", text)
        })
    }

    fn graph(&self, asked: &Asked) -> Reply {
        let segments: Vec<String> =
            asked.path.segments().iter().map(|part| part.to_ascii_lowercase()).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let get = asked.method == Method::GET;
        match segments.as_slice() {
            ["me", ..] => problem(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                "/me request is only valid with delegated authentication flow.",
            ),
            ["users", user, ..] if user.starts_with("throttled@") => answer::throttled(),
            ["users", user, ..] if user.starts_with("unavailable@") => answer::unavailable(),
            ["users"] => directory::users(self, asked),
            ["users", "$count"] if get => directory::count_users(self, asked),
            ["users", user] => directory::user(self, asked, user),
            ["users", user, "photo", "$value"] if get => directory::photo(self, user),
            ["users", user, "messages"] => mail::messages(self, asked, user),
            ["users", user, "messages", _] => {
                let id = asked.path.segments().get(3).map_or("", String::as_str);
                mail::message(self, asked, user, id)
            }
            ["users", user, "sendmail"] if asked.method == Method::POST => {
                mail::send(self, asked, user)
            }
            ["groups"] if get => directory::groups(self, asked),
            ["groups", group] if get => directory::group(self, asked, group),
            ["groups", group, "members"] if get => directory::members(self, asked, group),
            [first, ..] => problem(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                &format!("Resource not found for the segment '{first}', or not simulated."),
            ),
            [] => problem(StatusCode::NOT_FOUND, "ResourceNotFound", "Not simulated."),
        }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_id(&self) -> String {
        self.random.uuid_v7(self.clock.now()).to_string()
    }
}
