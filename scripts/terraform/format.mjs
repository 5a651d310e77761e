// Whether Terraform's files are formatted as its own library does it (hclwrite, which `terraform fmt` is made of).
//
//   node format.mjs [--write] FILE…

import { readFileSync, writeFileSync } from "node:fs";
import { format } from "@cdktn/hcl-tools";

const write = process.argv[2] === "--write";
const files = process.argv.slice(write ? 3 : 2);
let others = 0;
for (const file of files) {
  const text = readFileSync(file, "utf8");
  const formatted = await format(text);
  if (formatted === text) continue;
  if (write) {
    writeFileSync(file, formatted);
    continue;
  }
  others += 1;
  const lines = text.split("\n");
  const first = formatted.split("\n").findIndex((line, at) => line !== lines[at]);
  console.log(`${file}:${first + 1}: not formatted (node scripts/terraform/format.mjs --write): ${lines[first]}`);
}
console.log(`${files.length} files of Terraform, ${others} not formatted`);
process.exit(files.length > 0 && others === 0 ? 0 : 1);
