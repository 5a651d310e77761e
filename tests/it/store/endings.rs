//! More grants than one transaction ends, and an ending that is under way.

use futures_util::StreamExt as _;
use mcp_auth_broker::id::{GrantId, UserId};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{
    ClientKind, Database, Digest, GrantFilter, GrantOf, GrantRow, PageRequest, Redeemed,
    RevokeReason, Rotated, StoreSettings,
};
use sqlx::Connection as _;

use super::rows::{client, client_id, code, grant, redemption, rotation, user, with_refresh_token};
use super::{NOW, Place, Store, after, on_both};

on_both! {
    a_client_with_many_grants_loses_all_of_them;
    a_person_with_many_grants_loses_all_of_them;
    a_server_with_many_grants_takes_all_of_them_along;
    of_many_grants_for_a_client_a_person_withdraws_all;
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

mod each {
    use super::super::Place;

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
