//! What identity providers gave with log-ins, to be asked again about people.

use futures_util::future::join_all;
use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    ExternalIdentity, GivenTokens, GrantRow, LoggedOut, LoginOrigin, ProviderAnswer, ProviderLogin,
    ProviderTokensRow, SealedPlace, Sealing, SealingChange, UserRemoval, UserRemoved,
};
use mcp_auth_broker::time::Timestamp;

use super::rows::{grant, user_id};
use super::{NOW, Store, after, on_both};

on_both! {
    a_log_in_replaces_what_was_kept_and_one_without_tokens_leaves_it;
    of_many_who_ask_one_does;
    an_answer_is_kept_with_what_it_says_and_counts_once;
    what_a_log_in_replaced_meanwhile_ends_nothing;
    what_comes_from_a_provider_ends_once_and_nothing_else_does;
    who_is_gone_or_disabled_leaves_nothing_and_is_given_nothing;
    what_nobody_needs_any_more_is_cleaned_up;
    each_is_sealed_with_the_key_of_the_store;
}

const ISSUER: &str = "https://idp.example";

fn ada(groups: &[&str]) -> ExternalIdentity {
    ExternalIdentity {
        issuer: ISSUER.to_owned(),
        subject: "1".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: None,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    }
}

async fn somebody(store: &Store) -> UserId {
    store.user_of_identity(&ada(&["staff"]), user_id(), NOW).await.unwrap().id
}

async fn logs_in(store: &Store, user_id: UserId, tokens: GivenTokens, now: Timestamp) -> bool {
    let issuer = ISSUER.to_owned();
    let login = ProviderLogin { user_id, issuer, provider: None, tokens, now };
    store.put_provider_login(&login).await.unwrap()
}

fn new(sealed: &str) -> GivenTokens {
    GivenTokens::New(sealed.to_owned())
}

async fn found(store: &Store, user: UserId) -> Option<ProviderTokensRow> {
    store.find_provider_word(user, ISSUER).await.unwrap().tokens
}

async fn sealed(store: &Store, user: UserId) -> Option<(String, Timestamp)> {
    found(store, user).await.map(|row| (row.sealed, row.heard_at))
}

/// What Ada allowed in a log-in at this issuer.
async fn allowed(store: &Store, user: UserId, issuer: Option<&str>) -> GrantRow {
    let login = LoginOrigin {
        sid: Some(format!("sid at {issuer:?}")),
        issuer: issuer.map(str::to_owned),
        ..LoginOrigin::default()
    };
    let row = GrantRow { user_id: Some(user), login, ..grant() };
    store.add_grant(&row).await.unwrap();
    row
}

async fn is_alive(store: &Store, grant: &GrantRow) -> bool {
    store.find_grant(grant.id).await.unwrap().unwrap().revoked_at.is_none()
}

fn answer(sealed: &str, said: Option<ExternalIdentity>) -> ProviderAnswer {
    ProviderAnswer { sealed: sealed.to_owned(), said, now: after(60), ask_at: after(90) }
}

async fn a_log_in_replaces_what_was_kept_and_one_without_tokens_leaves_it(store: Store) {
    let ada = somebody(&store).await;
    let word = store.find_provider_word(ada, ISSUER).await.unwrap();
    assert!(word.logged_in_at.is_none() && word.tokens.is_none());
    assert!(logs_in(&store, ada, new("one"), NOW).await);
    assert!(logs_in(&store, ada, new("two"), after(1)).await);
    assert_eq!(sealed(&store, ada).await, Some(("two".to_owned(), after(1))));
    assert!(logs_in(&store, ada, GivenTokens::None, after(2)).await);
    assert_eq!(sealed(&store, ada).await, Some(("two".to_owned(), after(2))));
    assert!(logs_in(&store, ada, GivenTokens::NotKept, after(3)).await);
    let word = store.find_provider_word(ada, ISSUER).await.unwrap();
    assert!(word.tokens.is_none());
    assert_eq!(word.logged_in_at, Some(after(3)));
}

async fn of_many_who_ask_one_does(store: Store) {
    let ada = somebody(&store).await;
    logs_in(&store, ada, new("one"), NOW).await;
    let row = found(&store, ada).await.unwrap();
    let claims = (0..20).map(|_| store.claim_provider_tokens(&row, NOW, after(60)));
    let claims = join_all(claims).await;
    assert_eq!(claims.into_iter().filter(|claim| *claim.as_ref().unwrap()).count(), 1);
    assert!(!store.claim_provider_tokens(&row, after(59), after(90)).await.unwrap());
    store.put_off_provider_tokens(&row, after(70)).await.unwrap();
    assert_eq!(found(&store, ada).await.unwrap().ask_at, after(70));
    assert!(store.claim_provider_tokens(&row, after(70), after(90)).await.unwrap());
}

async fn an_answer_is_kept_with_what_it_says_and_counts_once(store: Store) {
    let id = somebody(&store).await;
    logs_in(&store, id, new("one"), NOW).await;
    let row = found(&store, id).await.unwrap();
    assert!(store.put_provider_answer(&row, &answer("two", Some(ada(&["leads"])))).await.unwrap());
    assert_eq!(sealed(&store, id).await, Some(("two".to_owned(), after(60))));
    assert_eq!(store.find_user(id).await.unwrap().unwrap().groups, ["leads"]);
    assert!(!store.put_provider_answer(&row, &answer("late", Some(ada(&[])))).await.unwrap());
    assert_eq!(store.find_user(id).await.unwrap().unwrap().groups, ["leads"]);
    let row = found(&store, id).await.unwrap();
    assert!(store.put_provider_answer(&row, &answer("three", None)).await.unwrap());
    assert_eq!(sealed(&store, id).await, Some(("three".to_owned(), after(60))), "it said nothing");
    let row = found(&store, id).await.unwrap();
    let other = ExternalIdentity { subject: "2".to_owned(), ..ada(&["admins"]) };
    assert!(store.put_provider_answer(&row, &answer("four", Some(other))).await.unwrap());
    assert_eq!(store.find_user(id).await.unwrap().unwrap().groups, ["leads"], "nobody's");
}

async fn what_a_log_in_replaced_meanwhile_ends_nothing(store: Store) {
    let ada = somebody(&store).await;
    logs_in(&store, ada, new("one"), NOW).await;
    let row = found(&store, ada).await.unwrap();
    let kept = allowed(&store, ada, Some(ISSUER)).await;
    logs_in(&store, ada, new("two"), NOW).await;
    assert_eq!(store.end_provider_tokens(&row, after(1)).await.unwrap(), None);
    assert!(is_alive(&store, &kept).await);
    // What was taken out and put there anew is something else, too.
    logs_in(&store, ada, GivenTokens::NotKept, NOW).await;
    logs_in(&store, ada, new("three"), after(2)).await;
    assert_eq!(store.end_provider_tokens(&row, after(3)).await.unwrap(), None);
}

async fn what_comes_from_a_provider_ends_once_and_nothing_else_does(store: Store) {
    let ada = somebody(&store).await;
    logs_in(&store, ada, new("one"), NOW).await;
    let (theirs, other) =
        (allowed(&store, ada, Some(ISSUER)).await, allowed(&store, ada, Some("https://b")).await);
    let row = found(&store, ada).await.unwrap();
    let ends = join_all((0..10).map(|_| store.end_provider_tokens(&row, after(1)))).await;
    let ends: Vec<_> = ends.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(ends, [LoggedOut { sessions: 0, grants: 1 }]);
    assert!(!is_alive(&store, &theirs).await && is_alive(&store, &other).await);
    assert!(store.is_revoked(Some(theirs.id), None));
    assert!(found(&store, ada).await.is_none());
}

async fn who_is_gone_or_disabled_leaves_nothing_and_is_given_nothing(store: Store) {
    let ada = somebody(&store).await;
    logs_in(&store, ada, new("one"), NOW).await;
    assert!(store.disable_user(ada, Some(after(1))).await.unwrap());
    assert!(found(&store, ada).await.is_none());
    assert!(!logs_in(&store, ada, new("two"), after(2)).await);
    store.disable_user(ada, None).await.unwrap();
    logs_in(&store, ada, new("three"), after(3)).await;
    let removal = UserRemoval {
        id: ada,
        issuer: "https://broker.example".to_owned(),
        keep_last_administrator: false,
        at: after(4),
    };
    assert_eq!(store.remove_user(&removal).await.unwrap(), UserRemoved::Done);
    assert!(found(&store, ada).await.is_none());
    assert!(!logs_in(&store, ada, new("four"), after(5)).await);
    assert!(found(&store, ada).await.is_none());
}

async fn what_nobody_needs_any_more_is_cleaned_up(store: Store) {
    let ada = somebody(&store).await;
    logs_in(&store, ada, new("one"), NOW).await;
    let row = allowed(&store, ada, Some(ISSUER)).await;
    store.clean_up(after(100_000)).await.unwrap();
    assert!(found(&store, ada).await.is_some(), "its grant could still be refreshed that day");
    store
        .revoke_grant(row.id, mcp_auth_broker::store::RevokeReason::Client, after(1))
        .await
        .unwrap();
    store.clean_up(after(86_400)).await.unwrap();
    assert!(found(&store, ada).await.is_some(), "they may just have logged in");
    store.clean_up(after(86_401)).await.unwrap();
    assert!(found(&store, ada).await.is_none());
}

async fn each_is_sealed_with_the_key_of_the_store(store: Store) {
    const OLD: &str = "1111111111111111";
    const NEW: &str = "2222222222222222";
    let sealing = |key: &str| Sealing {
        key_id: key.to_owned(),
        first_key_id: OLD.to_owned(),
        root: "root".to_owned(),
    };
    let both = |text: &str| {
        format!(
            r#"[{{"nonce":"bg==","ciphertext":"{text}"}},{{"key":"{NEW}","nonce":"bg==","ciphertext":"{text}"}}]"#
        )
    };
    let ada = somebody(&store).await;
    store.adopt_sealing(&sealing(OLD)).await.unwrap();
    logs_in(&store, ada, new(&both("a")), NOW).await;
    let row = found(&store, ada).await.unwrap();
    assert_eq!(row.sealed, r#"{"nonce":"bg==","ciphertext":"a"}"#);
    let changed = store.change_sealing(OLD, &sealing(NEW), Some(NOW)).await.unwrap();
    assert_eq!(changed, SealingChange::Done);
    assert!(store.put_provider_answer(&row, &answer(&both("b"), None)).await.unwrap());
    let kept = format!(r#"{{"key":"{NEW}","nonce":"bg==","ciphertext":"b"}}"#);
    assert_eq!(found(&store, ada).await.unwrap().sealed, kept);
    let rows = store.sealed_rows(SealedPlace::ProviderTokens, None).await.unwrap();
    assert_eq!((rows.len(), &rows[0].of), (1, &[ada.to_string(), ISSUER.to_owned()]));
    let counts = store.count_sealed().await.unwrap();
    let count = counts.iter().find(|count| count.table == "provider_tokens").unwrap();
    assert_eq!((count.key_id.as_str(), count.rows), (NEW, 1));
}
