//! People: add, list, disable, remove, and the one-time links by which they choose a password or make a passkey.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::api_key::BearerSecret;
use crate::audit::{AdminAction, AdminObject};
use crate::id::UserId;
use crate::secret_text::SecretText;
use crate::store::{
    LinkPurpose, OneTimeLink, OwnLogin, Page, StepDown, UserRemoval, UserRemoved, UserRow,
};

use super::{Actor, Operations, PageQuery, SecondFactorView, Shown, UserView, found, shown};

const SET_UP_LINK_LIVES: Duration = Duration::from_hours(24);
const RESET_LINK_LIVES: Duration = Duration::from_hours(1);
const NAME_TAKEN: AdminError =
    AdminError::Taken { field: "username", hint: "choose another, or make a link for that user" };
const LAST_ADMINISTRATOR: AdminError = AdminError::Forbidden {
    problem: "nobody else who can log in has the role of administrators",
    hint: "give it to somebody first, or say last_administrator (--last-administrator)",
};

/// A person to add. There is no password here: they choose one, or make a passkey, by the link.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub username: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub administrator: bool,
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Operations {
    /// Adds a person; the secret is the link by which they choose a password or make a passkey, once, within a day.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`], [`AdminError::Taken`]
    pub async fn add_user(
        &self,
        actor: &Actor,
        new: NewUser,
    ) -> Result<Shown<UserView>, AdminError> {
        let row = UserRow {
            id: UserId::generate(&*self.clock, &*self.random),
            username: input::username(&new.username)?,
            display_name: new
                .display_name
                .map(|name| input::label("display_name", &name))
                .transpose()?,
            email: new.email.map(|email| input::email(&email)).transpose()?,
            own_login: OwnLogin::Nothing,
            administrator: new.administrator,
            groups: input::groups(&new.groups)?,
            groups_incomplete: false,
            roles: Vec::new(),
            roles_incomplete: false,
            created_at: self.clock.now(),
            last_login_at: None,
            disabled_at: None,
        };
        let what = (AdminObject::User, AdminAction::Add, &*row.id.to_string());
        let secret = self
            .change(actor, what, async {
                if !self.store.add_user(&row).await? {
                    return Err(NAME_TAKEN);
                }
                self.link(row.id, LinkPurpose::SetUp, SET_UP_LINK_LIVES).await
            })
            .await?;
        Ok(Shown { object: row.into(), secret })
    }

    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_users(&self, page: &PageQuery) -> Result<Page<UserView>, AdminError> {
        Ok(shown(self.store.list_users(&page.request()).await?))
    }

    /// By id or by username.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn find_user(&self, name: &str) -> Result<UserView, AdminError> {
        // Nobody is called so, and no database can be asked.
        found(!name.contains('\0'), "user")?;
        let row = match name.parse::<UserId>() {
            Ok(id) => self.store.find_user(id).await?,
            Err(_) => self.store.find_user_by_name(&name.to_ascii_lowercase()).await?,
        };
        row.map(UserView::from).ok_or(AdminError::NotFound("user"))
    }

    /// Disables a person: ends their sessions and revokes what they allowed.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Forbidden`] for an administrator, where nobody else who can log in has the role
    /// and `last_administrator` does not say that this is meant
    pub async fn disable_user(
        &self,
        actor: &Actor,
        id: UserId,
        last_administrator: bool,
    ) -> Result<(), AdminError> {
        let what = (AdminObject::User, AdminAction::Disable, &*id.to_string());
        self.change(actor, what, async {
            let at = self.clock.now();
            if self.asks_about(id, last_administrator).await? {
                return stepped_down(self.store.step_down(id, StepDown::Access(at)).await?);
            }
            found(self.store.disable_user(id, Some(at)).await?, "user")
        })
        .await
    }

    /// Lets a disabled person in again.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn enable_user(&self, actor: &Actor, id: UserId) -> Result<(), AdminError> {
        self.change(actor, (AdminObject::User, AdminAction::Enable, &id.to_string()), async {
            found(self.store.disable_user(id, None).await?, "user")
        })
        .await
    }

    /// Whether somebody else has to administer this broker before this person does no more.
    async fn asks_about(&self, id: UserId, last_administrator: bool) -> Result<bool, AdminError> {
        let user = self.store.find_user(id).await?.ok_or(AdminError::NotFound("user"))?;
        Ok(self.administers(&user) && !last_administrator)
    }

    /// By the role, or by the settings.
    fn administers(&self, user: &UserRow) -> bool {
        user.administrator || self.is_named(user)
    }

    /// Whom the settings make an administrator keeps being one without the role.
    fn is_named(&self, user: &UserRow) -> bool {
        let named = &self.settings.administrators;
        named.subjects.contains(&user.id.to_string())
            || named.groups.include(user.groups.iter().map(String::as_str))
    }

    /// Takes a person out for good, with everything that is about them alone; what they allowed ends at once. The audit log
    /// goes on to name them by their id. Who logs in at an identity provider comes back as a new person, without any of it.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Forbidden`] for an administrator, where nobody else who can log in has the role
    /// and `last_administrator` does not say that this is meant
    pub async fn remove_user(
        &self,
        actor: &Actor,
        id: UserId,
        last_administrator: bool,
    ) -> Result<(), AdminError> {
        self.change(actor, (AdminObject::User, AdminAction::Delete, &id.to_string()), async {
            let removal = UserRemoval {
                id,
                issuer: self.settings.public_url.as_str().trim_end_matches('/').to_owned(),
                keep_last_administrator: self.asks_about(id, last_administrator).await?,
                at: self.clock.now(),
            };
            stepped_down(self.store.remove_user(&removal).await?)
        })
        .await
    }

    /// Lets a person administer this broker. Counts from the next request on.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn give_role(&self, actor: &Actor, id: UserId) -> Result<(), AdminError> {
        self.change(actor, (AdminObject::User, AdminAction::GiveRole, &id.to_string()), async {
            found(self.store.set_administrator(id, true).await?, "user")
        })
        .await
    }

    /// Lets a person administer it no more. Counts from the next request on, whatever tokens say.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Forbidden`] for one's own role, which nobody loses by accident, and where nobody
    /// else who can log in has it and `last_administrator` does not say that this is meant
    pub async fn take_role(
        &self,
        actor: &Actor,
        id: UserId,
        last_administrator: bool,
    ) -> Result<(), AdminError> {
        let own =
            actor.context.requester_id.as_ref().is_some_and(|who| who.as_str() == id.to_string());
        self.change(actor, (AdminObject::User, AdminAction::TakeRole, &id.to_string()), async {
            if own {
                let (problem, hint) =
                    ("this is your own role", "another administrator can take it");
                return Err(AdminError::Forbidden { problem, hint });
            }
            let user = self.store.find_user(id).await?.ok_or(AdminError::NotFound("user"))?;
            if user.administrator && !self.is_named(&user) && !last_administrator {
                return stepped_down(self.store.step_down(id, StepDown::Role).await?);
            }
            found(self.store.set_administrator(id, false).await?, "user")
        })
        .await
    }

    /// What a person has beside their password.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn second_factor(&self, id: UserId) -> Result<SecondFactorView, AdminError> {
        found(self.store.find_user(id).await?.is_some(), "user")?;
        let authenticator = self.store.find_authenticator(id).await?;
        let passkeys = self.store.list_passkeys(id).await?;
        Ok(SecondFactorView {
            authenticator_since: authenticator.map(|row| row.confirmed_at),
            passkeys: passkeys.into_iter().map(Into::into).collect(),
            recovery_codes: self.store.count_recovery_codes(id).await?,
        })
    }

    /// Takes a person's authenticator app, passkeys and recovery codes away: they lost them. Their password goes with them, and every
    /// session, so that nobody who has the password sets up an app in its place: they set up their log-in anew by the link that
    /// this gives, once, within a day.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]: no such person, or they have none, or are disabled.
    pub async fn remove_second_factor(
        &self,
        actor: &Actor,
        id: UserId,
    ) -> Result<SecretText, AdminError> {
        let action = AdminAction::RemoveSecondFactor;
        self.change(actor, (AdminObject::User, action, &id.to_string()), async {
            let (link, shown) = self.new_link(id, LinkPurpose::SetUp, SET_UP_LINK_LIVES);
            let done = self.store.start_over(&link).await?;
            found(done, "user with a second factor that is not disabled").map(|()| shown)
        })
        .await
    }

    /// A new link by which a person chooses a password or makes a passkey: within an hour, within a day who has neither yet.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Outdated`] for who is disabled.
    pub async fn reset_link(&self, actor: &Actor, id: UserId) -> Result<SecretText, AdminError> {
        self.change(actor, (AdminObject::User, AdminAction::MakeLink, &id.to_string()), async {
            let user = self.store.find_user(id).await?.ok_or(AdminError::NotFound("user"))?;
            if user.disabled_at.is_some() {
                let problem =
                    "the user is disabled, and could not log in with what the link sets up";
                let hint = "enable the user first: broker user enable";
                return Err(AdminError::Outdated { problem, hint });
            }
            match user.own_login {
                OwnLogin::Password(_) | OwnLogin::Passkeys(_) => {
                    self.link(id, LinkPurpose::Reset, RESET_LINK_LIVES).await
                }
                OwnLogin::Nothing => self.link(id, LinkPurpose::SetUp, SET_UP_LINK_LIVES).await,
            }
        })
        .await
    }

    async fn link(
        &self,
        user_id: UserId,
        purpose: LinkPurpose,
        lives: Duration,
    ) -> Result<SecretText, AdminError> {
        let (link, shown) = self.new_link(user_id, purpose, lives);
        self.store.add_link(&link).await?;
        Ok(shown)
    }

    /// What the store keeps of a link, the digest of its token alone; and the link.
    fn new_link(
        &self,
        user_id: UserId,
        purpose: LinkPurpose,
        lives: Duration,
    ) -> (OneTimeLink, SecretText) {
        let token = self.secret(BearerSecret::OneTimeLink);
        let link = OneTimeLink::digest(token.expose());
        let expires_at = self.clock.now().plus(lives);
        let base = self.settings.public_url.as_str().trim_end_matches('/');
        let shown = format!("{base}/login/link/{}", token.expose()).into();
        (OneTimeLink { link, user_id, purpose, expires_at }, shown)
    }
}

/// Why an administrator still is one.
const fn stepped_down(done: UserRemoved) -> Result<(), AdminError> {
    match done {
        UserRemoved::Done => Ok(()),
        UserRemoved::LastAdministrator => Err(LAST_ADMINISTRATOR),
        UserRemoved::Unknown => Err(AdminError::NotFound("user")),
    }
}
