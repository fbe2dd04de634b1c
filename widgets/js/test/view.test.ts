import { expect, test, vi } from "vitest";

import widget from "../src/index";
import type { Detail } from "../src/protocol";
import { all, cleanups, delta, el, focused, frame, key, live, model, one, shownText, start } from "./display";
import { DONE, FAILED, PAUSED, WAITING, counts, edge, group, node, run, view } from "./fakes";

const HOSTILE = `<img src=x onerror="alert(1)"><script>alert(2)</script>&amp;`;

const detail: Detail = {
  node: 2,
  name: "locate",
  state: FAILED,
  facts: [{ label: "Duration", text: "median 0.17s" }],
  member: null,
  dials: [],
  errors: [
    {
      error: "ValueError: bad row …",
      total: 16,
      runs: [{ number: 18, label: "locate[17]" }, { number: 41, label: "locate[40]" }],
      traceback: "Traceback…",
    },
  ],
};

test("the head says what runs, and how far it is", () => {
  const head = run({ left: 58, note: "half way", counts: counts({ done: 6412, running: 16, failed: 3 }), total: 10_000 });
  live(view(1, [node(1)], { run: head }));
  expect(one("header .pill").textContent).toBe("Running");
  expect(one(".flow").textContent).toBe("airports");
  expect(shownText(".sub")).toEqual(["amber-otter", "elapsed 12s", "left ≈ 58s"]);
  expect(shownText(".legend > *")).toEqual(["6,412 done", "16 running", "3 failed"]);
  expect(shownText(".note")).toEqual(["half way"]);
  expect(shownText("footer > *")).toEqual(["Live", "10,000 task runs · 1 shown as nodes · durability: process", "", "Next failedF", "Keys?"]);
  expect(one(".panel").getAttribute("aria-label")).toBe("Flow run amber-otter");
});

test("the times go on between messages, and stop with the run", () => {
  live(view(1, [], { run: run({ elapsed: 12.5, left: 99.5 }) }));
  vi.advanceTimersByTime(3000);
  expect(shownText(".sub").slice(1)).toEqual(["elapsed 15s", "left ≈ 1m 37s"]);
  delta([], { running: false, elapsed: 15.4, state: DONE, can: [] });
  vi.advanceTimersByTime(3000);
  expect(shownText(".sub").slice(1)).toEqual(["took 15s"]);
});

test("an empty run says when tasks will appear", () => {
  live(view(1, [], { run: run({ total: 0, counts: counts() }) }));
  expect(shownText(".empty")).toEqual(["No task has run yet. Tasks appear here as the flow calls them."]);
  delta([node(1)]);
  expect(shownText(".empty")).toEqual([]);
});

test("the buttons are those of run.can, and keep their element", () => {
  live(view(1, []));
  expect(shownText("header .buttons button")).toEqual(["Pause", "Cancel"]);
  const cancel = one("[data-verb=cancel]");
  delta([], { can: ["resume", "cancel"], state: PAUSED });
  expect(shownText("header .buttons button").sort()).toEqual(["Cancel", "Resume"]);
  expect(one("[data-verb=cancel]")).toBe(cancel);
  delta([], { can: [], state: DONE, running: false });
  expect(shownText("header .buttons button")).toEqual([]);
});

test("the focus stays where one has pressed, on what has come in its place", () => {
  live(view(1, [node(1)]));
  one("[data-verb=pause]").focus();
  delta([], { can: ["resume", "cancel"], state: PAUSED });
  expect(focused()).toBe(one("[data-verb=resume]"));
  delta([], { can: ["pause", "cancel"] });
  expect(focused()).toBe(one("[data-verb=pause]"));
  delta([], { can: ["cancel"] });
  expect(focused()).not.toBe(one("[data-verb=cancel]"));
});

test("the focus of somebody else is left alone", () => {
  live(view(1, [node(1)]));
  one("[data-verb=cancel]").focus();
  delta([], { can: ["resume", "cancel"], state: PAUSED });
  expect(focused()).toBe(one("[data-verb=cancel]"));
  const tab = all("[role=tab]")[0]!;
  tab.focus();
  delta([], { can: ["pause", "cancel"] });
  expect(focused()).toBe(tab);
});

test("a pressed button says that it is pending until it is answered", () => {
  live(view(1, []));
  one("[data-verb=pause]").click();
  frame();
  expect(model.last("do").verb).toBe("pause");
  expect(one("[data-verb=pause]").textContent).toBe("Pausing…");
  one("[data-verb=pause]").click();
  expect(model.kinds().filter((kind) => kind === "do")).toHaveLength(1);
  model.say({ kind: "ack", id: model.last("do").id, ok: false, error: HOSTILE });
  frame();
  expect(one("[data-verb=pause]").textContent).toBe("Pause");
  expect(shownText(".note.error")).toEqual([HOSTILE]);
});

test("a suspended run is cancelled by a second press, and not resumed", () => {
  const suspended = { ...PAUSED, name: "Suspended" };
  live(view(1, [node(1)], { run: run({ state: suspended, running: false, can: ["resume", "cancel"] }) }));
  const cancel = one("[data-verb=cancel]");
  cancel.click();
  expect(cancel.textContent).toBe("Cancel run?");
  expect(model.kinds()).not.toContain("do");
  cancel.click();
  expect(model.last("do")).toMatchObject({ verb: "cancel" });
});

test("cancel asks inside the button for three seconds", () => {
  live(view(1, []));
  const cancel = one("[data-verb=cancel]");
  cancel.click();
  expect(cancel.textContent).toBe("Cancel run?");
  expect(model.kinds()).not.toContain("do");
  vi.advanceTimersByTime(3100);
  expect(cancel.textContent).toBe("Cancel");
  cancel.click();
  vi.advanceTimersByTime(1000);
  cancel.click();
  frame();
  expect(model.last("do").verb).toBe("cancel");
  expect(cancel.textContent).toBe("Cancelling…");
});

test("without a kernel there are no buttons, and a line says what to do", () => {
  model.traits._view = view(1, [node(1)]);
  start();
  frame();
  expect(shownText("header .buttons button")).toEqual([]);
  expect(shownText(".note")).toEqual([]);
  vi.advanceTimersByTime(6100);
  expect(shownText("header .buttons button")).toEqual([]);
  expect(shownText(".note")).toEqual([
    "Buttons need a connection to the kernel; the notebook's stop button interrupts the run. " +
      "If the kernel has died, this goes on in the next one: %tidegate resume 1",
  ]);
  expect(one(".status").textContent).toBe("Not connected");
});

test("a panel whose kernel has died says since when, keeps its data and has no buttons", () => {
  vi.setSystemTime(new Date(2050, 10, 22, 14, 3));
  live(view(1, [node(1)]));
  frame();
  expect(shownText("header .buttons button")).toEqual(["Pause", "Cancel"]);
  model.emit("comm_live_update");
  vi.advanceTimersByTime(90_000);
  frame();
  expect(one(".status").textContent).toBe("Not connected since 14:03");
  expect(shownText("header .buttons button")).toEqual([]);
  expect(all(".node")).toHaveLength(1);
  model.say({ kind: "snap", view: view(2, [node(1)]) });
  frame();
  expect(one(".status").textContent).toBe("Live");
});

test("a kernel that falls silent was lost when it did not answer", () => {
  vi.setSystemTime(new Date(2050, 10, 22, 14, 3, 50));
  live(view(1, [node(1)]));
  vi.advanceTimersByTime(15_000 + 6_000);
  frame();
  expect(one(".status").textContent).toBe("Not connected since 14:04");
});

test("a reopened notebook shows the saved view", () => {
  model.traits._view = view(1, [node(1)], { run: run({ running: false, state: DONE, can: [] }) });
  start();
  vi.advanceTimersByTime(6100);
  expect(one(".status").textContent).toBe("Saved view");
  expect(shownText(".note")).toEqual([]);
  expect(all("[data-node]")).toHaveLength(1);
});

test("nodes are patched, not rebuilt", () => {
  live(view(1, [node(1), group(2)]));
  const [first, second] = all("[data-node]");
  const bar = second!.querySelector(".bar i");
  delta([group(2, { line: "2,200 of 3,376", counts: counts({ done: 2200 }), alert: "", x: 300 })]);
  expect(all("[data-node]")).toEqual([first, second]);
  expect(second!.querySelector(".bar i")).toBe(bar);
  expect(second!.querySelector(".detail")!.textContent).toBe("2,200 of 3,376");
  expect(second!.querySelector(".alert")!.textContent).toBe("");
  expect(second!.style.transform).toBe("translate(300px,20px)");
});

test("what has not changed is not touched", async () => {
  live(view(1, [node(1), group(2)], { edges: [edge(1, 2)] }));
  const seen: MutationRecord[] = [];
  const observer = new MutationObserver((records) => seen.push(...records));
  observer.observe(one(".graph"), { subtree: true, childList: true, attributes: true, characterData: true });
  delta([node(1), group(2)]);
  await Promise.resolve();
  seen.push(...observer.takeRecords());
  expect(seen.filter((record) => record.type !== "attributes" || record.attributeName !== "style")).toEqual([]);
});

test("edges are kept by their ends, and go when the structure says so", () => {
  live(view(1, [node(1), node(2), node(3)], { edges: [edge(1, 2), edge(2, 3, { waiting: true })] }));
  const kept = one('[data-edge="2-3"]');
  expect(kept.getAttribute("class")).toBe("edge waiting");
  delta([], {}, { edges: [edge(2, 3), edge(1, 3)], width: 900, height: 200 });
  expect(one('[data-edge="2-3"]')).toBe(kept);
  expect(kept.getAttribute("class")).toBe("edge");
  expect(all('[data-edge="1-2"]')).toEqual([]);
  expect(one('[data-edge="1-3"]').querySelector(".way")!.getAttribute("d")).toBe(edge(1, 3).path);
  expect(one('[data-edge="1-3"]').querySelector(".arrow")!.getAttribute("d")).toBe("M24,37.4L30,41L24,44.6");
});

test("a group has a bar, a strip with every cell, and rings around failures", () => {
  live(view(1, [group(1)]));
  expect(all(".node .bar i").map((segment) => segment.className)).toEqual(["of-done", "of-active", "of-bad"]);
  const strip = all(".strip path").map((path) => [path.getAttribute("class"), path.getAttribute("d")]);
  expect(strip.map(([name]) => name)).toEqual(["of-done", "of-active", "of-bad", "of-idle", "ring"]);
  expect(strip[0]![1]).toBe("M0,9h79.3");
  expect(strip[4]![1]).toMatch(/^M119,/);
  expect(one(".node .times").textContent).toBe("× 3,376");
});

test("hostile text stays text, everywhere", () => {
  const bad = { ...FAILED, name: HOSTILE, message: HOSTILE };
  const nodes = [node(1, { name: HOSTILE, line: HOSTILE, alert: HOSTILE, state: bad }), group(2, { name: HOSTILE })];
  live(view(1, nodes, { run: run({ flow: HOSTILE, name: HOSTILE, note: HOSTILE, state: bad }) }));
  one('[data-node="2"]').click();
  const failure = { error: HOSTILE, total: 1, runs: [{ number: 1, label: HOSTILE }], traceback: HOSTILE };
  model.say({
    kind: "detail",
    id: "x",
    detail: { ...detail, name: HOSTILE, facts: [{ label: HOSTILE, text: HOSTILE }], errors: [failure] },
  });
  frame();
  expect(all("img, script")).toEqual([]);
  expect(one(".inspector .name").textContent).toBe(HOSTILE);
  expect(one(".inspector pre.error").textContent).toBe(HOSTILE);
  expect(one('[data-node="1"] .name').textContent).toBe(HOSTILE);
});

test("nodes say what they are", () => {
  const nodes = [group(1, { name: "locate" }), node(2, { name: "plot", state: WAITING, line: "waits for 3" })];
  live(view(1, [...nodes, node(3, { kind: "flow", name: "inner" })]));
  expect(all("[data-node] > .spoken").map((each) => each.textContent)).toEqual([
    "locate, group of 3,376, running, 2,100 done, 3 failed",
    "plot, not ready, waits for 3",
    "inner, subflow, completed, 0.2s",
  ]);
  expect(one('[data-node="2"]').hasAttribute("data-waiting")).toBe(true);
});

test("one node can be reached with Tab, arrows follow the edges", () => {
  const nodes = [node(1), node(2), node(3, { x: 228, y: 100 })];
  live(view(1, nodes, { edges: [edge(1, 2), edge(1, 3)] }));
  const tabbable = (): string[] => all('[data-node][tabindex="0"]').map((each) => each.dataset.node!);
  expect(tabbable()).toEqual(["1"]);
  const active = (): string | undefined => (el.shadowRoot!.activeElement as HTMLElement | null)?.dataset.node;
  one('[data-node="1"]').focus();
  const event = key(one('[data-node="1"]'), "ArrowRight");
  expect(event.defaultPrevented).toBe(true);
  expect(active()).toBe("2");
  expect(tabbable()).toEqual(["2"]);
  key(one('[data-node="2"]'), "ArrowDown");
  expect(active()).toBe("3");
  key(one('[data-node="3"]'), "ArrowLeft");
  expect(active()).toBe("1");
  key(one('[data-node="1"]'), "ArrowLeft");
  expect(active()).toBe("1");
});

test("handled keys stay inside, others go on to the notebook", () => {
  live(view(1, [node(1)]));
  const outside = vi.fn();
  document.addEventListener("keydown", outside);
  const only = one('[data-node="1"]');
  for (const name of ["Enter", "ArrowRight", "+", "Escape"]) key(only, name);
  expect(outside).not.toHaveBeenCalled();
  key(only, "a");
  key(only, "Escape");
  expect(outside).toHaveBeenCalledTimes(2);
  document.removeEventListener("keydown", outside);
  expect(el.dataset.lmSuppressShortcuts).toBe("true");
});

test("Enter opens the inspector, Escape closes it and gives the focus back", () => {
  live(view(1, [node(1), group(2)], { edges: [edge(1, 2)] }));
  one('[data-node="2"]').focus();
  key(one('[data-node="2"]'), "Enter");
  expect(model.last("get")).toMatchObject({ node: 2 });
  expect(one(".inspector").hidden).toBe(false);
  expect(one('[data-edge="1-2"]').getAttribute("class")).toBe("edge selected");
  model.say({ kind: "detail", id: model.last("get").id, detail });
  frame();
  expect(one(".inspector .pill").textContent).toBe("Running");
  expect(one(".inspector > dl").textContent).toBe("Durationmedian 0.17s");
  expect(one(".failure-head").textContent).toBe("16 failed");
  expect(one(".failure .error").textContent).toBe("ValueError: bad row …");
  expect(shownText(".where > *")).toEqual(["locate[17]", "locate[40]", "and 14 more"]);
  expect(one(".inspector details pre").textContent).toBe("Traceback…");
  all(".where .link")[1]!.click();
  frame();
  expect(model.last("get")).toMatchObject({ member: 41 });
  const close = one(".inspector .close");
  close.focus();
  key(close, "Escape");
  expect(one(".inspector").hidden).toBe(true);
  expect((el.shadowRoot!.activeElement as HTMLElement).dataset.node).toBe("2");
  expect(one('[data-edge="1-2"]').getAttribute("class")).toBe("edge");
});

test("an unfolded traceback stays unfolded when the details are refreshed", () => {
  live(view(1, [group(2)]));
  one('[data-node="2"]').click();
  model.say({ kind: "detail", id: "1", detail });
  frame();
  (one(".inspector details") as HTMLDetailsElement).open = true;
  const more = { ...detail.errors[0]!, error: "KeyError: 'state'" };
  model.say({ kind: "detail", id: "2", detail: { ...detail, errors: [...detail.errors, more] } });
  frame();
  expect(all(".inspector details").map((each) => (each as HTMLDetailsElement).open)).toEqual([true, false]);
});

test("? shows the keys, and the first letters turn to the views", () => {
  live(view(1, [node(1)]));
  const panel = one(".panel");
  expect(shownText(".keys")).toEqual([]);
  expect(key(panel, "?").defaultPrevented).toBe(true);
  expect(shownText(".keys span").slice(0, 3)).toEqual(["Arrows along the edges, up and down", "Enter open", "Esc close"]);
  expect(one("footer [aria-expanded]").getAttribute("aria-expanded")).toBe("true");
  key(panel, "Escape");
  expect(shownText(".keys")).toEqual([]);
  one("footer [aria-expanded]").click();
  expect(shownText(".keys span")).toHaveLength(9);
  for (const [letter, name] of [["t", "Timeline"], ["L", "List"], ["g", "Graph"]] as const) {
    key(panel, letter);
    expect(all("[role=tab][aria-selected=true]").map((tab) => tab.textContent)).toContain(name);
  }
  expect(key(one("[type=search]"), "t").defaultPrevented).toBe(false);
});

test("changes of the state are spoken, and nothing else", () => {
  live(view(1, [node(1)]));
  expect(one("[aria-live=polite]").textContent).toBe("");
  delta([node(1, { line: "9s" })], { total: 4 });
  expect(one("[aria-live=polite]").textContent).toBe("");
  delta([], { state: PAUSED });
  expect(one("[aria-live=polite]").textContent).toBe("airports amber-otter: Paused");
});

test("two displays share a store, and each has its own selection", () => {
  const second = document.body.appendChild(document.createElement("div"));
  const { initialize, render } = widget();
  cleanups.push(initialize({ model }), render({ model, el }), render({ model, el: second }));
  vi.advanceTimersByTime(1);
  model.say({ kind: "snap", view: view(1, [node(1)]) });
  frame();
  one('[data-node="1"]').click();
  expect(model.kinds().filter((kind) => kind === "hello")).toHaveLength(1);
  expect(second.shadowRoot!.querySelectorAll("[data-node]")).toHaveLength(1);
  expect(second.shadowRoot!.querySelector<HTMLElement>(".inspector")!.hidden).toBe(true);
});

test("after the cleanups nothing listens and no timer runs", () => {
  live(view(1, [node(1)]));
  one("[data-verb=cancel]").click();
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  expect(vi.getTimerCount()).toBe(0);
  expect(model.listening).toBe(0);
  expect(el.shadowRoot!.childNodes).toHaveLength(0);
});
