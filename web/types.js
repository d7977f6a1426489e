// Writes src/api/schema.d.ts from the server's OpenAPI document; with --check only compares.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const target = new URL("./src/api/schema.d.ts", import.meta.url);
const document = JSON.parse(readFileSync(new URL("../.cache/openapi.json", import.meta.url)));
const text = astToString(await openapiTS(document));
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/api/schema.d.ts is not what the server says: run `make openapi`");
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
