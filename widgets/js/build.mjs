import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const LIMIT = 80_000;
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const outfile = at("../tidegate_widgets/static/run_graph.js");

// The style sheet is text inside the bundle; its own minifying pass keeps that text short.
const css = {
  name: "css-as-minified-text",
  setup(setup) {
    setup.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const result = await build({ entryPoints: [path], minify: true, write: false, logLevel: "error" });
      return { contents: result.outputFiles[0].text.trim(), loader: "text" };
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
