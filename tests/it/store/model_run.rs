//! In whatever order things happen to codes and refresh tokens: the store does what the model says, on both databases.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use mcp_auth_broker::store::{
    CodeRedemption, Digest, GrantFilter, NewRefreshToken, Redeemed, RefreshRotation, RevokeReason,
    Rotated,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::model::{CODE, Code, GRACE, GRANT, Grant, Model, Step, TOKEN, Token, Told, step};
use super::{Place, Store, after, rows};

/// The store, the model, and where the store is.
struct Pair {
    place: Place,
    store: Option<Store>,
    model: Model,
}

impl Pair {
    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Authorize { client } => self.authorize(*client).await,
            Step::Redeem { code, as_client, verifier, times } => {
                if !self.model.codes.is_empty() {
                    let code = code.index(self.model.codes.len());
                    return self.redeem((code, *times), *as_client, *verifier).await;
                }
            }
            Step::Refresh { token, as_client, times } => {
                if !self.model.tokens.is_empty() {
                    let token = token.index(self.model.tokens.len());
                    return self.refresh((token, *times), *as_client).await;
                }
            }
            Step::Revoke { grant } => self.revoke(*grant).await,
            Step::RemoveClient { client } => self.remove(*client).await,
            Step::Wait { seconds } => self.model.now += seconds,
            Step::Restart => {
                self.store = None;
                self.store = Some(self.place.open().await);
            }
        }
        Ok(())
    }

    async fn authorize(&mut self, client: u8) {
        let (name, ends) = (self.model.name("code"), self.model.now + GRANT);
        let mut row = rows::grant();
        row.client_id = self.model.client(client);
        row.expires_at = after(ends);
        let mut code = rows::code(&row, &name);
        code.expires_at = after(self.model.now + CODE);
        rows::allow(self.store(), &row, &code).await;
        let (grant, now) = (self.model.grants.len(), self.model.now);
        self.model.grants.push(Grant { row, ends, revoked: false });
        self.model.codes.push(Code { name, grant, ends: now + CODE, used: false });
    }

    async fn redeem(
        &mut self,
        (code, times): (usize, u8),
        as_client: u8,
        verifier: bool,
    ) -> Result<(), TestCaseError> {
        let grant = self.model.codes[code].grant;
        let asked: Vec<_> = (0..times)
            .map(|_| CodeRedemption {
                client_id: self.model.caller(grant, as_client),
                code_challenge: if verifier { rows::CHALLENGE } else { "another" }.to_owned(),
                now: self.model.time(),
                refresh: None,
                ..rows::redemption(&self.model.codes[code].name, None)
            })
            .collect();
        let names: Vec<_> = asked.iter().map(|_| self.model.name("token")).collect();
        let ends = after(self.model.now + TOKEN);
        let with_token = |(asked, name): (CodeRedemption, &String)| {
            let token = NewRefreshToken { expires_at: ends, ..rows::refresh_token(name) };
            CodeRedemption { refresh: Some(token), ..asked }
        };
        let asked: Vec<_> = asked.into_iter().zip(&names).map(with_token).collect();
        let store = self.store();
        let answers = join_all(asked.iter().map(|asked| store.redeem_code(asked))).await;
        let (mut told, mut winner) = (Vec::new(), names[0].clone());
        for (answer, name) in answers.into_iter().zip(&names) {
            told.push(match answer.unwrap() {
                Redeemed::Granted { .. } => {
                    winner.clone_from(name);
                    Told::Granted
                }
                Redeemed::Replayed { .. } => Told::Reused,
                Redeemed::Refused => Told::Refused,
                Redeemed::GrantEnded => Told::Ended,
            });
        }
        let mut expected = Vec::new();
        for _ in 0..times {
            let right = as_client == 0 && verifier;
            expected.push(if right { self.model.redeem(code, &winner) } else { Told::Refused });
        }
        same(told, expected)
    }

    async fn refresh(
        &mut self,
        (token, times): (usize, u8),
        as_client: u8,
    ) -> Result<(), TestCaseError> {
        let grant = self.model.tokens[token].grant;
        let names: Vec<_> = (0..times).map(|_| self.model.name("token")).collect();
        let asked: Vec<_> = names
            .iter()
            .map(|name| {
                let ends = after(self.model.now + TOKEN);
                let successor = NewRefreshToken { expires_at: ends, ..rows::refresh_token(name) };
                RefreshRotation {
                    presented: Digest::of(&self.model.tokens[token].name),
                    client_id: self.model.caller(grant, as_client),
                    successor,
                    sealed_reply: name.clone().into_bytes(),
                    replay_until: after(self.model.now + GRACE),
                    now: self.model.time(),
                }
            })
            .collect();
        let store = self.store();
        let answers = join_all(asked.iter().map(|asked| store.rotate_refresh_token(asked))).await;
        // Of several at once nobody knows who wins; where it is a dead grant, nobody ever hears.
        let (mut told, mut winner) = (Vec::new(), names[0].clone());
        for (answer, name) in answers.into_iter().zip(&names) {
            told.push(match answer.unwrap() {
                Rotated::Granted { .. } => {
                    winner.clone_from(name);
                    Told::Granted
                }
                Rotated::SameReply { sealed_reply, .. } => {
                    Told::Same(String::from_utf8(sealed_reply).unwrap())
                }
                Rotated::Reused { .. } => Told::Reused,
                Rotated::Refused => Told::Refused,
                Rotated::GrantEnded => Told::Ended,
            });
        }
        let mut expected = Vec::new();
        for _ in 0..times {
            let own = as_client == 0;
            expected.push(if own { self.model.refresh(token, &winner) } else { Told::Refused });
        }
        same(told, expected)
    }

    async fn revoke(&mut self, grant: Index) {
        if self.model.grants.is_empty() {
            return;
        }
        let grant = grant.index(self.model.grants.len());
        let id = self.model.grants[grant].row.id;
        let now = self.model.time();
        self.store().revoke_grant(id, RevokeReason::Person, now).await.unwrap();
        self.model.grants[grant].revoked = true;
    }

    async fn remove(&mut self, client: u8) {
        let (client, now) = (self.model.client(client), self.model.time());
        let filter = GrantFilter { client_id: Some(client.clone()), ..GrantFilter::default() };
        self.store().revoke_grants(&filter, RevokeReason::Disabled, now).await.unwrap();
        self.store().delete_client(&client).await.unwrap();
        let at = self.model.now;
        for grant in &mut self.model.grants {
            grant.revoked |= grant.row.client_id == client && grant.ends > at;
        }
    }

    /// What can be seen of the store from outside is what the model holds, of every grant and every token.
    async fn compare(&self) -> Result<(), TestCaseError> {
        for Grant { row, revoked, .. } in &self.model.grants {
            let found = self.store().find_grant(row.id).await.unwrap().unwrap();
            prop_assert_eq!(found.revoked_at.is_some(), *revoked, "{}", row.id);
            prop_assert_eq!(self.store().is_revoked(Some(row.id), None), *revoked, "{}", row.id);
        }
        for Token { name, grant, used, .. } in &self.model.tokens {
            let found = self.store().find_refresh_token(&Digest::of(name)).await.unwrap();
            let usable = used.is_none() && !self.model.grants[*grant].revoked;
            prop_assert_eq!(found.is_some(), usable, "{}", name);
        }
        for code in &self.model.codes {
            let found = self.store().find_code(&Digest::of(&code.name)).await.unwrap().unwrap();
            prop_assert_eq!(found.used_at.is_some(), code.used, "{}", code.name);
        }
        Ok(())
    }
}

/// In whatever order they were served.
fn same(mut told: Vec<Told>, mut expected: Vec<Told>) -> Result<(), TestCaseError> {
    told.sort();
    expected.sort();
    prop_assert_eq!(told, expected);
    Ok(())
}

/// Each case on the same database, with names of its own.
fn whatever_happens(place: impl Fn() -> Place, cases: u32) {
    static RUN: AtomicU32 = AtomicU32::new(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = std::cell::Cell::new(Some(place()));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(), 1..40), |steps| {
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(async {
            let here = place.take().unwrap();
            let store = Some(here.open().await);
            let model = Model { run, ..Model::default() };
            let mut pair = Pair { place: here, store, model };
            let mut done = Ok(());
            for step in &steps {
                done = pair.take(step).await;
                if done.is_ok() {
                    done = pair.compare().await;
                }
                if done.is_err() {
                    break;
                }
            }
            place.set(Some(pair.place));
            done
        })
    });
    checked.unwrap();
}

// RFC 6749 §4.1.2, §10.5, OAuth 2.1 §4.3.1 — N29, N30, N45 to N48
#[test]
fn codes_and_refresh_tokens_do_what_the_model_says_on_sqlite() {
    whatever_happens(Place::sqlite, 96);
}

// RFC 6749 §4.1.2, §10.5, OAuth 2.1 §4.3.1 — N29, N30, N45 to N48
#[test]
fn codes_and_refresh_tokens_do_what_the_model_says_on_postgres() {
    whatever_happens(Place::postgres, 48);
}
