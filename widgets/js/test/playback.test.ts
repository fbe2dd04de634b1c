import { expect, test, vi } from "vitest";

import type { FromKernel, Timeline, ToKernel, View } from "../src/protocol";
import { all, cleanups, delta, frame, key, live, model, one, shownText } from "./display";
import { DONE, RUNNING, counts, edge, node, run, view } from "./fakes";

const HOSTILE = "<img src=x onerror=alert(1)>";
const TIMES: Timeline = {
  seconds: 40,
  likely: null,
  lanes: [1, 2].map((each) => ({ node: each, bars: [{ letter: "d", start: 0, end: 10 }], heights: [], failed: [] })),
};
const ENDED = { state: DONE, running: false, elapsed: 40, counts: counts({ done: 2 }), total: 2, can: [] };

/** How it was: the second task had not been called, and the first was at work. */
function before(name = "load"): View {
  const state = { state: RUNNING, running: true, elapsed: 10, counts: counts({ running: 1 }), total: 1, can: [] };
  return view(1, [node(1, { name, state: RUNNING, line: "running" })], { run: run(state) });
}

function ended(): void {
  live(view(1, [node(1, { name: "load" }), node(2)], { edges: [edge(1, 2)], run: run(ENDED) }));
  model.say({ kind: "timeline", id: "x", timeline: TIMES });
  frame();
}

function asked(): Extract<ToKernel, { past: number }>[] {
  return model.sent.filter((message) => "past" in message);
}

function answer(at: number, shown = before(), id = asked().at(-1)!.id): void {
  model.say({ kind: "past", id, at, view: shown } as FromKernel);
  frame();
}

const slider = (): HTMLInputElement => one("[type=range]") as HTMLInputElement;
const play = (): HTMLElement => one(".playback button");

function moveTo(step: number): void {
  slider().value = `${step}`;
  slider().dispatchEvent(new Event("input"));
  frame();
}

test("a run that has ended has a slider over its time, and one at work has none", () => {
  live(view(1, [node(1)], {}));
  expect(one(".playback").hidden).toBe(true);
  delta([node(1)], ENDED);
  model.say({ kind: "timeline", id: "x", timeline: TIMES });
  frame();
  expect(one(".playback").hidden).toBe(false);
  expect([slider().value, slider().getAttribute("aria-valuetext")]).toEqual(["200", "40s of 40s"]);
  delta([node(1)], { running: true });
  expect(one(".playback").hidden).toBe(true);
});

test("moving it shows the graph, the counts and the times as they were", () => {
  ended();
  moveTo(50);
  expect(asked()).toMatchObject([{ kind: "get", past: 10 }]);
  expect(slider().getAttribute("aria-valuetext")).toBe("10s of 40s");
  expect(all("[data-node]")).toHaveLength(2);
  answer(10);
  expect(all("[data-node]").map((each) => each.dataset.node)).toEqual(["1"]);
  expect(one('[data-node="1"]').dataset.family).toBe("active");
  expect(all(".edge")).toHaveLength(0);
  expect(one("header .pill").textContent).toBe("Running");
  expect(shownText(".title-row .sub").at(1)).toBe("elapsed 10s");
  vi.advanceTimersByTime(5000);
  expect(shownText(".title-row .sub").at(1)).toBe("elapsed 10s");
  expect(one(".below .now").style.getPropertyValue("--at")).toBe("0.25");
  expect(one(".status").textContent).toBe("As it was");
  // The strip has all of the run; what was still to come lies behind the line.
  expect(all(".below .lane")).toHaveLength(2);
});

test("nothing moves below the hand on the slider: the note that the run ended with keeps its room", () => {
  ended();
  delta([], { ...ENDED, note: "parse[3]: ValueError: bad row 3" });
  moveTo(50);
  answer(10);
  expect(shownText("header .note")).toEqual(["\u00a0"]);
});

test("what is overtaken is not asked for", () => {
  ended();
  for (const step of [50, 40, 30, 20]) moveTo(step);
  expect(asked().map(({ past }) => past)).toEqual([10]);
  answer(10);
  expect(asked().map(({ past }) => past)).toEqual([10, 4]);
  answer(4);
  expect(asked()).toHaveLength(2);
});

test("an answer for another page changes nothing, and one that is lost is asked for again", () => {
  ended();
  moveTo(50);
  answer(3, before(), "another");
  expect(one("header .pill").textContent).toBe("Completed");
  vi.advanceTimersByTime(3000);
  expect(asked()).toHaveLength(2);
  answer(10);
  expect(one("header .pill").textContent).toBe("Running");
});

test("its end, Escape and the button lead back to how the run is", () => {
  const leave = [
    () => moveTo(200),
    () => key(slider(), "Escape"),
    () => all("footer .link").find((each) => each.textContent === "Back to its end")!.click(),
  ];
  ended();
  for (const each of leave) {
    moveTo(50);
    answer(10);
    expect(one("header .pill").textContent).toBe("Running");
    each();
    frame();
    expect(one("header .pill").textContent).toBe("Completed");
    expect(all("[data-node]")).toHaveLength(2);
    expect(slider().value).toBe("200");
    expect(one(".playback .times").textContent).toBe("40s of 40s");
  }
});

test("it plays from the beginning to the end and stops there", () => {
  ended();
  play().click();
  expect(play().getAttribute("aria-label")).toBe("Stop");
  expect(asked().at(-1)).toMatchObject({ past: 0 });
  answer(0);
  vi.advanceTimersByTime(5000);
  expect(Number(slider().value)).toBe(100);
  vi.advanceTimersByTime(6000);
  frame();
  expect(play().getAttribute("aria-label")).toBe("Play the run again");
  expect(slider().value).toBe("200");
  expect(one("header .pill").textContent).toBe("Completed");
});

test("for whoever wants nothing to move it shows ten pictures, a second each", () => {
  vi.stubGlobal("matchMedia", (query: string) => ({ matches: query.includes("reduced-motion"), addEventListener() {}, removeEventListener() {} }));
  cleanups.push(() => vi.unstubAllGlobals());
  ended();
  play().click();
  vi.advanceTimersByTime(900);
  expect(slider().value).toBe("0");
  vi.advanceTimersByTime(200);
  expect(slider().value).toBe("20");
});

test("a hand on the slider stops it", () => {
  ended();
  play().click();
  moveTo(70);
  vi.advanceTimersByTime(5000);
  expect(slider().value).toBe("70");
});

test("a run that goes on again is shown as it goes on", () => {
  ended();
  moveTo(50);
  answer(10);
  delta([node(1)], { running: true, counts: counts({ done: 1 }) });
  expect(one(".status").textContent).toBe("Live");
  expect(one(".playback").hidden).toBe(true);
});

test("hostile names stay text in what was", () => {
  ended();
  moveTo(50);
  answer(10, before(HOSTILE));
  expect(one('[data-node="1"]').textContent).toContain(HOSTILE);
  expect(all("img")).toEqual([]);
});

test("below the graph of an ended run stands its timeline, with the same selection; at work it waits to be opened", () => {
  live(view(1, [node(1), node(2)], {}));
  const below = one(".below") as HTMLDetailsElement;
  expect([below.hidden, below.open]).toEqual([false, false]);
  expect(model.sent.some((message) => "timeline" in message)).toBe(false);
  delta([node(1), node(2)], ENDED);
  model.say({ kind: "timeline", id: "x", timeline: TIMES });
  frame();
  expect(below.open).toBe(true);
  // Its nodes are reached in the graph, by the keyboard and by screen readers.
  expect(one(".below .timeline").getAttribute("aria-hidden")).toBe("true");
  expect(all(".below [tabindex='0']")).toEqual([]);
  one('.below [data-lane="2"]').click();
  expect(one('[data-node="2"]').dataset.selected).toBe("");
  expect(one(".inspector").hidden).toBe(false);
  one('[data-node="1"]').click();
  expect(one('.below [data-lane="1"]').dataset.selected).toBe("");
});
