//! `broker identity-provider`: where people log in.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::admin::{
    IdentityProviderChange, IdentityProviderView, NewIdentityProvider, ProviderClaimNames,
    ProviderEnded,
};
use crate::app::ProviderCheck;
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;
use crate::login_provider::Standing;

use super::show::{Columns, list, one};
use super::{Administration, failure};

const LIST: &str = "broker identity-provider list";
const COLUMNS: Columns = &[
    ("id", "id"),
    ("name", "name"),
    ("issuer", "issuer"),
    ("client", "client_id"),
    ("secret", "confidential"),
    ("from", "source"),
    ("served", "served"),
    ("callback", "callback"),
];

/// Where people log in: those of the settings, and those that are added here.
#[derive(Debug, Args)]
pub(in crate::cli) struct IdentityProviderArgs {
    #[command(subcommand)]
    command: IdentityProviderCommand,
}

#[derive(Debug, Subcommand)]
enum IdentityProviderCommand {
    /// Let people log in at another provider, after a look at its discovery document
    Add(AddArgs),
    /// Print them, with the redirect URI that each must know
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one with everything that is kept of it
    Show {
        id: String,
        /// Print JSON in one line
        #[arg(long)]
        json: bool,
    },
    /// Change one that was added here; what is left out stays
    Set(SetArgs),
    /// Let nobody log in there; end its people's sessions, revoke what they allowed
    Disable {
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let people log in there again
    Enable {
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take one out that was added here, and end what disabling it ends; its people stay
    Remove {
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its name in the callback's path: 1 to 64 letters, digits, - and _
    id: String,
    /// Byte for byte as its discovery document has it
    issuer: String,
    /// Our client there
    #[arg(long)]
    client_id: String,
    /// What the names of its groups and roles begin with here, such as partner:
    #[arg(long, value_name = "PREFIX")]
    groups_prefix: String,
    /// Add it without a look at its discovery document and our secret
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    more: MoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SetArgs {
    id: String,
    /// Our client there
    #[arg(long)]
    client_id: Option<String>,
    #[command(flatten)]
    more: MoreArgs,
    /// An account needs no particular claim any more
    #[arg(long, conflicts_with = "require")]
    require_nothing: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How it is spoken to, and what its claims mean.
#[derive(Debug, Args)]
struct MoreArgs {
    /// What people read on the button [default: the id]
    #[arg(long)]
    name: Option<String>,
    /// Our secret there, by its name in the settings file; empty: none
    #[arg(long, value_name = "NAME")]
    client_secret: Option<String>,
    /// What is asked for at a login, separated by spaces [default: openid profile email]
    #[arg(long)]
    scopes: Option<String>,
    /// What a claim of the provider is here: subject, username, name, email, groups or roles; may be repeated
    #[arg(long = "claim", value_name = "MEANING=CLAIM", value_parser = pair)]
    claims: Vec<(String, String)>,
    /// For how long what it says of people is enough: `keep_tokens=true`, `max_login_age_seconds`, `ask_again_seconds` or
    /// `unanswered_seconds`; may be repeated
    #[arg(long = "standing", value_name = "WHAT=VALUE", value_parser = pair)]
    standing: Vec<(String, String)>,
    /// A claim that an account must have, and a value that does; may be repeated
    #[arg(long, value_name = "CLAIM=VALUE", value_parser = pair)]
    require: Vec<(String, String)>,
}

impl MoreArgs {
    /// What was said of claims, over what is known of them.
    fn claims(&self, known: ProviderClaimNames) -> Result<Option<ProviderClaimNames>, Failure> {
        let mut claims = known;
        for (meaning, claim) in &self.claims {
            let place = match meaning.as_str() {
                "subject" => &mut claims.subject,
                "username" => &mut claims.username,
                "name" => &mut claims.name,
                "email" => &mut claims.email,
                "groups" => &mut claims.groups,
                "roles" => &mut claims.roles,
                _ => {
                    let hint = "--claim subject=, username=, name=, email=, groups= or roles=";
                    return Err(Failure::new("--claim says what no claim means here").hint(hint));
                }
            };
            place.clone_from(claim);
        }
        Ok((!self.claims.is_empty()).then_some(claims))
    }

    /// What was said of that, over what is known of it. An empty value, or none of these, is as where nothing was said.
    fn standing(&self, known: Standing) -> Result<Option<Standing>, Failure> {
        const HINT: &str = "--standing keep_tokens=true|false, or max_login_age_seconds=, ask_again_seconds=, \
            unanswered_seconds= and a number";
        let wrong = |_| Failure::new("--standing says what cannot be").hint(HINT);
        let (mut standing, usual) = (json!(known), json!(Standing::default()));
        for (what, value) in &self.standing {
            let value = match value.as_str() {
                "" => usual.get(what).cloned().unwrap_or_default(),
                text => serde_json::from_str(text).map_err(wrong)?,
            };
            if let Some(members) = standing.as_object_mut() {
                members.insert(what.clone(), value);
            }
        }
        let standing = serde_json::from_value(standing).map_err(wrong)?;
        Ok((!self.standing.is_empty()).then_some(standing))
    }

    fn required(&self) -> BTreeMap<String, Vec<String>> {
        let mut required = BTreeMap::<String, Vec<String>>::new();
        for (claim, value) in &self.require {
            required.entry(claim.clone()).or_default().push(value.clone());
        }
        required
    }
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(in crate::cli) async fn run(
    args: &IdentityProviderArgs,
    ready: &Ready,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let administration = Administration::open(&ready.config).await?;
    let done = match ProviderCheck::new(&ready.config, &ready.variables()) {
        Err(error) => Err(Failure::of(&error)),
        Ok(control) => act(&administration, &control, &args.command, out).await,
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn act(
    by: &Administration,
    control: &ProviderCheck,
    command: &IdentityProviderCommand,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        IdentityProviderCommand::Add(args) => add(by, control, args, out).await,
        IdentityProviderCommand::List { json } => {
            let known = by.operations.list_identity_providers().await;
            list(&known.map_err(|error| failure(&error, LIST))?, COLUMNS, *json, out)
        }
        IdentityProviderCommand::Show { id, json } => {
            let known = by.operations.find_identity_provider(id).await;
            let known = known.map_err(|error| failure(&error, LIST))?;
            let lines = serde_json::to_string_pretty(&known).unwrap_or_default();
            one(&json!(known), &lines, *json, out)
        }
        IdentityProviderCommand::Set(args) => set(by, control, args, out).await,
        IdentityProviderCommand::Disable { id, json } => {
            let ended = by.operations.disable_identity_provider(&by.actor, control, id).await;
            let ended = ended.map_err(|error| failure(&error, LIST))?;
            let value = json!({ "id": id, "disabled": true, "ended": ended });
            one(&value, &over("disabled", ended), *json, out)
        }
        IdentityProviderCommand::Enable { id, json } => {
            let done = by.operations.enable_identity_provider(&by.actor, control, id).await;
            done.map_err(|error| failure(&error, LIST))?;
            let value = json!({ "id": id, "disabled": false });
            one(&value, "the identity provider is enabled", *json, out)
        }
        IdentityProviderCommand::Remove { id, json } => {
            let ended = by.operations.remove_identity_provider(&by.actor, control, id).await;
            let ended = ended.map_err(|error| failure(&error, LIST))?;
            let value = json!({ "id": id, "removed": true, "ended": ended });
            let people = "Its people stay, and cannot log in: broker user list, broker user remove";
            one(&value, &format!("{}\n{people}", over("removed", ended)), *json, out)
        }
    }
}

fn over(what: &str, ProviderEnded { sessions, grants }: ProviderEnded) -> String {
    format!("the identity provider is {what}; sessions that ended: {sessions}, grants: {grants}")
}

async fn add(
    by: &Administration,
    control: &ProviderCheck,
    args: &AddArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let new = NewIdentityProvider {
        id: args.id.clone(),
        issuer: args.issuer.clone(),
        groups_prefix: args.groups_prefix.clone(),
        client_id: args.client_id.clone(),
        name: args.more.name.clone(),
        client_secret: args.more.client_secret.clone(),
        scopes: args.more.scopes.clone(),
        claims: args.more.claims(ProviderClaimNames::default())?,
        require: args.more.required(),
        standing: args.more.standing(Standing::default())?.unwrap_or_default(),
        no_check: args.no_check,
    };
    let added = by.operations.add_identity_provider(&by.actor, control, new).await;
    let added = added.map_err(|error| failure(&error, LIST))?;
    let lines = format!(
        "Identity provider: {}\nRegister there as redirect URI: {}\nBrokers follow within seconds.",
        added.id, added.callback
    );
    one(&json!(added), &lines, args.json, out)
}

async fn set(
    by: &Administration,
    control: &ProviderCheck,
    args: &SetArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let known: Result<IdentityProviderView, _> =
        by.operations.find_identity_provider(&args.id).await;
    let known = known.map_err(|error| failure(&error, LIST))?;
    let required = args.more.required();
    let change = IdentityProviderChange {
        name: args.more.name.clone(),
        client_id: args.client_id.clone(),
        client_secret: args.more.client_secret.clone(),
        scopes: args.more.scopes.clone(),
        claims: args.more.claims(known.claims)?,
        require: (args.require_nothing || !required.is_empty()).then_some(required),
        standing: args.more.standing(known.standing)?,
    };
    let change = (args.id.as_str(), change);
    let changed = by.operations.change_identity_provider(&by.actor, control, change).await;
    let changed = changed.map_err(|error| failure(&error, LIST))?;
    one(&json!(changed), "brokers follow within seconds", args.json, out)
}
