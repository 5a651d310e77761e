//! What must become of codes and refresh tokens, whatever clients, thieves and administrators do to them, in as little as
//! says it.

use mcp_auth_broker::id::ClientId;
use mcp_auth_broker::store::GrantRow;
use mcp_auth_broker::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;

use super::after;

/// How long a code lives, a refresh token, the same reply, and a grant: so short that time passes over all of them.
pub(super) const CODE: i64 = 60;
pub(super) const TOKEN: i64 = 300;
pub(super) const GRACE: i64 = 30;
pub(super) const GRANT: i64 = 900;

/// One thing that somebody does. Codes, tokens and grants are those there are, by chance.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Authorize {
        client: u8,
    },
    /// `times` at once.
    Redeem {
        code: Index,
        as_client: u8,
        verifier: bool,
        times: u8,
    },
    Refresh {
        token: Index,
        as_client: u8,
        times: u8,
    },
    Revoke {
        grant: Index,
    },
    RemoveClient {
        client: u8,
    },
    Wait {
        seconds: i64,
    },
    Restart,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let times = || prop_oneof![4 => Just(1_u8), 1 => 2..4_u8];
    // Mostly the right client and verifier: else hardly anything is ever granted.
    let of = || prop_oneof![6 => Just(0_u8), 1 => Just(1_u8)];
    prop_oneof![
        3 => (0..2_u8).prop_map(|client| Step::Authorize { client }),
        6 => (any::<Index>(), of(), prop::bool::weighted(0.9), times())
            .prop_map(|(code, as_client, verifier, times)| Step::Redeem { code, as_client, verifier, times }),
        10 => (any::<Index>(), of(), times())
            .prop_map(|(token, as_client, times)| Step::Refresh { token, as_client, times }),
        1 => any::<Index>().prop_map(|grant| Step::Revoke { grant }),
        1 => (0..2_u8).prop_map(|client| Step::RemoveClient { client }),
        3 => prop_oneof![1..GRACE, Just(GRACE), Just(CODE), 1..TOKEN].prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
    ]
}

pub(super) struct Grant {
    pub(super) row: GrantRow,
    pub(super) ends: i64,
    pub(super) revoked: bool,
}

pub(super) struct Code {
    pub(super) name: String,
    pub(super) grant: usize,
    pub(super) ends: i64,
    pub(super) used: bool,
}

pub(super) struct Token {
    pub(super) name: String,
    pub(super) grant: usize,
    pub(super) ends: i64,
    /// Until when the same reply is given, and of which token.
    pub(super) used: Option<(i64, String)>,
}

/// What must be.
#[derive(Default)]
pub(super) struct Model {
    pub(super) run: u32,
    pub(super) now: i64,
    pub(super) named: u32,
    pub(super) grants: Vec<Grant>,
    pub(super) codes: Vec<Code>,
    pub(super) tokens: Vec<Token>,
}

/// What a caller is told, and of which token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Granted,
    Same(String),
    Reused,
    Refused,
    Ended,
}

impl Model {
    pub(super) fn name(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{what} {} {}", self.run, self.named)
    }

    pub(super) fn client(&self, number: u8) -> ClientId {
        format!("client-{}-{number}", self.run).parse().unwrap()
    }

    pub(super) fn time(&self) -> Timestamp {
        after(self.now)
    }

    pub(super) fn lives(&self, grant: usize) -> bool {
        let grant = &self.grants[grant];
        !grant.revoked && grant.ends > self.now
    }

    /// The other client, where `as_client` says so.
    pub(super) fn caller(&self, grant: usize, as_client: u8) -> ClientId {
        let own = &self.grants[grant].row.client_id;
        if as_client == 0 { own.clone() } else { self.client(2) }
    }

    /// One redemption that proves everything.
    pub(super) fn redeem(&mut self, code: usize, successor: &str) -> Told {
        let Code { grant, ends, used, .. } = self.codes[code];
        if used {
            self.grants[grant].revoked = true;
            return Told::Reused;
        }
        if ends <= self.now {
            return Told::Refused;
        }
        if !self.lives(grant) {
            self.codes[code].used = true;
            return Told::Ended;
        }
        self.codes[code].used = true;
        let token = successor.to_owned();
        self.tokens.push(Token { name: token, grant, ends: self.now + TOKEN, used: None });
        Told::Granted
    }

    /// One refresh by the token's own client.
    pub(super) fn refresh(&mut self, token: usize, successor: &str) -> Told {
        let (grant, now) = (self.tokens[token].grant, self.now);
        let Some((until, next)) = self.tokens[token].used.clone() else {
            if self.tokens[token].ends <= now {
                return Told::Refused;
            }
            self.tokens[token].used = Some((now + GRACE, successor.to_owned()));
            if !self.lives(grant) {
                return Told::Ended;
            }
            let name = successor.to_owned();
            self.tokens.push(Token { name, grant, ends: now + TOKEN, used: None });
            return Told::Granted;
        };
        if !self.lives(grant) {
            return Told::Ended;
        }
        let spent = self.tokens.iter().any(|token| token.name == next && token.used.is_some());
        if now <= until && !spent {
            return Told::Same(next);
        }
        self.grants[grant].revoked = true;
        Told::Reused
    }
}
