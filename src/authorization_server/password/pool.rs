//! Argon2id (RFC 9106) where it cannot hold up anything else: few at a time, few in line, never on the async threads.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::background;
use crate::random::Random;
use crate::secret_text::SecretText;

use super::new_password::NewPassword;

/// 19 MiB, two passes, one lane: the least that OWASP recommends, and about 20 ms on one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// How many may wait for their turn. At 20 ms each the last one waits about a second.
const LINE: usize = 64;

/// Too many people log in at this moment. Answer 503 with `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked at this moment")]
pub struct PoolBusy;

/// Where passwords are hashed and checked. Clones share its limits.
#[derive(Clone, Debug)]
pub struct PasswordPool {
    /// Running and waiting together.
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// What goes on though its caller hung up.
    under_way: TaskTracker,
}

impl Default for PasswordPool {
    /// Half of the cores at most, so that tokens and tools keep the other half.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with_limits((cores / 2).max(1), LINE)
    }
}

impl PasswordPool {
    fn with_limits(running: usize, line: usize) -> Self {
        let places = Arc::new(Semaphore::new(running.saturating_add(line)));
        let running = Arc::new(Semaphore::new(running));
        Self { places, running, under_way: TaskTracker::new() }
    }

    /// The PHC string of a new password, with a salt of 16 random bytes.
    ///
    /// # Errors
    ///
    /// [`PoolBusy`]
    pub async fn hash(
        &self,
        password: NewPassword,
        random: &dyn Random,
    ) -> Result<String, PoolBusy> {
        let mut salt = [0; 16];
        random.fill(&mut salt);
        let password = password.into_secret();
        self.run(move || hash(&password, &salt)).await?.ok_or(PoolBusy)
    }

    /// Whether `password` is the one that `stored` was made of.
    ///
    /// Takes as long where nothing is stored (no such user, or one without a password), so that the time does not tell
    /// who has an account (N108).
    ///
    /// # Errors
    ///
    /// [`PoolBusy`]
    pub async fn verify(
        &self,
        password: SecretText,
        stored: Option<String>,
    ) -> Result<bool, PoolBusy> {
        self.run(move || {
            let right = matches(&password, stored.as_deref().unwrap_or(&NOBODY));
            right && stored.is_some()
        })
        .await
    }

    /// On a thread of its own that gives way to every other one: 20 ms of one core, again and again, would else be taken
    /// from tokens and tools. A job that nobody waits for any more keeps its place until it is done: hanging up frees
    /// nothing.
    async fn run<T: Send + 'static>(
        &self,
        job: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, PoolBusy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| PoolBusy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_closed| PoolBusy)?;
        // Until it is done once: what is done again has a thread of its own.
        let held = Mutex::new(Some((turn, place)));
        let guarded = move || {
            let done = job();
            drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
            done
        };
        // On a task of its own: who hangs up would else leave the turn to a thread that may never have its own.
        let done = async move { background::run("password", guarded).await };
        let done = self.under_way.spawn(done);
        done.await.map_err(|_ended| PoolBusy)?.map_err(|_no_thread| PoolBusy)
    }
}

/// The hash of a password that nobody has.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| hash(&SecretText::new("nobody".to_owned()), &[7; 16]).unwrap_or_default());

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &SecretText, salt: &[u8]) -> Option<String> {
    let hash = argon2()?.hash_password_with_salt(password.expose().as_bytes(), salt).ok()?;
    Some(hash.to_string())
}

/// Compares in constant time; the parameters are those of the stored hash.
fn matches(password: &SecretText, stored: &str) -> bool {
    argon2()
        .is_some_and(|argon2| argon2.verify_password(password.expose().as_bytes(), stored).is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy,
    };

    use crate::random::SystemRandom;

    use super::*;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let pool = PasswordPool::default();
        let typed = secret("correct horse battery");
        let new = NewPassword::choose(&typed, &typed, "ada").unwrap();
        let stored = pool.hash(new, &SystemRandom::new()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(pool.verify(typed.clone(), Some(stored.clone())).await.unwrap());
        assert!(!pool.verify(secret("correct horse batterx"), Some(stored)).await.unwrap());
        assert!(!pool.verify(typed, Some("not a hash".to_owned())).await.unwrap());
    }

    // N108
    #[tokio::test]
    async fn nobody_has_no_password_but_costs_a_check() {
        let pool = PasswordPool::default();
        assert!(!pool.verify(secret("nobody"), None).await.unwrap());
        assert!(matches(&secret("nobody"), &NOBODY), "a real check was made");
    }

    #[tokio::test]
    async fn whoever_finds_the_line_full_is_sent_away_at_once() {
        let pool = PasswordPool::with_limits(1, 1);
        let held = Arc::clone(&pool.places).acquire_many_owned(2).await.unwrap();
        assert_eq!(pool.verify(secret("x"), None).await, Err(PoolBusy));
        drop(held);
        assert_eq!(pool.verify(secret("x"), None).await, Ok(false));
    }

    /// Of who hangs up on a machine that is never idle: else the turn is gone until it is.
    #[tokio::test]
    async fn a_turn_ends_in_time_whoever_hangs_up() {
        let pool = PasswordPool::with_limits(1, 1);
        let (end, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(held);
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let starves = move || {
            begun.send(()).ok();
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            if thread_schedule_policy().unwrap() == idle {
                let _ended = held.lock().unwrap().recv();
            }
        };
        let mut caller = Box::pin(pool.run(starves));
        tokio::select! {
            biased;
            _ = begins.recv() => {}
            done = &mut caller => done.unwrap(),
        }
        drop(caller);
        let next = pool.verify(secret("x"), None);
        let next = tokio::time::timeout(Duration::from_mins(1), next).await;
        assert_eq!(next.expect("the turn of who hung up"), Ok(false));
        drop(end);
    }
}
