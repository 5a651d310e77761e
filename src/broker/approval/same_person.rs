//! Whether who answers is who asked.
//!
//! A token and a log-in may call one person by two names. So "another name" is another person only where the two names
//! can be compared; elsewhere nobody knows, and the answer does not count.

use crate::id::{Issuer, Subject};
use crate::store::Requester;

use super::Approver;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    Other,
    Unknown,
}

pub(super) fn compare(asked: &Requester, person: &Approver) -> Comparison {
    let caller = caller(asked, person);
    let asserted = asked.asserted.as_ref().map_or(Comparison::Other, |name| named(name, person));
    match (caller, asserted) {
        (Comparison::Same, _) | (_, Comparison::Same) => Comparison::Same,
        (Comparison::Other, Comparison::Other) => Comparison::Other,
        _ => Comparison::Unknown,
    }
}

/// By the token's issuer and subject.
fn caller(asked: &Requester, person: &Approver) -> Comparison {
    let issued = |issuer: &Issuer| same_authority(issuer, &asked.issuer);
    // Our own id of a person is nobody else's, whatever the issuer of the token is called.
    let same = person.name == asked.subject
        || person.identities.iter().any(|(issuer, name)| issued(issuer) && *name == asked.subject);
    if same {
        return Comparison::Same;
    }
    // A client that acts for itself is no person (RFC 9068 §2.2).
    let is_client =
        asked.client_id.as_ref().is_some_and(|id| id.as_str() == asked.subject.as_str());
    let comparable = person.identities.iter().any(|(issuer, name)| {
        issued(issuer) && (*name == person.name || is_guid(name) == is_guid(&asked.subject))
    });
    if is_client || comparable { Comparison::Other } else { Comparison::Unknown }
}

/// By the name that a gateway gives whom it acts for. It names people of any issuer, so any name of the person counts.
fn named(name: &Subject, person: &Approver) -> Comparison {
    let same = |known: &str| known.eq_ignore_ascii_case(name.as_str());
    let mut subjects = person.identities.iter().map(|(_, subject)| subject);
    if same(person.name.as_str())
        || person.known_as.iter().any(|known| same(known))
        || subjects.clone().any(|subject| same(subject.as_str()))
    {
        return Comparison::Same;
    }
    let mail = |text: &str| text.contains('@');
    let by_mail = mail(name.as_str()) && person.known_as.iter().any(|known| mail(known));
    let by_guid = is_guid(name) && subjects.any(|known| *known != person.name && is_guid(known));
    if by_mail || by_guid { Comparison::Other } else { Comparison::Unknown }
}

/// The same issuer, or the same tenant of one: Entra has several issuers for each (`…/{tenant}/`, `…/{tenant}/v2.0`).
fn same_authority(one: &Issuer, other: &Issuer) -> bool {
    let tenant = |issuer: &Issuer| -> Option<String> {
        issuer.as_str().split('/').find(|part| looks_like_guid(part)).map(str::to_owned)
    };
    one == other || tenant(one).is_some_and(|found| tenant(other) == Some(found))
}

fn is_guid(name: &Subject) -> bool {
    looks_like_guid(name.as_str())
}

fn looks_like_guid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::approval::Through;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    const ADA: &str = "aaaaaaaa-0000-0000-0000-000000000001";
    const LENA: &str = "aaaaaaaa-0000-0000-0000-000000000002";
    const LOCAL: &str = "01930000-0000-7000-8000-000000000000";

    fn asked(issuer: &str, subject: &str) -> Requester {
        Requester {
            issuer: issuer.parse().unwrap(),
            subject: subject.parse().unwrap(),
            client_id: "agent".parse().ok(),
            asserted: None,
        }
    }

    fn person(linked: &[(&str, &str)]) -> Approver {
        let named =
            |(issuer, subject): &(&str, &str)| (issuer.parse().unwrap(), subject.parse().unwrap());
        let own = ("https://broker.example", LOCAL);
        Approver {
            name: LOCAL.parse().unwrap(),
            identities: std::iter::once(&own).chain(linked).map(named).collect(),
            known_as: vec!["ada@contoso.example".to_owned()],
            groups: Vec::new(),
            administrator: true,
            through: Through::Themselves,
        }
    }

    fn entra(version: &str) -> String {
        match version {
            "1" => format!("https://sts.windows.net/{TENANT}/"),
            _ => format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        }
    }

    #[test]
    fn one_tenant_of_entra_has_two_issuers() {
        let linked = person(&[(&entra("2"), ADA)]);
        for version in ["1", "2"] {
            assert_eq!(compare(&asked(&entra(version), ADA), &linked), Comparison::Same);
            assert_eq!(compare(&asked(&entra(version), LENA), &linked), Comparison::Other);
        }
    }

    #[test]
    fn a_name_that_cannot_be_compared_is_nobody_known() {
        // Entra's `sub` is another one for each application: it says nothing about an `oid`.
        let by_sub = person(&[(&entra("2"), "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")]);
        assert_eq!(compare(&asked(&entra("2"), ADA), &by_sub), Comparison::Unknown);
        assert_eq!(
            compare(&asked("https://idp.example", "ada"), &person(&[])),
            Comparison::Unknown
        );
        let machine = asked("https://idp.example", "agent");
        assert_eq!(compare(&machine, &person(&[])), Comparison::Other);
        let own = asked("https://broker.example", "somebody-else");
        assert_eq!(compare(&own, &person(&[])), Comparison::Other);
    }

    #[test]
    fn whom_a_gateway_names_is_compared_with_every_name_of_the_person() {
        let linked = person(&[("https://idp.example", ADA)]);
        let by_gateway = |name: &str| {
            let gateway = asked("https://gateway.example", "agent");
            compare(&Requester { asserted: name.parse().ok(), ..gateway }, &linked)
        };
        for same in ["Ada@Contoso.example", ADA, LOCAL] {
            assert_eq!(by_gateway(same), Comparison::Same, "{same}");
        }
        for other in ["lena@contoso.example", LENA] {
            assert_eq!(by_gateway(other), Comparison::Other, "{other}");
        }
        assert_eq!(by_gateway("ada"), Comparison::Unknown);
    }
}
