//! What a setting says, as it may be shown: without what stands where passwords do.

/// A text as it may be shown: one line, not too long, the password of a URL hidden.
pub(super) fn quoted(text: &str) -> String {
    let masked = mask_password(text);
    let mut short: String = masked.chars().take(80).collect();
    if short.len() < masked.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// A text without what follows `password=` and the like, and without what is between a colon and an `@`, as in
/// `scheme://user:password@host`, also where it is misspelt. Hides too much rather than too little.
pub(super) fn mask_password(text: &str) -> String {
    let (text, cut) = match end_of_password_key(text) {
        Some(end) => (text.get(..end).unwrap_or_default(), "[redacted]"),
        None => (text, ""),
    };
    let masked = text.rsplit_once('@').map_or_else(
        || {
            // Without a host, as where it was forgotten: nothing but a port may be there.
            let (start, rest) = text.split_at(text.find("://")? + "://".len());
            let (name, port) = rest.split_once(':')?;
            let end = port.find(['/', '?', '#']).unwrap_or(port.len());
            let is_port = port.get(..end)?.bytes().all(|byte| byte.is_ascii_digit());
            (!is_port && !name.starts_with('[')).then(|| format!("{start}{name}:[redacted]"))
        },
        |(before, host)| {
            let scheme = before.find("://").map_or(0, |at| at + "://".len());
            let (name, _password) = before.get(scheme..)?.split_once(':')?;
            Some(format!("{}{name}:[redacted]@{host}", before.get(..scheme)?))
        },
    );
    masked.unwrap_or_else(|| text.to_owned()) + cut
}

/// Where the `=` of the first `password=` or its like ends, in a URL's query or in libpq's list of keywords.
fn end_of_password_key(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let ends = ["password", "passwd", "passphrase", "pass", "pwd", "secret", "token"].map(|word| {
        let mut found = lower.match_indices(word).map(|(at, _)| at + word.len());
        found.find_map(|end| {
            let rest = lower.get(end..)?;
            let blanks = rest.len() - rest.trim_start().len();
            rest.trim_start().starts_with('=').then_some(end + blanks + 1)
        })
    });
    ends.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::mask_password;

    #[test]
    fn a_password_is_hidden_however_the_database_is_spelt() {
        for (text, shown) in [
            ("postgres://u:CANARY@h/db", "postgres://u:[redacted]@h/db"),
            ("postgres://u:CAN@ARY@h/db", "postgres://u:[redacted]@h/db"),
            ("postgres//u:CANARY@h/db", "postgres//u:[redacted]@h/db"),
            ("postgres:/u:CANARY@h/db", "postgres:[redacted]@h/db"),
            ("u:CANARY@h/db", "u:[redacted]@h/db"),
            ("postgres://u@h/db?password=CANARY&x=1", "postgres://u@h/db?password=[redacted]"),
            ("postgres://u:CANARY/db", "postgres://u:[redacted]"),
            ("host=h user=u pass=CANARY", "host=h user=u pass=[redacted]"),
            ("host=h user=u Password = 'CAN ARY' dbname=b", "host=h user=u Password =[redacted]"),
            (
                "postgres://u:CANARY@h/db?sslpassword=CANARY",
                "postgres://u:[redacted]@h/db?sslpassword=[redacted]",
            ),
        ] {
            assert_eq!(mask_password(text), shown);
        }
    }

    #[test]
    fn what_holds_no_password_is_shown_as_it_is() {
        for text in [
            "postgres://broker@db/broker",
            "https://h:8443/a:b",
            "http://[::1]:80/",
            "redis://h:",
            "sqlite:broker.db",
            "mail@contoso.com",
            "token:read",
        ] {
            assert_eq!(mask_password(text), text);
        }
    }
}
