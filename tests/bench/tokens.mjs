// Counts o200k_base tokens: a JSON object of texts on stdin, the same with counts on stdout.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { countTokens } = createRequire(process.argv[2])("gpt-tokenizer/encoding/o200k_base");
const texts = JSON.parse(readFileSync(0, "utf8"));
const counts = Object.entries(texts).map(([name, text]) => [name, countTokens(text)]);
console.log(JSON.stringify(Object.fromEntries(counts)));
