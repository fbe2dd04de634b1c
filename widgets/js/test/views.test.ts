import { expect, test, vi } from "vitest";

import type { Timeline } from "../src/protocol";
import { ticks } from "../src/timeline";
import { all, delta, focused, frame, key, live, model, one, rows, shownText, turnTo } from "./display";
import { DONE, FAILED, counts, edge, group, node, run, view } from "./fakes";

const NODES = [node(1, { name: "load" }), group(2, { name: "locate" }), node(3, { name: "plot" })];

const LANES: Timeline = {
  seconds: 40,
  likely: null,
  lanes: [
    { node: 1, bars: [{ letter: "d", start: 0, end: 10 }], heights: [], failed: [] },
    { node: 2, bars: [], heights: [0, 2, 4, 4], failed: [20] },
    { node: 3, bars: [], heights: [], failed: [] },
  ],
};

function shown(): void {
  live(view(1, NODES, { edges: [edge(1, 2), edge(2, 3)], run: run({ counts: counts({ done: 2, failed: 3 }) }) }));
}

test("one of three views is shown, and arrows go from tab to tab", () => {
  shown();
  const pages = (): (string | null)[] => all(".page:not([hidden])").map((page) => page.getAttribute("aria-labelledby"));
  const tabs = all(".toolbar [role=tab]");
  expect(tabs.map((tab) => [tab.textContent, tab.getAttribute("aria-selected"), tab.tabIndex])).toEqual([
    ["Graph", "true", 0],
    ["Timeline", "false", -1],
    ["List", "false", -1],
  ]);
  expect(pages()).toEqual([tabs[0]!.id]);
  tabs[0]!.focus();
  key(tabs[0]!, "ArrowLeft");
  expect(focused()).toBe(tabs[2]);
  expect(pages()).toEqual([tabs[2]!.id]);
  expect(one(`#${tabs[2]!.getAttribute("aria-controls")}`).hidden).toBe(false);
  key(tabs[2]!, "ArrowRight");
  expect(pages()).toEqual([tabs[0]!.id]);
});

test("the list says in words what the graph shows", () => {
  shown();
  turnTo("List");
  expect(one("[aria-label='Task runs']").getAttribute("aria-rowcount")).toBe("4");
  expect(rows()).toEqual([
    "load | Completed | 1 | 0.2s",
    "locate× 3,376 | Running | 3,376 | 2,100 of 3,3763 failed",
    "plot | Completed | 1 | 0.2s",
  ]);
  const first = all("tbody tr")[0];
  delta([node(1, { name: "load", line: "0.3s" })]);
  expect(all("tbody tr")[0]).toBe(first);
  expect(rows()[0]).toBe("load | Completed | 1 | 0.3s");
});

test("the list is walked through by keys, and Enter opens the inspector", () => {
  shown();
  turnTo("List");
  const [first, second, third] = all("tbody tr");
  expect(all("tbody tr").map((row) => row.tabIndex)).toEqual([0, -1, -1]);
  first!.focus();
  key(first!, "ArrowDown");
  expect(focused()).toBe(second);
  expect(all("tbody tr").map((row) => row.tabIndex)).toEqual([-1, 0, -1]);
  key(second!, "End");
  expect(focused()).toBe(third);
  key(third!, "Enter");
  expect(one(".inspector .name").textContent).toBe("plot");
  expect(third!.getAttribute("aria-selected")).toBe("true");
  key(third!, "Escape");
  expect(one(".inspector").hidden).toBe(true);
  expect(focused()).toBe(third);
});

test("what is selected in one view is selected in all", () => {
  shown();
  one('[data-node="2"]').click();
  turnTo("List");
  expect(all("tbody tr").map((row) => row.getAttribute("aria-selected"))).toEqual(["false", "true", "false"]);
  turnTo("Timeline");
  expect(one('[data-lane="2"]').hasAttribute("data-selected")).toBe(true);
  one('[data-lane="3"]').click();
  turnTo("Graph");
  expect(all("[data-node][data-selected]").map((each) => each.dataset.node)).toEqual(["3"]);
});

test("a count of the head shows only what has such runs, until it is pressed again", () => {
  shown();
  const failed = one("[data-count=failed]");
  failed.click();
  expect(failed.getAttribute("aria-pressed")).toBe("true");
  expect(all("[data-node][data-faded]").map((each) => each.dataset.node)).toEqual(["1", "3"]);
  turnTo("List");
  expect(rows()).toHaveLength(1);
  turnTo("Timeline");
  expect(all(".lane:not([hidden])").map((lane) => lane.dataset.lane)).toEqual(["2"]);
  delta([group(2, { counts: counts({ done: 3376 }) })], { counts: counts({ done: 5 }) });
  expect(failed.hidden).toBe(false);
  expect(shownText(".timeline .hint")).toEqual(["There is no failed task run."]);
  failed.click();
  expect(failed.hidden).toBe(true);
  expect(all(".lane:not([hidden])")).toHaveLength(3);
  turnTo("Graph");
  expect(all("[data-faded]")).toEqual([]);
});

test("the timeline has a bar for each run, or one profile for many", () => {
  shown();
  expect(model.kinds()).not.toContain("get");
  turnTo("Timeline");
  expect(model.last("get")).toMatchObject({ timeline: true });
  model.say({ kind: "timeline", id: "x", timeline: LANES });
  frame();
  const bar = one('[data-lane="1"] .run');
  expect([bar.className, bar.style.left, bar.style.width]).toEqual(["run of-done", "0%", "25%"]);
  expect(one('[data-lane="2"] .profile path').getAttribute("d")).toBe("M0,1V1H1V0.475H2V0.05H3V0.05H4V1z");
  expect(one('[data-lane="2"] .pin').style.left).toBe("50%");
  expect(one('[data-lane="3"] .track').children).toHaveLength(0);
  expect(all(".axis span").map((mark) => [mark.textContent, mark.style.left])).toEqual([
    ["0s", "0%"],
    ["10s", "25%"],
    ["20s", "50%"],
    ["30s", "75%"],
    ["40s", "100%"],
  ]);
  expect(one('[data-lane="2"]').textContent).toContain("locate, group of 3,376, running, 2,100 done, 3 failed");
});

test("a run at work has a line at now, and room up to its likely end", () => {
  shown();
  turnTo("Timeline");
  model.say({ kind: "timeline", id: "x", timeline: { ...LANES, likely: 80 } });
  frame();
  expect(one(".page .now").hidden).toBe(false);
  expect(one(".page .now").style.getPropertyValue("--at")).toBe("0.5");
  expect(one('[data-lane="1"] .run').style.width).toBe("12.5%");
  expect(one('[data-lane="2"] .profile').style.width).toBe("50%");
  expect(one('[data-lane="2"] .pin').style.left).toBe("25%");
  expect(all(".axis span").map((mark) => [mark.textContent, mark.style.left])).toEqual([
    ["0s", "0%"],
    ["15s", "18.75%"],
    ["30s", "37.5%"],
    ["1m", "75%"],
    ["likely end", "100%"],
    ["now", "50%"],
  ]);
  const stood = all(".axis span");
  model.say({ kind: "timeline", id: "y", timeline: LANES });
  frame();
  expect(one(".page .now").hidden).toBe(true);
  expect(shownText(".axis span")).toEqual(["0s", "10s", "20s", "30s", "40s"]);
  expect(all(".axis span")).toEqual(stood.slice(0, 5));
});

test("near its likely end the line of now has no word, which would lie upon the other", () => {
  shown();
  turnTo("Timeline");
  model.say({ kind: "timeline", id: "x", timeline: { ...LANES, likely: 50 } });
  frame();
  expect(one(".page .now").hidden).toBe(false);
  expect(shownText(".axis span")).toEqual(["0s", "10s", "20s", "30s", "likely end"]);
});

test("while it is shown the timeline is asked for once a second, and after the end once more", () => {
  shown();
  turnTo("Timeline");
  const asked = (): number => model.sent.filter((message) => "timeline" in message).length;
  for (let second = 0; second < 3; second++) {
    model.say({ kind: "timeline", id: "x", timeline: LANES });
    vi.advanceTimersByTime(1000);
    frame();
  }
  expect(asked()).toBe(4);
  delta([], { running: false, state: DONE, can: [] });
  vi.advanceTimersByTime(5000);
  const total = asked();
  expect(total).toBeLessThanOrEqual(5);
  turnTo("List");
  vi.advanceTimersByTime(5000);
  expect(asked()).toBe(total);
});

test("without a kernel the timeline says what it needs", () => {
  model.traits._live = false;
  model.traits._view = view(1, NODES, { run: run({ running: false, state: FAILED }) });
  live(view(0, []));
  model.emit("comm_live_update");
  turnTo("Timeline");
  expect(shownText(".timeline .hint")).toEqual(["The timeline needs a connection to the kernel."]);
  turnTo("List");
  expect(rows()).toHaveLength(3);
});

test.each([
  [0.004, [0, 0.001, 0.002, 0.003, 0.004]],
  [3, [0, 0.5, 1, 1.5, 2, 2.5, 3]],
  [45, [0, 10, 20, 30, 40]],
  [100, [0, 30, 60, 90]],
  [4000, [0, 1800, 3600]],
])("an axis of %s seconds has round marks", (seconds, expected) => {
  expect(ticks(seconds).map((at) => Math.round(at * 1e6) / 1e6)).toEqual(expected);
});

test("an axis of a month has few marks", () => {
  expect(ticks(30 * 86_400).length).toBeLessThan(9);
});

function find(text: string): HTMLInputElement {
  const search = one("input[type=search]") as HTMLInputElement;
  search.value = text;
  search.dispatchEvent(new Event("input"));
  frame();
  return search;
}

test("words find nodes by name and state, and Escape lets them go", () => {
  shown();
  key(one('[data-node="1"]'), "/");
  expect(focused()).toBe(one("input[type=search]"));
  find("LOC running");
  const faded = (): string[] => all("[data-node][data-faded]").map((each) => each.dataset.node!);
  expect(faded()).toEqual(["1", "3"]);
  turnTo("List");
  expect(rows()).toHaveLength(1);
  const search = find("nowhere");
  expect(shownText(".rows .hint")).toEqual(["There is no task run with “nowhere”."]);
  expect(key(search, "Escape").defaultPrevented).toBe(true);
  frame();
  expect(rows()).toHaveLength(3);
  expect(key(search, "Escape").defaultPrevented).toBe(false);
});

test("Enter selects the first node that was found", () => {
  shown();
  key(find("plot"), "Enter");
  expect(one(".inspector .name").textContent).toBe("plot");
});

test("a name with a place leads to that task run", () => {
  shown();
  key(find("locate[3000]"), "Enter");
  frame();
  expect(model.last("get")).toMatchObject({ members: 2, first: 3000 });
  expect(rows()[0]).toMatch(/^locate/);
  find("locate[3376]");
  expect(shownText(".rows .hint")).toEqual(["There is no task run with “locate[3376]”."]);
});

test("letters that are typed to be found are no keys of the panel", () => {
  shown();
  const before = model.sent.length;
  expect(key(find("f"), "f").defaultPrevented).toBe(false);
  expect(model.sent.length).toBe(before);
});
