#!/usr/bin/env python3
"""Proves the simulated token endpoint with Microsoft's own client (msal 1.39), and our assertion with msal's.

Needs: pip install msal==1.39.0, openssl, cargo. Talks to loopback only.
msal insists on https, so a TLS terminator of a few lines stands in front of the simulation.
"""

import base64, contextlib, hashlib, json, os, socket, ssl, subprocess, sys, tempfile, threading, time

import msal, jwt  # PyJWT comes with msal

for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
    os.environ.pop(name, None)  # requests would prefer them to the certificate made here

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TENANT, RESOURCE = "contoso.example", "https://graph.microsoft.com"


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def key_and_certificate(folder, name):
    key, cert, public = (os.path.join(folder, f"{name}.{end}") for end in ("key", "pem", "pub"))
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert)
    with open(public, "wb") as file:
        file.write(subprocess.run(["openssl", "x509", "-in", cert, "-pubkey", "-noout"], check=True, capture_output=True).stdout)
    return key, cert, public


def thumbprint(cert):
    der = ssl.PEM_cert_to_DER_cert(open(cert).read())
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def terminate_tls(listener, context, port):
    while True:
        try:
            client, _ = listener.accept()
            client = context.wrap_socket(client, server_side=True)
        except OSError:
            continue
        server = socket.create_connection(("127.0.0.1", port))
        for pair in ((client, server), (server, client)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def main():
    with tempfile.TemporaryDirectory() as folder:
        tls_key, tls_cert, _ = key_and_certificate(folder, "tls")
        app_key, app_cert, app_public = key_and_certificate(folder, "app")
        fed_key, _, fed_public = key_and_certificate(folder, "federated")
        listener = socket.create_server(("127.0.0.1", 0))
        public = f"https://localhost:{listener.getsockname()[1]}"
        example = subprocess.Popen(
            ["cargo", "run", "--quiet", "--example", "simulated_graph", "--", "--public-origin", public,
             "--certificate", thumbprint(app_cert), app_public,
             "--federated", "https://issuer.example", "system:serviceaccount:broker", fed_public],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            settings = json.loads(example.stdout.readline())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls_cert, tls_key)
            port = int(settings["origin"].rsplit(":", 1)[1])
            threading.Thread(target=terminate_tls, args=(listener, context, port), daemon=True).start()
            return check(public, settings, tls_cert, app_key, app_cert, fed_key)
        finally:
            example.stdin.close()
            example.wait(10)


def check(public, settings, tls_cert, app_key, app_cert, fed_key):
    failures = []

    def expect(name, good, shown=""):
        print(("ok    " if good else "FAIL  ") + name, shown)
        if not good:
            failures.append(name)

    def acquire(credential, scope=f"{RESOURCE}/.default"):
        app = msal.ConfidentialClientApplication(
            settings["client_id"], client_credential=credential, authority=f"{public}/{TENANT}",
            instance_discovery=False, validate_authority=False, verify=tls_cert)
        return app, app.acquire_token_for_client([scope])

    app, answer = acquire(settings["client_secret"])
    expect("client secret", answer.get("token_type") == "Bearer" and answer.get("expires_in") == 3599)
    again = app.acquire_token_for_client([f"{RESOURCE}/.default"])
    expect("msal caches it", again.get("token_source") == "cache")
    _, answer = acquire("wrong")
    expect("wrong secret", answer.get("error") == "invalid_client" and answer.get("error_codes") == [7000215])
    _, answer = acquire(settings["client_secret"], f"{RESOURCE}/User.Read")
    expect("scope that is not .default", answer.get("error") == "invalid_scope" and answer.get("error_codes") == [1002012])

    private, certificate = open(app_key).read(), open(app_cert).read()
    seen = {}
    original = jwt.encode

    def spy(payload, key, algorithm=None, headers=None, **more):
        token = original(payload, key, algorithm=algorithm, headers=headers, **more)
        seen.update(header=jwt.get_unverified_header(token), claims=payload)
        return token

    jwt.encode = spy
    _, answer = acquire({"private_key": private, "public_certificate": certificate})
    jwt.encode = original
    expect("certificate", "access_token" in answer, answer.get("error_description", ""))
    header, claims = seen["header"], seen["claims"]
    names = {"alg", "typ", "x5t#S256"}
    expect("msal's assertion header is ours: PS256, JWT, x5t#S256",
           header["alg"] == "PS256" and header["typ"] == "JWT" and header["x5t#S256"].rstrip("=") == thumbprint(app_cert),
           f"(msal sends besides: {sorted(set(header) - names)})")
    expect("msal's assertion claims are ours",
           {"aud", "iss", "sub", "jti", "exp", "iat"} <= set(claims) and claims["iss"] == claims["sub"] == settings["client_id"]
           and claims["aud"] == f"{public}/{TENANT}/oauth2/v2.0/token", f"({sorted(claims)})")

    now = int(time.time())
    federated = {"iss": "https://issuer.example", "sub": "system:serviceaccount:broker",
                 "aud": "api://AzureADTokenExchange", "iat": now, "nbf": now, "exp": now + 300}

    def exchange(**changes):
        key = open(fed_key).read()
        return acquire({"client_assertion": lambda: jwt.encode({**federated, **changes}, key, algorithm="RS256")})[1]

    expect("federated assertion", "access_token" in exchange())
    expect("federated, wrong subject", exchange(sub="somebody").get("error_codes") == [700211])
    expect("federated, expired", exchange(exp=now - 3600).get("error_codes") == [700024])
    expect("federated, wrong audience", exchange(aud="api://other").get("error_codes") == [700027])

    def on_behalf_of(permission="User.Read", **changes):
        app, _ = acquire(settings["client_secret"])
        said = {"aud": settings["client_id"], "exp": now + 600, "oid": "9f0a1b2c-3d4e-4f60-8192-a3b4c5d6e7f8", **changes}
        assertion = original(said, private, algorithm="RS256")
        return app.acquire_token_on_behalf_of(assertion, [f"{RESOURCE}/{permission}"])

    expect("on behalf of", on_behalf_of().get("token_type") == "Bearer", on_behalf_of().get("error_description", ""))
    expect("on behalf of an application", on_behalf_of(idtyp="app").get("error_codes") == [7000114])
    expect("on behalf of, for another app", on_behalf_of(aud="api://other").get("error_codes") == [500131])
    expect("on behalf of, expired", on_behalf_of(exp=now - 1).get("error_codes") == [500133])
    challenged = on_behalf_of("Mail.Send")
    expect("on behalf of, more is wanted of the person",
           challenged.get("error") == "interaction_required" and json.loads(challenged["claims"])["access_token"]["acrs"]["value"] == "c1")
    expect("on behalf of, and it was done", "access_token" in on_behalf_of("Mail.Send", acrs=["c1"]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
