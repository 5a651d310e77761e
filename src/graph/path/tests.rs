//! What a path may be, and that it is sent as it was read.

use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;

fn origin() -> Url {
    Url::parse("https://graph.microsoft.com").unwrap()
}

#[test]
fn a_path_is_sent_as_it_was_written() {
    let text = "/v1.0/users/ada_x.com%23EXT%23@contoso.example/messages?$top=5&$select=id,subject";
    let path = GraphPath::parse(text).unwrap();
    let url = path.url(&origin()).unwrap();
    assert_eq!(url.as_str(), format!("https://graph.microsoft.com{text}"));
    assert_eq!(path.segments(), ["users", "ada_x.com#EXT#@contoso.example", "messages"]);
    assert_eq!(path.query().iter().map(QueryOption::name).collect::<Vec<_>>(), ["$top", "$select"]);
}

#[test]
fn every_known_attack_is_refused() {
    use PathError as E;
    for (text, error) in [
        ("", E::Version),
        ("v1.0/users", E::Version),
        ("/v2.0/users", E::Version),
        ("/V1.0/users", E::Version),
        ("/v1.0x/users", E::Version),
        ("//evil.example/v1.0", E::Version),
        ("/\\evil.example/x", E::Version),
        ("https://evil.example/v1.0", E::Version),
        ("@evil.example/v1.0/users", E::Version),
        (".evil.example/v1.0", E::Version),
        (":443@evil.example/", E::Version),
        ("/v1.0/../beta/users", E::DotSegment),
        ("/v1.0/./users", E::DotSegment),
        ("/v1.0/users/..", E::DotSegment),
        ("/v1.0/users/%2e%2e/groups", E::EncodedDelimiter),
        ("/v1.0/users/.%2E/groups", E::EncodedDelimiter),
        ("/v1.0/users/..%2fgroups", E::EncodedDelimiter),
        ("/v1.0/users/a%5cb", E::EncodedDelimiter),
        ("/v1.0/users/%252e%252e", E::EncodedDelimiter),
        ("/v1.0/users/ceo%20", E::Edge),
        ("/v1.0/users/%20ceo", E::Edge),
        ("/v1.0/users/ceo%E2%80%8B", E::Edge),
        ("/v1.0/users/ceo%C2%A0/messages", E::Edge),
        ("/v1.0/users/ceo.", E::Edge),
        ("/v1.0/users/ada/messages./x", E::Edge),
        ("/v1.0/users/%00", E::EncodedDelimiter),
        ("/v1.0/users/%7f", E::EncodedDelimiter),
        ("/v1.0/users/%c2%85", E::EncodedDelimiter),
        ("/v1.0/users/a%3fb", E::EncodedDelimiter),
        ("/v1.0/users/a%3bb", E::EncodedDelimiter),
        ("/v1.0/users/%c0%ae", E::NotUtf8),
        ("/v1.0/users/%zz", E::Percent),
        ("/v1.0/users/a%", E::Percent),
        ("/v1.0/users/%+1", E::Percent),
        ("/v1.0/users;x=1", E::Parameter),
        ("/v1.0//users", E::EmptySegment),
        ("/v1.0/", E::EmptySegment),
        ("/v1.0/users/", E::EmptySegment),
        ("/v1.0\\..\\beta", E::Version),
        ("/v1.0/a\\b", E::Character { at: 7 }),
        ("/v1.0/a\tb", E::Character { at: 7 }),
        ("/v1.0/a b", E::Character { at: 7 }),
        ("/v1.0/a#b", E::Character { at: 7 }),
        ("/v1.0/ä", E::Character { at: 6 }),
        ("/v1.0/a?$filter=a b", E::Character { at: 17 }),
        ("/v1.0/a?x#y", E::Character { at: 9 }),
        ("/v1.0/a?", E::QueryOption),
        ("/v1.0/a?$top=1&", E::QueryOption),
        ("/v1.0/a?=1", E::QueryOption),
        ("/v1.0/a?a+b=1", E::QueryOption),
        ("/v1.0/a?$top=%0a", E::EncodedDelimiter),
        ("/v1.0/a?$expand=a&EXPAND=b", E::DuplicateOption),
        ("/v1.0/a?$expand=a&%24expand=b", E::DuplicateOption),
    ] {
        assert_eq!(GraphPath::parse(text), Err(error), "{text:?}");
    }
    let long = format!("/v1.0/{}", "a".repeat(MAX_PATH_BYTES));
    assert_eq!(GraphPath::parse(&long), Err(E::TooLong));
}

#[test]
fn a_system_option_cannot_hide_without_its_dollar() {
    for text in ["$expand", "expand", "EXPAND", "%24Expand", "$EXPAND"] {
        let path = GraphPath::parse(&format!("/v1.0/users?{text}=manager")).unwrap();
        assert_eq!(path.query()[0].name(), "$expand", "{text}");
    }
    let path = GraphPath::parse("/v1.0/users/1/calendarView?startDateTime=2026").unwrap();
    assert_eq!(path.query()[0].name(), "startdatetime");
}

#[test]
fn an_apostrophe_in_the_query_is_sent_encoded_and_read_decoded() {
    let path = GraphPath::parse("/v1.0/users?$filter=startswith(displayName,'A')+and+x").unwrap();
    assert_eq!(path.as_str(), "/v1.0/users?$filter=startswith(displayName,%27A%27)+and+x");
    assert_eq!(path.query()[0].value(), "startswith(displayName,'A') and x");
    assert!(path.url(&origin()).is_ok());
}

#[test]
fn only_a_bare_origin_can_be_called() {
    let path = GraphPath::parse("/v1.0/users").unwrap();
    for bad in ["https://graph.microsoft.com/x/", "https://u@graph.microsoft.com", "https://h/?q"] {
        let url = path.url(&Url::parse(bad).unwrap());
        assert_eq!(url, Err(PathError::Changed), "{bad}");
    }
}

#[test]
fn debug_names_nobody() {
    let path = GraphPath::parse("/v1.0/users/ada@contoso.example?$search=ada").unwrap();
    assert_eq!(format!("{path:?} {:?}", path.query()), "GraphPath(/v1.0, 2 segments) [$search]");
}

/// Pieces chosen so that dangerous neighbours meet often.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "/v1.0",
        "/beta",
        "v1.0",
        "users",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%252f",
        "%25",
        "%5c",
        "\\",
        "@",
        ":",
        ";",
        "?",
        "#",
        "&",
        "=",
        "$top=1",
        "$expand",
        "'",
        "%27",
        "+",
        "\t",
        "\n",
        " ",
        "ä",
        "%c3%a4",
        "%00",
        "%",
        "a",
        "evil.example",
        "//",
        "http:",
        "(",
        ")",
        "{",
        "}",
        "|",
        "^",
        "`",
        "\"",
        "<",
        ">",
        "[",
        "]",
        "*",
        "!",
        "~",
        "\u{ff0e}",
        "\u{200b}",
    ]);
    let common = prop::sample::select(vec!["/", "..", ".", "a", "?", "'", "=", "%2e"]);
    let piece = prop_oneof![common, piece];
    (prop::bool::weighted(0.8), prop::collection::vec(piece, 0..10)).prop_map(|(rooted, rest)| {
        format!("{}{}", if rooted { "/v1.0/a" } else { "" }, rest.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// No accepted path changes host, version or segments between what was parsed and what is sent.
    #[test]
    fn what_is_parsed_is_what_is_sent(text in hostile()) {
        let Ok(path) = GraphPath::parse(&text) else { return Ok(()) };
        let url = path.url(&origin());
        prop_assert!(url.is_ok(), "accepted but not sent as it is: {:?}", text);
        let url = url.unwrap();
        prop_assert_eq!(url.host_str(), Some("graph.microsoft.com"));
        let sent: Vec<String> = url
            .path_segments()
            .unwrap()
            .map(|segment| percent_decode_str(segment).decode_utf8().unwrap().into_owned())
            .collect();
        prop_assert_eq!(&sent[0], path.version().as_str());
        prop_assert_eq!(&sent[1..], path.segments());
        let again = GraphPath::parse(path.as_str());
        prop_assert_eq!(again.as_ref(), Ok(&path));
    }

    /// The query that a form decoder reads is the query that policy read.
    #[test]
    fn the_query_is_read_as_a_server_reads_it(text in hostile()) {
        let Ok(path) = GraphPath::parse(&text) else { return Ok(()) };
        let url = path.url(&origin()).unwrap();
        let theirs: Vec<String> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        let ours: Vec<&str> = path.query().iter().map(QueryOption::value).collect();
        prop_assert_eq!(theirs, ours);
    }
}
