import { beforeEach, expect, test, vi } from "vitest";

import type { Action, Member } from "../src/protocol";
import { all, delta, frame, live, model, one, shownText } from "./display";
import { DONE, FAILED, node, run, view } from "./fakes";

const OVER = { running: false, state: FAILED, can: [] };

function member(actions: Action[], error = ""): Member {
  return {
    number: 7,
    node: 1,
    place: 0,
    label: "parse",
    state: error ? FAILED : DONE,
    steps: { at: 0, of: 0, before: null, after: null },
    facts: [],
    inputs: [],
    error,
    traceback: "",
    logs: [],
    more: false,
    result: "",
    result_note: "",
    code: "",
    code_note: "",
    actions,
  };
}

function shown(told: Member): void {
  live(view(1, [node(1, { name: "parse", state: told.state })], { run: run(OVER) }));
  all(".node")[0]!.click();
  model.say({ kind: "detail", id: "a", detail: { node: 1, name: "parse", state: told.state, facts: [], member: 7, errors: [], dials: [] } });
  model.say({ kind: "member", id: "b", member: told });
  frame();
}

function press(name: string): void {
  all(".actions button").find((each) => !each.hidden && each.textContent === name)!.click();
  frame();
}

function answer(told: string, error: string | null = null): void {
  model.say({ kind: "ack", id: model.last("do").id, ok: error === null, error, told });
  frame();
}

const offered = (): string[] => shownText(".actions button");
const said = (): string[] => shownText(".actions p");

test("a result is loaded, and the page says under which name", () => {
  shown(member(["load"]));
  expect(offered()).toEqual(["Load result"]);
  press("Load result");
  expect(model.last("do")).toMatchObject({ verb: "load", member: 7 });
  expect(one(".actions button:not([hidden])").getAttribute("aria-disabled")).toBe("true");
  answer("In the notebook: parse_result");
  expect(said()).toEqual(["In the notebook: parse_result"]);
  press("Load result");
  answer("", "Its result is not saved: too large.");
  expect(said()).toEqual(["Its result is not saved: too large."]);
  expect(one(".actions p").className).toBe("wrong");
  expect(shownText("header .error")).toEqual([]);
});

test("a task run is retried with a second press, once it was said what that does", () => {
  shown(member(["rerun"], "ValueError: bad"));
  expect(offered()).toEqual(["Retry task", "Copy error"]);
  press("Retry task");
  expect(model.last("do")).toMatchObject({ verb: "plan", member: 7 });
  answer("Runs again: parse, 2 behind that. Kept: 9.");
  expect(said()).toEqual(["Runs again: parse, 2 behind that. Kept: 9."]);
  expect(model.sent.filter((each) => each.kind === "do")).toHaveLength(1);
  press("Run again");
  expect(model.last("do")).toMatchObject({ verb: "rerun", member: 7 });
  delta([], { running: true });
  expect(offered()).toEqual(["Copy error"]);
});

test("nothing is offered where nobody answers, but an error can be copied", () => {
  shown(member(["rerun"], "ValueError: bad"));
  model.setTrait("_live", false);
  model.emit("comm_live_update");
  frame();
  expect(offered()).toEqual(["Copy error"]);
});

const write = vi.fn<(text: string) => Promise<void>>();
const command = vi.fn<(name: string) => boolean>();

beforeEach(() => {
  Object.defineProperty(navigator, "clipboard", { value: { writeText: write }, configurable: true });
  document.execCommand = command;
  write.mockReset();
  command.mockReset();
});

test("an error is copied with its traceback", async () => {
  write.mockResolvedValue();
  shown({ ...member([], "ValueError: bad"), traceback: "Traceback\nValueError: bad" });
  press("Copy error");
  await vi.waitFor(() => expect(said()).toEqual(["Copied."]));
  expect(write).toHaveBeenCalledWith("parse\nTraceback\nValueError: bad");
  expect(command).not.toHaveBeenCalled();
});

test("without the right to the clipboard the text is selected and copied", async () => {
  write.mockRejectedValue(new Error("denied"));
  let selected = "";
  command.mockImplementation(() => {
    selected = document.querySelector("textarea")!.value;
    return true;
  });
  shown(member([], "ValueError: bad"));
  press("Copy error");
  await vi.waitFor(() => expect(said()).toEqual(["Copied."]));
  expect(selected).toBe("parse\nValueError: bad");
  expect(document.querySelector("textarea")).toBeNull();
});
