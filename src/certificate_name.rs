//! The name by which a client is known in certificates that an authority issues (RFC 8705 §2.1.2): which may be
//! registered, and whether a certificate has it.
//!
//! The one parser of them, whoever registers: the settings, an administrator, a client itself, or its metadata document.
//! Says nothing of who issued a certificate: a name in one that nobody verified is worth nothing.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::{Name, RelativeDistinguishedName};

const MAX_BYTES: usize = 1000;

/// How a name is registered: exactly one of these (RFC 8705 §2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    SubjectDn,
    SanDns,
    SanUri,
    SanIp,
    SanEmail,
}

impl NameKind {
    pub const ALL: [Self; 5] =
        [Self::SubjectDn, Self::SanDns, Self::SanUri, Self::SanIp, Self::SanEmail];

    /// The member of client metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubjectDn => "tls_client_auth_subject_dn",
            Self::SanDns => "tls_client_auth_san_dns",
            Self::SanUri => "tls_client_auth_san_uri",
            Self::SanIp => "tls_client_auth_san_ip",
            Self::SanEmail => "tls_client_auth_san_email",
        }
    }

    /// What may be written there, in few words.
    #[must_use]
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::SubjectDn => {
                "a whole subject as RFC 4514 writes it, such as CN=nightly,O=Example,C=DE: openssl x509 -noout -subject -nameopt RFC2253 prints it"
            }
            Self::SanDns => "a host name without wildcard, such as nightly.example",
            Self::SanUri => "a URI with its scheme, such as spiffe://example/nightly",
            Self::SanIp => "an IPv4 or IPv6 address, such as 192.0.2.7",
            Self::SanEmail => "an address, such as nightly@example.com",
        }
    }
}

/// Not a name of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAName;

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a name of this kind")
    }
}

impl std::error::Error for NotAName {}

/// A name to look for in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName {
    kind: NameKind,
    text: String,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Subject(Name),
    Address(IpAddr),
    /// Compared as it is written.
    Text,
}

impl CertificateName {
    /// # Errors
    ///
    /// [`NotAName`]
    pub fn parse(kind: NameKind, unverified: &str) -> Result<Self, NotAName> {
        let plain = unverified.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = match kind {
            NameKind::SubjectDn => !unverified.chars().any(char::is_control),
            NameKind::SanIp => plain,
            NameKind::SanDns => plain && !unverified.contains(['*', '/', ':', '@', ',']),
            NameKind::SanUri => plain && url::Url::parse(unverified).is_ok(),
            NameKind::SanEmail => plain && unverified.split('@').count() == 2,
        };
        if !fits || unverified.is_empty() || unverified.len() > MAX_BYTES {
            return Err(NotAName);
        }
        let wanted = match kind {
            NameKind::SubjectDn => {
                let name = Name::from_str(unverified).map_err(|_| NotAName)?;
                Wanted::Subject(Some(name).filter(|name| !name.is_empty()).ok_or(NotAName)?)
            }
            NameKind::SanIp => Wanted::Address(unverified.parse().map_err(|_| NotAName)?),
            NameKind::SanDns | NameKind::SanUri | NameKind::SanEmail => Wanted::Text,
        };
        Ok(Self { kind, text: unverified.to_owned(), wanted })
    }

    #[must_use]
    pub const fn kind(&self) -> NameKind {
        self.kind
    }

    /// As it was registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a certificate in DER has this very name. Does *not* verify the certificate.
    #[must_use]
    pub fn is_in(&self, certificate: &[u8]) -> bool {
        let Ok(certificate) = Certificate::from_der(certificate) else { return false };
        let certificate = certificate.tbs_certificate();
        if let Wanted::Subject(wanted) = &self.wanted {
            return same_subject(wanted, certificate.subject());
        }
        // A certificate whose names cannot be read has none of them.
        let Ok(Some((_, names))) = certificate.get_extension::<SubjectAltName>() else {
            return false;
        };
        names.0.iter().any(|name| self.is(name))
    }

    fn is(&self, name: &GeneralName) -> bool {
        match (self.kind, name) {
            (NameKind::SanDns, GeneralName::DnsName(name)) => {
                name.as_str().eq_ignore_ascii_case(&self.text)
            }
            (NameKind::SanUri, GeneralName::UniformResourceIdentifier(name))
            | (NameKind::SanEmail, GeneralName::Rfc822Name(name)) => name.as_str() == self.text,
            (NameKind::SanIp, GeneralName::IpAddress(name)) => {
                self.wanted
                    == Wanted::Address(match *name.as_bytes() {
                        [a, b, c, d] => IpAddr::from([a, b, c, d]),
                        ref bytes => match <[u8; 16]>::try_from(bytes) {
                            Ok(bytes) => IpAddr::from(bytes),
                            Err(_) => return false,
                        },
                    })
            }
            _ => false,
        }
    }
}

/// The same parts in the same order, whichever kind of string each is written in.
fn same_subject(wanted: &Name, found: &Name) -> bool {
    wanted.len() == found.len()
        && wanted.iter_rdn().zip(found.iter_rdn()).all(|(wanted, found)| same_part(wanted, found))
}

/// The parts of a part have no order.
fn same_part(wanted: &RelativeDistinguishedName, found: &RelativeDistinguishedName) -> bool {
    wanted.len() == found.len()
        && wanted.iter().all(|wanted| found.iter().any(|found| same_attribute(wanted, found)))
}

fn same_attribute(wanted: &AttributeTypeAndValue, found: &AttributeTypeAndValue) -> bool {
    let (mine, theirs) = (text(wanted), text(found));
    wanted.oid == found.oid && (wanted.value == found.value || (mine.is_some() && mine == theirs))
}

fn text(attribute: &AttributeTypeAndValue) -> Option<&str> {
    let is_text = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String];
    let value = &attribute.value;
    is_text.contains(&value.tag()).then(|| std::str::from_utf8(value.value()).ok())?
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn certificate(parts: &[(DnType, &str)], names: Vec<SanType>) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            let value = DnValue::PrintableString((*value).try_into().unwrap());
            parameters.distinguished_name.push(kind.clone(), value);
        }
        parameters.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    fn name(kind: NameKind, text: &str) -> CertificateName {
        CertificateName::parse(kind, text).unwrap()
    }

    // RFC 8705 §2.1.2, RFC 4514
    #[test]
    fn a_subject_is_compared_as_a_whole_and_part_by_part() {
        let parts = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example, Inc"),
            (DnType::CommonName, "nightly"),
        ];
        let found = certificate(&parts, Vec::new());
        let is = |text: &str| name(NameKind::SubjectDn, text).is_in(&found);
        assert!(is(r"CN=nightly,O=Example\, Inc,C=DE"));
        for other in [
            "CN=nightly",
            r"O=Example\, Inc,C=DE",
            r"CN=nightly,O=Example\, Inc",
            r"C=DE,O=Example\, Inc,CN=nightly",
            r"CN=Nightly,O=Example\, Inc,C=DE",
            r"OU=nightly,O=Example\, Inc,C=DE",
            r"CN=nightly\,O=Example\\,O=Inc,C=DE",
            r"CN=nightly+O=Example\, Inc,C=DE",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    // RFC 8705 §2.1.2
    #[test]
    fn another_kind_of_name_with_the_same_text_is_another_name() {
        let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
        let uri = SanType::URI("spiffe://example/a".try_into().unwrap());
        let email = SanType::Rfc822Name("a@example.com".try_into().unwrap());
        let addresses =
            ["192.0.2.7", "2001:db8::7"].map(|ip| SanType::IpAddress(ip.parse().unwrap()));
        let names = [vec![dns("a.example"), uri, email], addresses.to_vec()].concat();
        let found = certificate(&[(DnType::CommonName, "b.example")], names);
        let is = |kind, text: &str| name(kind, text).is_in(&found);
        assert!(is(NameKind::SanDns, "A.example") && is(NameKind::SanUri, "spiffe://example/a"));
        assert!(is(NameKind::SanEmail, "a@example.com") && is(NameKind::SanIp, "192.0.2.7"));
        assert!(is(NameKind::SanIp, "2001:db8:0::7"));
        assert!(!is(NameKind::SanDns, "b.example"), "a common name is no host name");
        assert!(!is(NameKind::SanDns, "sub.a.example") && !is(NameKind::SanIp, "192.0.2.8"));
        assert!(!is(NameKind::SanUri, "spiffe://example/A"));
        assert!(
            !name(NameKind::SanDns, "a.example").is_in(&certificate(&[], vec![dns("*.example")]))
        );
        assert!(!name(NameKind::SanDns, "a.example").is_in(b"no certificate"));
    }

    #[test]
    fn what_could_be_in_no_certificate_is_no_name() {
        for (kind, text) in [
            (NameKind::SubjectDn, ""),
            (NameKind::SubjectDn, "nightly"),
            (NameKind::SubjectDn, "NOSUCH=nightly"),
            (NameKind::SanDns, "*.example"),
            (NameKind::SanDns, "https://a.example"),
            (NameKind::SanUri, "nightly"),
            (NameKind::SanIp, "192.0.2.0/24"),
            (NameKind::SanEmail, "nightly"),
            (NameKind::SanEmail, "a@b@c"),
        ] {
            assert_eq!(CertificateName::parse(kind, text), Err(NotAName), "{text}");
        }
    }
}
