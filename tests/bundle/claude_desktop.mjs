// What Claude Desktop makes of an unpacked bundle, by the bundlers' own library. Prints command,
// args and env as JSON, or null where a required value is missing: then nothing is started.
// Arguments: where the packages are, the bundle's folder, the user's home directory, and what the
// user filled in, as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, sep } from "node:path";
import { pathToFileURL } from "node:url";

const [packages, folder, home, filledIn] = process.argv.slice(2);
const library = createRequire(packages).resolve("@anthropic-ai/mcpb");
const { getMcpConfigForManifest } = await import(pathToFileURL(library));

const config = await getMcpConfigForManifest({
  manifest: JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")),
  extensionPath: folder,
  systemDirs: { HOME: home, DESKTOP: join(home, "Desktop"), DOCUMENTS: join(home, "Documents") },
  userConfig: JSON.parse(filledIn),
  pathSeparator: sep,
});
console.log(JSON.stringify(config ?? null));
