"""The chart, rendered by Helm's own engine: valid, safe, refused with a sentence where it is wrong, and accepted by the product.

Run by scripts/deploy-check with the environment of scripts/tools/lint. `BROKER` is the program, `KINDS` scripts/kinds/check.mjs beside its packages.
"""

import base64
import copy
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import helm_python as helm
import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm"
MINORS = sorted(set(all_versions()), key=lambda version: [int(part) for part in version.split(".")])[-3:]
IMAGE = {"image": {"repository": "images.contoso.example/broker", "tag": "0.1.0"}}
EXAMPLES = [CHART / f"values-{name}.yaml" for name in ("dev", "single-node", "prod")] + sorted((CHART / "ci").glob("*.yaml"))
# All examples share one database, so one key.
KEY = base64.b64encode(os.urandom(32)).decode()
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)
        print("FAIL  " + what)


class Strict(yaml.SafeLoader):
    """Refuses a key that is there twice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"there twice: {twice}")
        return super().construct_mapping(node, deep)


def merged(*tables):
    out = {}
    for table in tables:
        for key, value in copy.deepcopy(table).items():
            out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def render(values):
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name="broker", namespace="broker")
    found = []
    for name, text in texts.items():
        if not name.endswith("NOTES.txt"):
            found += [document for document in yaml.load_all(text, Loader=Strict) if document]
    return found


def of(manifests, kind, suffix=""):
    wanted = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return wanted[0] if wanted else None


def validated(manifests, where):
    """By Kubernetes' own schemas; yields the manifests of kinds that have none there."""
    for manifest in manifests:
        for minor in MINORS:
            try:
                kubernetes_validate.validate(manifest, minor, strict=True)
            except kubernetes_validate.ValidationError as error:
                check(False, f"{where}: {manifest['kind']} on {minor}: {error.message}")
            except kubernetes_validate.SchemaNotFoundError:
                yield manifest
                break


def pods(manifests):
    return [(each["kind"], each["spec"]["template"]["spec"]) for each in manifests if each["kind"] in ("Deployment", "Job")]


def properties(manifests, where):
    check(not of(manifests, "Secret"), f"{where}: holds no Secret: every secret is a reference")
    for kind, pod in pods(manifests):
        name = f"{where}: {kind}"
        security = pod["securityContext"]
        check(security["runAsNonRoot"] is True and security["runAsUser"] == 10001, f"{name}: not root")
        check(security["seccompProfile"] == {"type": "RuntimeDefault"}, f"{name}: seccomp")
        check(pod["enableServiceLinks"] is False, f"{name}: no service links")
        check(pod["automountServiceAccountToken"] is False, f"{name}: no token of the API server")
        check(not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), f"{name}: nothing of the host")
        check(all(set(volume) - {"name"} <= {"configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim"} for volume in pod["volumes"]), f"{name}: restricted volumes")
        for container in pod["containers"]:
            own = container["securityContext"]
            check(own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True, f"{name}: cannot gain or write")
            check(own["capabilities"] == {"drop": ["ALL"]} and own["runAsNonRoot"] is True, f"{name}: no capability")
            check(not container["image"].endswith(":latest") and (":" in container["image"]), f"{name}: no latest")
            check(set(container["resources"]["limits"]) >= {"cpu", "memory"}, f"{name}: limits")
            secret = [e["name"] for e in container["env"] if "valueFrom" in e or any(w in e["name"] for w in ("TOKEN", "PASSWORD"))]
            check(not secret, f"{name}: no secret in the environment, but files: {secret}")
            key = next((e["value"] for e in container["env"] if e["name"].endswith("KEY_ENCRYPTION_KEY")), "file:")
            check(key.startswith("file:"), f"{name}: the key is a reference")
    deployment = of(manifests, "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    check(all(container.get(f"{probe}Probe") for probe in ("startup", "liveness", "readiness")), f"{where}: three probes")
    names = {volume["name"] for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    check({mount["name"] for mount in container["volumeMounts"]} == names, f"{where}: every volume is mounted, every mount has one")
    for service in (of(manifests, "Service"),):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        check(service["spec"]["selector"].items() <= labels.items(), f"{where}: the Service finds the pods")
        job = of(manifests, "Job")
        check(not job or not service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items(), f"{where}: but not the migration")


def shapes(rendered):
    prod, single, dev = (rendered[f"values-{name}.yaml"] for name in ("prod", "single-node", "dev"))
    check(all(of(prod, kind) for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "Ingress", "ExternalSecret", "SecretStore", "Job", "ServiceMonitor", "PrometheusRule")), "prod has every part")
    watched(prod)
    check(len(of(prod, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]) == 2, "prod is spread")
    check(of(single, "PersistentVolumeClaim") and of(single, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}, "a single node has a volume and no second writer")
    check(not of(single, "PodDisruptionBudget"), "a single replica can be evicted")
    check(set(of(dev, "ConfigMap")["data"]) >= {"public.md", "confidential.md"}, "dev brings its documents")


def watched(prod):
    """Who scrapes reaches the port that is scraped, and the rules are those of the file, their links made whole."""
    ports = {port["name"] for port in of(prod, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"]}
    monitor, service = of(prod, "ServiceMonitor"), of(prod, "Service", "-metrics")
    check(monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items(), "the ServiceMonitor finds its Service")
    check(not monitor["spec"]["selector"]["matchLabels"].items() <= of(prod, "Service", "auth-broker")["metadata"]["labels"].items(), "and not the other one")
    check({port["targetPort"] for port in service["spec"]["ports"]} <= ports and {each["port"] for each in monitor["spec"]["endpoints"]} == {"metrics"}, "its port is the pod's")
    let_in = [rule for rule in of(prod, "NetworkPolicy")["spec"]["ingress"] if any(port["port"] == "metrics" for port in rule["ports"])]
    check(len(let_in) == 1 and let_in[0]["from"], "Prometheus alone is let in to metrics")
    rules = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    linked = json.loads(json.dumps(rules).replace("docs/runbook", "https://wiki.contoso.example/broker/runbook"))
    rendered, own = of(prod, "PrometheusRule")["spec"], f'namespace="broker",job="{service["metadata"]["name"]}"'
    expressions = [rule["expr"] for group in rendered["groups"] for rule in group["rules"]]
    named = [name for expr in expressions for name in re.findall(r"\b(?:broker|process)_[a-z_]+(?:\{[^}]*\})?", expr)]
    check(len(named) > len(expressions) and all(f"{{{own}" in name for name in named), f"each selector is about this release alone: {named}")
    check(json.loads(json.dumps(rendered).replace(json.dumps(own + ",")[1:-1], "").replace(json.dumps("{" + own + "}")[1:-1], "")) == linked, "but for that the rules are those of the file")
    board = json.loads(of(prod, "ConfigMap", "-dashboard")["data"]["mcp-auth-broker.json"])
    check(board == json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8")), "the dashboard is that of the file")


def restarts(values):
    def checksum(*more):
        return of(render(merged(values, IMAGE, *more)), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]

    check(checksum() == checksum({"replicas": 4}), "a replica more restarts nothing")
    check(checksum() != checksum({"policy": 'version = "2"\ndefault = "deny"\n'}), "a new policy restarts the pods")


def beside(values, database):
    """Rules that are only reported, and files of one's own."""
    shadow = {"shadowPolicy": values["policy"].replace("2026-11", "2026-12"), "extraFiles": {"ca.pem": "-----BEGIN CERTIFICATE-----\n"}, "trustedProxies": ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]}
    manifests = render(merged(values, IMAGE, shadow))
    check({"policy.next.toml", "ca.pem"} <= set(of(manifests, "ConfigMap", "auth-broker")["data"]), "shadow rules and a file of one's own are there")
    accepted("values-prod.yaml with shadow rules", manifests, database)


def tables():
    """Those that the chart lets pass are those that the product has."""
    schema = json.loads(subprocess.run([os.environ["BROKER"], "config", "schema"], capture_output=True, check=True).stdout)
    listed = (CHART / "templates" / "_check.tpl").read_text(encoding="utf-8").split('define "broker.tables"')[1].splitlines()[1].split()
    check(listed == sorted(schema["properties"]), f"_check.tpl lists the tables of `broker config schema`: {sorted(schema['properties'])}")


def kept(values):
    odd = "   # indented first\n[tools]\nsample = false\n"
    check(of(render(merged(values, IMAGE, {"settings": odd})), "ConfigMap")["data"]["broker.toml"].startswith("   # indented"), "settings come as they were written")


def asked_by_tls(values):
    """The kubelet speaks TLS to the pod exactly where the settings end it there."""
    table, inline, dotted = '[server.tls]\ncert = "x"\n', '[server]\ntls = { cert = "x" }\n', 'server.tls.cert = "x"\n'
    for settings, scheme in [("", "HTTP"), ('# [server.tls]\n# cert = "x"\n', "HTTP"), ("[server]\n# tls = {}\n", "HTTP"), (table, "HTTPS"), (inline, "HTTPS"), (dotted, "HTTPS"), ("[ server . tls ]\n", "HTTPS"), ("server.tls = {}\n", "HTTPS"), ('[server]\n  tls.key = "x"\n', "HTTPS"), ('server = { tls = { cert = "x" } }\n', "HTTPS"), ('[server."tls"]\n', "HTTPS"), ('[server]\n"tls" = {}\n', "HTTPS"), ('[telemetry]\nservice_name = """\ntls = 1\n"""\n', "HTTP")]:
        annotated = {"settings": settings, "ingress": {"annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}}}
        manifests = render(merged(values, IMAGE, annotated))
        container = of(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        check(of(manifests, "Service", "auth-broker")["spec"]["ports"][0]["appProtocol"] == scheme.lower(), f"{settings!r}: the Service's port speaks {scheme}")
        schemes = {container[f"{probe}Probe"]["httpGet"]["scheme"] for probe in ("startup", "liveness", "readiness")}
        check(schemes == {scheme}, f"{settings!r}: the probes ask by {scheme}, not {schemes}")


def wrong(prod):
    """Each mistake, and a piece of the sentence that says so."""
    sqlite = {"store": {"kind": "sqlite"}}
    for change, sentence in [
        ({"image": {"repository": ""}}, "image.repository is not set"),
        ({"image": {"tag": ""}}, "image.tag and image.digest are not set"),
        ({"image": {"tag": "latest"}}, "image/tag"),
        ({"image": {"digest": "sha256:12"}}, "image/digest"),
        ({"publicUrl": ""}, "publicUrl is not set"),
        ({"publicUrl": "http://broker.contoso.example"}, "has to begin with https://"),
        ({"publicUrl": "https://u:p@broker.contoso.example"}, "publicUrl"),
        ({"environment": "production"}, "environment"),
        ({"trustedProxies": []}, "trustedProxies is empty"),
        (sqlite, "store.kind is sqlite, which one process can use"),
        ({"externalSecrets": {"enabled": False}}, "there is no Secret"),
        ({"secrets": {"existingSecret": "mine"}}, "exclude each other"),
        ({"externalSecrets": {"storeRef": {"name": ""}}}, "externalSecrets.storeRef.name is not set"),
        ({"externalSecrets": {"data": [{"key": "key-encryption-key", "remote": "x"}]}}, "no entry with the key store-url"),
        ({"externalSecrets": {"data": [{"key": "store-url", "remote": "x"}]}}, "no entry with the key key-encryption-key"),
        ({"externalSecrets": {"storeRef": {"kind": "ClusterSecretStore"}}}, "makes a SecretStore"),
        ({"externalSecrets": {"provider": {"lastpass": {}}}}, "externalSecrets/provider"),
        ({"gateway": {"enabled": True}}, "exclude each other"),
        ({"ingress": {"clusterIssuer": ""}}, "ingress has no certificate"),
        ({"ingress": {"enabled": False}, "gateway": {"enabled": True}}, "gateway has no parent"),
        ({"ingress": {"enabled": False}, "gateway": {"enabled": True, "create": True}}, "gateway.className is not set"),
        ({"networkPolicy": {"database": {"to": []}}}, "networkPolicy.database.to is empty"),
        ({"metrics": {"from": []}}, "metrics.from is empty"),
        ({"metrics": {"enabled": False}}, "needs metrics.enabled"),
        ({"metrics": {"rules": {"runbookBase": "wiki"}}}, "runbookBase"),
        ({"settings": "[telemetry]\nmetrics = true\n"}, "settings holds telemetry.metrics, which would not count"),
        ({"documents": {"public.md": "a", "confidential.md": "b"}}, "which prod refuses"),
        ({"resources": {"limits": {"memory": None}}}, "resources.limits.memory is not set"),
        ({"autoscaling": {"minReplicas": 9, "maxReplicas": 3}}, "is above autoscaling.maxReplicas"),
        ({"replicas": 0}, "replicas"),
        ({"replica": 3}, "replica"),
        ({"settings": '[server]\npublic_url = "https://x"\n'}, "settings holds server.public_url, which would not count"),
        ({"settings": 'server = { public_url = "https://x" }'}, "settings holds server.public_url, which would not count"),
        ({"settings": 'server.listen = "0.0.0.0:1"'}, "settings holds server.listen, which would not count"),
        ({"settings": '[server]\ndrain_seconds = 0\n'}, "settings holds server.drain_seconds, which would not count"),
        ({"settings": "[[[ not toml"}, "settings is not TOML"),
        ({"settings": "[limitz]\n"}, "settings holds [limitz], which is no setting"),
        ({"policy": "[[rule"}, "policy is not TOML"),
        ({"shadowPolicy": "version = \n"}, "shadowPolicy is not TOML"),
        ({"policy": "", "shadowPolicy": 'version = "2"\n'}, "shadowPolicy is set without policy"),
        ({"extraFiles": {"broker.toml": ""}}, "extraFiles.broker.toml is a file of the chart's own"),
        ({"extraFiles": {"../key": ""}}, "invalid propertyName '../key'"),
        ({"resources": {"limits": {"cpu": "lots"}}}, "resources.limits.cpu is lots: not a quantity"),
        ({"resources": {"requests": {"memory": "4Gi"}}}, "resources.requests.memory is above resources.limits.memory"),
        ({"podDisruptionBudget": {"maxUnavailable": -1}}, "maxUnavailable"),
        ({"trustedProxies": ["10.0.0.0/80"]}, "trustedProxies"),
        ({"trustedProxies": ["foo bar"]}, "trustedProxies"),
        ({"podAnnotations": {"prometheus.io/scrape": True}}, "podAnnotations"),
        ({"ingress": {"annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": 3600}}}, "ingress/annotations"),
        ({"service": {"annotations": {"a.example/b": 1}}}, "service/annotations"),
        ({"serviceAccount": {"annotations": {"a.example/b": False}}}, "serviceAccount/annotations"),
        ({"podLabels": {"tier": 1}}, "podLabels"),
        ({"podLabels": {"app.kubernetes.io/name": "other"}}, "invalid propertyName 'app.kubernetes.io/name'"),
        ({"nodeSelector": {"gpu": True}}, "nodeSelector"),
        ({"networkPolicy": {"ingressFrom": [{"nonsense": 1}]}}, "networkPolicy/ingressFrom"),
        ({"networkPolicy": {"ingressFrom": [{}]}}, "networkPolicy/ingressFrom"),
        ({"networkPolicy": {"https": {"cidr": "everywhere"}}}, "networkPolicy/https/cidr"),
        ({"networkPolicy": {"https": {"except": ["10.0.0.0"]}}}, "networkPolicy/https/except"),
        ({"networkPolicy": {"extraEgress": [{"too": []}]}}, "networkPolicy/extraEgress"),
        ({"affinity": {"nodeAffinty": {}}}, "affinity"),
        ({"tolerations": [{"operator": "Sometimes"}]}, "tolerations"),
        ({"nameOverride": "My Broker"}, "nameOverride"),
        ({"fullnameOverride": "My_Broker"}, "fullnameOverride"),
        ({"image": {"repository": "Images.contoso.example/Broker"}}, "image/repository"),
        ({"publicUrl": "https://broker.contoso.example:99999"}, "publicUrl"),
        ({"metrics": {"serviceMonitor": {"interval": "30s", "scrapeTimeout": "1m"}}}, "scrapeTimeout is above"),
        ({"externalSecrets": {"data": prod["externalSecrets"]["data"] + prod["externalSecrets"]["data"][:1]}}, "two entries with one key"),
        ({"resources": {"requests": {"memory": "1Mi"}, "limits": {"memory": "1Mi"}}}, "needs 64Mi at least"),
        ({"settings": '[server.tls]\ncert = "/etc/broker/tls.crt"\nkey = "file:/run/secrets/broker/tls.key"\n', "ingress": {"annotations": {}}}, "say so to the ingress controller"),
    ]:
        try:
            render(merged(prod, IMAGE, change))
        except helm.HelmError as error:
            check(sentence in str(error), f"{change}: says {sentence!r}, not: {error}")
        else:
            check(False, f"{change}: is refused")


def accepted(where, manifests, database):
    """`broker check` with the files, variables and secrets that the pod would see, its paths moved to a folder of ours."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)

        def moved(text):
            for path in ("/etc/broker", "/run/secrets/broker", "/var/lib/broker"):
                text = text.replace(path, str(folder) + path)
            return text.replace("/var/run/secrets", str(folder) + "/var/run/secrets")

        files = {f"/etc/broker/{name}": moved(text) for name, text in of(manifests, "ConfigMap", "auth-broker")["data"].items()}
        deployment = of(manifests, "Deployment")["spec"]["template"]["spec"]
        variables = {each["name"]: moved(each["value"]) for each in deployment["containers"][0]["env"]}
        external = of(manifests, "ExternalSecret")
        names = [each["secretKey"] for each in external["spec"]["data"]] if external else ["key-encryption-key"]
        files |= {f"/run/secrets/broker/{name}": "some-secret-or-other" for name in names}
        files |= {"/run/secrets/broker/key-encryption-key": KEY, "/run/secrets/broker/store-url": database}
        for mounted in deployment["containers"][0]["volumeMounts"]:
            (folder / mounted["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True, mode=0o700)
        for token in ("azure/tokens/azure-identity-token", "vault/token"):
            if (folder / "var/run/secrets" / token).parent.is_dir():
                files[f"/var/run/secrets/{token}"] = "a.b.c"
        for name, text in files.items():
            file = folder / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")
        if (secrets := folder / "run/secrets/broker").is_dir():
            made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=broker", "-keyout", "tls.key", "-out", "tls.crt"]
            subprocess.run(made, cwd=secrets, capture_output=True, check=True)
        variables["PATH"] = os.environ["PATH"]
        for command in (["store", "migrate"], ["check"]):
            done = subprocess.run([os.environ["BROKER"], *command], cwd=folder, env=variables, capture_output=True, text=True, check=False)
            check(done.returncode == 0, f"{where}: broker {' '.join(command)}: {done.stdout}{done.stderr}")
        probed(where, deployment["containers"][0], variables, folder)


def probed(where, container, variables, folder):
    """Serves as the pod does, and asks as the kubelet does: by the pod's address, which no setting names."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = variables | {"MCP_AUTH_BROKER_SERVER__LISTEN": f"0.0.0.0:{port}", "MCP_AUTH_BROKER_SERVER__DRAIN_PAUSE_MS": "0"}
    if "MCP_AUTH_BROKER_SERVER__ADMIN_LISTEN" in variables:
        variables["MCP_AUTH_BROKER_SERVER__ADMIN_LISTEN"] = "127.0.0.1:0"
    with (folder / "log").open("w", encoding="utf-8") as log, subprocess.Popen([os.environ["BROKER"], *container["args"]], cwd=folder, env=variables, stdout=log, stderr=log) as server:
        try:
            for probe in ("startup", "liveness", "readiness"):
                wanted = container[f"{probe}Probe"]["httpGet"]
                check(answered(server, port, wanted), f"{where}: the {probe} probe is answered: {(folder / 'log').read_text(encoding='utf-8')}")
                command = [os.environ["BROKER"], wanted["path"].lstrip("/")]
                done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
                check(done.returncode == 0, f"{where}: {' '.join(command)}: {done.stdout}{done.stderr}")
        finally:
            server.terminate()
        check(server.wait(30) == 0, f"{where}: it ends by SIGTERM")


def answered(server, port, wanted):
    # As the kubelet does, which looks at no certificate.
    tls = ssl._create_unverified_context() if wanted["scheme"] == "HTTPS" else None
    for _ in range(400):
        try:
            plain = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=tls) if tls else plain
            connection.request("GET", wanted["path"], headers={"Host": "10.1.2.3:8080"})
            if connection.getresponse().status == 200:
                return True
        except OSError:
            pass
        if server.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def main():
    chart_files = [str(path) for path in (CHART / "Chart.yaml", CHART / "values.yaml", *EXAMPLES)]
    style = subprocess.run(["yamllint", "-d", "{extends: relaxed, rules: {line-length: {max: 160}}}", *chart_files], capture_output=True, text=True, check=False)
    check(style.returncode == 0, f"yamllint: {style.stdout}")
    rendered, others = {}, []
    for path in EXAMPLES:
        values = merged(IMAGE, yaml.load(path.read_text(encoding="utf-8"), Loader=Strict))
        linted = helm.lint(str(CHART), values)
        check(not linted["errors"] and all(each["severity"] < 2 for each in linted["messages"]), f"{path.name}: helm lint: {linted}")
        manifests = rendered[path.name] = render(values)
        others += validated(manifests, path.name)
        properties(manifests, path.name)
        accepted(path.name, manifests, sys.argv[1])
    shapes(rendered)
    prod = yaml.safe_load((CHART / "values-prod.yaml").read_text(encoding="utf-8"))
    restarts(prod)
    kept(prod)
    tables()
    beside(prod, sys.argv[1])
    asked_by_tls(prod)
    wrong(prod)
    application = yaml.load((ROOT / "deploy" / "argocd" / "application.yaml").read_text(encoding="utf-8"), Loader=Strict)
    others.append(application)
    files = application["spec"]["source"]["helm"]["valueFiles"]
    check(application["spec"]["source"]["path"] == "deploy/helm" and all((CHART / name).exists() for name in files), "the Argo CD application names what there is")
    values = [yaml.safe_load((CHART / name).read_text(encoding="utf-8")) for name in files]
    check(render(merged(*values, application["spec"]["source"]["helm"]["valuesObject"])), "and its values render")
    print(f"{len(EXAMPLES)} values files on Kubernetes {', '.join(MINORS)}, by Helm {helm.helm_sdk_version()}")
    by_their_makers = subprocess.run(["node", os.environ["KINDS"]], input=json.dumps(others), capture_output=True, text=True, check=False)
    check(by_their_makers.returncode == 0, f"kinds of others: {by_their_makers.stdout}{by_their_makers.stderr}")
    print(f"{len(others)} manifests by the schemas and types of who made the kinds: " + ", ".join(sorted({each["kind"] for each in others})))
    sys.exit(1 if failures else 0)


main()
