#!/usr/bin/env python3
"""Proves the simulated token endpoint with Microsoft's own client (msal 1.39), and our assertion with msal's.

The broker itself signs an assertion, too (`broker check --live`), and PyJWT, which msal signs with, judges it.

Needs: pip install msal==1.39.0, openssl, cargo. Talks to loopback only.
msal insists on https, so a TLS terminator of a few lines stands in front of the simulation.
"""

import base64, contextlib, hashlib, http.server, json, os, socket, ssl, subprocess, sys, tempfile, threading, time, urllib.parse, urllib.request

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


def broker_asserts(folder, simulation, client_id, key, cert):
    """What the started broker sends to a login endpoint that only passes it on, and whether a token came of it."""
    forms = []

    class Login(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            forms.append(dict(urllib.parse.parse_qsl(body.decode())))
            request = urllib.request.Request(simulation + self.path, body, {"content-type": self.headers["content-type"]})
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            self.reply(answer.status, answer.read())

        def do_GET(self):  # Graph, asked whether it is there
            self.reply(401, b"{}")

        def reply(self, status, body):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    login = f"http://127.0.0.1:{server.server_address[1]}"
    home = tempfile.mkdtemp(dir=folder)
    os.chmod(key, 0o600)
    with open(os.path.join(home, "broker.toml"), "w") as file:
        file.write(f"""
            [outbound]
            allow_private = ["127.0.0.1"]
            [graph]
            mode = "live"
            cloud = "custom"
            custom_cloud = {{ login_url = "{login}", graph_url = "{login}", resource = "{RESOURCE}" }}
            [[graph.profile]]
            name = "reader"
            tenant_id = "{TENANT}"
            client_id = "{client_id}"
            credential = {{ certificate = "{cert}", private_key = "file:{key}" }}
        """)
    broker = os.environ.get("BROKER") or os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "debug", "broker")
    said = subprocess.run([broker, "check", "--live", "--json"], cwd=home, capture_output=True, text=True)
    server.shutdown()
    findings = [one for one in json.loads(said.stdout)["findings"] if one["severity"] == "error"]
    return f"{login}/{TENANT}/oauth2/v2.0/token", forms, findings


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
            return check(folder, public, settings, tls_cert, (app_key, app_cert, app_public), fed_key)
        finally:
            example.stdin.close()
            example.wait(10)


def check(folder, public, settings, tls_cert, app, fed_key):
    app_key, app_cert, app_public = app
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

    endpoint, forms, findings = broker_asserts(folder, settings["origin"], settings["client_id"], app_key, app_cert)
    form = forms[0] if forms else {}
    assertion = form.get("client_assertion", "")
    expect("the broker sends the form that msal sends",
           form.get("grant_type") == "client_credentials" and form.get("scope") == f"{RESOURCE}/.default" and "client_secret" not in form
           and form.get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", f"({sorted(form)})")
    try:
        said = jwt.decode(assertion, open(app_public).read(), algorithms=["PS256"], audience=endpoint)
        ours = jwt.get_unverified_header(assertion)
        expect("PyJWT verifies the broker's assertion by the certificate's key, PS256 alone", True)
        expect("its header is msal's", all(ours[name].rstrip("=") == header[name].rstrip("=") for name in names), f"({sorted(ours)})")
        expect("its claims are msal's", set(claims) <= set(said) and said["iss"] == said["sub"] == settings["client_id"]
               and 0 < said["exp"] - said["iat"] <= 600, f"({sorted(said)})")
    except (jwt.InvalidTokenError, KeyError) as error:
        expect("PyJWT verifies the broker's assertion by the certificate's key, PS256 alone", False, repr(error))
    # The simulation knows its own endpoint as audience, and the broker was told another: it must say so, and no more.
    expect("an assertion for another endpoint gets no token",
           [one["key"] for one in findings] == ["graph.profile"] and "AADSTS700027" in findings[0]["problem"], f"({findings})")

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
