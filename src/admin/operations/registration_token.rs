//! Initial access tokens: with which clients may register themselves (RFC 7591 §1.2).

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::api_key::InitialAccessToken;
use crate::audit::{AdminAction, AdminObject};
use crate::store::{Digest, Page, RegistrationTokenRow};
use crate::time::Timestamp;

use super::{Actor, Operations, PageQuery, Shown, found, shown};

/// A week.
const LIVES: u32 = 7 * 86_400;
const MOST_LIVES: u32 = 366 * 86_400;
const MOST_USES: u32 = 10_000;
const PREFIX_TAKEN: AdminError = AdminError::Taken { field: "prefix", hint: "ask again" };

/// A token to make.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRegistrationToken {
    /// What it is for, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// How many clients may register with it: 1 to 10,000; absent: 1.
    #[serde(default)]
    pub uses: Option<u32>,
    /// 60 to 31,622,400 (366 days); absent: 604,800 (7 days).
    #[serde(default)]
    pub expires_in_seconds: Option<u32>,
}

/// An initial access token, by its prefix.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RegistrationTokenView {
    pub prefix: String,
    pub name: Option<String>,
    /// How many clients have registered with it.
    pub uses: u32,
    pub most_uses: u32,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    #[schemars(with = "Option<String>")]
    pub last_used_at: Option<Timestamp>,
}

impl From<RegistrationTokenRow> for RegistrationTokenView {
    fn from(row: RegistrationTokenRow) -> Self {
        Self {
            prefix: row.prefix,
            name: row.name,
            uses: row.uses,
            most_uses: row.most_uses,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        }
    }
}

impl Operations {
    /// Makes a token; the secret is the whole of it, and nobody can read it again.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`], [`AdminError::Taken`] by a chance of one in 2⁶⁴
    pub async fn add_registration_token(
        &self,
        actor: &Actor,
        new: NewRegistrationToken,
    ) -> Result<Shown<RegistrationTokenView>, AdminError> {
        let token = InitialAccessToken::generate(&*self.random);
        let now = self.clock.now();
        let most_uses = new.uses.unwrap_or(1);
        if !(1..=MOST_USES).contains(&most_uses) {
            let (problem, allowed) = ("is none or too many", "1 to 10000");
            return Err(AdminError::Invalid { field: "uses", problem, allowed });
        }
        let lives = new.expires_in_seconds.unwrap_or(LIVES);
        if !(60..=MOST_LIVES).contains(&lives) {
            let (problem, allowed) = ("is too short or too long", "60 to 31622400, 366 days");
            return Err(AdminError::Invalid { field: "expires_in_seconds", problem, allowed });
        }
        let row = RegistrationTokenRow {
            prefix: token.prefix().to_owned(),
            token: Digest::of(token.text().expose()),
            name: new.name.map(|name| input::label("name", &name)).transpose()?,
            uses: 0,
            most_uses,
            created_at: now,
            expires_at: now.plus(Duration::from_secs(lives.into())),
            last_used_at: None,
        };
        let what = (AdminObject::RegistrationToken, AdminAction::Add, &*row.prefix);
        self.change(actor, what, async {
            if self.store.add_registration_token(&row).await? { Ok(()) } else { Err(PREFIX_TAKEN) }
        })
        .await?;
        Ok(Shown { object: row.into(), secret: token.text().clone() })
    }

    /// Also those that are used up, and for 30 days those that are late.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_registration_tokens(
        &self,
        page: &PageQuery,
    ) -> Result<Page<RegistrationTokenView>, AdminError> {
        Ok(shown(self.store.list_registration_tokens(&page.request()).await?))
    }

    /// Takes a token out at once. Clients that registered with it stay.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn delete_registration_token(
        &self,
        actor: &Actor,
        prefix: &str,
    ) -> Result<(), AdminError> {
        // What is no prefix goes neither to the store nor, as somebody's text, into the audit log.
        found(InitialAccessToken::is_prefix(prefix), "registration token")?;
        let what = (AdminObject::RegistrationToken, AdminAction::Delete, prefix);
        self.change(actor, what, async {
            found(self.store.delete_registration_token(prefix).await?, "registration token")
        })
        .await
    }
}
