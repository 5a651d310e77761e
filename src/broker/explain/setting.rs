//! What would have to be changed, by the reason of a refusal: a setting of ours, or something elsewhere.

/// What to change, where policy is not what refused. `about` is the kind of refusal.
pub(super) fn to_change(about: &str, code: &str) -> Option<&'static str> {
    match about {
        "token" => token(code),
        "oauth" => oauth(code),
        "assertion" => Some(
            "What the rule above names, at who makes the assertion: its audience is our issuer or, of a workload, the token endpoint or workload.audience. Here: authorization_server.identity_provider.identity_assertions for what an identity provider signs, authorization_server.client.workload for a workload, and the clocks (broker doctor). One that was used before is refused by every replica",
        ),
        "authorize" => authorize(code),
        "registration" => Some(registration(code)),
        "reuse" => Some(
            "If one client's processes share a refresh token: authorization_server.refresh_grace_seconds, or refresh_grace_seconds of that [[authorization_server.client]]. If not: somebody has the token; let the person log in again, and look where it was kept",
        ),
        "call" => call(code),
        "login" => login(code),
        "logout" => Some(
            "authorization_server.identity_provider: its issuer, client_id and the logout URL that is registered there",
        ),
        "admin" => admin(code),
        "page" => Some(
            "The broker's own log has the same id with the whole chain of causes: page.refused with request.id",
        ),
        _ => None,
    }
}

fn token(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "missing" => {
            "Nothing, if this is the first request of a client. If every request comes without: something in front takes Authorization away; broker doctor says so"
        }
        "malformed" => {
            "The client: what it sends is no token, or comes twice. Something in front may put its own Authorization there"
        }
        "unknown_issuer" => {
            "resource_server.issuer: the token's issuer is none of those, byte for byte"
        }
        "wrong_audience" => {
            "The client has to ask for a token of this very URL (resource); or server.public_url is not the URL that clients use; or resource_server.issuer.audiences"
        }
        "wrong_type" => {
            "resource_server.issuer.token_types; or the client sends its ID token in place of the access token"
        }
        "bad_signature" | "unknown_key" => {
            "The issuer's keys: resource_server.issuer.jwks_uri, or its discovery. Of our own tokens: replicas that do not share store.url, or a key that was given up (broker key list)"
        }
        "algorithm_not_allowed" => "resource_server.issuer.algorithms",
        "expired" => {
            "Nothing, if the client refreshes. authorization_server.access_token_ttl_seconds says how long ours live; a clock may be wrong (broker doctor)"
        }
        "not_yet_valid" => "The clock of the issuer or of this host: broker doctor compares them",
        "inactive" => "The issuer says that the token is not alive: its person logs in again",
        "revoked" => {
            "Somebody ended it: the person, the client, an administrator (broker grant list), or a log-out. The person logs in again"
        }
        "claims_invalid" => {
            "The token lacks a claim, or has one of another type: resource_server.issuer names them"
        }
        "issuer_unavailable" => {
            "The issuer's keys or introspection cannot be reached: /ready says which; outbound.proxy, outbound.allow_private, outbound.ca_file"
        }
        "invalid_proof" | "proof_needs_nonce" | "not_bound" => {
            "resource_server.dpop, resource_server.dpop_nonce: the client has to prove its key, for this URL (server.public_url) and now"
        }
        "wrong_certificate" => {
            "The token is bound to a certificate: the client has to use the one with which it got the token, and TLS has to end here (server.tls.client_ca_file, server.tls.self_signed_client_certificates)"
        }
        "insufficient_scope" => "The client has to ask for the scope openid",
        _ => return None,
    })
}

fn oauth(error: &str) -> Option<&'static str> {
    Some(match error {
        "invalid_client" => {
            "Of a client of the settings: its secret or keys in authorization_server.client. Of one that is named by a document: authorization_server.client_host. Of one that registered itself: it registers again by itself; if not, its person removes the old registration in the client"
        }
        "unauthorized_client" => {
            "authorization_server.client.grants of this client; or it has to show its certificate (tls_client_certificate_bound_access_tokens), which a proxy before the broker takes away"
        }
        "invalid_grant" => {
            "Nothing here: codes live for a minute and count once, refresh tokens until authorization_server.refresh_token_ttl_seconds or until somebody ends the grant (broker grant list), or until their person has to log in at the identity provider again (its standing). Replicas have to share store.url"
        }
        "invalid_scope" => {
            "Policy: nothing of what was asked for would be of use to this client or person. authorization_server.client.scopes of a client that acts for itself"
        }
        "invalid_target" => {
            "The resource has to be one of ours, byte for byte: server.public_url and /mcp, a server of upstream.server, or one that broker server add registers"
        }
        "invalid_dpop_proof" => {
            "authorization_server.client.dpop_bound_access_tokens, or the client's proof"
        }
        "unsupported_grant_type" => {
            "authorization_server.client.grants: no client of the settings has this grant. password and implicit are given to nobody"
        }
        "access_denied" => "Nothing: a person refused",
        "expired_token" => "Nothing: nobody came in time; the device asks for a new code by itself",
        "invalid_request" => "The client: its request is not as the protocol has it",
        _ => return None,
    })
}

fn authorize(error: &str) -> Option<&'static str> {
    Some(match error {
        "invalid_client" => {
            "authorization_server.client_host, client_metadata_documents and client_metadata_hosts, and whether the document's host is reached (outbound.proxy); of a registration: the person removes the old one in the client"
        }
        "invalid_redirect_uri" => {
            "authorization_server.client.redirect_uris, or the client's own document or registration: it has to name what it uses"
        }
        "invalid_request_uri" => "Nothing: the client pushes its request again",
        "login_required" | "consent_required" => {
            "Nothing: the client asked for an answer without a page (prompt=none), and goes on with one"
        }
        "unmet_authentication_requirements" => {
            "authorization_server.identity_provider: log-ins there do not say the acr that is asked for; or authorization_server.second_factor"
        }
        "invalid_request" => {
            "The client. Where it says that requests have to be pushed: authorization_server.require_pushed_authorization_requests"
        }
        other => return oauth(other),
    })
}

fn registration(error: &str) -> &'static str {
    match error {
        "access_denied" | "invalid_token" => {
            "authorization_server.dynamic_registration; with \"token\" a client needs one of broker registration-token add"
        }
        "invalid_redirect_uri" => {
            "The client's redirect URIs: https, or a loopback address, or a scheme of its own"
        }
        "invalid_client_metadata" => {
            "authorization_server.dynamic_registration: with \"limited\" only public clients register themselves"
        }
        "temporarily_unavailable" => {
            "Nothing: it is one of too many of its network; it tries again as Retry-After says"
        }
        _ => "authorization_server.dynamic_registration",
    }
}

fn call(code: &str) -> Option<&'static str> {
    Some(match code {
        // The rules say more.
        "policy.denied" => return None,
        "policy.approval_required" => {
            "An approver opens /approvals, or the rule says allow in place of ask"
        }
        "policy.rate_limited" => "limits: which one it was stands beside the code in the answer",
        "policy.missing_identity" => "The token has to name its subject (sub)",
        "policy.invalid_scope" => {
            "graph.allowed_permissions, or the permissions of the deciding rule"
        }
        "secret.not_found" | "secret.access_denied" | "secret.timeout" | "secret.unavailable" => {
            "secrets: broker check --live asks each backend once and says what is wrong"
        }
        "provider.auth_failed" => {
            "graph.profile: its credential, or its consent in the tenant; broker check --live"
        }
        "provider.rate_limited" | "provider.timeout" | "provider.unavailable" => {
            "Nothing here: the provider could not. graph.timeout_ms bounds how long is waited"
        }
        "provider.bad_response" => "graph.max_response_bytes, or ask for less",
        "broker.unavailable" => "/ready says what is away",
        _ => "The call itself: the message of the answer names the field",
    })
}

fn login(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "credentials" => "A one-time link for another password: broker user reset-link",
        "throttled" => "Nothing: too many tries from there or for that name; it is over by itself",
        "identity_provider" => {
            "authorization_server.identity_provider: its claims, require, client_secret; the broker's own log says what was not accepted (page.refused with the same id)"
        }
        "disabled" => "broker user enable",
        "second_factor" => {
            "The person's app, or a recovery code; an administrator takes a lost one away. Somebody else may have the password"
        }
        _ => return None,
    })
}

fn admin(code: &str) -> Option<&'static str> {
    Some(match code {
        "scope_missing" => "Log in as an administrator, and ask for the scope broker:admin",
        "not_administrator" => {
            "authorization_server.administrators, or the role of a local user (broker user give-role)"
        }
        _ => return None,
    })
}

/// A code of a call, in words.
pub(super) fn code_in_words(code: &str) -> &'static str {
    match code {
        "ok" => "it went through",
        "cancelled" => "the caller went away before there was an answer",
        "policy.denied" => "policy does not allow this call",
        "policy.missing_identity" => "the token names no subject",
        "policy.invalid_scope" => {
            "a Graph permission is outside what the deciding rule and the settings allow"
        }
        "policy.approval_required" => "a rule wants a person to approve first",
        "policy.rate_limited" => "there were too many calls",
        "secret.not_found" => "there is nothing at the secret's reference",
        "secret.access_denied" => "the backend refuses the broker the secret",
        "secret.timeout" => "the secret's backend did not answer in time",
        "secret.unavailable" => "the secret's backend cannot be used now",
        "provider.auth_failed" => "the provider refuses the broker's credential or token",
        "provider.rate_limited" => "the provider limits the rate of calls",
        "provider.timeout" => "the provider did not answer in time",
        "provider.unavailable" => "the provider cannot be reached or cannot serve the call",
        "provider.bad_response" => "the provider's answer is too large or not what it says it is",
        "broker.unavailable" => "the broker could not serve",
        "bad_request.invalid_field" => "the request is not acceptable as it is",
        "bad_request.invalid_timeout" => "the timeout asked for is not acceptable",
        "bad_request.unsupported_operation" => "the broker does not carry out this operation",
        _ => "it failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn every_code_of_a_call_has_words_and_but_for_policys_own_advice() {
        for code in Code::ALL {
            assert_ne!(code_in_words(code.as_str()), "it failed", "{code}");
            assert_eq!(to_change("call", code.as_str()).is_none(), code == Code::PolicyDenied);
        }
    }
}
