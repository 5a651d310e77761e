//! Calls that wait for a person: asked once, answered once, used once.

use std::sync::Arc;

use mcp_auth_broker::id::ApprovalId;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{
    ApprovalAnswer, ApprovalRow, ApprovalState, Asked, Digest, PageRequest, Requester,
};
use mcp_auth_broker::time::SystemClock;
use tokio::task::JoinSet;

use super::{NOW, Store, after, on_both};

on_both! {
    what_is_asked_is_found_listed_and_known;
    an_answer_counts_once_and_not_when_it_is_late;
    an_approval_is_used_once_and_not_when_it_is_late;
    of_fifty_that_use_it_one_does;
    of_fifty_that_ask_the_same_one_is_new;
    a_requester_has_so_many_questions_and_no_more;
    of_fifty_questions_at_once_so_many_wait_and_no_more;
    of_fifty_answers_at_once_one_counts;
    of_answers_about_the_deadline_none_after_it_counts;
    a_late_question_may_be_asked_again;
    what_was_late_once_stays_late_whatever_the_clock_says;
}

fn row(call: &str) -> ApprovalRow {
    ApprovalRow {
        id: ApprovalId::generate(&SystemClock, &SystemRandom::new()),
        call: Digest::of(call),
        requester: Requester {
            issuer: "https://broker.example".parse().unwrap(),
            subject: "ada".parse().unwrap(),
            client_id: Some("agent".parse().unwrap()),
            asserted: None,
        },
        tool: "delete".parse().unwrap(),
        sealed_arguments: "sealed".to_owned(),
        rule: "r".parse().unwrap(),
        policy_version: "1+abc".to_owned(),
        approvers: vec!["leads".to_owned()],
        self_approval: false,
        state: ApprovalState::Pending,
        created_at: NOW,
        expires_at: after(600),
        answer: None,
    }
}

fn say(approved: bool, seconds: i64) -> ApprovalAnswer {
    let comment = Some("fine".to_owned());
    ApprovalAnswer { approver: "lena".parse().unwrap(), approved, comment, at: after(seconds) }
}

async fn asked(store: &Store, call: &str) -> ApprovalRow {
    let row = row(call);
    assert!(matches!(store.ask_approval(&row, 20, NOW).await.unwrap(), Asked::New));
    row
}

async fn what_is_asked_is_found_listed_and_known(store: Store) {
    let one = asked(&store, "one").await;
    let found = store.find_approval(one.id).await.unwrap().unwrap();
    assert_eq!((found.requester, found.approvers), (one.requester, one.approvers));
    assert_eq!((found.state, found.answer), (ApprovalState::Pending, None));
    let listed = store.list_approvals(&PageRequest { after: None, limit: 5 }, NOW).await.unwrap();
    assert_eq!(listed.rows.len(), 1);
    let Asked::Known(known) = store.ask_approval(&row("one"), 20, after(1)).await.unwrap() else {
        panic!("asked anew");
    };
    assert_eq!(known.id, one.id);
    let late = store.list_approvals(&PageRequest { after: None, limit: 5 }, after(600)).await;
    assert_eq!(late.unwrap().rows.len(), 0);
}

async fn an_answer_counts_once_and_not_when_it_is_late(store: Store) {
    let (one, two) = (asked(&store, "one").await, asked(&store, "two").await);
    assert!(store.answer_approval(one.id, &say(false, 1)).await.unwrap());
    assert!(!store.answer_approval(one.id, &say(true, 2)).await.unwrap());
    let found = store.find_approval(one.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.answer), (ApprovalState::Denied, Some(say(false, 1))));
    assert!(!store.answer_approval(two.id, &say(true, 600)).await.unwrap());
    assert_eq!(store.use_approval(&two.call, after(600)).await.unwrap(), None);
}

async fn an_approval_is_used_once_and_not_when_it_is_late(store: Store) {
    let (one, two) = (asked(&store, "one").await, asked(&store, "two").await);
    assert_eq!(store.use_approval(&one.call, NOW).await.unwrap(), None);
    for id in [one.id, two.id] {
        assert!(store.answer_approval(id, &say(true, 1)).await.unwrap());
    }
    let used = store.use_approval(&one.call, after(2)).await.unwrap().unwrap();
    assert_eq!((used.id, used.approver.as_str()), (one.id, "lena"));
    assert_eq!(store.use_approval(&one.call, after(3)).await.unwrap(), None);
    assert_eq!(store.use_approval(&two.call, after(600)).await.unwrap(), None);
    // Used is used: the same call is a new question.
    assert!(matches!(store.ask_approval(&row("one"), 20, after(4)).await.unwrap(), Asked::New));
}

async fn of_fifty_that_use_it_one_does(store: Store) {
    let one = asked(&store, "one").await;
    assert!(store.answer_approval(one.id, &say(true, 1)).await.unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.use_approval(&one.call, after(2)).await.unwrap() });
    }
    let used = tasks.join_all().await;
    assert_eq!(used.iter().flatten().count(), 1);
}

async fn of_fifty_that_ask_the_same_one_is_new(store: Store) {
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.ask_approval(&row("one"), 20, NOW).await.unwrap() });
    }
    let asked = tasks.join_all().await;
    assert_eq!(asked.iter().filter(|one| matches!(one, Asked::New)).count(), 1);
    assert!(!asked.iter().any(|one| matches!(one, Asked::TooMany)));
}

async fn a_requester_has_so_many_questions_and_no_more(store: Store) {
    for call in ["one", "two"] {
        asked(&store, call).await;
    }
    assert!(matches!(store.ask_approval(&row("three"), 2, NOW).await.unwrap(), Asked::TooMany));
    let mut other = row("three");
    other.requester.subject = "grace".parse().unwrap();
    assert!(matches!(store.ask_approval(&other, 2, NOW).await.unwrap(), Asked::New));
    // Under other rules nothing waits any more.
    let mut anew = row("four");
    anew.policy_version = "2+def".to_owned();
    assert!(matches!(store.ask_approval(&anew, 2, NOW).await.unwrap(), Asked::New));
}

async fn of_fifty_questions_at_once_so_many_wait_and_no_more(store: Store) {
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        let row = row(&number.to_string());
        tasks.spawn(async move { store.ask_approval(&row, 20, NOW).await.unwrap() });
    }
    let asked = tasks.join_all().await;
    assert_eq!(asked.iter().filter(|one| matches!(one, Asked::New)).count(), 20);
}

async fn of_fifty_answers_at_once_one_counts(store: Store) {
    let one = asked(&store, "one").await;
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        let answer = say(number % 2 == 0, 1);
        let counts = async move { (store.answer_approval(one.id, &answer).await.unwrap(), answer) };
        tasks.spawn(counts);
    }
    let all = tasks.join_all().await;
    let counted: Vec<_> = all.into_iter().filter(|(counts, _)| *counts).collect();
    assert_eq!(counted.len(), 1);
    let found = store.find_approval(one.id).await.unwrap().unwrap();
    assert_eq!(found.answer.as_ref(), Some(&counted[0].1));
    assert_eq!(found.state == ApprovalState::Approved, counted[0].1.approved);
}

async fn of_answers_about_the_deadline_none_after_it_counts(store: Store) {
    let one = asked(&store, "one").await;
    let mut tasks = JoinSet::new();
    for second in 595..605 {
        let store = Arc::clone(&store);
        let at = async move {
            (store.answer_approval(one.id, &say(true, second)).await.unwrap(), second)
        };
        tasks.spawn(at);
    }
    let all = tasks.join_all().await;
    let counted: Vec<_> = all.into_iter().filter(|(counts, _)| *counts).collect();
    assert!(matches!(counted.as_slice(), [(true, ..600)]), "{counted:?}");
}

async fn a_late_question_may_be_asked_again(store: Store) {
    let one = asked(&store, "one").await;
    let mut again = row("one");
    again.expires_at = after(1200);
    assert!(matches!(store.ask_approval(&again, 20, after(600)).await.unwrap(), Asked::New));
    assert!(store.find_approval(one.id).await.unwrap().is_none());
}

async fn what_was_late_once_stays_late_whatever_the_clock_says(store: Store) {
    let (approved, pending) = (asked(&store, "a").await, asked(&store, "b").await);
    assert!(store.answer_approval(approved.id, &say(true, 60)).await.unwrap());
    store.clean_up(after(600)).await.unwrap();
    // The clock is set back, and nothing remembers but the store.
    assert!(store.use_approval(&approved.call, after(120)).await.unwrap().is_none());
    assert!(!store.answer_approval(pending.id, &say(true, 120)).await.unwrap());
    assert!(
        store
            .list_approvals(&PageRequest { after: None, limit: 10 }, after(120))
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    for call in ["a", "b"] {
        let again = store.ask_approval(&row(call), 20, after(120)).await.unwrap();
        assert!(matches!(again, Asked::New), "{call}: {again:?}");
    }
}
