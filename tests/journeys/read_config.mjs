// Reads a configuration file as a client does: JSON.parse, or the parser that VS Code uses.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [path, takesComments] = process.argv.slice(2);
const require = createRequire(new URL("../node/", import.meta.url));
const text = readFileSync(path, "utf8").replace(/^\uFEFF/, "");
const errors = [];
const config =
  takesComments === "true"
    ? require("jsonc-parser").parse(text, errors, { allowTrailingComma: true })
    : JSON.parse(text);
if (errors.length) {
  console.error(JSON.stringify(errors));
  process.exit(1);
}
console.log(JSON.stringify(config));
