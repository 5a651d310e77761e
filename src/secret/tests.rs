//! The front with a backend whose answers are written down: what is asked, how often, and what is remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::sync::Notify;

use super::error::Fault;
use super::{Backend, Detail, OwnSecret, Secret, SecretError, SecretProvider, Secrets};
use crate::code::Code;
use crate::policy::Permit;
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock, FixedClock, SystemClock, Timestamp};

/// Answers from a list, the last one for ever, and counts. `Err(None)` never answers.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Result<&'static str, Option<Fault>>>>,
    asked: Mutex<usize>,
    /// When set, an answer waits for it.
    gate: Option<Notify>,
}

impl SecretProvider for Script {
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        _limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>> {
        async move {
            *self.asked.lock().unwrap() += 1;
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            let next = {
                let mut answers = self.answers.lock().unwrap();
                if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }
            };
            match next.unwrap() {
                Ok(text) => Ok(SecretText::new(text.to_owned())),
                Err(Some(fault)) => Err(fault.at(reference)),
                Err(None) => std::future::pending().await,
            }
        }
        .boxed()
    }
}

struct World {
    secrets: Arc<Secrets>,
    script: Arc<Script>,
    clock: Arc<FixedClock>,
    permit: Permit<()>,
}

fn world(answers: &[Result<&'static str, Option<Fault>>]) -> World {
    let answers = Mutex::new(answers.iter().copied().collect());
    world_of(Script { answers, ..Script::default() }, Duration::from_secs(5))
}

fn world_of(script: Script, attempt: Duration) -> World {
    let script = Arc::new(script);
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
    let provider: Arc<dyn SecretProvider> = Arc::clone(&script) as _;
    let providers =
        HashMap::from([(Backend::OnePassword, Arc::clone(&provider)), (Backend::File, provider)]);
    let memory = super::front::Memory::of(&super::settings::Settings::default());
    let secrets = Secrets::of(providers, memory, attempt, Arc::clone(&clock) as _);
    World { secrets: Arc::new(secrets), script, clock, permit: Permit::allowed_for_test(()) }
}

fn reference() -> SecretRef {
    "op://v/i/f".parse().unwrap()
}

impl World {
    async fn read(&self) -> Result<Secret, SecretError> {
        self.read_at(&reference()).await
    }

    async fn read_at(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        self.secrets.read(&self.permit, reference, &budget(10_000)).await
    }

    async fn reread(&self, refused: &Secret) -> Result<Secret, SecretError> {
        self.secrets.reread(&self.permit, refused, &budget(10_000)).await
    }

    fn asked(&self) -> usize {
        *self.script.asked.lock().unwrap()
    }

    fn minutes(&self, minutes: u64) {
        self.clock.advance(Duration::from_mins(minutes));
    }
}

fn budget(millis: u64) -> Budget {
    Budget::start(Arc::new(SystemClock), Duration::from_millis(millis))
}

const DENIED: Result<&str, Option<Fault>> = Err(Some(Fault::AccessDenied(None)));
const UNREACHABLE: Result<&str, Option<Fault>> =
    Err(Some(Fault::Unavailable(Detail::Unreachable, None)));

#[tokio::test]
async fn a_value_is_asked_for_once_in_its_time() {
    let world = world(&[Ok("one"), Ok("two")]);
    world.read().await.unwrap();
    world.minutes(14);
    assert_eq!(world.read().await.unwrap().text().expose(), "one");
    world.minutes(1);
    assert_eq!(world.read().await.unwrap().text().expose(), "two");
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_step_of_the_wall_clock_neither_keeps_nor_drops_a_value() {
    let world = world(&[Ok("one"), Ok("two")]);
    world.read().await.unwrap();
    for wall in [9_999_999, 0] {
        world.clock.step_wall(Timestamp::from_unix_seconds(wall));
        assert_eq!(world.read().await.unwrap().text().expose(), "one");
    }
    world.minutes(15);
    world.clock.step_wall(Timestamp::from_unix_seconds(0));
    assert_eq!(world.read().await.unwrap().text().expose(), "two");
}

#[tokio::test]
async fn fifty_readers_cost_one_request() {
    let answers = Mutex::new([Ok("one")].into());
    let world = world_of(
        Script { answers, gate: Some(Notify::new()), ..Script::default() },
        Duration::from_secs(30),
    );
    world.script.gate.as_ref().unwrap().notify_one();
    let read = join_all((0..50).map(|_| world.read())).await;
    assert!(read.iter().all(|found| found.as_ref().unwrap().text().expose() == "one"));
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_reader_who_leaves_does_not_cost_another_request() {
    let answers = Mutex::new([Ok("one")].into());
    let world = world_of(
        Script { answers, gate: Some(Notify::new()), ..Script::default() },
        Duration::from_secs(30),
    );
    for _ in 0..5 {
        let left = world.secrets.read(&world.permit, &reference(), &budget(20)).await;
        assert_eq!(left.unwrap_err().code(), Code::SecretTimeout);
    }
    world.script.gate.as_ref().unwrap().notify_one();
    assert_eq!(world.read().await.unwrap().text().expose(), "one");
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_refusal_is_remembered_longer_each_time() {
    let world = world(&[DENIED]);
    for (wait, asked) in [(0, 1), (1, 2), (1, 2), (1, 3), (3, 3), (1, 4), (8, 5), (14, 5), (1, 6)] {
        world.minutes(wait);
        assert_eq!(world.read().await.unwrap_err().code(), Code::SecretAccessDenied);
        assert_eq!(world.asked(), asked, "after {wait} more minutes");
    }
}

#[tokio::test]
async fn a_remembered_failure_says_so() {
    let world = world(&[DENIED]);
    assert_eq!(world.read().await.unwrap_err().detail(), None);
    assert_eq!(world.read().await.unwrap_err().detail(), Some(Detail::Cached));
}

#[tokio::test]
async fn only_a_transport_error_is_tried_once_more() {
    for fault in [
        Fault::NotFound(None),
        Fault::AccessDenied(None),
        Fault::Unavailable(Detail::RateLimited, None),
        Fault::Unavailable(Detail::Faulty, None),
        Fault::UNEXPECTED,
    ] {
        let world = world(&[Err(Some(fault)), Ok("one")]);
        assert!(world.read().await.is_err() && world.asked() == 1, "{fault:?}");
    }
    let back = world(&[UNREACHABLE, Ok("one")]);
    assert_eq!(back.read().await.unwrap().text().expose(), "one");
    let away = world(&[UNREACHABLE]);
    assert!(away.read().await.is_err() && away.asked() == 2);
}

#[tokio::test]
async fn a_backend_that_is_away_is_left_alone_for_seconds_only() {
    let world = world(&[UNREACHABLE, UNREACHABLE, Ok("one")]);
    world.read().await.unwrap_err();
    let remembered = world.read().await.unwrap_err();
    assert_eq!(remembered.retry_after(), Some(Duration::from_secs(5)));
    assert_eq!(world.asked(), 2);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.read().await.unwrap().text().expose(), "one");
}

/// A service account has a thousand reads a day: a program that hangs or fails is not started every few seconds.
#[tokio::test]
async fn what_may_have_been_counted_is_asked_for_ever_less_often() {
    for (fault, first) in [
        (Fault::Timeout(Duration::from_secs(5)), 1),
        (Fault::Unavailable(Detail::Faulty, None), 1),
        (Fault::Unavailable(Detail::Broken, None), 2),
    ] {
        let world = world(&[Err(Some(fault))]);
        world.read().await.unwrap_err();
        for (seconds, rounds) in [(59, 1), (1, 2), (60, 2), (60, 3)] {
            world.clock.advance(Duration::from_secs(seconds));
            world.read().await.unwrap_err();
            assert_eq!(world.asked(), first * rounds, "{fault:?} after {seconds} more seconds");
        }
    }
}

#[tokio::test]
async fn a_used_up_quota_closes_the_backend_for_every_reference() {
    let wait = Some(Duration::from_mins(10));
    let world = world(&[Err(Some(Fault::Unavailable(Detail::RateLimited, wait))), Ok("one")]);
    let other = "op://v/i/other".parse().unwrap();
    world.read().await.unwrap_err();
    world.minutes(9);
    let closed = world.read_at(&other).await.unwrap_err();
    assert_eq!((closed.detail(), world.asked()), (Some(Detail::RateLimited), 1));
    world.minutes(1);
    assert!(world.read_at(&other).await.is_ok());
}

#[tokio::test]
async fn a_refused_value_is_looked_up_again_and_replaced_for_all() {
    let world = world(&[Ok("old"), Ok("new")]);
    let old = world.read().await.unwrap();
    let fresh = join_all((0..50).map(|_| world.reread(&old))).await;
    assert!(fresh.iter().all(|found| found.as_ref().unwrap().text().expose() == "new"));
    assert_eq!(world.read().await.unwrap().text().expose(), "new");
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_loop_of_refusals_does_not_burn_the_quota() {
    let world = world(&[Ok("wrong")]);
    let wrong = world.read().await.unwrap();
    for _ in 0..100 {
        assert!(world.reread(&wrong).await.unwrap().same_value(&wrong));
    }
    assert_eq!(world.asked(), 2);
    for (minutes, asked) in [(1, 3), (1, 3), (1, 4), (3, 4), (1, 5)] {
        world.minutes(minutes);
        world.reread(&wrong).await.unwrap();
        assert_eq!(world.asked(), asked, "after {minutes} more minutes");
    }
}

#[tokio::test]
async fn a_failed_second_look_keeps_the_value_and_is_remembered() {
    let world = world(&[Ok("old"), DENIED]);
    let old = world.read().await.unwrap();
    assert_eq!(world.reread(&old).await.unwrap_err().code(), Code::SecretAccessDenied);
    assert!(world.reread(&old).await.unwrap().same_value(&old));
    assert!(world.read().await.is_ok());
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_backend_that_hangs_is_given_up() {
    let answers = Mutex::new([Err(None)].into());
    let world = world_of(Script { answers, ..Script::default() }, Duration::from_millis(10));
    assert_eq!(world.read().await.unwrap_err().code(), Code::SecretTimeout);
    assert_eq!(world.secrets.status()[0].code, Code::SecretTimeout);
}

#[tokio::test]
async fn a_spent_budget_asks_nobody() {
    let world = world(&[Ok("one")]);
    let spent = Budget::start(Arc::clone(&world.clock) as Arc<dyn Clock>, Duration::ZERO);
    let refused = world.secrets.read_own(&reference(), &spent).await;
    assert_eq!(refused.unwrap_err().code(), Code::SecretTimeout);
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn a_backend_that_failed_is_reported_until_it_answers() {
    let world = world(&[DENIED, Ok("one")]);
    assert!(world.secrets.status().is_empty());
    world.read().await.unwrap_err();
    let status = world.secrets.status();
    assert_eq!(
        (status[0].backend, status[0].code),
        (Backend::OnePassword, Code::SecretAccessDenied)
    );
    world.minutes(1);
    world.read().await.unwrap();
    assert!(world.secrets.status().is_empty());
}

#[tokio::test]
async fn a_scheme_without_a_backend_is_not_configured() {
    let world = world(&[Ok("one")]);
    let error = world.read_at(&"vault:a/b#c".parse().unwrap()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::SecretUnavailable, Some(Detail::NotConfigured))
    );
}

/// A file costs more to open than a token to issue: not once for each.
#[tokio::test]
async fn a_file_of_our_own_is_read_once_in_a_second_and_at_once_where_that_is_asked() {
    let answers = [Ok("one"), Ok("two"), DENIED, Ok("three")];
    let answers = Mutex::new(answers.into_iter().collect());
    let world = world_of(Script { answers, ..Script::default() }, Duration::from_secs(5));
    let own = OwnSecret::at("file:/run/secret".parse().unwrap(), Arc::clone(&world.secrets));
    let recent = async || own.recent().await.unwrap().expose().to_owned();
    assert_eq!(recent().await, "one");
    world.clock.advance(Duration::from_millis(999));
    assert_eq!((recent().await.as_str(), world.asked()), ("one", 1));
    assert_eq!(own.read().await.unwrap().expose(), "two");
    assert_eq!((recent().await.as_str(), world.asked()), ("two", 2), "nor the one of before");
    assert!(own.read().await.is_err());
    assert_eq!(
        (recent().await.as_str(), world.asked()),
        ("three", 4),
        "what is away was not there"
    );
    world.clock.advance(Duration::from_secs(1));
    assert_eq!((recent().await.as_str(), world.asked()), ("three", 5));
}
