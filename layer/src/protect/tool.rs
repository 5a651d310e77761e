//! Scopes for each tool: decides on the message itself, because a header may lie and old clients send none.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::{Layer, Service};

use crate::resource_server::Principal;

use super::deny::{not_authenticated, unreadable};
use super::message::{Message, NotAMessage};
use super::resource::ProtectedResource;

/// Lets an MCP message through only if its caller may call the tool it names.
///
/// Scopes that are missing are answered `403` with a challenge (step-up); a tool that nobody named, with the JSON-RPC
/// error of a tool that does not exist; a body that is not one message, `400`. `GET`, `HEAD` and `DELETE` carry no
/// message and pass. Made by [`ProtectedResource::tool_layer`].
#[derive(Clone, Debug)]
pub struct RequireToolScopeLayer(ProtectedResource);

impl RequireToolScopeLayer {
    pub(super) const fn new(resource: ProtectedResource) -> Self {
        Self(resource)
    }
}

impl<S> Layer<S> for RequireToolScopeLayer {
    type Service = RequireToolScope<S>;

    fn layer(&self, inner: S) -> RequireToolScope<S> {
        RequireToolScope { inner, resource: self.0.clone() }
    }
}

/// Made by [`RequireToolScopeLayer`].
#[derive(Clone, Debug)]
pub struct RequireToolScope<S> {
    inner: S,
    resource: ProtectedResource,
}

type Reading<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

/// The inner service's own future where there is no message; boxed where one is read first.
pub type RequireToolScopeFuture<F, R, E> = Either<F, Reading<R, E>>;

impl<S, B, ResBody> Service<Request<B>> for RequireToolScope<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    ResBody: From<Bytes> + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = RequireToolScopeFuture<S::Future, Self::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let known = request.extensions().get::<Principal>().cloned();
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE)
            && known.is_some()
        {
            return Either::Left(self.inner.call(request));
        }
        // `poll_ready` reserved `self.inner`, so that one must serve this request.
        let spare = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, spare);
        let resource = self.resource.clone();
        Either::Right(Box::pin(async move {
            let Some(caller) = known else { return Ok(not_authenticated()) };
            let request = match resource.read(request, &caller).await {
                Ok(request) => request,
                Err(refused) => return Ok(refused),
            };
            ready.call(request).await
        }))
    }
}

impl ProtectedResource {
    async fn read<B, ResBody>(
        &self,
        request: Request<B>,
        caller: &Principal,
    ) -> Result<Request<B>, Response<ResBody>>
    where
        B: Body + From<Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        ResBody: From<Bytes>,
    {
        let (parts, body) = request.into_parts();
        let limited = Limited::new(body, self.parts().max_body_bytes);
        let body = match limited.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(unreadable(StatusCode::PAYLOAD_TOO_LARGE, NotAMessage::TooLarge));
            }
            Err(_) => return Err(unreadable(StatusCode::BAD_REQUEST, NotAMessage::Broken)),
        };
        let message =
            Message::parse(&body).map_err(|why| unreadable(StatusCode::BAD_REQUEST, why))?;
        if let Some(tool) = message.tool() {
            self.authorize(tool, caller)
                .map_err(|denied| self.parts().denials.message(&denied, &message))?;
        }
        Ok(Request::from_parts(parts, B::from(body)))
    }
}
