import { expect, test } from "vitest";

import type { Dial } from "../src/protocol";
import { all, frame, key, live, model, one, shownText } from "./display";
import { RUNNING, group, run, view } from "./fakes";

const LIMITS: Dial[] = [
  { dial: "concurrency", label: "Concurrency limit", value: "4" },
  { dial: "rate", label: "Rate", value: "" },
];

function tell(dials: Dial[]): void {
  const detail = { node: 2, name: "parse", state: RUNNING, facts: [], member: null, errors: [], dials };
  model.say({ kind: "detail", id: "a", detail });
  frame();
}

function shown(): void {
  live(view(1, [group(2, { name: "parse" })], { run: run() }));
  one(".node").click();
  tell(LIMITS);
}

const inputs = (): HTMLInputElement[] => all(".dials input") as HTMLInputElement[];

function answer(told: string, error: string | null = null): void {
  model.say({ kind: "ack", id: model.last("do").id, ok: error === null, error, told });
  frame();
}

test("the limits of a task are typed in, and what was set is said", () => {
  shown();
  expect(shownText(".dials .label")).toEqual(["Concurrency limit", "Rate"]);
  expect(inputs().map((input) => [input.value, input.placeholder])).toEqual([["4", "any"], ["", "any"]]);
  inputs()[0]!.value = "8";
  inputs()[0]!.focus();
  key(inputs()[0]!, "Enter");
  expect(model.last("do")).toMatchObject({ verb: "turn", node: 2, dial: "concurrency", value: "8" });
  answer("8 at a time from now on.");
  expect(shownText(".dials p")).toEqual(["8 at a time from now on."]);
  const before = inputs()[0]!;
  tell([{ ...LIMITS[0]!, value: "8" }, LIMITS[1]!]);
  expect(inputs()[0]).toBe(before);
});

test("what makes no sense is said beside it, and what was typed stays", () => {
  shown();
  inputs()[1]!.value = "often";
  key(inputs()[1]!, "Enter");
  answer("", "rate of 'parse' must be such as '900/min', not 'often'.");
  expect(one(".dials p").className).toBe("wrong");
  tell([LIMITS[0]!, { ...LIMITS[1]!, value: "5/s" }]);
  expect(inputs()[1]!.value).toBe("often");
});

test("there are no dials for what has none, and none without a kernel", () => {
  shown();
  tell([]);
  expect(shownText(".dials .label")).toEqual([]);
  tell(LIMITS);
  model.emit("comm_live_update");
  frame();
  expect(shownText(".dials .label")).toEqual([]);
});
