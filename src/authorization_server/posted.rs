//! What a client posts to the endpoints at which it authenticates.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;

use crate::id::{ClientAddress, ClientId};
use crate::resource_server::ClientCertificate;

use super::client::Client;
use super::client_auth::{self, Sender};
use super::error::OAuthError;
use super::form::Form;
use super::server::AuthorizationServer;

/// A request of a client: its parameters, and what it came with. Nothing of it is proven.
pub(super) struct Posted {
    pub(super) address: Option<IpAddr>,
    /// Of the connection.
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) headers: HeaderMap,
    pub(super) form: Form,
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = OAuthError;

    /// # Errors
    ///
    /// [`OAuthError::TooLarge`] past the router's `DefaultBodyLimit`; those of [`Form::parse`] (N38, N39)
    async fn from_request(mut request: Request, state: &S) -> Result<Self, OAuthError> {
        let address = request.extensions().get().map(|&ClientAddress(address)| address);
        let certificate = request.extensions().get().cloned();
        let headers = std::mem::take(request.headers_mut());
        let body = Bytes::from_request(request, state).await.map_err(|_| OAuthError::TooLarge)?;
        let form = Form::parse(&headers, &body)?;
        Ok(Self { address, certificate, headers, form })
    }
}

impl Posted {
    /// # Errors
    ///
    /// Those of [`client_auth::authenticate_from`]
    pub(super) async fn client(&self, server: &AuthorizationServer) -> Result<Client, OAuthError> {
        let sender = Sender { address: self.address, certificate: self.certificate.as_ref() };
        client_auth::authenticate_from(server, sender, &self.headers, &self.form).await
    }

    /// Who it says it is.
    pub(super) fn claimed(&self) -> Option<ClientId> {
        client_auth::claimed(&self.headers, &self.form)
    }
}
