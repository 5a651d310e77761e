//! Looking the public name up, by a clock of its own: a name server that is slow is else taken for whoever is asked next.

use std::net::IpAddr;
use std::time::Duration;

use crate::time::Clock;

use super::{Area, Step, seconds};

const KEY: &str = "server.public_url";
/// The system's resolver gives up by itself before this, with one name server.
const PATIENCE: Duration = Duration::from_secs(20);
const NOTICEABLE: Duration = Duration::from_secs(2);
/// Clients that wait for ten seconds have half of them left.
const TOO_LONG: Duration = Duration::from_secs(5);

pub(super) struct Looked {
    /// None: there is none, or nobody said so in time.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) took: Duration,
}

/// Asks the system, as every program here does.
pub(super) async fn look_up(host: &str, port: u16, clock: &dyn Clock) -> Looked {
    let began = clock.monotonic();
    let looking = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port)));
    let found = looking.await.ok().and_then(Result::ok).into_iter().flatten();
    let addresses = found.map(|address| address.ip()).collect();
    Looked { addresses, took: clock.monotonic().saturating_sub(began) }
}

/// `NOTICEABLE` is a warning, `TOO_LONG` bad, as is no address at all.
pub(super) fn judge(area: Area, host: &str, looked: &Looked) -> Step {
    let took = seconds(looked.took);
    if looked.addresses.is_empty() {
        let late = if looked.took > NOTICEABLE {
            format!(", and the name server took {took} to say so")
        } else {
            String::new()
        };
        return Step::bad(area, KEY, format!("{host} has no address here{late}"))
            .allowed("a name that clients can resolve")
            .hint("make the record, or look at the resolver of this machine (/etc/resolv.conf)");
    }
    let found: Vec<String> = looked.addresses.iter().map(ToString::to_string).collect();
    let found = format!("{host} is {}", found.join(", "));
    let slow = format!("the name server takes {took} for {host}");
    let allowed = "less than a second; clients wait for 10 s at most, and that is for everything";
    let hint = "look at the resolver of this machine (/etc/resolv.conf), and at the name's own servers: one that does not answer is asked again elsewhere after 5 s";
    match looked.took {
        took if took > TOO_LONG => Step::bad(area, KEY, slow).allowed(allowed).hint(hint),
        took if took > NOTICEABLE => Step::warning(area, KEY, slow).allowed(allowed).hint(hint),
        _ => Step::good(area, found),
    }
}

#[cfg(test)]
mod tests {
    use crate::app::doctor::Verdict;

    use super::*;

    #[test]
    fn a_name_server_is_judged_by_its_time_and_apart_from_a_name_that_nobody_has() {
        let judged = |addresses: &[&str], millis| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            let looked = Looked { addresses, took: Duration::from_millis(millis) };
            let step = judge(Area::Dns, "broker.example", &looked);
            (step.verdict, step.found)
        };
        let found = |verdict, found: &str| (verdict, found.to_owned());
        let here = ["192.0.2.7", "2001:db8::7"];
        assert_eq!(
            judged(&here, 40),
            found(Verdict::Good, "broker.example is 192.0.2.7, 2001:db8::7")
        );
        let slow = "the name server takes 2.1 s for broker.example";
        assert_eq!(judged(&here, 2_100), found(Verdict::Warning, slow));
        let slow = "the name server takes 7.0 s for broker.example";
        assert_eq!(judged(&here, 7_000), found(Verdict::Bad, slow));
        let nobody = "broker.example has no address here";
        assert_eq!(judged(&[], 40), found(Verdict::Bad, nobody));
        let late = format!("{nobody}, and the name server took 20.0 s to say so");
        assert_eq!(judged(&[], 20_000), found(Verdict::Bad, &late));
    }
}
