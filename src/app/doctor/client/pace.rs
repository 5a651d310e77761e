//! How long an answer may take.

use std::time::Duration;

use crate::app::doctor::clients::Client;
use crate::app::doctor::{Area, Step, seconds};

use super::URL;

/// Half of what those wait whose patience is known. A person waits for each of some ten answers.
const SLOW: Duration = Duration::from_secs(5);

/// # Errors
///
/// That the client has given up by then.
pub(super) fn judge(
    client: &Client,
    what: &str,
    took: Duration,
    steps: &mut Vec<Step>,
) -> Result<(), Step> {
    if let Some(budget) = client.budget.filter(|budget| took >= *budget) {
        return Err(too_late(client, what, budget));
    }
    if took > SLOW {
        let found = format!("{what} is answered after {}", seconds(took));
        let allowed = match client.budget {
            Some(budget) => format!("{name} waits for {}", seconds(budget), name = client.name),
            None => "less than a second; claude and chatgpt wait for 10.0 s".to_owned(),
        };
        let step = Step::warning(Area::Client, URL, found).allowed(allowed);
        steps.push(step.hint(HINT));
    }
    Ok(())
}

pub(super) fn too_late(client: &Client, what: &str, budget: Duration) -> Step {
    let name = client.name;
    let found = format!("{what} is not answered within {}, and {name} gives up", seconds(budget));
    Step::bad(Area::Client, URL, found).allowed("less than a second").hint(HINT)
}

const HINT: &str = "ask it at the broker itself (server.listen): slow there, look at its store and its machine; fast there, at what is between (a proxy, a tunnel, a firewall that drops)";

#[cfg(test)]
mod tests {
    use crate::app::doctor::Verdict;
    use crate::broker::Family;

    use super::*;

    #[test]
    fn an_answer_is_judged_by_how_long_that_client_waits() {
        let judged = |family, secs| {
            let (client, mut steps) = (Client::of(family).unwrap(), Vec::new());
            let answer = "GET /.well-known/x";
            match judge(&client, answer, Duration::from_secs(secs), &mut steps) {
                Ok(()) => steps.pop().map(|step| (step.verdict, step.found)),
                Err(step) => Some((step.verdict, step.found)),
            }
        };
        for family in [Family::Claude, Family::ChatGpt, Family::Cursor] {
            assert_eq!(judged(family, 4), None);
            let late = "GET /.well-known/x is answered after 9.0 s".to_owned();
            assert_eq!(judged(family, 9), Some((Verdict::Warning, late)));
        }
        let gone = "GET /.well-known/x is not answered within 10.0 s, and claude gives up";
        assert_eq!(judged(Family::Claude, 10), Some((Verdict::Bad, gone.to_owned())));
        assert_eq!(judged(Family::Cursor, 10).unwrap().0, Verdict::Warning);
    }
}
