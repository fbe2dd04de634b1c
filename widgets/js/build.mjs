import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const LIMIT = 80_000;
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const outfile = at("../tidegate_widgets/static/run_graph.js");

/** Variables that the code sets, and those of the host's theme, keep their names. */
const KEPT = /^--(jp|vscode|grown|level|at)\b/;

/** The style sheet with short names for its variables, and without the blanks that a minifier leaves in their values. */
function shortened(text) {
  const names = [...new Set(text.match(/--[a-z][\w-]*(?=:)/g))].filter((name) => !KEPT.test(name));
  const short = new Map(names.map((name, at) => [name, `--${at.toString(36)}`]));
  return text.replace(/--[a-z][\w-]*/g, (name) => short.get(name) ?? name).replace(/(--\w+:|,) (?=\S)/g, "$1");
}

// The style sheet is text inside the bundle; its own minifying pass keeps that text short.
const css = {
  name: "css-as-minified-text",
  setup(setup) {
    setup.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const result = await build({ entryPoints: [path], minify: true, write: false, logLevel: "error" });
      return { contents: shortened(result.outputFiles[0].text.trim()), loader: "text" };
    });
  },
};

await build({
  entryPoints: [at("src/index.ts")],
  outfile,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  plugins: [css],
  logLevel: "error",
});

const bytes = readFileSync(outfile).length;
console.log(`${outfile}: ${bytes} bytes`);
if (bytes > LIMIT) {
  console.error(`The bundle is larger than ${LIMIT} bytes; every widget carries it.`);
  process.exit(1);
}
