import { afterEach, expect, test, vi } from "vitest";

import { stripGrid, stripPaths } from "../src/strip";
import { coverPicture } from "../src/cover";
import { neighbour } from "../src/graph";
import { COUNT_LOOKS, SHAPES, shapeOf } from "../src/icons";
import { count, duration, nodeLabel } from "../src/text";
import { isDark, luminanceOf } from "../src/theme";
import durations from "./durations.json";
import { DONE, node, view } from "./fakes";

afterEach(() => {
  document.body.replaceChildren();
  document.body.removeAttribute("style");
});

test.each(durations as [number, string][])("%d seconds are %s, as in Python", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test("counts have separators", () => {
  expect([0, 999, 1000, 1_234_567].map(count)).toEqual(["0", "999", "1,000", "1,234,567"]);
});

test("a state of two words is spoken as two words", () => {
  expect(nodeLabel(node(1, { state: { ...DONE, name: "AwaitingRetry" }, line: "" }))).toBe("task_1, awaiting retry");
});

test("every family and every count has a shape", () => {
  for (const family of ["idle", "active", "done", "attention", "bad"] as const) {
    expect(SHAPES[shapeOf({ type: "?", name: "?", family, message: "" })]).toBeDefined();
  }
  expect(new Set(Object.values(COUNT_LOOKS).map(([, shape]) => shape)).size).toBe(6);
});

test.each([1, 12, 56, 57, 200, 336])("a strip of %d cells draws each cell once", (cells) => {
  const strip = "ddrfw".repeat(68).slice(0, cells);
  const grid = stripGrid(cells, 226, 42);
  expect(grid.columns * grid.dx).toBeLessThanOrEqual(226.001);
  expect(grid.rows * grid.dy).toBeLessThanOrEqual(42.001);
  let drawn = 0;
  for (const d of stripPaths(strip, grid).values()) {
    for (const [, length] of d.matchAll(/h([\d.]+)/g)) drawn += Math.round((Number(length) + 0.7) / grid.dx);
  }
  expect(drawn).toBe(cells);
});

test("luminance tells light from dark and leaves out what cannot be seen", () => {
  expect(luminanceOf("rgb(255, 255, 255)")).toBeCloseTo(1);
  expect(luminanceOf("rgb(33, 33, 33)")).toBeLessThan(0.05);
  expect(luminanceOf("rgba(0, 0, 0, 0)")).toBeNull();
  expect(luminanceOf("rgb(0 0 0 / 0.2)")).toBeNull();
  expect(luminanceOf("transparent")).toBeNull();
});

test("the nearest painted background decides", () => {
  const inner = document.body.appendChild(document.createElement("div")).appendChild(document.createElement("div"));
  document.body.style.backgroundColor = "rgb(20, 20, 20)";
  expect(isDark(inner)).toBe(true);
  inner.parentElement!.style.backgroundColor = "rgb(250, 250, 250)";
  expect(isDark(inner)).toBe(false);
});

test("arrows without edges go to the nearest in their direction", () => {
  const nodes = [node(1, { x: 0, y: 0 }), node(2, { x: 0, y: 60 }), node(3, { x: 200, y: 0 }), node(4, { x: 200, y: 60 })];
  const shown = view(1, nodes);
  const from = (id: number, key: string): number | undefined => neighbour(shown, nodes[id - 1]!, key)?.id;
  expect([from(1, "ArrowDown"), from(1, "ArrowRight"), from(4, "ArrowLeft"), from(4, "ArrowUp")]).toEqual([2, 3, 2, 3]);
  expect(from(1, "ArrowUp")).toBeUndefined();
});

function cell(): { own: HTMLElement; area: HTMLElement } {
  document.body.innerHTML = `<div class="jp-OutputArea">
    <div class="jp-OutputArea-child"><div class="own"></div></div></div>`;
  return { own: document.querySelector<HTMLElement>(".own")!, area: document.querySelector<HTMLElement>(".jp-OutputArea")! };
}

function output(area: HTMLElement, inner: string): HTMLElement {
  const child = document.createElement("div");
  child.className = "jp-OutputArea-child";
  child.innerHTML = inner;
  return area.appendChild(child);
}

test("the picture of the same run is hidden, also when it comes late, and shown again", async () => {
  const { own, area } = cell();
  const printed = output(area, "<pre>text</pre>");
  const end = coverPicture(own, "run-1");
  const picture = output(area, '<div data-tidegate-picture="run-1"></div>');
  const other = output(area, '<div data-tidegate-picture="run-2"></div>');
  await Promise.resolve();
  expect([printed, picture, other].map((each) => each.style.display)).toEqual(["", "none", ""]);
  end();
  expect(picture.style.display).toBe("");
  const late = output(area, '<div data-tidegate-picture="run-1"></div>');
  await Promise.resolve();
  expect(late.style.display).toBe("");
});

test("a view that is put into the page later finds its picture", () => {
  vi.useFakeTimers();
  const { own, area } = cell();
  const picture = output(area, '<div data-tidegate-picture="run-1"></div>');
  const loose = document.createElement("div");
  const end = coverPicture(loose, "run-1");
  own.append(loose);
  vi.advanceTimersByTime(150);
  expect(picture.style.display).toBe("none");
  end();
  vi.useRealTimers();
});

test("another host is left as it is", () => {
  vi.useFakeTimers();
  const end = coverPicture(document.body.appendChild(document.createElement("div")), "run-1");
  vi.advanceTimersByTime(60_000);
  expect(vi.getTimerCount()).toBe(0);
  end();
  vi.useRealTimers();
});
