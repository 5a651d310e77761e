//! The paths that a source names.

type Token = (usize, String);

/// Every path of two or more names in the code, trees of `use` spread out, with its line.
pub(super) fn paths(source: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let starts = is_name(&tokens[at].1) && (at == 0 || tokens[at - 1].1 != "::");
        if starts && tokens.get(at + 1).is_some_and(|(_, text)| text == "::") {
            if tokens[at].1 == "crate" && tokens.get(at + 2).is_some_and(|(_, text)| text == "{") {
                found.push((tokens[at].0, vec!["crate".to_owned(), "{".to_owned()]));
            }
            spread(&tokens, at, &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one path or tree from `at`; answers where it ends.
fn spread(
    tokens: &[Token],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let depth = prefix.len();
    while let Some((line, text)) = tokens.get(at) {
        if text == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|(_, text)| text != "}") {
                at = spread(tokens, at, prefix, found).max(at + 1);
            }
            prefix.truncate(depth);
            return at + 1;
        }
        if !is_name(text) && text != "*" {
            break;
        }
        prefix.push(text.clone());
        at += 1;
        if tokens.get(at).is_none_or(|(_, text)| text != "::") {
            found.push((*line, prefix.clone()));
            break;
        }
        at += 1;
    }
    prefix.truncate(depth);
    at
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs, without comments, strings and characters.
fn tokens(source: &str) -> Vec<Token> {
    let lexer = regex::Regex::new(
        r##"(?s)(?P<skip>//[^\n]*|/\*.*?\*/|b?r#+".*?"#+|b?r"[^"]*"|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^']*|[^'\\])'|\s+)|[A-Za-z_][A-Za-z0-9_]*|::|."##,
    )
    .unwrap();
    let mut line = 1;
    let mut tokens = Vec::new();
    for token in lexer.captures_iter(source) {
        if token.name("skip").is_none() {
            tokens.push((line, token[0].to_owned()));
        }
        line += token[0].matches('\n').count();
    }
    tokens
}
