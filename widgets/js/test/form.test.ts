import { afterEach, beforeEach, expect, test, vi } from "vitest";

import widget from "../src/index";
import type { FieldView, QuestionView, RunView } from "../src/protocol";
import { FakeModel, PAUSED, run, view } from "./fakes";

const HOSTILE = `<img src=x onerror="alert(1)"><script>alert(2)</script>&amp;`;

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

function field(name: string, some: Partial<FieldView> = {}): FieldView {
  return { name, label: name, kind: "text", required: true, default: null, description: "", choices: [], ...some };
}

function question(fields: FieldView[], some: Partial<QuestionView> = {}): QuestionView {
  return {
    key: "pause-1",
    flow_run: 7,
    asker: "",
    title: "Approval",
    about: "",
    fields,
    code: "resume_flow_run(7, run_input=...)",
    ...some,
  };
}

function head(asked?: QuestionView, questions = 1): Partial<RunView> {
  return asked ? { state: PAUSED, can: ["cancel"], question: asked, questions } : {};
}

/** A live view of a run that asks this. */
function asks(asked?: QuestionView): void {
  const { initialize, render } = widget();
  cleanups.push(initialize({ model }), render({ model, el }));
  vi.advanceTimersByTime(1);
  model.say({ kind: "snap", view: view(1, [], { run: run(head(asked)) }) });
  frame();
}

function then(asked?: QuestionView, questions = 1): void {
  model.say({ kind: "delta", delta: { seq: ++seq, run: run(head(asked, questions)), nodes: [] } });
  frame();
}

function refuse(error: string, fields: Record<string, string> = {}): void {
  model.say({ kind: "ack", id: model.last("do").id, ok: false, error, fields });
  frame();
}

function frame(): void {
  vi.advanceTimersByTime(20);
}

function root(): ShadowRoot {
  return el.shadowRoot!;
}

function one<T extends HTMLElement = HTMLElement>(selector: string): T {
  const found = root().querySelectorAll<T>(selector);
  if (found.length !== 1) throw new Error(`${found.length} of ${selector}`);
  return found[0]!;
}

function typed(name: string, text: string): HTMLInputElement {
  const control = one<HTMLInputElement>(`[data-field="${name}"] :is(input, textarea, select)`);
  control.value = text;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  return control;
}

function press(target: HTMLElement, some: KeyboardEventInit = {}): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, composed: true, cancelable: true, ...some }));
  frame();
}

function wrong(name: string): string {
  const element = one(`[data-field="${name}"] .wrong`);
  return element.hidden ? "" : element.textContent!;
}

const EVERY: FieldView[] = [
  field("reason", { label: "Reason", description: "In a few words." }),
  field("rows", { kind: "integer", default: "3" }),
  field("share", { kind: "number" }),
  field("sure", { kind: "boolean" }),
  field("loud", { kind: "boolean", default: true }),
  field("where", { kind: "choice", choices: ["here", "there"] }),
  field("when", { kind: "choice", choices: ["now", "later"], default: "1" }),
  field("rest", { kind: "json", required: false, default: '{"a": 1}' }),
  field("letter", { default: "two\nlines" }),
];

test("each kind has its control, with its default and a label that belongs to it", () => {
  asks(question(EVERY, { about: "It goes to everybody." }));
  expect(one(".asks").textContent).toBe("Asks for Approval");
  expect(one(".question > .about:not([hidden])").textContent).toBe("It goes to everybody.");
  const controls = [...root().querySelectorAll<HTMLElement>(".field :is(input, textarea, select)")];
  expect(controls.map((each) => each.getAttribute("type") ?? each.localName)).toEqual(
    ["text", "text", "text", "radio", "radio", "checkbox", "select", "select", "textarea", "textarea"],
  );
  for (const label of root().querySelectorAll<HTMLLabelElement>("label.label")) {
    expect(root().getElementById(label.htmlFor)).toBe(label.control);
  }
  expect(one("[role=radiogroup]").getAttribute("aria-labelledby")).toBe(one('[data-field="sure"] .label').id);
  const described = one('[data-field="reason"] input').getAttribute("aria-describedby")!.split(" ")[0]!;
  expect(root().getElementById(described)!.textContent).toBe("In a few words.");
  expect([...root().querySelectorAll(".tag:not([hidden])")].map((each) => each.textContent)).toEqual(["JSON · optional"]);
  expect(one<HTMLSelectElement>('[data-field="where"] select').value).toBe("");
});

test("what was typed is sent by field, as text and truth values, under the key of the question", () => {
  asks(question(EVERY));
  typed("reason", "fine");
  typed("where", "1");
  one<HTMLInputElement>('[data-field="sure"] [value=no]').checked = true;
  one(".send button").click();
  frame();
  expect(model.last("do")).toEqual({
    kind: "do",
    id: expect.any(String),
    verb: "resume",
    flow_run: 7,
    key: "pause-1",
    input: {
      reason: "fine", rows: "3", share: "", sure: false, loud: true, where: "1", when: "1", rest: '{"a": 1}', letter: "two\nlines",
    },
  });
  expect(one(".send button").textContent).toBe("Resuming…");
});

test("truth without a default is not made up", () => {
  asks(question([field("sure", { kind: "boolean" })]));
  one(".send button").click();
  expect(model.last("do").input).toEqual({ sure: "" });
});

test("Enter sends from a line, and with control from an area", () => {
  asks(question([field("reason"), field("rest", { kind: "json" })]));
  press(typed("rest", "1"));
  press(one(".send button"));
  press(typed("reason", "か"), { isComposing: true });
  expect(model.kinds()).not.toContain("do");
  press(typed("reason", "x"));
  expect(model.last("do").input).toEqual({ reason: "x", rest: "1" });
  refuse("no");
  press(typed("rest", "2"), { ctrlKey: true });
  expect(model.last("do").input).toEqual({ reason: "x", rest: "2" });
});

test("it is sent once, until it is answered", () => {
  asks(question([field("reason")]));
  press(typed("reason", "x"));
  press(typed("reason", "y"));
  one(".send button").click();
  expect(model.kinds().filter((kind) => kind === "do")).toHaveLength(1);
});

test("what does not fit is said beside its field and aloud, and what was typed stays", () => {
  asks(question([field("reason"), field("rows", { kind: "integer" })]));
  const reason = typed("reason", "fine");
  reason.focus();
  press(typed("rows", "many"));
  refuse(HOSTILE, { rows: HOSTILE, elsewhere: "?" });
  expect(wrong("rows")).toBe(HOSTILE);
  expect(wrong("reason")).toBe("");
  expect(one(".question [role=alert]").textContent).toBe(HOSTILE);
  expect(one("header [role=alert]").hidden).toBe(true);
  const rows = one('[data-field="rows"] input');
  expect(rows.getAttribute("aria-invalid")).toBe("true");
  expect(root().activeElement).toBe(rows);
  expect(reason.value).toBe("fine");
  expect(one(".send button").textContent).toBe("Resume");
  typed("rows", "7");
  expect(wrong("rows")).toBe("");
  expect(one(".question [role=alert]").textContent).toBe("");
  press(rows);
  expect(model.last("do").input).toEqual({ reason: "fine", rows: "7" });
});

test("an error does not take the focus from where somebody else works", () => {
  const other = document.body.appendChild(document.createElement("input"));
  asks(question([field("reason")]));
  press(typed("reason", "x"));
  other.focus();
  refuse("no", { reason: "no" });
  expect(document.activeElement).toBe(other);
});

test("a kernel that says nothing is told of in the form", () => {
  asks(question([field("reason")]));
  press(typed("reason", "x"));
  vi.advanceTimersByTime(15_100);
  expect(one(".question [role=alert]").textContent).toContain("The kernel has not answered");
});

test("news of the run leave the form as it is, another question makes a new one", () => {
  asks(question([field("reason")]));
  const control = typed("reason", "half writt");
  then(question([field("reason")]));
  expect(one('[data-field="reason"] input')).toBe(control);
  expect(control.value).toBe("half writt");
  then(question([field("reason")], { key: "pause-2" }));
  expect(one<HTMLInputElement>('[data-field="reason"] input').value).toBe("");
});

test("after the answer the form is gone, the focus stays in the panel, and a line says what was answered", () => {
  asks(question([field("reason")]));
  const control = typed("reason", "fine");
  control.focus();
  press(control);
  model.say({ kind: "ack", id: model.last("do").id, ok: true, error: null });
  model.say({ kind: "delta", delta: { seq: ++seq, run: run({ answered: `Approval was answered: ${HOSTILE}` }), nodes: [] } });
  frame();
  expect(one(".question").hidden).toBe(true);
  expect(root().activeElement).toBe(one(".panel"));
  expect([...root().querySelectorAll("header .note:not([hidden])")].map((each) => each.textContent)).toEqual([
    `Approval was answered: ${HOSTILE}`,
  ]);
});

test("the same question asked again begins empty", () => {
  asks(question([field("reason")]));
  typed("reason", "old");
  then();
  then(question([field("reason")]));
  expect(one<HTMLInputElement>('[data-field="reason"] input').value).toBe("");
});

test("a question is spoken", () => {
  asks();
  then(question([field("reason")]));
  expect(one(".announcer").textContent).toBe("airports amber-otter: Paused, asks for Approval");
});

test("without a kernel there is no form, and a line says how to answer", () => {
  model.traits._view = view(1, [], { run: run(head(question([field("reason")]))) });
  const { initialize, render } = widget();
  cleanups.push(initialize({ model }), render({ model, el }));
  frame();
  typed("reason", "typed early");
  vi.advanceTimersByTime(6100);
  expect(one("form").hidden).toBe(true);
  expect(one(".question > .about:not([hidden])").textContent).toContain("resume_flow_run(7, run_input=...)");
  model.say({ kind: "snap", view: view(1, [], { run: run(head(question([field("reason")]))) }) });
  frame();
  expect(one("form").hidden).toBe(false);
  expect(one<HTMLInputElement>('[data-field="reason"] input').value).toBe("typed early");
});

test("hostile texts stay text", () => {
  const fields = [
    field(HOSTILE, { label: HOSTILE, description: HOSTILE, default: HOSTILE }),
    field("c", { label: HOSTILE, kind: "choice", choices: [HOSTILE] }),
    field("j", { label: HOSTILE, kind: "json", default: HOSTILE }),
  ];
  asks(question(fields, { title: HOSTILE, about: HOSTILE, code: HOSTILE }));
  expect(root().querySelectorAll("script, img, [onerror]")).toHaveLength(0);
  expect(one(".asks").textContent).toBe(`Asks for ${HOSTILE}`);
  expect(one("option:not([value=''])").textContent).toBe(HOSTILE);
  one(".send button").click();
  expect(model.last("do").input![HOSTILE]).toBe(HOSTILE);
});

test("a subflow that asks is named, is the one that is answered, and the others wait", () => {
  asks(question([field("reason")], { flow_run: 9, asker: "clean 'amber-otter'" }));
  expect(one(".asks").textContent).toBe("clean 'amber-otter' asks for Approval");
  typed("reason", "half");
  then(question([field("reason")], { flow_run: 9, asker: "clean 'amber-otter'" }), 2);
  expect(one(".asks").textContent).toContain("1 more question waits.");
  then(question([field("reason")], { flow_run: 9, asker: "clean 'amber-otter'" }), 3);
  expect(one(".asks").textContent).toContain("2 more questions wait.");
  expect(typed("reason", "half way").isConnected).toBe(true);
  expect(one(".send button").textContent).toBe("Answer");
  one(".send button").click();
  frame();
  expect(model.last("do")).toMatchObject({ verb: "resume", flow_run: 9, key: "pause-1", input: { reason: "half way" } });
  expect(one(".send button").textContent).toBe("Answering…");
  model.say({ kind: "ack", id: model.last("do").id, ok: true, error: null });
  // The same pause of another subflow is another question.
  then(question([field("reason")], { flow_run: 10, asker: "clean 'grey-lynx'" }), 2);
  expect(one<HTMLInputElement>("[data-field=reason] input").value).toBe("");
  one(".send button").click();
  expect(model.last("do")).toMatchObject({ flow_run: 10, input: { reason: "" } });
});

test("the answer to a subflow and the resume of the run are two things", () => {
  asks(question([field("reason")], { flow_run: 9, asker: "clean 'amber-otter'" }));
  model.say({
    kind: "delta",
    delta: {
      seq: ++seq,
      run: run({ ...head(question([field("reason")], { flow_run: 9, asker: "clean 'amber-otter'" })), can: ["resume"] }),
      nodes: [],
    },
  });
  frame();
  one(".send button").click();
  one("[data-verb=resume]").click();
  frame();
  expect(model.sent.filter((each) => each.kind === "do").map((each) => "input" in each)).toEqual([true, false]);
});

test("hostile names of a subflow stay text", () => {
  asks(question([field("reason")], { asker: HOSTILE }));
  expect(one(".asks").textContent).toBe(`${HOSTILE} asks for Approval`);
  expect(root().querySelectorAll("img, script")).toHaveLength(0);
});
