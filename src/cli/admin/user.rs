//! `broker user`: people who log in here.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::admin::{NewUser, UserChange, UserView};
use crate::cli::failure::Failure;
use crate::config::Config;
use crate::id::UserId;

use super::show::{Columns, list, one};
use super::{Administration, all, failure};

const LIST: &str = "broker user list";
const COLUMNS: Columns = &[
    ("username", "username"),
    ("name", "display_name"),
    ("administrator", "administrator"),
    ("groups", "groups"),
    ("own login", "own_login"),
    ("last login", "last_login_at"),
    ("disabled", "disabled_at"),
    ("id", "id"),
];

const PASSKEYS: Columns = &[
    ("name", "name"),
    ("backed up", "backed_up"),
    ("added", "created_at"),
    ("last used", "last_used_at"),
];

/// People. Those of an identity provider appear here after their first login.
#[derive(Debug, Args)]
pub(in crate::cli) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a person and print the link by which they choose a password or make a passkey, once, within a day
    Add(AddArgs),
    /// Change a person; what is left out stays
    Change(ChangeArgs),
    /// Print everybody
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a person: ends their sessions and every token that acts for them
    Disable {
        /// Username or id
        user: String,
        /// Also where nobody else who can log in administers this broker
        #[arg(long)]
        last_administrator: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a disabled person in again; what was revoked stays revoked
    Enable {
        /// Username or id
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a person out for good: ends their sessions and every token that acts for them. Who logs in at an identity
    /// provider comes back as a new person: to keep somebody out, disable
    Remove {
        /// Username or id
        user: String,
        /// Also where nobody else who can log in administers this broker
        #[arg(long)]
        last_administrator: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a person administer this broker
    GiveRole {
        /// Username or id
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a person administer it no more; their tokens open the admin API no longer at once
    TakeRole {
        /// Username or id
        user: String,
        /// Also where nobody else who can log in administers this broker
        #[arg(long)]
        last_administrator: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what a person has beside their password, or in its place: an authenticator app, passkeys, recovery codes
    SecondFactor {
        /// Username or id
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a person's authenticator app, passkeys and recovery codes away, who lost them, with their password and every
    /// session; print the link by which they set up their log-in anew, once, within a day
    RemoveSecondFactor {
        /// Username or id
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a new link for choosing a password or making a passkey: within an hour, for who has neither yet within a day
    #[command(alias = "reset")]
    ResetLink {
        /// Username or id
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What they log in with: 1 to 128 of a-z 0-9 . _ - + @
    username: String,
    /// May administer this broker
    #[arg(long)]
    admin: bool,
    /// Their name, for people
    #[arg(long)]
    display_name: Option<String>,
    /// Their address; nothing is sent to it
    #[arg(long)]
    email: Option<String>,
    /// A group they are in, as policy names it; may be repeated
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// Username or id
    user: String,
    /// Their name, for people; empty: none
    #[arg(long)]
    display_name: Option<String>,
    /// Their address; empty: none
    #[arg(long)]
    email: Option<String>,
    /// Every group they are in from now on; may be repeated
    #[arg(long = "group", conflicts_with = "no_groups")]
    groups: Vec<String>,
    /// They are in no group any more
    #[arg(long)]
    no_groups: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(
    args: &UserArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let administration = Administration::open(config).await?;
    let done = match &args.command {
        UserCommand::Add(new) => add(&administration, new, out).await,
        UserCommand::Change(args) => change(&administration, args, out).await,
        UserCommand::List { json } => print_all(&administration, *json, out).await,
        UserCommand::Disable { user, last_administrator, json } => {
            disable(&administration, (user, *json), *last_administrator, out).await
        }
        UserCommand::Enable { user, json } => enable(&administration, (user, *json), out).await,
        UserCommand::Remove { user, last_administrator, json } => {
            remove(&administration, (user, *json), *last_administrator, out).await
        }
        UserCommand::GiveRole { user, json } => {
            give_role(&administration, (user, *json), out).await
        }
        UserCommand::TakeRole { user, last_administrator, json } => {
            take_role(&administration, (user, *json), *last_administrator, out).await
        }
        UserCommand::SecondFactor { user, json } => {
            second_factor(&administration, user, *json, out).await
        }
        UserCommand::RemoveSecondFactor { user, json } => {
            remove_second_factor(&administration, user, *json, out).await
        }
        UserCommand::ResetLink { user, json } => reset(&administration, user, *json, out).await,
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn add(by: &Administration, args: &AddArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let new = NewUser {
        username: args.username.clone(),
        display_name: args.display_name.clone(),
        email: args.email.clone(),
        administrator: args.admin,
        groups: args.groups.clone(),
    };
    let added = by.operations.add_user(&by.actor, new).await;
    let added = added.map_err(|error| failure(&error, LIST))?;
    let (user, link) = (&added.object, added.secret.expose());
    let lines = format!(
        "Link: {link}\n{} chooses a password or makes a passkey there, once, within a day. Id: {}",
        user.username, user.id
    );
    one(&json!({ "user": user, "set_up_link": link }), &lines, args.json, out)
}

async fn change(
    by: &Administration,
    args: &ChangeArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, &args.user).await?;
    let change = UserChange {
        display_name: args.display_name.clone(),
        email: args.email.clone(),
        groups: (args.no_groups || !args.groups.is_empty()).then(|| args.groups.clone()),
    };
    let changed = by.operations.change_user(&by.actor, user.id, change).await;
    let changed = changed.map_err(|error| failure(&error, LIST))?;
    one(&json!(changed), &format!("{} is changed", changed.username), args.json, out)
}

async fn print_all(by: &Administration, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let users = all(async |page| by.operations.list_users(&page).await).await;
    list(&users.map_err(|error| failure(&error, LIST))?, COLUMNS, json, out)
}

async fn disable(
    by: &Administration,
    (name, json): (&str, bool),
    last_administrator: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let done = by.operations.disable_user(&by.actor, user.id, last_administrator).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "id": user.id, "username": user.username, "disabled": true });
    one(&value, &format!("{} is disabled", user.username), json, out)
}

async fn enable(
    by: &Administration,
    (name, json): (&str, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let done = by.operations.enable_user(&by.actor, user.id).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "id": user.id, "username": user.username, "disabled": false });
    one(&value, &format!("{} is enabled", user.username), json, out)
}

async fn remove(
    by: &Administration,
    (name, json): (&str, bool),
    last_administrator: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let done = by.operations.remove_user(&by.actor, user.id, last_administrator).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "id": user.id, "username": user.username, "removed": true });
    one(&value, &format!("{} is removed", user.username), json, out)
}

async fn give_role(
    by: &Administration,
    (name, json): (&str, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let done = by.operations.give_role(&by.actor, user.id).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "id": user.id, "username": user.username, "administrator": true });
    one(&value, &format!("{} administers this broker", user.username), json, out)
}

async fn take_role(
    by: &Administration,
    (name, json): (&str, bool),
    last_administrator: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let done = by.operations.take_role(&by.actor, user.id, last_administrator).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "id": user.id, "username": user.username, "administrator": false });
    one(&value, &format!("{} is no administrator", user.username), json, out)
}

async fn second_factor(
    by: &Administration,
    name: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let found = by.operations.second_factor(user.id).await;
    let found = found.map_err(|error| failure(&error, LIST))?;
    if json {
        let value = serde_json::to_value(&found).unwrap_or_default();
        return one(&value, "", true, out);
    }
    let app = found.authenticator_since.map_or_else(|| "none".to_owned(), |at| at.to_string());
    let (passkeys, codes) = (found.passkeys.len(), found.recovery_codes);
    let lines = format!(
        "authenticator app since: {app}\nrecovery codes left: {codes}\npasskeys: {passkeys}"
    );
    one(&serde_json::Value::Null, &lines, false, out)?;
    if passkeys == 0 { Ok(()) } else { list(&found.passkeys, PASSKEYS, false, out) }
}

async fn remove_second_factor(
    by: &Administration,
    name: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let done = by.operations.remove_second_factor(&by.actor, user.id).await;
    let link = done.map_err(|error| failure(&error, LIST))?;
    let lines = format!(
        "Link: {}\n{} has no second factor and no password any more, and sets up another log-in there, once, within a day.",
        link.expose(),
        user.username
    );
    let value = json!({ "id": user.id, "username": user.username, "second_factor": false, "link": link.expose() });
    one(&value, &lines, json, out)
}

async fn reset(
    by: &Administration,
    name: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let user = find(by, name).await?;
    let link = by.operations.reset_link(&by.actor, user.id).await;
    let link = link.map_err(|error| failure(&error, LIST))?;
    let lines = format!("Link: {}\nIt works once, for {}.", link.expose(), user.username);
    one(&json!({ "link": link.expose() }), &lines, json, out)
}

async fn find(by: &Administration, name: &str) -> Result<UserView, Failure> {
    by.operations.find_user(name).await.map_err(|error| failure(&error, LIST))
}

/// The id of a person who is named by username or id.
pub(super) async fn user_id(by: &Administration, name: &str) -> Result<UserId, Failure> {
    find(by, name).await.map(|user| user.id)
}
