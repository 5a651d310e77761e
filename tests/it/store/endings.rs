//! More grants than one transaction ends, and an ending that is under way.

use futures_util::StreamExt as _;
use mcp_auth_broker::id::{GrantId, UserId};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{
    ClientKind, Database, Digest, GrantFilter, GrantOf, GrantRow, PageRequest, Redeemed,
    RevokeReason, Rotated, StoreSettings,
};
use sqlx::Connection as _;
use tokio::task::JoinSet;

use super::rows::{client, client_id, code, grant, redemption, rotation, user, with_refresh_token};
use super::{NOW, Place, Store, after, on_both};

on_both! {
    a_client_with_many_grants_loses_all_of_them;
    a_person_with_many_grants_loses_all_of_them;
    a_server_with_many_grants_takes_all_of_them_along;
    of_many_grants_for_a_client_a_person_withdraws_all;
    what_a_clock_that_is_ahead_made_ends_with_the_rest;
}

/// Two parts and a bit.
const MANY: usize = 2_100;

/// So many like this one.
async fn many(store: &Store, like: &GrantRow) -> Vec<GrantRow> {
    let rows: Vec<_> = (0..MANY).map(|_| GrantRow { id: grant().id, ..like.clone() }).collect();
    let add = |row: &GrantRow| {
        let (store, row) = (store.clone(), row.clone());
        async move { store.add_grant(&row).await.unwrap() }
    };
    futures_util::stream::iter(rows.iter().map(add)).buffer_unordered(16).collect::<()>().await;
    rows
}

async fn assert_over(store: &Store, rows: &[GrantRow], reason: RevokeReason) {
    assert!(rows.iter().all(|row| store.is_revoked(Some(row.id), None)));
    for row in rows.iter().step_by(500).chain(rows.last()) {
        let found = store.find_grant(row.id).await.unwrap().unwrap();
        assert_eq!((found.revoked_at, found.revoke_reason), (Some(after(1)), Some(reason)));
    }
}

async fn live(store: &Store) -> Vec<GrantRow> {
    let page = PageRequest { after: None, limit: 10 };
    store.list_grants(&GrantFilter::default(), &page).await.unwrap().rows
}

async fn a_client_with_many_grants_loses_all_of_them(store: Store) {
    store.add_client(&client("client-1", ClientKind::Static)).await.unwrap();
    let rows = many(&store, &grant()).await;
    let other = GrantRow { client_id: "other".parse().unwrap(), ..grant() };
    store.add_grant(&other).await.unwrap();
    assert!(store.disable_client(&client_id(), Some(after(1))).await.unwrap());
    assert_over(&store, &rows, RevokeReason::Disabled).await;
    assert_eq!(live(&store).await.len(), 1, "another client's");
    assert!(!store.is_revoked(Some(other.id), None));
}

async fn a_person_with_many_grants_loses_all_of_them(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let rows = many(&store, &GrantRow { user_id: Some(ada.id), ..grant() }).await;
    let other = grant();
    store.add_grant(&other).await.unwrap();
    assert!(store.set_password(ada.id, "$1", None, after(1)).await.unwrap());
    assert_over(&store, &rows, RevokeReason::Password).await;
    assert_eq!(live(&store).await.len(), 1, "another person's");
    let later = GrantRow { user_id: Some(ada.id), created_at: after(2), ..grant() };
    store.add_grant(&later).await.unwrap();
    assert!(!store.is_revoked(Some(later.id), None), "under the new password");
}

async fn a_server_with_many_grants_takes_all_of_them_along(store: Store) {
    let uri = "https://weather.example/mcp";
    store.add_resource(&super::resources::resource("weather", &[uri])).await.unwrap();
    let rows = many(&store, &GrantRow { resource: uri.to_owned(), ..grant() }).await;
    store.add_grant(&grant()).await.unwrap();
    assert!(store.delete_resource("weather", false, after(1)).await.unwrap());
    assert_over(&store, &rows, RevokeReason::Administrator).await;
    assert_eq!(live(&store).await.len(), 1, "for another server");
}

async fn of_many_grants_for_a_client_a_person_withdraws_all(store: Store) {
    let mine = grant();
    let rows = many(&store, &mine).await;
    let elsewhere = GrantRow { client_id: "other".parse().unwrap(), ..mine.clone() };
    store.add_grant(&elsewhere).await.unwrap();
    let count = store.withdraw(mine.user_id.unwrap(), &client_id(), after(1)).await.unwrap();
    assert_eq!(count, MANY as u64);
    assert_over(&store, &rows, RevokeReason::Person).await;
    assert!(!store.is_revoked(Some(elsewhere.id), None));
}

/// Somebody's grant at a server of its own, as another replica made it: its clock is a second ahead, or this one was set back.
async fn ahead(store: &Store, name: &str) -> (UserId, GrantRow) {
    let user = user(name);
    store.add_user(&user).await.unwrap();
    let resource = format!("https://{name}.example/mcp");
    store.add_resource(&super::resources::resource(name, &[&resource])).await.unwrap();
    let id = GrantId::at(after(2), &SystemRandom::new());
    let made = GrantRow { id, user_id: Some(user.id), created_at: after(2), resource, ..grant() };
    store.add_grant(&made).await.unwrap();
    (user.id, made)
}

// RFC 9700 §4.14.2 — N51
async fn what_a_clock_that_is_ahead_made_ends_with_the_rest(store: Store) {
    let now = after(1);
    store.add_client(&client("client-1", ClientKind::Static)).await.unwrap();
    let (id, by_password) = ahead(&store, "password").await;
    assert!(store.set_password(id, "$1", None, now).await.unwrap());
    let (id, disabled) = ahead(&store, "disabled").await;
    assert!(store.disable_user(id, Some(now)).await.unwrap());
    let (id, withdrawn) = ahead(&store, "withdrawn").await;
    assert_eq!(store.withdraw(id, &client_id(), now).await.unwrap(), 1);
    let (_, at_a_server) = ahead(&store, "server").await;
    assert!(store.delete_resource("server", false, now).await.unwrap());
    let (_, of_a_client) = ahead(&store, "client").await;
    assert!(store.disable_client(&client_id(), Some(now)).await.unwrap());
    for ended in [by_password, disabled, withdrawn, at_a_server, of_a_client] {
        let found = store.find_grant(ended.id).await.unwrap().unwrap();
        assert_eq!(found.revoked_at, Some(now), "{}", ended.resource);
        assert!(store.is_revoked(Some(ended.id), None), "{}", ended.resource);
    }
}

async fn execute(place: &Place, sql: &str) {
    match &place.settings {
        StoreSettings::Sqlite(path) => {
            rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
        }
        StoreSettings::Postgres(url) => {
            let mut server = sqlx::PgConnection::connect(url.expose()).await.unwrap();
            let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
            sql.execute(&mut server).await.unwrap();
        }
    }
}

/// As a broker leaves it that ends between the line and the rows: everything of this person that was made until then.
async fn begun(place: &Place, whose: UserId) {
    let (before, end) = (after(1).unix_millis(), after(86_400).unix_millis());
    let sql = format!(
        "INSERT INTO revocations (ending, ended_before, ending_reason, expires_at) \
         VALUES ('user:{whose}', {before}, 'password', {end})"
    );
    execute(place, &sql).await;
}

/// Whether a token of this grant is over by a line for many.
fn is_over(store: &dyn Database, grant: &GrantRow) -> bool {
    let user = grant.user_id.unwrap().to_string();
    let (client, resource) = (grant.client_id.as_str(), grant.resource.as_str());
    store.are_all_revoked(grant.id, &GrantOf { user: &user, client, resource })
}

// RFC 9700 §4.14.2 — N51
async fn an_ending_under_way_leaves_nothing_alive(place: Place) {
    let store = place.open().await;
    let old = with_refresh_token(&store, "old").await;
    let coded = GrantRow { user_id: old.user_id, ..grant() };
    super::rows::allow(&store, &coded, &code(&coded, "code")).await;
    let others = with_refresh_token(&store, "others").await;
    begun(&place, old.user_id.unwrap()).await;
    let replica = place.open().await;
    assert!(is_over(&*replica, &old) && !is_over(&*replica, &others));
    let later = GrantRow { id: GrantId::at(after(1), &SystemRandom::new()), ..old.clone() };
    assert!(!is_over(&*replica, &later), "made since then");
    assert!(store.find_refresh_token(&Digest::of("old")).await.unwrap().is_none());
    let rotated = store.rotate_refresh_token(&rotation("old", "next", 2)).await.unwrap();
    assert!(matches!(rotated, Rotated::GrantEnded), "{rotated:?}");
    let redeemed = store.redeem_code(&redemption("code", Some("r"))).await.unwrap();
    assert!(matches!(redeemed, Redeemed::GrantEnded), "{redeemed:?}");
    let rotated = store.rotate_refresh_token(&rotation("others", "next", 2)).await.unwrap();
    assert!(matches!(rotated, Rotated::Granted { .. }), "{rotated:?}");
}

async fn a_clean_up_goes_on_with_an_ending(place: Place) {
    let store = place.open().await;
    let old = grant();
    store.add_grant(&old).await.unwrap();
    begun(&place, old.user_id.unwrap()).await;
    assert_eq!(store.clean_up(after(2)).await.unwrap(), 1);
    assert!(store.is_revoked(Some(old.id), None));
    let found = store.find_grant(old.id).await.unwrap().unwrap();
    assert_eq!(found.revoke_reason, Some(RevokeReason::Password));
    let new = GrantRow { id: grant().id, ..old };
    store.add_grant(&new).await.unwrap();
    assert_eq!(store.clean_up(after(2)).await.unwrap(), 0, "it is over");
    assert!(!store.is_revoked(Some(new.id), None));
    assert_eq!(store.clean_up(NOW.plus_seconds(2 * 86_400 - 600)).await.unwrap(), 2, "both lines");
}

/// A line of a version that knows more kinds.
async fn what_only_a_newer_version_ends_is_left_to_it(place: Place) {
    let store = place.open().await;
    let kept = grant();
    store.add_grant(&kept).await.unwrap();
    let (before, end) = (after(1).unix_millis(), after(86_400).unix_millis());
    let newer = format!(
        "INSERT INTO revocations (ending, ended_before, ending_reason, expires_at) \
         VALUES ('group:staff', {before}, 'group', {end})"
    );
    execute(&place, &newer).await;
    let ended = grant();
    store.add_grant(&ended).await.unwrap();
    assert!(store.revoke_grant(ended.id, RevokeReason::Person, after(1)).await.unwrap());
    let replica = place.open().await;
    assert!(replica.is_revoked(Some(ended.id), None), "what comes after it is read");
    assert!(!replica.is_revoked(Some(kept.id), None) && !is_over(&*replica, &kept));
    assert_eq!(replica.clean_up(after(2)).await.unwrap(), 0);
    assert!(store.find_grant(kept.id).await.unwrap().unwrap().revoked_at.is_none());
}

/// Whoever ends one grant has its row and then waits to write its line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_aliases_waits_for_no_grant_while_others_wait_to_end_theirs() {
    let place = Place::postgres();
    let store = place.open().await;
    let uris = ["https://a.example/mcp", "https://b.example/mcp"];
    store.add_resource(&super::resources::resource("weather", &uris)).await.unwrap();
    let [first, second] = uris.map(|uri| GrantRow { resource: uri.to_owned(), ..grant() });
    store.add_grant(&first).await.unwrap();
    store.add_grant(&second).await.unwrap();
    let StoreSettings::Postgres(url) = &place.settings else { unreachable!() };
    let mut other = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let sql = |text: String| sqlx::raw_sql(sqlx::AssertSqlSafe(text));
    sql("SET deadlock_timeout = '10ms'".to_owned()).execute(&mut other).await.unwrap();
    let row = format!("BEGIN; UPDATE grants SET last_used_at = 1 WHERE id = '{}'", second.id);
    sql(row).execute(&mut other).await.unwrap();
    let mut deletes = JoinSet::new();
    let deleting = store.clone();
    deletes.spawn(async move { deleting.delete_resource("weather", false, after(1)).await });
    let waits = "SELECT COUNT(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted \
        AND datname = current_database() AND locktype = 'transactionid'";
    let mut watch = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watch).await.unwrap() == 0 {}
    let line = "SELECT pg_advisory_xact_lock(5570417002)".to_owned();
    sql(line).execute(&mut other).await.expect("nobody has it who waits for a grant");
    sql("COMMIT".to_owned()).execute(&mut other).await.unwrap();
    assert!(deletes.join_next().await.unwrap().unwrap().unwrap());
    assert!([first, second].iter().all(|grant| store.is_revoked(Some(grant.id), None)));
}

mod each {
    use super::super::Place;

    #[tokio::test]
    async fn what_only_a_newer_version_ends_is_left_to_it_on_sqlite() {
        super::what_only_a_newer_version_ends_is_left_to_it(Place::sqlite()).await;
    }

    #[tokio::test]
    async fn what_only_a_newer_version_ends_is_left_to_it_on_postgres() {
        super::what_only_a_newer_version_ends_is_left_to_it(Place::postgres()).await;
    }

    #[tokio::test]
    async fn an_ending_under_way_leaves_nothing_alive_on_sqlite() {
        super::an_ending_under_way_leaves_nothing_alive(Place::sqlite()).await;
    }

    #[tokio::test]
    async fn an_ending_under_way_leaves_nothing_alive_on_postgres() {
        super::an_ending_under_way_leaves_nothing_alive(Place::postgres()).await;
    }

    #[tokio::test]
    async fn a_clean_up_goes_on_with_an_ending_on_sqlite() {
        super::a_clean_up_goes_on_with_an_ending(Place::sqlite()).await;
    }

    #[tokio::test]
    async fn a_clean_up_goes_on_with_an_ending_on_postgres() {
        super::a_clean_up_goes_on_with_an_ending(Place::postgres()).await;
    }
}
