//! Every sealed value of the store, table by table.

use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::migrate::KNOWN;
use crate::store::sealing::{Resealed, SealedCount, SealedPlace, SealedRow};

use super::sealing::{chosen, find};

/// Rows at a time: few enough that nobody waits for them.
const BATCH: i64 = 200;

pub(super) async fn rows(
    c: &mut Connection,
    (place, [first, second]): &(SealedPlace, [String; 2]),
) -> Result<Vec<SealedRow>, StoreError> {
    const SIGNING_KEYS: &str = "SELECT kid AS one, algorithm AS two, private AS sealed \
        FROM signing_keys WHERE kid > $1 ORDER BY kid LIMIT $2";
    const AUTHENTICATORS: &str = "SELECT user_id AS one, '' AS two, sealed FROM authenticators \
        WHERE user_id > $1 ORDER BY user_id LIMIT $2";
    const ACCOUNTS: &str = "SELECT user_id AS one, server AS two, sealed FROM upstream_accounts \
        WHERE (user_id, server) > ($1, $2) ORDER BY user_id, server LIMIT $3";
    const PROVIDER_TOKENS: &str = "SELECT user_id AS one, issuer AS two, sealed FROM provider_tokens \
        WHERE (user_id, issuer) > ($1, $2) ORDER BY user_id, issuer LIMIT $3";
    const ENDED: &str = "SELECT user_id AS one, server || ' ' || version AS two, sealed \
        FROM ended_accounts WHERE (user_id, server || ' ' || version) > ($1, $2) \
        ORDER BY user_id, server || ' ' || version LIMIT $3";
    const CLIENTS: &str = "SELECT server AS one, '' AS two, sealed FROM upstream_clients \
        WHERE server > $1 ORDER BY server LIMIT $2";
    const APPROVALS: &str = "SELECT id AS one, '' AS two, sealed_arguments AS sealed \
        FROM approvals WHERE id > $1 ORDER BY id LIMIT $2";
    let after = values![first.as_str(), BATCH];
    let found = match place {
        SealedPlace::SigningKeys => c.rows(SIGNING_KEYS, after).await?,
        SealedPlace::Authenticators => c.rows(AUTHENTICATORS, after).await?,
        SealedPlace::UpstreamAccounts => {
            c.rows(ACCOUNTS, values![first.as_str(), second.as_str(), BATCH]).await?
        }
        SealedPlace::ProviderTokens => {
            c.rows(PROVIDER_TOKENS, values![first.as_str(), second.as_str(), BATCH]).await?
        }
        SealedPlace::EndedAccounts => {
            c.rows(ENDED, values![first.as_str(), second.as_str(), BATCH]).await?
        }
        SealedPlace::UpstreamClients => c.rows(CLIENTS, after).await?,
        SealedPlace::Approvals => c.rows(APPROVALS, after).await?,
    };
    found.iter().map(|found| row(found, *place)).collect()
}

fn row(row: &Row, place: SealedPlace) -> Result<SealedRow, StoreError> {
    let sealed = match place {
        SealedPlace::SigningKeys => {
            String::from_utf8(row.blob("sealed")?).map_err(|_| StoreError::Corrupt("private"))?
        }
        _ => row.text("sealed")?,
    };
    Ok(SealedRow { of: [row.text("one")?, row.text("two")?], sealed })
}

/// One that was changed meanwhile is left as it is: whoever changed it sealed it with the store's key.
pub(super) async fn replace(
    c: &mut Connection,
    (place, rows): &(SealedPlace, Vec<Resealed>),
) -> Result<u64, StoreError> {
    const SIGNING_KEYS: &str =
        "UPDATE signing_keys SET private = $3 WHERE kid = $1 AND private = $2";
    const AUTHENTICATORS: &str =
        "UPDATE authenticators SET sealed = $3 WHERE user_id = $1 AND sealed = $2";
    const ACCOUNTS: &str = "UPDATE upstream_accounts SET sealed = $4 \
        WHERE user_id = $1 AND server = $2 AND sealed = $3";
    const PROVIDER_TOKENS: &str = "UPDATE provider_tokens SET sealed = $4 \
        WHERE user_id = $1 AND issuer = $2 AND sealed = $3";
    const ENDED: &str = "UPDATE ended_accounts SET sealed = $4 \
        WHERE user_id = $1 AND server || ' ' || version = $2 AND sealed = $3";
    const CLIENTS: &str =
        "UPDATE upstream_clients SET sealed = $3 WHERE server = $1 AND sealed = $2";
    const APPROVALS: &str =
        "UPDATE approvals SET sealed_arguments = $3 WHERE id = $1 AND sealed_arguments = $2";
    let mut replaced: u64 = 0;
    for Resealed { row: SealedRow { of: [first, second], sealed: old }, sealed } in rows {
        let new = chosen(c, sealed).await?;
        let (first, old, new) = (first.as_str(), old.as_str(), new.as_str());
        let texts = values![first, old, new];
        let n = match place {
            SealedPlace::SigningKeys => {
                let bytes = values![first, old.as_bytes(), new.as_bytes()];
                c.execute(SIGNING_KEYS, bytes).await?
            }
            SealedPlace::Authenticators => c.execute(AUTHENTICATORS, texts).await?,
            SealedPlace::UpstreamAccounts => {
                c.execute(ACCOUNTS, values![first, second.as_str(), old, new]).await?
            }
            SealedPlace::ProviderTokens => {
                c.execute(PROVIDER_TOKENS, values![first, second.as_str(), old, new]).await?
            }
            SealedPlace::EndedAccounts => {
                c.execute(ENDED, values![first, second.as_str(), old, new]).await?
            }
            SealedPlace::UpstreamClients => c.execute(CLIENTS, texts).await?,
            SealedPlace::Approvals => c.execute(APPROVALS, texts).await?,
        };
        replaced = replaced.saturating_add(n);
    }
    Ok(replaced)
}

macro_rules! count {
    ($text:literal, $from:literal) => {
        concat!(
            "SELECT CASE WHEN ",
            $text,
            " LIKE '{\"key\":\"%' THEN substr(",
            $text,
            ", 9, 16) ELSE '' END AS key_id, COUNT(*) AS n FROM ",
            $from,
            " GROUP BY 1 ORDER BY 1"
        )
    };
}

pub(super) async fn of_store(c: &mut Connection, (): &()) -> Result<Vec<SealedCount>, StoreError> {
    let Some(sealing) = find(c, &()).await? else { return Ok(Vec::new()) };
    counts(c, (&sealing.first_key_id, KNOWN)).await
}

/// Of a store of this schema, by the ids that values name; those that name none are counted as `first_key_id`'s.
pub(in crate::store) async fn counts(
    c: &mut Connection,
    (first_key_id, schema): (&str, i64),
) -> Result<Vec<SealedCount>, StoreError> {
    const KEYS_LITE: &str = count!("CAST(private AS TEXT)", "signing_keys");
    const KEYS_GRES: &str = count!("encode(private, 'escape')", "signing_keys");
    const AUTHENTICATORS: &str = count!("sealed", "authenticators");
    const ACCOUNTS: &str = count!("sealed", "upstream_accounts");
    const PROVIDER_TOKENS: &str = count!("sealed", "provider_tokens");
    const ENDED: &str = count!("sealed", "ended_accounts");
    const CLIENTS: &str = count!("sealed", "upstream_clients");
    const APPROVALS: &str = count!("sealed_arguments", "approvals WHERE sealed_arguments <> ''");
    let mut counts: Vec<SealedCount> = Vec::new();
    for place in SealedPlace::ALL.into_iter().filter(|place| place.since() <= schema) {
        let sql = match place {
            SealedPlace::SigningKeys if c.is_postgres() => KEYS_GRES,
            SealedPlace::SigningKeys => KEYS_LITE,
            SealedPlace::Authenticators => AUTHENTICATORS,
            SealedPlace::UpstreamAccounts => ACCOUNTS,
            SealedPlace::ProviderTokens => PROVIDER_TOKENS,
            SealedPlace::EndedAccounts => ENDED,
            SealedPlace::UpstreamClients => CLIENTS,
            SealedPlace::Approvals => APPROVALS,
        };
        for row in c.rows(sql, values![]).await? {
            let named = row.text("key_id")?;
            let key_id = if named.is_empty() { first_key_id.to_owned() } else { named };
            let rows = u64::try_from(row.int("n")?).unwrap_or(0);
            let table = place.table();
            let same = |count: &&mut SealedCount| count.table == table && count.key_id == key_id;
            match counts.iter_mut().find(same) {
                Some(count) => count.rows = count.rows.saturating_add(rows),
                None => counts.push(SealedCount { table, key_id, rows }),
            }
        }
    }
    Ok(counts)
}
