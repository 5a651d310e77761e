//! Identity providers that are asked again about people whose clients refresh.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fake_http::Reply;
use crate::support::product::Product;
use crate::support::until::until;

use super::browser::Browser;
use super::vouching_world::{Agent, KEEP, World};

// RFC 6749 §5.2, §10.4 — N51
#[tokio::test]
async fn who_is_gone_there_is_refused_here_and_what_they_had_ends_once_over_two_replicas() {
    let world = World::start(KEEP).await;
    let [here, there] = &world.brokers;
    let mut browser = Browser::new(here);
    let sent = world.idp.logs_in(&mut browser, "rt-CANARY-1").await;
    assert_eq!(sent["scope"], "email offline_access openid profile");
    let mut one = Agent::of(&mut browser, here).await;
    let two = Agent::of(&mut browser, here).await;
    one.refreshes(there).await;
    assert_eq!(world.idp.asked_with(), [""; 0], "its word is not an hour old");
    world.clock.advance(Duration::from_hours(1));
    world.idp.refuses(400, r#"{"error":"invalid_grant","error_description":"gone-CANARY"}"#);
    tokio::join!(
        one.is_refused(here, 400, "invalid_grant"),
        two.is_refused(there, 400, "invalid_grant"),
    );
    assert_eq!(world.idp.asked_with(), ["rt-CANARY-1"], "one asks");
    let ended = world.events("person.disowned_elsewhere");
    assert_eq!(ended.len(), 1, "{ended:?}");
    let said = &ended[0]["payload"];
    let said = (&said["provider"], &said["sessions"], &said["grants"]);
    assert_eq!(said, (&json!("partner"), &json!(1), &json!(2)), "{ended:?}");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    let logs = world.brokers.iter().flat_map(Product::audit_lines).collect::<String>();
    assert!(!logs.contains("CANARY"), "{logs}");
}

// RFC 6749 §5.2
#[tokio::test]
async fn while_a_provider_is_away_people_go_on_for_a_time_and_no_longer() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    for (status, body) in [(503, ""), (401, r#"{"error":"invalid_client"}"#), (200, "{}")] {
        world.idp.refuses(status, body);
        agent.refreshes(world.here()).await;
        world.clock.advance(Duration::from_secs(30));
        agent.refreshes(world.there()).await;
        world.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(world.idp.asked_with(), ["one"; 3], "once a minute, whoever asks");
    world.clock.advance(Duration::from_hours(23));
    world.idp.refuses(503, "");
    agent.is_refused(world.here(), 503, "temporarily_unavailable").await;
    agent.is_refused(world.there(), 503, "temporarily_unavailable").await;
    world.clock.advance(Duration::from_mins(1));
    world.idp.gives("two", &json!({}));
    agent.refreshes(world.here()).await;
    assert_eq!(world.events("person.disowned_elsewhere"), [Value::Null; 0]);
}

// OIDC Core §12.2 — N109
#[tokio::test]
async fn who_changed_groups_there_has_changed_them_here_at_the_next_refresh() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    assert_eq!(world.groups().await, json!(["staff"]));
    for (given, groups) in [("two", json!(["leads"])), ("three", json!([]))] {
        world.clock.advance(Duration::from_hours(1));
        world.idp.gives(given, &json!({ "groups": groups }));
        agent.refreshes(world.there()).await;
        assert_eq!(world.groups().await, groups);
    }
    // What is about somebody else says nothing of Bob; what came with it is what it is asked with from then on.
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("four", &json!({ "sub": "2", "groups": ["admins"] }));
    agent.refreshes(world.here()).await;
    assert_eq!(world.groups().await, json!([]));
    world.clock.advance(Duration::from_mins(1));
    world.idp.gives("five", &json!({}));
    agent.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), ["one", "two", "three", "four"]);
}

// OIDC Core §12.2
#[tokio::test]
async fn what_userinfo_alone_does_not_say_is_no_word_on_groups() {
    let world = World::start(KEEP).await;
    world.idp.tells(&json!({}));
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives_no_id_token("two");
    agent.refreshes(world.here()).await;
    assert_eq!(world.groups().await, json!(["staff"]));
    world.clock.advance(Duration::from_mins(1));
    world.idp.tells(&json!({ "groups": ["leads"] }));
    world.idp.gives_no_id_token("three");
    agent.refreshes(world.here()).await;
    assert_eq!(world.groups().await, json!(["leads"]));
    assert_eq!(world.idp.asked_with(), ["one", "two"]);
    // A day after that only a log-in helps, and everybody is told so; while userinfo is away to come again does.
    world.clock.advance(Duration::from_hours(24));
    world.idp.tells(&json!({}));
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    agent.is_refused(world.there(), 400, "invalid_grant").await;
    world.clock.advance(Duration::from_mins(1));
    world.idp.fake.answers_at("/userinfo", Reply::status(503));
    agent.is_refused(world.here(), 503, "temporarily_unavailable").await;
    agent.is_refused(world.there(), 503, "temporarily_unavailable").await;
    for said in [json!({}), json!({ "groups": vec!["staff"; 100_000] })] {
        world.clock.advance(Duration::from_mins(1));
        world.idp.tells(&said);
        agent.is_refused(world.here(), 400, "invalid_grant").await;
    }
    world.clock.advance(Duration::from_mins(1));
    world.idp.refuses(503, "");
    agent.is_refused(world.here(), 503, "temporarily_unavailable").await;
    agent.is_refused(world.there(), 503, "temporarily_unavailable").await;
}

// OIDC Core §12.2 — N109
#[tokio::test]
async fn what_only_a_log_in_says_ends_somebody_when_it_is_said_otherwise_and_not_when_it_is_unsaid()
{
    let standing = "standing = { keep_tokens = true }\nrequire = { amr = [\"mfa\"] }";
    let world = World::start(standing).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in_saying(&mut browser, "one", &json!({ "amr": ["pwd", "mfa"] })).await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("two", &json!({ "groups": ["leads"] }));
    agent.refreshes(world.here()).await;
    assert_eq!(world.groups().await, json!(["staff"]), "nothing was heard");
    world.clock.advance(Duration::from_mins(1));
    world.idp.gives("three", &json!({ "amr": ["pwd"] }));
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    assert_eq!(world.events("person.disowned_elsewhere").len(), 1);
    assert_eq!(world.idp.asked_with(), ["one", "two"]);
}

// RFC 6749 §5.2, §6
#[tokio::test]
async fn what_another_client_of_ours_was_given_is_asked_with_by_that_one_alone_and_ends_nothing() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    let other = |all: &str| all.replace("client_id = \"broker\"", "client_id = \"other\"");
    let other = world.third(other).await;
    world.idp.refuses(400, r#"{"error":"invalid_grant"}"#);
    world.clock.advance(Duration::from_hours(1));
    agent.refreshes(&other).await;
    world.clock.advance(Duration::from_hours(23));
    for _ in 0..2 {
        agent.is_refused(&other, 400, "invalid_grant").await;
    }
    assert_eq!(world.idp.asked_with(), [""; 0]);
    world.clock.advance(Duration::from_mins(1));
    world.idp.gives("two", &json!({}));
    agent.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), ["one"], "nothing has ended");
}

// RFC 6749 §6, §10.4
#[tokio::test]
async fn what_a_provider_gave_is_kept_as_soon_as_the_store_takes_it() {
    /// Takes what a provider gave at the third time: before, the disk is full, and then it fails.
    const NO_ROOM: &str = "CREATE SEQUENCE puts; \
        CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ \
        DECLARE nth BIGINT := nextval('puts'); \
        BEGIN IF nth <= 2 THEN \
        RAISE EXCEPTION 'no room' USING ERRCODE = (ARRAY['53100', '58030'])[nth]; \
        END IF; RETURN NEW; END $$; \
        CREATE TRIGGER no_room BEFORE UPDATE OF sealed ON provider_tokens \
        FOR EACH ROW EXECUTE FUNCTION no_room()";
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.run(NO_ROOM).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("two", &json!({}));
    agent.refreshes(world.here()).await;
    assert_eq!(world.count("SELECT last_value FROM puts").await, 3);
    world.clock.advance(Duration::from_hours(1));
    agent.refreshes(world.there()).await;
    assert_eq!(world.idp.asked_with(), ["one", "two"]);
}

#[tokio::test]
async fn a_provider_that_hangs_holds_one_person_at_a_time_until_it_answers() {
    let world = World::start(KEEP).await;
    let (mut bobs, mut carols) = (Browser::new(world.here()), Browser::new(world.here()));
    world.idp.logs_in(&mut bobs, "bob").await;
    let carol = json!({ "sub": "2", "preferred_username": "carol" });
    world.idp.logs_in_saying(&mut carols, "carol", &carol).await;
    let mut bob = Agent::of(&mut bobs, world.here()).await;
    let mut carol = Agent::of(&mut carols, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.fake.answers_at("/token", Reply::Silence);
    bob.refreshes(world.here()).await;
    bob.refreshes(world.there()).await;
    assert_eq!(world.idp.asked_with(), ["bob"], "not again within a minute");
    world.clock.advance(Duration::from_mins(1));
    {
        let waits = bob.refreshes(world.here());
        tokio::pin!(waits);
        let asks =
            until("bob's question", async || (world.idp.asked_with().len() == 2).then_some(()));
        let goes_on = async {
            asks.await;
            carol.refreshes(world.here()).await;
        };
        tokio::select! {
            biased;
            () = &mut waits => panic!("carol waited for as long as bob"),
            () = goes_on => {}
        }
        waits.await;
    }
    assert_eq!(world.idp.asked_with(), ["bob"; 2]);
    world.clock.advance(Duration::from_mins(1));
    world.idp.refuses(503, "");
    bob.refreshes(world.here()).await;
    carol.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), ["bob", "bob", "bob", "carol"]);
}

// RFC 9700 §4.14.2
#[tokio::test]
async fn a_new_log_in_takes_the_place_of_the_one_before() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.idp.logs_in(&mut Browser::new(world.there()), "two").await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("three", &json!({}));
    agent.refreshes(world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.refuses(400, r#"{"error":"interaction_required"}"#);
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    world.idp.logs_in(&mut browser, "four").await;
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    let mut next = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_hours(1));
    world.idp.gives("five", &json!({}));
    next.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), ["two", "three", "four"]);
}

// RFC 9700 §4.14.2
#[tokio::test]
async fn whoever_has_not_logged_in_for_too_long_does_so_again() {
    let world = World::start("standing = { max_login_age_seconds = 86400 }").await;
    let mut browser = Browser::new(world.here());
    let sent = world.idp.logs_in(&mut browser, "one").await;
    assert_eq!(sent["scope"], "email openid profile", "nothing is asked for that is not kept");
    let mut agent = Agent::of(&mut browser, world.here()).await;
    world.clock.advance(Duration::from_secs(86_399));
    agent.refreshes(world.here()).await;
    world.clock.advance(Duration::from_secs(1));
    agent.is_refused(world.there(), 400, "invalid_grant").await;
    let refused = &world.events("oauth.token.refused")[0]["payload"];
    let told = "the person has to log in at their identity provider again";
    assert_eq!(refused["error_description"], told);
    world.idp.logs_in(&mut browser, "two").await;
    agent.refreshes(world.here()).await;
    assert_eq!(world.idp.asked_with(), [""; 0]);
}

#[tokio::test]
async fn who_has_nothing_to_be_asked_with_goes_on_as_long_as_with_a_provider_that_is_away() {
    let world = World::start(KEEP).await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let mut agent = Agent::of(&mut browser, world.here()).await;
    // As after a log-in before tokens were kept.
    world.run("DELETE FROM provider_tokens").await;
    world.clock.advance(Duration::from_secs(86_399));
    agent.refreshes(world.here()).await;
    world.clock.advance(Duration::from_secs(1));
    agent.is_refused(world.here(), 400, "invalid_grant").await;
    assert_eq!(world.idp.asked_with(), [""; 0]);
}
