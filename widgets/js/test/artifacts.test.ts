import { afterEach, beforeEach, expect, test, vi } from "vitest";

import widget from "../src/index";
import type { ArtifactView } from "../src/protocol";
import { FakeModel, run, view } from "./fakes";

const HOSTILE = `<img src=x onerror="alert(1)"><script>alert(2)</script><a href="javascript:alert(3)">x</a>&amp;`;
const PNG = "data:image/png;base64,iVBORw0KGgo=";

let model: FakeModel;
let el: HTMLElement;
let cleanups: (() => void)[];
let seq: number;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel();
  el = document.body.appendChild(document.createElement("div"));
  cleanups = [];
  seq = 1;
});

afterEach(() => {
  for (const cleanup of cleanups.reverse()) cleanup();
  document.body.replaceChildren();
  vi.useRealTimers();
});

function start(count: number, version = count): void {
  const { initialize, render } = widget();
  cleanups.push(initialize({ model }), render({ model, el }));
  vi.advanceTimersByTime(1);
  model.say({ kind: "snap", view: view(1, [], { run: run(count ? { artifacts: { count, version } } : {}) }) });
  frame();
}

function grown(count: number, version: number): void {
  model.say({ kind: "delta", delta: { seq: ++seq, run: run({ artifacts: { count, version } }), nodes: [] } });
  frame();
}

function frame(): void {
  vi.advanceTimersByTime(20);
}

function all<T extends HTMLElement = HTMLElement>(selector: string): T[] {
  return [...el.shadowRoot!.querySelectorAll<T>(selector)];
}

function one<T extends HTMLElement = HTMLElement>(selector: string): T {
  const found = all<T>(selector);
  if (found.length !== 1) throw new Error(`${found.length} of ${selector}`);
  return found[0]!;
}

function open(): void {
  one<HTMLDetailsElement>(".artifacts").open = true;
  one(".artifacts").dispatchEvent(new Event("toggle"));
  frame();
}

function asked(): number[] {
  return model.sent.flatMap((each) => (each.kind === "get" && "artifacts" in each ? [each.artifacts] : []));
}

let made = 0;

function artifact(kind: ArtifactView["kind"], some: Partial<ArtifactView> = {}): ArtifactView {
  return {
    id: ++made, title: "report", maker: "", description: "", kind, text: "", url: "", columns: [], rows: [], progress: 0,
    note: "", ...some,
  };
}

/** Shows these, as the answer to what the page asked. */
function shown(...artifacts: ArtifactView[]): void {
  start(artifacts.length);
  open();
  model.say({ kind: "artifacts", id: "1", version: artifacts.length, artifacts });
  frame();
}

test("without artifacts there is no section, with some there is a closed one that asks for nothing", () => {
  start(0);
  expect(one(".artifacts").hidden).toBe(true);
  grown(3, 3);
  expect(one(".artifacts").hidden).toBe(false);
  expect(one<HTMLDetailsElement>(".artifacts").open).toBe(false);
  expect(one(".artifacts summary").textContent).toBe("Artifacts (3)");
  expect(asked()).toEqual([]);
});

test("an opened section asks for what is new, once a second at most", () => {
  start(2);
  open();
  expect(asked()).toEqual([0]);
  expect(one(".artifacts .hint").textContent).toBe("Loading…");
  model.say({ kind: "artifacts", id: "1", version: 2, artifacts: [artifact("text"), artifact("text")] });
  frame();
  expect(one(".artifacts .hint").hidden).toBe(true);
  grown(2, 3);
  grown(2, 4);
  expect(asked()).toEqual([0]);
  vi.advanceTimersByTime(1100);
  expect(asked()).toEqual([0, 2]);
  model.say({ kind: "artifacts", id: "2", version: 4, artifacts: [] });
  vi.advanceTimersByTime(3000);
  expect(asked()).toEqual([0, 2]);
});

test("an answer that is lost is asked for again", () => {
  start(1);
  open();
  vi.advanceTimersByTime(1100);
  expect(asked()).toEqual([0, 0]);
});

test("each kind is shown as what it is", () => {
  shown(
    artifact("text", { text: "# Night\n3 rows", maker: "clean[3]", description: "what happened", note: "5 characters more" }),
    artifact("table", { columns: ["day", "rows"], rows: [["1", "20"], ["2", ""]] }),
    artifact("link", { text: "the source", url: "https://example.org/x?a=1" }),
    artifact("image", { url: PNG, title: "plot" }),
    artifact("progress", { progress: 41.66 }),
  );
  expect(one(".artifact pre").textContent).toBe("# Night\n3 rows");
  expect(one('[data-artifact="text"]').textContent).toContain("reportclean[3]what happened");
  expect(all(".artifact th").map((each) => each.textContent)).toEqual(["day", "rows"]);
  expect(all(".artifact td").map((each) => each.textContent)).toEqual(["1", "20", "2", ""]);
  const link = one<HTMLAnchorElement>(".artifact a");
  expect([link.href, link.rel, link.target]).toEqual(["https://example.org/x?a=1", "noopener noreferrer", "_blank"]);
  expect(one<HTMLImageElement>(".artifact img").getAttribute("src")).toBe(PNG);
  expect(one<HTMLImageElement>(".artifact img").alt).toBe("plot");
  expect(one<HTMLProgressElement>("progress").value).toBe(41.66);
  expect(one('[data-artifact="progress"]').textContent).toBe("report41.7 %");
});

test("progress moves on in its place", () => {
  const first = artifact("progress", { progress: 10 });
  shown(first);
  const bar = one<HTMLProgressElement>("progress");
  grown(1, 2);
  model.say({ kind: "artifacts", id: "2", version: 2, artifacts: [{ ...first, progress: 80 }] });
  frame();
  expect(one("progress")).toBe(bar);
  expect(bar.value).toBe(80);
  expect(all(".artifact")).toHaveLength(1);
});

test("hostile texts change nothing in the page", () => {
  const words = { title: HOSTILE, maker: HOSTILE, description: HOSTILE, note: HOSTILE, text: HOSTILE };
  const cells = { columns: [HOSTILE], rows: [[HOSTILE]] };
  shown(...(["text", "table", "link", "image", "progress"] as const).map((kind) => artifact(kind, { ...words, ...cells })));
  expect(all("script, .artifact :is(a[href^='javascript'], [onerror], iframe, object, embed, style)")).toEqual([]);
  expect(all(".artifact img")).toEqual([]);
  expect(one(".artifact pre").textContent).toBe(HOSTILE);
  expect(one(".artifact td").textContent).toBe(HOSTILE);
  expect(all(".artifact .name").map((each) => each.textContent)).toEqual(Array(5).fill(HOSTILE));
});

test.each([
  "javascript:alert(1)",
  " javascript:alert(1)",
  "java\nscript:alert(1)",
  "JaVaScRiPt:alert(1)",
  "\u0001javascript:alert(1)",
  "vbscript:x",
  "data:text/html,<script>alert(1)</script>",
  "blob:https://example.org/1",
  "http://[",
])("%j is no link", (url) => {
  shown(artifact("link", { text: "press here", url }));
  expect(all(".artifact a")).toEqual([]);
  expect(one(".artifact").textContent).toContain("press here");
});

test.each([
  "https://example.org/x.png",
  "javascript:alert(1)",
  "data:text/html;base64,PHNjcmlwdD4=",
  "data:image/png;base64,x\" onerror=\"alert(1)",
  "data:image/svg+xml,<svg onload=alert(1)>",
  "data:image/png,https://example.org",
])("%j is no image", (url) => {
  shown(artifact("image", { url }));
  expect(all(".artifact img")).toEqual([]);
});

test("those that are too many are counted, and without a kernel it is said what is missing", () => {
  start(120);
  open();
  model.say({ kind: "artifacts", id: "1", version: 120, artifacts: Array.from({ length: 100 }, () => artifact("text")) });
  frame();
  expect(one(".artifacts .hint").textContent).toBe("and 20 more in the record");
});

test("a saved view says that the artifacts need the kernel", () => {
  model.traits = { _live: false, _view: view(1, [], { run: run({ artifacts: { count: 2, version: 2 } }) }) };
  const { initialize, render } = widget();
  cleanups.push(initialize({ model }), render({ model, el }));
  frame();
  open();
  expect(one(".artifacts .hint").textContent).toBe("Artifacts need a connection to the kernel.");
  expect(asked()).toEqual([]);
  // A run of the record, whose kernel is there.
  model.say({ kind: "snap", view: view(1, [], { run: run({ artifacts: { count: 2, version: 2 } }) }) });
  frame();
  expect(asked()).toEqual([0]);
});
