import { expect, test } from "vitest";

import type { NodeView } from "../src/protocol";
import { all, delta, focused, frame, key, live, model, one, turnTo } from "./display";
import { FAILED, edge, group, node, run, view } from "./fakes";

const BASE = 2 ** 25;
const load = node(1, { name: "load" });
const closed = node(2, { name: "train", kind: "flow", open: false, w: 208 });
const last = node(3, { name: "plot", x: 800 });
const box = { ...closed, open: true, w: 500, h: 200 };
const split = node(BASE + 1, { name: "split", parent: 2, x: 250, y: 60 });
const fit = group(BASE + 2, { name: "fit", parent: 2, x: 450, y: 60 });
const inner = node(BASE + 3, { name: "check", kind: "flow", open: false, parent: 2, x: 250, y: 140 });
const OPENED: NodeView[] = [load, box, split, fit, inner, last];
const EXTENT = { width: 1200, height: 300, edges: [edge(1, 2), edge(BASE + 1, BASE + 2)] };

function shown(): void {
  live(view(1, [load, closed, last], { edges: [edge(1, 2)] }));
}

function card(id: number): HTMLElement {
  return one(`.graph [data-node="${id}"]`);
}

test("a subflow has a button that opens it, and what is not one has none", () => {
  live(view(1, [load, closed, node(3, { kind: "flow", open: null })]));
  const buttons = all(".expand:not([hidden])").map((button) => button.getAttribute("aria-label"));
  expect(buttons).toEqual(["Open train"]);
  expect(card(2).getAttribute("aria-expanded")).toBe("false");
  expect(card(1).hasAttribute("aria-expanded")).toBe(false);
  one("[aria-label='Open train']").click();
  expect(model.last("open")).toMatchObject({ node: 2, open: true });
});

test("a box has its nodes in it, and takes them away when it is closed", () => {
  shown();
  card(2).focus();
  key(card(2), "Enter");
  expect(model.last("open")).toMatchObject({ node: 2, open: true });
  delta(OPENED, {}, EXTENT);
  expect(card(2).getAttribute("aria-expanded")).toBe("true");
  expect(focused()).toBe(card(2));
  expect(all(".graph .node .name").map((name) => name.textContent)).toEqual([
    "load",
    "train",
    "plot",
    "split",
    "fit",
    "check",
  ]);
  expect(all(".edge")).toHaveLength(2);
  key(card(2), "Enter");
  expect(model.last("open")).toMatchObject({ node: 2, open: false });
  delta([load, closed, last], {}, { width: 900, height: 200, edges: [edge(1, 2)] });
  expect(all(".graph .node")).toHaveLength(3);
  expect(all(".graph .expand")).toHaveLength(1);
  expect(all(".edge")).toHaveLength(1);
});

test("Escape closes the box around, after the inspector, and the focus goes to the box", () => {
  shown();
  delta(OPENED, {}, EXTENT);
  card(split.id).focus();
  key(card(split.id), " ");
  expect(one(".inspector").hidden).toBe(false);
  key(card(split.id), "Escape");
  expect(one(".inspector").hidden).toBe(true);
  expect(model.kinds()).not.toContain("open");
  key(card(split.id), "Escape");
  expect(model.last("open")).toMatchObject({ node: 2, open: false });
  delta([load, closed, last], {}, { width: 900, height: 200, edges: [edge(1, 2)] });
  expect(focused()).toBe(card(2));
  expect(card(2).tabIndex).toBe(0);
});

test("arrows lead into a box, through it and out of it", () => {
  shown();
  delta(OPENED, {}, EXTENT);
  const walk = (from: number, ...keys: string[]): number => {
    card(from).focus();
    for (const name of keys) key(focused(), name);
    return Number(focused().dataset.node);
  };
  expect(walk(2, "ArrowDown")).toBe(split.id);
  expect(walk(2, "ArrowDown", "ArrowRight")).toBe(fit.id);
  expect(walk(2, "ArrowDown", "ArrowDown")).toBe(inner.id);
  expect(walk(2, "ArrowDown", "ArrowUp")).toBe(2);
  expect(walk(2, "ArrowRight")).toBe(3);
  expect(walk(fit.id, "ArrowRight")).toBe(3);
});

test("the list has a level for each box, and opens and closes it", () => {
  shown();
  turnTo("List");
  const levels = (): (string | null)[][] =>
    all(".page:not([hidden]) tbody tr").map((row) => [
      row.querySelector(".name")?.textContent ?? "",
      row.getAttribute("aria-level"),
      row.getAttribute("aria-expanded"),
    ]);
  expect(levels()).toEqual([["load", "1", null], ["train", "1", "false"], ["plot", "1", null]]);
  const row = (name: string): HTMLElement =>
    all(".page:not([hidden]) tbody tr").find((each) => each.textContent?.startsWith(name))!;
  row("train").focus();
  key(row("train"), "ArrowRight");
  expect(model.last("open")).toMatchObject({ node: 2, open: true });
  delta(OPENED, {}, EXTENT);
  expect(levels()).toEqual([
    ["load", "1", null],
    ["train", "1", "true"],
    ["split", "2", null],
    ["fit", "2", "false"],
    ["check", "2", "false"],
    ["plot", "1", null],
  ]);
  key(row("train"), "ArrowRight");
  expect(focused()).toBe(row("split"));
  key(row("split"), "ArrowLeft");
  expect(focused()).toBe(row("train"));
  key(row("train"), "ArrowLeft");
  expect(model.last("open")).toMatchObject({ node: 2, open: false });
});

test("the lanes of the timeline stand in the order of the nodes, those of a box below it", () => {
  shown();
  turnTo("Timeline");
  const lanes = (): (string | null | undefined)[] => all(".lane .name").map((name) => name.textContent);
  expect(lanes()).toEqual(["load", "train", "plot"]);
  const plot = one("[data-lane='3']");
  plot.focus();
  delta(OPENED, {}, EXTENT);
  expect(lanes()).toEqual(["load", "train", "split", "fit", "check", "plot"]);
  expect(focused()).toBe(plot);
  delta([load, closed, last], {}, { width: 900, height: 200, edges: [] });
  expect(lanes()).toEqual(["load", "train", "plot"]);
});

test("a second call makes a group of a task, where it stands and with the focus that it had", () => {
  shown();
  card(1).focus();
  delta([group(1, { name: "load" }), closed, last], {}, { width: 900, height: 200 });
  expect(card(1).dataset.kind).toBe("group");
  expect(card(1).querySelector(".strip")).not.toBeNull();
  expect(focused()).toBe(card(1));
});

test("without a kernel nothing is offered that it would have to do", () => {
  shown();
  expect(one(".panel").hasAttribute("data-away")).toBe(false);
  model.setTrait("_live", false);
  delta([{ ...last, state: FAILED }], run({ running: false }));
  expect(one(".panel").hasAttribute("data-away")).toBe(false);
  model.emit("comm_live_update");
  frame();
  expect(one(".panel").hasAttribute("data-away")).toBe(true);
});
