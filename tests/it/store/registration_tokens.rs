//! Initial access tokens: so often and until then.

use futures_util::future::join_all;
use mcp_auth_broker::store::{Digest, PageRequest, RegistrationTokenRow};

use super::{NOW, Store, after, on_both};

on_both! {
    a_token_is_found_listed_and_removed;
    a_late_token_is_forgotten_after_a_month;
    a_token_is_used_so_often_and_until_it_expires;
    of_fifty_at_once_no_more_than_are_left_use_it;
}

fn row(prefix: &str, most_uses: u32) -> RegistrationTokenRow {
    RegistrationTokenRow {
        prefix: prefix.to_owned(),
        token: Digest::of(&format!("mrt_{prefix}")),
        name: Some("fleet".to_owned()),
        uses: 0,
        most_uses,
        created_at: NOW,
        expires_at: after(60),
        last_used_at: None,
    }
}

async fn a_token_is_found_listed_and_removed(store: Store) {
    let [one, two] = ["one", "two"].map(|prefix| row(prefix, 1));
    for row in [&two, &one] {
        assert!(store.add_registration_token(row).await.unwrap());
    }
    assert!(!store.add_registration_token(&row("one", 9)).await.unwrap());
    let found = store.find_registration_token("one").await.unwrap().unwrap();
    assert_eq!((found.most_uses, found.name.as_deref()), (1, Some("fleet")));
    assert_eq!((found.token, found.expires_at), (one.token, after(60)));
    let mut request = PageRequest { after: None, limit: 1 };
    let first = store.list_registration_tokens(&request).await.unwrap();
    assert_eq!((first.rows[0].prefix.as_str(), first.next.as_deref()), ("one", Some("one")));
    request.after = first.next;
    let second = store.list_registration_tokens(&request).await.unwrap();
    assert_eq!((second.rows[0].prefix.as_str(), second.next), ("two", None));
    assert!(store.delete_registration_token("one").await.unwrap());
    assert!(!store.delete_registration_token("one").await.unwrap());
    assert!(!store.use_registration_token("one", &one.token, after(1)).await.unwrap());
}

async fn a_late_token_is_forgotten_after_a_month(store: Store) {
    store.add_registration_token(&row("a", 1)).await.unwrap();
    store.clean_up(after(60 + 30 * 86_400)).await.unwrap();
    assert!(store.find_registration_token("a").await.unwrap().is_some());
    store.clean_up(after(61 + 30 * 86_400)).await.unwrap();
    assert!(store.find_registration_token("a").await.unwrap().is_none());
}

// RFC 7591 §3 — N90
async fn a_token_is_used_so_often_and_until_it_expires(store: Store) {
    let (token, short) = (row("a", 2), row("b", 9));
    for row in [&token, &short] {
        store.add_registration_token(row).await.unwrap();
    }
    let uses = async |row: &RegistrationTokenRow, at| {
        store.use_registration_token(&row.prefix, &row.token, after(at)).await.unwrap()
    };
    assert!(!store.use_registration_token("a", &short.token, after(1)).await.unwrap());
    assert_eq!(
        [uses(&token, 1).await, uses(&token, 2).await, uses(&token, 3).await],
        [true, true, false]
    );
    let found = store.find_registration_token("a").await.unwrap().unwrap();
    assert_eq!((found.uses, found.last_used_at), (2, Some(after(2))));
    assert_eq!([uses(&short, 59).await, uses(&short, 60).await], [true, false]);
}

async fn of_fifty_at_once_no_more_than_are_left_use_it(store: Store) {
    let token = row("a", 3);
    store.add_registration_token(&token).await.unwrap();
    let at_once = (0..50).map(|_| store.use_registration_token("a", &token.token, after(1)));
    let used = join_all(at_once).await.into_iter().filter(|used| *used.as_ref().unwrap()).count();
    assert_eq!(used, 3);
    assert_eq!(store.find_registration_token("a").await.unwrap().unwrap().uses, 3);
}
