//! The tenant: people, groups and mail of Contoso, the same at every start.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

const PEOPLE: [(&str, &str, &str, &str); 12] = [
    ("ada", "Ada", "Lovelace", "Analyst"),
    ("alan", "Alan", "Turing", "Researcher"),
    ("barbara", "Barbara", "Liskov", "Architect"),
    ("donald", "Donald", "Knuth", "Writer"),
    ("edsger", "Edsger", "Dijkstra", "Engineer"),
    ("frances", "Frances", "Allen", "Compiler Engineer"),
    ("grace", "Grace", "Hopper", "Rear Admiral"),
    ("john", "John", "Backus", "Engineer"),
    ("katherine", "Katherine", "Johnson", "Navigator"),
    ("ken", "Ken", "Thompson", "Engineer"),
    ("margaret", "Margaret", "Hamilton", "Flight Software Lead"),
    ("tony", "Tony", "Hoare", "Researcher"),
];

const GROUPS: [(&str, &[usize]); 3] = [
    ("All Company", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ("Engineering", &[4, 5, 7, 9, 10]),
    ("Research", &[1, 11]),
];

const SUBJECTS: [&str; 6] = [
    "Quarterly report",
    "Lunch on Thursday",
    "Your build is green",
    "Travel expenses",
    "Design review notes",
    "Welcome to Contoso",
];

/// One object and how often it was changed; the second makes its `ETag`.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    pub(super) fields: Map<String, Value>,
    pub(super) version: u32,
}

impl Entity {
    pub(super) fn new(fields: Value) -> Self {
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Self { fields, version: 1 }
    }

    pub(super) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    /// Changes fields; `id` is not one that can be changed.
    pub(super) fn patch(&mut self, changes: &Map<String, Value>) {
        for (name, value) in changes.iter().filter(|(name, _)| *name != "id") {
            self.fields.insert(name.clone(), value.clone());
        }
        self.version = self.version.saturating_add(1);
    }
}

#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) users: Vec<Entity>,
    pub(super) groups: Vec<Entity>,
    /// By the id of the group.
    pub(super) members: BTreeMap<String, Vec<String>>,
    /// By the id of the user.
    pub(super) messages: BTreeMap<String, Vec<Entity>>,
}

impl Data {
    pub(super) fn seed() -> Self {
        let mut data = Self::default();
        for (number, (name, first, last, title)) in PEOPLE.iter().enumerate() {
            let id = id("11111111", number);
            let mail = format!("{name}@contoso.example");
            data.messages.insert(id.clone(), messages(number, &mail));
            data.users.push(Entity::new(json!({
                "id": id, "displayName": format!("{first} {last}"), "givenName": first, "surname": last,
                "jobTitle": title, "mail": mail, "userPrincipalName": mail, "accountEnabled": true,
                "businessPhones": [], "mobilePhone": null, "officeLocation": null, "preferredLanguage": "en-US",
            })));
        }
        for (number, (name, members)) in GROUPS.iter().enumerate() {
            let group = id("22222222", number);
            data.members
                .insert(group.clone(), members.iter().map(|user| id("11111111", *user)).collect());
            data.groups.push(Entity::new(json!({
                "id": group, "displayName": name, "description": format!("{name} at Contoso"),
                "groupTypes": ["Unified"], "mailEnabled": true, "securityEnabled": false,
            })));
        }
        data
    }

    /// By id or user principal name; `wanted` is lower case.
    pub(super) fn user(&self, wanted: &str) -> Option<&Entity> {
        self.users.iter().find(|user| is_user(user, wanted))
    }

    pub(super) fn user_id(&self, wanted: &str) -> Option<String> {
        self.user(wanted).map(|user| user.text("id").to_owned())
    }
}

pub(super) fn is_user(user: &Entity, wanted: &str) -> bool {
    ["id", "userPrincipalName"].iter().any(|field| user.text(field).eq_ignore_ascii_case(wanted))
}

fn messages(user: usize, to: &str) -> Vec<Entity> {
    let from = PEOPLE.iter().cycle().nth(user + 1).map_or("postmaster", |(name, ..)| name);
    SUBJECTS
        .iter()
        .enumerate()
        .map(|(number, subject)| {
            let from = format!("{from}@contoso.example");
            Entity::new(json!({
                "id": id("33333333", user * 100 + number), "subject": subject, "isRead": number > 2, "isDraft": false,
                "receivedDateTime": format!("2026-11-{:02}T09:00:00Z", 20 - number),
                "from": {"emailAddress": {"address": from}},
                "toRecipients": [{"emailAddress": {"address": to}}],
                "bodyPreview": format!("About: {subject}"),
                "body": {"contentType": "text", "content": format!("About: {subject}")},
            }))
        })
        .collect()
}

fn id(kind: &str, number: usize) -> String {
    format!("{kind}-0000-4000-8000-{number:012}")
}
