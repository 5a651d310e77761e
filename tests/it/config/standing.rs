//! For how long the word of an identity provider holds.

use super::{Place, errors};

#[test]
fn for_how_long_a_providers_word_holds_is_a_time_that_somebody_could_mean() {
    let wrong = |standing: &str| {
        let loaded = Place::new(&format!(
            "[[authorization_server.identity_provider]]\nid = \"p\"\nissuer = \"https://idp.example\"\n\
             client_id = \"us\"\nstanding = {standing}\n"
        ))
        .load();
        let keys = errors(&loaded).into_iter().filter_map(|line| {
            let key = line.split(": ").next().unwrap_or_default();
            key.rsplit_once(".standing.").map(|(_, key)| key.to_owned())
        });
        keys.collect::<Vec<_>>()
    };
    assert_eq!(wrong("{ keep_tokens = true, max_login_age_seconds = 604800 }"), [""; 0]);
    assert_eq!(wrong("{ max_login_age_seconds = 3600 }"), ["max_login_age_seconds"]);
    assert_eq!(wrong("{ keep_tokens = true, ask_again_seconds = 0 }"), ["ask_again_seconds"]);
    assert_eq!(wrong("{ unanswered_seconds = 60 }"), ["unanswered_seconds"]);
}
