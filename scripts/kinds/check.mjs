// Manifests of kinds that Kubernetes itself does not have, as a JSON list on standard input: by the schemas of who made the kinds, and,
// because those let unknown members pass, by their types as well. Prints what is wrong.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const PACKAGES = {
  "argoproj.io": "@kubernetes-models/argo-cd",
  "external-secrets.io": "@kubernetes-models/external-secrets",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};
const here = dirname(fileURLToPath(import.meta.url));
const manifests = JSON.parse(readFileSync(0, "utf8"));
const wrong = [];
const lines = [];

for (const [number, manifest] of manifests.entries()) {
  const from = `${PACKAGES[manifest.apiVersion.split("/")[0]]}/${manifest.apiVersion}`;
  const { [manifest.kind]: Kind } = await import(from);
  try {
    new Kind(manifest).validate();
  } catch (error) {
    wrong.push(`${manifest.kind}: ${error.message}`);
  }
  lines.push(`import type { I${manifest.kind} as Kind${number} } from "${from}"; export const value${number}: Kind${number} = ${JSON.stringify(manifest)};`);
}

const file = join(here, "manifests.ts");
const options = { noEmit: true, strict: true, skipLibCheck: true, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, target: ts.ScriptTarget.ES2022, types: [] };
const host = ts.createCompilerHost(options);
const { fileExists, getSourceFile } = host;
host.fileExists = (name) => name === file || fileExists(name);
host.getSourceFile = (name, ...rest) => (name === file ? ts.createSourceFile(name, lines.join("\n"), ts.ScriptTarget.ES2022) : getSourceFile(name, ...rest));
for (const found of ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))) {
  const line = found.file?.fileName === file ? found.file.getLineAndCharacterOfPosition(found.start).line : undefined;
  wrong.push(`${line === undefined ? found.file?.fileName : manifests[line].kind}: ${ts.flattenDiagnosticMessageText(found.messageText, " ")}`);
}
console.log(wrong.join("\n"));
process.exit(wrong.length > 0 ? 1 : 0);
