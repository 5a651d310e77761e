#!/usr/bin/env python3
"""Assertions that other people's code makes (Authlib 1.7, joserfc 1.8) become tokens of ours, which joserfc accepts.

Needs: pip install authlib==1.7.2 joserfc==1.8.0 requests. Argument: the broker's binary. Talks to loopback only.
An ID-JAG of an identity provider, private_key_jwt of the client that brings it, and the JWT of a Kubernetes service account.
"""

import http.server, json, os, socket, subprocess, sys, tempfile, threading, time, uuid

from authlib.integrations.requests_client import AssertionSession, OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwk, jwt
import requests

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
POD = "system:serviceaccount:prod:report"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def publish(documents):
    """Serves JSON documents by path; gives the origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = documents.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body or {}).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def settings(broker, issuer):
    return f"""
[server]
listen = "{broker.removeprefix('http://')}"
[outbound]
allow_private = ["127.0.0.1"]
[[authorization_server.identity_provider]]
id = "idp"
issuer = "{issuer}"
client_id = "broker"
identity_assertions = {{}}
[[authorization_server.client]]
client_id = "agent"
jwks_uri = "{issuer}/agent"
grants = ["jwt_bearer"]
[[authorization_server.client]]
client_id = "report"
grants = ["jwt_bearer"]
scopes = ["public:read"]
workload = {{ issuer = "{issuer}", claims = {{ sub = ["{POD}"], "/kubernetes.io/namespace" = ["prod"] }} }}
"""


def wait_for(url):
    for _ in range(200):
        try:
            return requests.get(url, timeout=5).json()
        except requests.ConnectionError:
            time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")


def main(binary):
    keys = {name: jwk.ECKey.generate_key("P-256", {"kid": name}) for name in ("agent", "stranger")}
    keys["idp"] = jwk.RSAKey.generate_key(2048, {"kid": "idp"})
    documents = {}
    issuer = publish(documents)
    documents["/.well-known/openid-configuration"] = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
    documents["/keys"] = {"keys": [keys["idp"].as_dict(private=False)]}
    documents["/agent"] = {"keys": [keys["agent"].as_dict(private=False)]}
    broker = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "broker.toml"), "w") as file:
            file.write(settings(broker, issuer))
        with open(os.path.join(folder, "log"), "w") as log:
            program = subprocess.Popen([binary, "serve"], cwd=folder, stdout=log, stderr=log)
        try:
            metadata = wait_for(f"{broker}/.well-known/oauth-authorization-server")
            return check(broker, issuer, metadata, keys)
        finally:
            program.terminate()
            program.wait(20)


def check(broker, issuer, metadata, keys):
    failures = []

    def expect(name, good, shown=""):
        print(("ok    " if good else "FAIL  ") + name, shown if not good else "")
        if not good:
            failures.append(name)

    endpoint, resource, now = metadata["token_endpoint"], f"{broker}/mcp", int(time.time())
    expect("the metadata lists the grant", GRANT in metadata["grant_types_supported"])
    def id_jag(signer="idp", typ="oauth-id-jag+jwt", **changes):
        claims = {"iss": issuer, "aud": broker, "sub": "ada", "client_id": "agent", "resource": resource, "jti": str(uuid.uuid4()),
                  "iat": now, "exp": now + 300, "scope": "public:read", **changes}
        algorithm = "RS256" if signer == "idp" else "ES256"
        header = {"alg": algorithm, "kid": "idp", "typ": typ}
        return jwt.encode(header, {name: value for name, value in claims.items() if value is not None}, keys[signer])

    def brings(assertion):
        """As a new session each time: Authlib keeps the jti of a client's claims. Unasked it lets them live an hour, too long here."""
        session = OAuth2Session("agent", keys["agent"], token_endpoint_auth_method="private_key_jwt")
        headers = {"alg": "ES256", "kid": "agent"}
        session.register_client_auth_method(PrivateKeyJWT(endpoint, claims={"exp": now + 200}, headers=headers, alg="ES256"))
        try:
            return session.fetch_token(endpoint, grant_type=GRANT, assertion=assertion)
        except Exception as error:  # Authlib's OAuthError, which has the code
            return {"error": getattr(error, "error", repr(error))}

    assertion = id_jag()
    granted = brings(assertion)
    expect("an ID-JAG becomes a token, of a client that Authlib's private_key_jwt proves", granted.get("scope") == "public:read", granted)
    published = jwk.KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=5).json())
    token = jwt.decode(granted["access_token"], published, algorithms=["ES256"])
    jwt.JWTClaimsRegistry(iss={"essential": True, "value": broker}, aud={"essential": True, "value": resource}).validate(token.claims)
    expect("joserfc accepts it", token.header["typ"] == "at+jwt" and token.claims["client_id"] == "agent", token.claims)
    expect("it counts once", brings(assertion).get("error") == "invalid_grant")
    for name, bad in {
        "of a stranger": id_jag("stranger"), "of another type": id_jag(typ="JWT"), "for another server": id_jag(aud="https://other.example"),
        "for another client": id_jag(client_id="report"), "for another resource": id_jag(resource="https://other.example/mcp"),
        "of an hour": id_jag(exp=now + 3600), "late": id_jag(iat=now - 400, exp=now - 100), "without jti": id_jag(jti=None),
    }.items():
        expect(f"an ID-JAG {name} is refused", brings(bad).get("error") == "invalid_grant", brings(bad))

    pod = {"kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "report"}}}

    def workload(subject, claims, audience=endpoint):
        """Authlib makes and sends the whole request (RFC 7521), as the workload would; it sends no client."""
        claims = {"jti": str(uuid.uuid4()), **claims}
        with AssertionSession(token_endpoint=endpoint, issuer=issuer, subject=subject, audience=audience, claims=claims,
                              key=keys["idp"], header={"alg": "RS256", "kid": "idp"}) as asked:
            try:
                return asked.refresh_token()
            except Exception as error:
                return {"error": getattr(error, "error", repr(error))}

    granted = workload(POD, pod)
    expect("the JWT of a pod becomes a token", "access_token" in granted, granted)
    token = jwt.decode(granted["access_token"], published, algorithms=["ES256"])
    expect("which is the client's own", (token.claims["sub"], token.claims["client_id"]) == ("report", "report"), token.claims)
    for name, answer in {
        "of another account": workload("system:serviceaccount:prod:reports", pod),
        "of another namespace": workload(POD, {"kubernetes.io": {"namespace": "dev"}}),
        "for the issuer": workload(POD, pod, broker),
    }.items():
        expect(f"the JWT {name} is refused", answer.get("error") == "invalid_grant", answer)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
