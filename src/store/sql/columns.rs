//! What is read of each table, by name. A column that a newer version adds then changes nothing for who serves meanwhile: PostgreSQL
//! refuses a prepared statement that has come to give something else.

/// The columns of a table, between `SELECT` and `FROM` or after `RETURNING`; with what it is called in a join before each.
macro_rules! columns {
    (api_keys $($table:literal)?) => {
        columns!(@ ($($table)?)
            "prefix" "key_digest" "resource_id" "name" "created_at" "expires_at" "last_used_at"
            "revoked_at")
    };
    (approvals $($table:literal)?) => {
        columns!(@ ($($table)?)
            "id" "call_digest" "issuer" "subject" "client_id" "asserted" "tool"
            "sealed_arguments" "rule" "policy_version" "approvers" "self_approval" "state"
            "created_at" "expires_at" "approver" "comment" "answered_at" "late")
    };
    (authenticators $($table:literal)?) => {
        columns!(@ ($($table)?)
            "user_id" "sealed" "last_step" "confirmed_at")
    };
    (clients $($table:literal)?) => {
        columns!(@ ($($table)?)
            "id" "kind" "metadata" "metadata_digest" "secret" "previous_secret" "previous_until"
            "created_at" "last_used_at" "expires_at" "disabled_at" "registration_token")
    };
    (codes $($table:literal)?) => {
        columns!(@ ($($table)?)
            "code" "grant_id" "client_id" "redirect_uri" "code_challenge" "nonce" "scopes"
            "expires_at" "used_at" "dpop_jkt")
    };
    (consents $($table:literal)?) => {
        columns!(@ ($($table)?)
            "user_id" "client_id" "redirect_class" "resource" "scopes" "granted_at" "expires_at")
    };
    (device_requests $($table:literal)?) => {
        columns!(@ ($($table)?)
            "device_code" "user_code" "client_id" "parameters" "state" "session" "polled_at"
            "wait_ms" "expires_at")
    };
    (ended_accounts $($table:literal)?) => {
        columns!(@ ($($table)?)
            "user_id" "server" "version" "sealed" "connected_at" "attempts" "next_at"
            "expires_at")
    };
    (grants $($table:literal)?) => {
        columns!(@ ($($table)?)
            "id" "user_id" "client_id" "scopes" "resource" "redirect_origin" "client_digest"
            "auth_time" "acr" "extra" "created_at" "last_used_at" "expires_at" "revoked_at"
            "revoke_reason" "sid" "issuer" "issuer_sid" "amr")
    };
    (identity_providers $($table:literal)?) => {
        columns!(@ ($($table)?)
            "id" "issuer" "groups_prefix" "settings" "created_at" "disabled_at")
    };
    (links $($table:literal)?) => {
        columns!(@ ($($table)?)
            "link" "user_id" "purpose" "expires_at")
    };
    (logout_notices $($table:literal)?) => {
        columns!(@ ($($table)?)
            "sid" "client_id" "user_id" "attempts" "next_at" "expires_at")
    };
    (metadata_documents $($table:literal)?) => {
        columns!(@ ($($table)?)
            "url" "body" "digest" "etag" "fetched_at" "fresh_until" "gone_at")
    };
    (passkeys $($table:literal)?) => {
        columns!(@ ($($table)?)
            "credential_id" "user_id" "user_handle" "credential" "sign_count" "backed_up" "name"
            "created_at" "last_used_at" "alone")
    };
    (provider_tokens $($table:literal)?) => {
        columns!(@ ($($table)?)
            "user_id" "issuer" "sealed" "version" "ask_at" "heard_at")
    };
    (registration_tokens $($table:literal)?) => {
        columns!(@ ($($table)?)
            "prefix" "token_digest" "name" "uses" "most_uses" "created_at" "expires_at"
            "last_used_at")
    };
    (resources $($table:literal)?) => {
        columns!(@ ($($table)?)
            "id" "uri" "aliases" "name" "description" "owner" "scopes"
            "access_token_ttl_seconds" "created_at" "disabled_at" "url" "proxy")
    };
    (sessions $($table:literal)?) => {
        columns!(@ ($($table)?)
            "session" "user_id" "auth_time" "method" "pending" "created_at" "last_seen_at"
            "expires_at" "sid" "issuer" "issuer_sid" "acr" "amr")
    };
    (signing_keys $($table:literal)?) => {
        columns!(@ ($($table)?)
            "kid" "algorithm" "public_jwk" "private" "state" "created_at" "not_before"
            "retire_at")
    };
    (upstream_accounts $($table:literal)?) => {
        columns!(@ ($($table)?)
            "user_id" "server" "sealed" "version" "claimed_until" "connected_at")
    };
    (users $($table:literal)?) => {
        columns!(@ ($($table)?)
            "id" "username" "display_name" "email" "password_hash" "administrator" "member_of"
            "created_at" "last_login_at" "disabled_at" "groups_incomplete" "passkey_login"
            "has_roles" "roles_incomplete")
    };
    (@ () $first:literal $($next:literal)*) => {
        concat!($first $(, ", ", $next)*)
    };
    (@ ($table:literal) $first:literal $($next:literal)*) => {
        concat!($table, $first, " AS ", $first $(, ", ", $table, $next, " AS ", $next)*)
    };
}
pub(super) use columns;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_join_has_them_by_the_name_of_their_table() {
        assert_eq!(columns!(links), "link, user_id, purpose, expires_at");
        let named = columns!(links "l.");
        assert!(named.starts_with("l.link AS link, l.user_id AS user_id"), "{named}");
    }

    /// Else the next column of a table breaks the statements of who serves while it is added.
    #[test]
    fn no_statement_reads_whatever_a_table_has() {
        let mut read = 0;
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "rs") {
                    read += 1;
                    let text = fs::read_to_string(&path).unwrap().replace("* FROM UNNEST", "");
                    let code = |line: &&str| !line.trim_start().starts_with("//");
                    let text = text.lines().filter(code).collect::<Vec<_>>().join(
                        "
",
                    );
                    let all =
                        [["SELECT", " *"], ["RETURNING", " *"], [".", "* FROM"], [".", "*, "]];
                    let found = all.iter().find(|words| text.contains(&words.concat()));
                    assert!(found.is_none(), "{}: {found:?}", path.display());
                }
            }
        }
        assert!(read > 50, "the sources were found");
    }
}
