//! Ends every grant of somebody, of a client or for a resource: all of them at once by one line, then row by row.
//!
//! There may be more than one transaction could take, and none must wait for that to be over. From the line on they are good
//! for nothing: refresh tokens and codes look at it, and every replica reads it as any other revocation.

use std::time::Duration;

use crate::store::connection::{Connection, Row, Value, values};
use crate::store::error::StoreError;
use crate::store::grant::RevokeReason;
use crate::store::load::Measured;
use crate::store::revoked::{Ending, Revocation, Revoked, Whose};
use crate::time::Timestamp;

use super::database::SqlDatabase;
use super::{grant, revocation};

/// How many rows are looked at in one transaction: as `least_sql` says.
const PART: i64 = 1000;
/// After each, for what others wait to write.
const PAUSE: Duration = Duration::from_millis(5);
/// Behind every id: they are hexadecimal.
const END: &str = "g";

/// What a transaction has ended of it, and what is left.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) revoked: Vec<Revocation>,
    left: Vec<Left>,
}

/// The ids below `below` are left of an ending.
#[derive(Clone, Debug)]
struct Left {
    ending: Ending,
    reason: RevokeReason,
    below: String,
    /// Whether this is the transaction that ends them.
    now: bool,
}

/// All live grants of one kind. The last statements of their transaction.
pub(super) async fn end_all(
    c: &mut Connection,
    whose: Whose,
    why: (RevokeReason, Timestamp),
) -> Result<Ended, StoreError> {
    end_each(c, vec![whose], why).await
}

/// All live grants of these kinds. The last statements of their transaction: no line before the last row. Whoever has a row that is
/// ended here may wait to write a line of its own.
pub(super) async fn end_each(
    c: &mut Connection,
    kinds: Vec<Whose>,
    (reason, now): (RevokeReason, Timestamp),
) -> Result<Ended, StoreError> {
    let mut parts = Vec::new();
    for whose in kinds {
        let ending = Ending { whose, before: now };
        let first = Left { ending, reason, below: END.to_owned(), now: true };
        if let Some(part) = part(c, &first).await? {
            parts.push((first, part));
        }
    }
    let mut ended = Ended::default();
    for (first, part) in parts {
        let (revoked, left) = tell(c, &first, part).await?;
        ended.revoked.extend(revoked);
        if let Some(left) = left {
            ended.revoked.push(write_line(c, &left).await?);
            ended.left.push(left);
        }
    }
    Ok(ended)
}

impl SqlDatabase {
    /// After the commit: what this process ended holds in this process at once, and the rest of the rows follows. Where that
    /// fails, a clean-up goes on with it. How many grants.
    pub(super) async fn finish(&self, ended: Ended) -> u64 {
        let mut grants = count(&ended.revoked);
        self.shared.revoked.add(&ended.revoked);
        for left in ended.left {
            match go_on(&self.named("end grants"), &self.shared.revoked, left).await {
                Ok(more) => grants += more,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "store.ending_goes_on_later");
                }
            }
        }
        grants
    }
}

/// Goes on with what was begun and is not over, whoever began it. How many grants.
pub(super) async fn finish_all(
    backend: &Measured<'_>,
    revoked: &Revoked,
) -> Result<u64, StoreError> {
    let mut grants = 0;
    for left in backend.read(&(), |c, ()| Box::pin(unfinished(c))).await? {
        grants += go_on(backend, revoked, left).await?;
    }
    Ok(grants)
}

async fn go_on(backend: &Measured<'_>, revoked: &Revoked, left: Left) -> Result<u64, StoreError> {
    let (mut grants, mut next) = (0, Some(left));
    while let Some(left) = next {
        let (ended, after) = backend.write(left, |c, left| Box::pin(next_part(c, left))).await?;
        revoked.add(&ended);
        grants += count(&ended);
        next = after;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(grants)
}

fn count(revoked: &[Revocation]) -> u64 {
    revoked.iter().filter(|one| one.grant_id.is_some()).count().try_into().unwrap_or(u64::MAX)
}

async fn next_part(
    c: &mut Connection,
    left: &Left,
) -> Result<(Vec<Revocation>, Option<Left>), StoreError> {
    const OVER: &str = "UPDATE revocations SET ending_reason = NULL \
        WHERE ending = $1 AND ended_before <= $2 AND ending_reason IS NOT NULL";
    let (revoked, next) = match part(c, left).await? {
        Some(part) => tell(c, left, part).await?,
        None => (Vec::new(), None),
    };
    if next.is_none() {
        let Ending { whose, before } = &left.ending;
        c.execute(OVER, values![whose.to_string(), *before]).await?;
    }
    Ok((revoked, next))
}

/// One text for each kind, so that each has its index. `$1`: below this id.
macro_rules! least_sql {
    ($filter:literal) => {
        // Over rows that have ended, too, or each part would read those before it again.
        concat!(
            "SELECT MIN(id) AS least, COUNT(*) AS n FROM (SELECT id FROM grants WHERE id < $1",
            $filter,
            " ORDER BY id DESC LIMIT 1000) AS part"
        )
    };
}

/// `$1` and `$2`: below this id and from that on. Then since when, and why.
macro_rules! end_sql {
    ($filter:literal) => {
        [
            // The newest, in the transaction that ends them: all that it sees, whatever the clock was of who made them.
            concat!(
                "UPDATE grants SET revoked_at = $3, revoke_reason = $4 WHERE id < $1 AND id >= $2 ",
                "AND revoked_at IS NULL AND expires_at > $3",
                $filter,
                " RETURNING id"
            ),
            // Those that follow later: none that was made since.
            concat!(
                "UPDATE grants SET revoked_at = $3, revoke_reason = $4 WHERE id < $1 AND id >= $2 ",
                "AND revoked_at IS NULL AND expires_at > $3 AND created_at <= $3",
                $filter,
                " RETURNING id"
            ),
        ]
    };
}

/// What [`end_sql`] has ended, for who keeps it in memory. In one statement: on PostgreSQL others wait for it.
macro_rules! lines_sql {
    ($filter:literal) => {
        concat!(
            "INSERT INTO revocations (grant_id, expires_at) SELECT id, revoked_at + 86700000 FROM grants ",
            "WHERE id < $1 AND id >= $2 AND revoked_at = $3 AND revoke_reason = $4",
            $filter
        )
    };
}

const fn least(whose: &Whose) -> &'static str {
    match whose {
        Whose::User(_) => least_sql!(" AND user_id = $2"),
        Whose::Client(_) => least_sql!(" AND client_id = $2"),
        Whose::UserAtClient(..) => least_sql!(" AND user_id = $2 AND client_id = $3"),
        Whose::Resource(_) => least_sql!(" AND resource = $2"),
    }
}

const fn end(whose: &Whose) -> [&'static str; 2] {
    match whose {
        Whose::User(_) => end_sql!(" AND user_id = $5"),
        Whose::Client(_) => end_sql!(" AND client_id = $5"),
        Whose::UserAtClient(..) => end_sql!(" AND user_id = $5 AND client_id = $6"),
        Whose::Resource(_) => end_sql!(" AND resource = $5"),
    }
}

const fn lines(whose: &Whose) -> &'static str {
    match whose {
        Whose::User(_) => lines_sql!(" AND user_id = $5"),
        Whose::Client(_) => lines_sql!(" AND client_id = $5"),
        Whose::UserAtClient(..) => lines_sql!(" AND user_id = $5 AND client_id = $6"),
        Whose::Resource(_) => lines_sql!(" AND resource = $5"),
    }
}

fn names(whose: &Whose) -> Vec<Value> {
    match whose {
        Whose::User(user) => values![user.to_string()],
        Whose::Client(client) => values![client.as_str()],
        Whose::UserAtClient(user, client) => values![user.to_string(), client.as_str()],
        Whose::Resource(uri) => values![uri.as_str()],
    }
}

/// What one transaction has ended of an ending.
struct Part {
    /// The least id of the rows that it looked at.
    from: String,
    revoked: Vec<Revocation>,
    more: bool,
}

/// Ends the next rows. `None`: there are none.
async fn part(c: &mut Connection, left: &Left) -> Result<Option<Part>, StoreError> {
    let Left { ending: Ending { whose, before }, below, now, .. } = left;
    let mut asked = values![below.as_str()];
    asked.extend(names(whose));
    let Some(found) = c.row(least(whose), asked).await? else { return Ok(None) };
    let Some(from) = found.maybe_text("least")? else { return Ok(None) };
    let [newest, later] = end(whose);
    let rows = c.rows(if *now { newest } else { later }, range(left, &from)).await?;
    let revoked = |row: &Row| -> Result<_, StoreError> {
        Ok(revocation::of_grant(row.parsed("id")?, *before))
    };
    let revoked = rows.iter().map(revoked).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Part { from, revoked, more: found.int("n")? >= PART }))
}

/// Writes it down for who keeps it in memory. What is left after it, where there may be more.
async fn tell(
    c: &mut Connection,
    left: &Left,
    Part { from, revoked, more }: Part,
) -> Result<(Vec<Revocation>, Option<Left>), StoreError> {
    if !revoked.is_empty() {
        revocation::lock(c).await?;
        c.execute(lines(&left.ending.whose), range(left, &from)).await?;
    }
    Ok((revoked, more.then(|| Left { below: from, now: false, ..left.clone() })))
}

fn range(left: &Left, from: &str) -> Vec<Value> {
    let Left { ending: Ending { whose, before }, reason, below, .. } = left;
    let mut range = values![below.as_str(), from, *before, grant::word(*reason)];
    range.extend(names(whose));
    range
}

/// From here on all of them are good for nothing, and so they stay until the rows say it themselves.
async fn write_line(c: &mut Connection, left: &Left) -> Result<Revocation, StoreError> {
    const SQL: &str = "INSERT INTO revocations (ending, ended_before, ending_reason, expires_at) \
        VALUES ($1, $2, $3, $4)";
    let Left { ending, reason, .. } = left;
    let line = revocation::of_all(ending.clone());
    let values =
        values![ending.whose.to_string(), ending.before, grant::word(*reason), line.expires_at];
    revocation::lock(c).await?;
    c.execute(SQL, values).await?;
    Ok(line)
}

/// What was begun. It begins anew: what has ended already is passed over.
async fn unfinished(c: &mut Connection) -> Result<Vec<Left>, StoreError> {
    const SQL: &str = "SELECT ending, ended_before, ending_reason FROM revocations \
        WHERE ending_reason IS NOT NULL ORDER BY sequence LIMIT 100";
    let left = |row: &Row| -> Result<_, StoreError> {
        // One that only a newer version knows is that version's to finish.
        let Ok(whose) = row.text("ending")?.parse() else { return Ok(None) };
        let (ending, below) = (Ending { whose, before: row.time("ended_before")? }, END.to_owned());
        let reason = grant::reason(&row.text("ending_reason")?)?;
        Ok(Some(Left { ending, reason, below, now: false }))
    };
    let rows = c.rows(SQL, values![]).await?;
    rows.iter().filter_map(|row| left(row).transpose()).collect()
}
