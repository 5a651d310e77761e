//! [`SealingStore`] on SQL: with which key the store is sealed, and who has it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::sealing::{
    BROKERS_LAST, Resealed, SealedCount, SealedPlace, SealedRow, Sealing, SealingChange,
    SealingRestart, SealingStore,
};
use crate::time::Timestamp;

use super::database::SqlDatabase;
use super::{place, sealed};

/// In microseconds.
#[expect(clippy::cast_possible_truncation, reason = "half a minute")]
const LAST: i64 = BROKERS_LAST.as_micros() as i64;

#[async_trait]
impl SealingStore for SqlDatabase {
    async fn sealing(&self) -> Result<Option<Sealing>, StoreError> {
        self.named("find sealing").read(&(), |c, none| Box::pin(find(c, none))).await
    }

    async fn adopt_sealing(&self, first: &Sealing) -> Result<(), StoreError> {
        self.named("adopt sealing").write(first.clone(), |c, first| Box::pin(add(c, first))).await
    }

    async fn change_sealing(
        &self,
        from: &str,
        to: &Sealing,
        at: Option<Timestamp>,
    ) -> Result<SealingChange, StoreError> {
        let wish = (from.to_owned(), to.clone(), at);
        self.named("change sealing").write(wish, |c, wish| Box::pin(change(c, wish))).await
    }

    async fn restart_sealing(
        &self,
        from: &str,
        to: &Sealing,
    ) -> Result<SealingRestart, StoreError> {
        let wish = (from.to_owned(), to.clone());
        self.named("restart sealing").write(wish, |c, wish| Box::pin(restart(c, wish))).await
    }

    async fn announce_keys(
        &self,
        broker: Digest,
        key_ids: Vec<String>,
        at: Option<Timestamp>,
    ) -> Result<Option<String>, StoreError> {
        let told = (broker, key_ids, at);
        self.named("announce sealing_brokers")
            .write(told, |c, told| Box::pin(announce(c, told)))
            .await
    }

    async fn withdraw_keys(&self, broker: Digest) -> Result<(), StoreError> {
        self.named("withdraw sealing_brokers")
            .write(broker, |c, broker| Box::pin(withdraw(c, broker)))
            .await
    }

    async fn sealed_rows(
        &self,
        place: SealedPlace,
        after: Option<&SealedRow>,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let after = after.map(|row| row.of.clone()).unwrap_or_default();
        self.named("list sealed values")
            .read(&(place, after), |c, from| Box::pin(sealed::rows(c, from)))
            .await
    }

    async fn reseal(&self, place: SealedPlace, rows: Vec<Resealed>) -> Result<u64, StoreError> {
        self.named("reseal sealed values")
            .write((place, rows), |c, rows| Box::pin(sealed::replace(c, rows)))
            .await
    }

    async fn count_sealed(&self) -> Result<Vec<SealedCount>, StoreError> {
        self.named("count sealed values")
            .read(&(), |c, none| Box::pin(sealed::of_store(c, none)))
            .await
    }
}

/// What of a sealed value the store looks at. The order is that of the text: the key's id comes first.
#[derive(Serialize, Deserialize)]
struct Part {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    nonce: String,
    ciphertext: String,
}

/// Of a value that is about to be written: the text of the store's own key, which stays so until the commit.
///
/// # Errors
///
/// [`StoreError::OtherKey`] where it is sealed with others alone
pub(super) async fn chosen(c: &mut Connection, text: &str) -> Result<String, StoreError> {
    let Some(sealing) = held(c, false).await? else { return Ok(text.to_owned()) };
    let is_ours =
        |part: &Part| part.key.as_ref().unwrap_or(&sealing.first_key_id) == &sealing.key_id;
    if let Ok(parts) = serde_json::from_str::<Vec<Part>>(text) {
        let ours = parts.iter().find(|part| is_ours(part)).ok_or(StoreError::OtherKey)?;
        return serde_json::to_string(ours).map_err(|_| StoreError::Corrupt("sealed"));
    }
    match serde_json::from_str::<Part>(text) {
        Ok(part) if !is_ours(&part) => Err(StoreError::OtherKey),
        // What is no sealed value was not sealed at all, and says so to whoever opens it.
        Ok(_) | Err(_) => Ok(text.to_owned()),
    }
}

/// The same of bytes.
pub(super) async fn chosen_bytes(c: &mut Connection, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(chosen(c, text).await?.into_bytes()),
        Err(_) => Ok(bytes.to_vec()),
    }
}

pub(in crate::store) async fn find(
    c: &mut Connection,
    (): &(),
) -> Result<Option<Sealing>, StoreError> {
    read(c, "SELECT key_id, first_key_id, root FROM sealing WHERE name = 'store'").await
}

/// Locked until the commit: to change it, or so that nobody else does.
async fn held(c: &mut Connection, to_change: bool) -> Result<Option<Sealing>, StoreError> {
    const CHANGE: &str =
        "SELECT key_id, first_key_id, root FROM sealing WHERE name = 'store' FOR UPDATE";
    const KEEP: &str =
        "SELECT key_id, first_key_id, root FROM sealing WHERE name = 'store' FOR SHARE";
    match (c.is_postgres(), to_change) {
        // Who writes is the only one who does.
        (false, _) => find(c, &()).await,
        (true, true) => read(c, CHANGE).await,
        (true, false) => read(c, KEEP).await,
    }
}

async fn read(c: &mut Connection, sql: &'static str) -> Result<Option<Sealing>, StoreError> {
    let Some(row) = c.row(sql, values![]).await? else { return Ok(None) };
    Ok(Some(Sealing {
        key_id: row.text("key_id")?,
        first_key_id: row.text("first_key_id")?,
        root: row.text("root")?,
    }))
}

async fn add(c: &mut Connection, sealing: &Sealing) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO sealing (name, key_id, first_key_id, root) \
        VALUES ('store', $1, $2, $3) ON CONFLICT (name) DO NOTHING";
    let Sealing { key_id, first_key_id, root } = sealing;
    c.execute(SQL, values![key_id.as_str(), first_key_id.as_str(), root.as_str()]).await.map(drop)
}

/// Whoever writes a sealed value meanwhile is done before, or sees the new key after. The brokers are counted once the row is
/// held: one that comes later has said so before it reads the row.
async fn change(
    c: &mut Connection,
    (from, to, at): &(String, Sealing, Option<Timestamp>),
) -> Result<SealingChange, StoreError> {
    const SQL: &str =
        "UPDATE sealing SET key_id = $1, root = $2 WHERE name = 'store' AND key_id = $3";
    if held(c, true).await?.is_none_or(|found| found.key_id != *from) {
        return Ok(SealingChange::Other);
    }
    let (_, brokers) = having(c, (&to.key_id, *at)).await?;
    if brokers > 0 {
        return Ok(SealingChange::Waits { brokers });
    }
    let values = values![to.key_id.as_str(), to.root.as_str(), from.as_str()];
    c.execute(SQL, values).await?;
    Ok(SealingChange::Done)
}

/// How many of the brokers that run have the key, and how many do not.
async fn having(
    c: &mut Connection,
    (key_id, at): (&String, Option<Timestamp>),
) -> Result<(u64, u64), StoreError> {
    const BROKERS: &str = "SELECT key_ids FROM sealing_brokers WHERE ends_at > $1";
    let now = place::now(c, at).await?;
    let (mut with, mut without) = (0_u64, 0_u64);
    for row in c.rows(BROKERS, values![now]).await? {
        let has = row.list("key_ids")?.contains(key_id);
        let count = if has { &mut with } else { &mut without };
        *count = count.saturating_add(1);
    }
    Ok((with, without))
}

/// A key that a broker has is not lost, whatever whoever asks for this has at hand.
async fn restart(
    c: &mut Connection,
    (from, to): &(String, Sealing),
) -> Result<SealingRestart, StoreError> {
    // A key that was lost twice has its place already, with the same root.
    const GONE: &str = "DELETE FROM sealing WHERE name = $1";
    const ASIDE: &str = "UPDATE sealing SET name = $1 WHERE name = 'store'";
    if held(c, true).await?.is_none_or(|found| found.key_id != *from) {
        return Ok(SealingRestart::Other);
    }
    let (brokers, _) = having(c, (from, None)).await?;
    if brokers > 0 {
        return Ok(SealingRestart::Held { brokers });
    }
    c.execute(GONE, values![from.as_str()]).await?;
    c.execute(ASIDE, values![from.as_str()]).await?;
    add(c, to).await?;
    Ok(SealingRestart::Done)
}

/// Of a crash of the database nothing of it need be left. So no commit waits for the disk.
async fn announce(
    c: &mut Connection,
    (broker, key_ids, at): &(Digest, Vec<String>, Option<Timestamp>),
) -> Result<Option<String>, StoreError> {
    const AT_EASE: &str = "SELECT set_config('synchronous_commit', 'off', true)";
    const SQL: &str = "INSERT INTO sealing_brokers (broker, key_ids, ends_at) VALUES ($1, $2, $3) \
        ON CONFLICT (broker) DO UPDATE SET key_ids = excluded.key_ids, ends_at = excluded.ends_at";
    const FORGET: &str = "DELETE FROM sealing_brokers WHERE ends_at <= $1 OR ends_at > $2";
    // A row that somebody changes this moment is that of a broker that runs; to wait for it, while it waits for ours, ends in a
    // deadlock.
    const FORGET_FREE: &str = "DELETE FROM sealing_brokers WHERE broker IN (SELECT broker FROM sealing_brokers \
        WHERE ends_at <= $1 OR ends_at > $2 FOR UPDATE SKIP LOCKED)";
    if c.is_postgres() {
        c.execute(AT_EASE, values![]).await?;
    }
    let now = place::now(c, *at).await?;
    let ends_at = now.saturating_add(LAST);
    c.execute(SQL, values![*broker, key_ids.as_slice(), ends_at]).await?;
    // Also what a clock that was wrong put further away than any broker could.
    let forget = if c.is_postgres() { FORGET_FREE } else { FORGET };
    c.execute(forget, values![now, ends_at.saturating_add(LAST)]).await?;
    Ok(held(c, false).await?.map(|sealing| sealing.key_id))
}

async fn withdraw(c: &mut Connection, broker: &Digest) -> Result<(), StoreError> {
    c.execute("DELETE FROM sealing_brokers WHERE broker = $1", values![*broker]).await.map(drop)
}
