import { expect, test } from "vitest";

import { PAGE } from "../src/protocol";
import type { Member, MemberPage, Sort } from "../src/protocol";
import { all, delta, focused, frame, key, live, model, one, rows, shownText, turnTo } from "./display";
import { DONE, FAILED, counts, edge, group, node, run, view } from "./fakes";

const HOSTILE = `<img src=x onerror="alert(1)"><script>alert(2)</script>`;
const MANY = 10_000;
const GROUP = group(2, { name: "parse", total: MANY, counts: counts({ done: 9_997, failed: 3 }), strip: "d".repeat(336) });

function member(number: number, some: Partial<Member> = {}): Member {
  return {
    number,
    node: 2,
    place: number - 2,
    label: `parse[${number - 2}]`,
    state: FAILED,
    steps: { at: 2, of: 3, before: 5, after: 4024 },
    facts: [{ label: "Attempts", text: "3, 2.3s in all" }],
    inputs: [{ parameter: "rows", label: "load", node: 1, member: 1 }],
    error: "ValueError: bad row",
    traceback: "Traceback…",
    logs: [{ clock: "14:02:49.1", level: "WARNING", text: "unknown column" }],
    more: false,
    result: "",
    result_note: "Nothing is kept of its result.",
    code: "def parse(): ...",
    code_note: "",
    actions: [],
    ...some,
  };
}

function page(first: number, only = "", total = MANY, sort: Sort = "place"): MemberPage {
  const length = Math.max(0, Math.min(PAGE, total - first));
  const places = Array.from({ length }, (_, i) => first + i);
  const list = places.map((place) => ({ number: place + 2, label: `parse[${place}]`, state: DONE, line: "0.2s" }));
  return { node: 2, first, only, sort, total, rows: list };
}

function shown(): void {
  const head = run({ counts: counts({ done: 9_998, failed: 3 }), total: MANY + 2 });
  live(view(1, [node(1, { name: "load" }), GROUP, node(3, { name: "plot" })], { edges: [edge(1, 2)], run: head }));
}

/** Answers what was asked for last of the pages. */
function answer(total = MANY): void {
  const asked = model.sent.flatMap((message) => ("members" in message ? [message] : [])).at(-1)!;
  model.say({ kind: "members", id: asked.id, page: page(asked.first, asked.only, total, asked.sort) });
  frame();
}

function names(): string[] {
  return rows().map((row) => row.split(" | ")[0]!);
}

test("the task runs are put in another order, and a place leads back to that of the calls", () => {
  shown();
  turnTo("List");
  key(all("tbody tr")[1]!, "ArrowRight");
  frame();
  answer();
  const order = one(".turn select") as HTMLSelectElement;
  expect([...order.options].map((each) => each.text)).toEqual(["by place", "by state", "by duration"]);
  order.value = "duration";
  order.dispatchEvent(new Event("change"));
  frame();
  expect(model.last("get")).toMatchObject({ members: 2, first: 0, sort: "duration" });
  answer();
  expect(shownText(".turn > span")).toEqual(["1 to 25 of 10,000"]);
  expect(shownText(".turn .go")).toEqual([]);
  one("[aria-label='Later task runs']").click();
  frame();
  expect(model.last("get")).toMatchObject({ first: PAGE, sort: "duration" });
  answer();
  const search = one("[type=search]") as HTMLInputElement;
  search.value = "parse[777]";
  search.dispatchEvent(new Event("input"));
  key(search, "Enter");
  frame();
  expect(model.last("get")).toMatchObject({ first: 775, sort: "place" });
});

test("a group opens below its row, a page at a time", () => {
  shown();
  turnTo("List");
  const row = all("tbody tr")[1]!;
  expect(row.getAttribute("aria-expanded")).toBe("false");
  row.focus();
  key(row, "ArrowRight");
  frame();
  expect(model.last("get")).toMatchObject({ members: 2, first: 0, only: "", sort: "place" });
  answer();
  expect(row.getAttribute("aria-expanded")).toBe("true");
  expect(names().slice(1, 4)).toEqual(["parse× 10,000", "parse[0]", "parse[1]"]);
  expect(all("tbody tr")).toHaveLength(3 + PAGE + 1);
  expect(shownText(".turn > span")).toEqual(["0 to 24 of 10,000"]);
  expect(all("[aria-level='2']")).toHaveLength(PAGE + 1);
  key(focused(), "ArrowDown");
  expect(focused().dataset.row).toBe("2/2");
  key(focused(), "ArrowLeft");
  expect(focused()).toBe(row);
  key(row, "ArrowLeft");
  frame();
  expect(all("tbody tr")).toHaveLength(3);
});

test("any of ten thousand is a number away", () => {
  shown();
  turnTo("List");
  one('[data-row="2"] [data-twist]').click();
  frame();
  answer();
  const place = one(".turn input") as HTMLInputElement;
  place.value = "9990";
  place.focus();
  key(place, "Enter");
  frame();
  expect(model.last("get")).toMatchObject({ members: 2, first: 9975 });
  answer();
  expect(shownText(".turn > span")).toEqual(["9,975 to 9,999 of 10,000"]);
  expect(focused().dataset.row).toBe("2/9992");
  expect(one("[aria-label='Later task runs']").getAttribute("aria-disabled")).toBe("true");
  key(focused(), "PageUp");
  frame();
  answer();
  expect(focused().dataset.row).toBe("2/9952");
  expect(all("tbody tr")).toHaveLength(3 + PAGE + 1);
});

test("with a count pressed, the pages are those of such task runs", () => {
  shown();
  turnTo("List");
  one('[data-row="2"] [data-twist]').click();
  one("[data-count=failed]").click();
  frame();
  expect(model.last("get")).toMatchObject({ members: 2, first: 0, only: "failed" });
  answer(3);
  expect(shownText(".turn > span")).toEqual(["1 to 3 of 3"]);
  expect(one(".turn .go").hidden).toBe(true);
});

test("a page beyond the end gives way to the last one", () => {
  shown();
  turnTo("List");
  one('[data-row="2"] [data-twist]').click();
  frame();
  answer();
  one("[aria-label='Later task runs']").click();
  frame();
  answer(20);
  expect(names()[2]).toBe("parse[0]");
  expect(shownText(".turn > span")).toEqual(["0 to 24 of 10,000"]);
});

test("a group opens in place over the graph, and Escape closes it", () => {
  shown();
  one("[data-expand]").click();
  frame();
  expect(one(".expanded").hidden).toBe(false);
  answer();
  expect(one(".expanded .top").textContent).toContain("parse× 10,000");
  expect(all(".expanded tbody tr")).toHaveLength(PAGE + 1);
  expect(focused().dataset.row).toBe("2/2");
  key(focused(), "Enter");
  expect(model.last("get")).toMatchObject({ member: 2 });
  key(focused(), "Escape");
  expect(one(".inspector").hidden).toBe(true);
  expect(focused().dataset.row).toBe("2/2");
  key(focused(), "Escape");
  expect(one(".expanded").hidden).toBe(true);
  expect(focused().dataset.node).toBe("2");
});

test("F selects the next failed one, wherever the focus is", () => {
  shown();
  const card = one('[data-node="1"]');
  card.focus();
  expect(key(card, "f").defaultPrevented).toBe(true);
  expect(model.last("get")).toMatchObject({ failed_after: 0 });
  model.say({ kind: "member", id: model.last("get").id, member: member(213) });
  frame();
  expect(one(".inspector .name").textContent).toBe("parse[211]");
  expect(one('[data-node="2"]').hasAttribute("data-selected")).toBe(true);
  expect(shownText(".steps .times")).toEqual(["2 of 3 failed"]);
  expect(one("[aria-live=polite]").textContent).toBe("parse[211]: ValueError: bad row");
  key(card, "f");
  expect(model.last("get")).toMatchObject({ failed_after: 213 });
  delta([], { counts: counts({ done: 3 }) });
  expect(key(card, "f").defaultPrevented).toBe(false);
});

/** Selects the failed task run 213. */
function select(some: Partial<Member> = {}): void {
  all("footer .link").find((each) => each.textContent!.startsWith("Next failed"))!.click();
  model.say({ kind: "member", id: model.last("get").id, member: member(213, some) });
  frame();
}

function tabs(): string[] {
  return shownText(".inspector [role=tab]");
}

function storyTab(name: string): void {
  all(".inspector [role=tab]").find((tab) => tab.textContent!.startsWith(name))!.click();
}

test("the inspector of a task run shows error, log, result, inputs and code", () => {
  shown();
  select();
  expect(tabs()).toEqual(["Error", "Log 1", "Result", "Inputs", "Code"]);
  expect(shownText(".story pre")).toEqual(["ValueError: bad row", "Traceback…"]);
  expect(one(".member dl").textContent).toBe("Attempts3, 2.3s in all");
  storyTab("Log");
  expect(shownText(".story .line")).toEqual(["14:02:49.1WARNINGunknown column"]);
  storyTab("Result");
  expect(shownText(".story .hint")).toEqual(["Nothing is kept of its result."]);
  storyTab("Code");
  expect(shownText(".story pre")).toEqual(["def parse(): ..."]);
  storyTab("Inputs");
  one(".story .link").click();
  frame();
  expect(all("[data-node][data-selected]").map((each) => each.dataset.node)).toEqual(["1"]);
});

test("a tab that was chosen stays for the next task run, if that has it", () => {
  shown();
  select();
  storyTab("Log");
  one("[aria-label='Next failed']").click();
  model.say({ kind: "member", id: "x", member: member(4024, { logs: [] }) });
  frame();
  expect(one(".inspector .name").textContent).toBe("parse[4022]");
  expect(shownText(".story")).toEqual(["It has logged nothing."]);
  storyTab("Error");
  model.say({ kind: "member", id: "x", member: member(4024, { error: "", state: DONE, logs: [] }) });
  frame();
  expect(tabs()).toEqual(["Log", "Result", "Inputs", "Code"]);
  expect(one(".inspector [aria-selected=true]").textContent).toBe("Result");
});

test("from a task run one goes back to all of its node", () => {
  shown();
  select();
  expect(shownText(".inspector > .link")).toEqual(["All of parse"]);
  one(".inspector > .link").click();
  frame();
  expect(one(".inspector .name").textContent).toBe("parse");
  expect(shownText(".inspector .all")).toEqual(["Show the 10,000 task runs"]);
  expect(one(".member").hidden).toBe(true);
});

test("a node that is one task run shows its story", () => {
  shown();
  one('[data-node="1"]').click();
  const detail = { node: 1, name: "load", state: DONE, facts: [], member: 1, errors: [], dials: [] };
  model.say({ kind: "detail", id: "x", detail });
  frame();
  expect(model.last("get")).toMatchObject({ member: 1 });
  const story = member(1, { node: 1, label: "load", state: DONE, error: "", steps: { at: 0, of: 0, before: null, after: null } });
  model.say({ kind: "member", id: "x", member: { ...story, result: "[1, 2]", result_note: "", logs: [] } });
  frame();
  expect(one(".inspector .name").textContent).toBe("load");
  expect(shownText(".story pre")).toEqual(["[1, 2]"]);
  expect(one(".steps").hidden).toBe(true);
});

test("the list turns to the page of the task run that was selected elsewhere", () => {
  shown();
  turnTo("List");
  select();
  frame();
  expect(model.last("get")).toMatchObject({ members: 2, first: 200 });
  answer();
  expect(one('[data-row="2/213"]').getAttribute("aria-selected")).toBe("true");
});

test("hostile text stays text in a story and in a list", () => {
  shown();
  turnTo("List");
  const text = { error: HOSTILE, traceback: HOSTILE, label: HOSTILE, code: HOSTILE, result: HOSTILE, code_note: HOSTILE };
  select({
    ...text,
    facts: [{ label: HOSTILE, text: HOSTILE }],
    inputs: [{ parameter: HOSTILE, label: HOSTILE, node: 1, member: null }],
    logs: [{ clock: HOSTILE, level: HOSTILE, text: HOSTILE }],
  });
  const list = page(200);
  list.rows[0] = { number: 202, label: HOSTILE, state: { ...FAILED, name: HOSTILE }, line: HOSTILE };
  model.say({ kind: "members", id: "x", page: list });
  for (const name of ["Error", "Log", "Result", "Inputs", "Code"]) {
    storyTab(name);
    expect(one(".story").textContent).toContain(HOSTILE);
    expect(all("img, script")).toEqual([]);
  }
});
