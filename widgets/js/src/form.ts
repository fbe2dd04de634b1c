/** What a paused run asks, as a form under the head; what was typed is judged in Python alone. */

import { html, listen, set, setText, show } from "./dom";
import { LABELS } from "./header";
import { icon } from "./icons";
import type { FieldView, Input, QuestionView } from "./protocol";
import type { Refusal, Store } from "./store";
import { plural } from "./text";

const ANSWER = ["Answer", "Answering…"] as const;

type Typed = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** One field: its label, its control, and what is to be said of it. */
class Field {
  readonly element: HTMLElement;
  #view: FieldView;
  #controls: Typed[];
  #error: HTMLElement;

  constructor(view: FieldView, id: string, edited: () => void) {
    this.#view = view;
    this.#error = html("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
    const about = html("p", { class: "about", id: `${id}-about`, hidden: !view.description }, view.description);
    const optional = !view.required && view.kind !== "boolean" && "optional";
    const tag = [view.kind === "json" && "JSON", optional].filter(Boolean).join(" · ");
    const rest = [view.label, html("span", { class: "tag", hidden: !tag }, tag)];
    const radios = view.kind === "boolean" && typeof view.default !== "boolean";
    // A group of radio buttons is named by its label, any other control belongs to it.
    const label = radios ? html("span", { class: "label", id: `${id}-label` }, ...rest) : html("label", { class: "label", for: id }, ...rest);
    this.#controls = radios ? yesAndNo(id) : [control(view, id)];
    const shown = radios
      ? html(
          "div",
          { class: "radios", role: "radiogroup", "aria-labelledby": `${id}-label` },
          ...this.#controls.map((each) => html("label", {}, each, each.value === "yes" ? "Yes" : "No")),
        )
      : this.#controls[0]!;
    for (const each of this.#controls) {
      set(each, {
        "aria-describedby": `${id}-about ${id}-wrong`,
        "aria-required": (view.required && !radios && view.kind !== "boolean"),
      });
      listen(each, "input", () => {
        this.complain("");
        edited();
      });
    }
    this.element = html("div", { class: "field", "data-field": view.name }, label, html("div", {}, shown, about, this.#error));
  }

  get value(): string | boolean {
    const [first] = this.#controls;
    if (this.#controls.length > 1) {
      const chosen = this.#controls.find((each) => (each as HTMLInputElement).checked);
      return chosen ? chosen.value === "yes" : "";
    }
    return this.#view.kind === "boolean" ? (first as HTMLInputElement).checked : first!.value;
  }

  get wrong(): boolean {
    return !this.#error.hidden;
  }

  complain(text: string): void {
    setText(this.#error, text);
    show(this.#error, text !== "");
    for (const each of this.#controls) set(each, { "aria-invalid": text !== "" });
  }

  focus(): void {
    this.#controls[0]!.focus();
  }
}

function yesAndNo(id: string): HTMLInputElement[] {
  return ["yes", "no"].map((value) => html("input", { type: "radio", name: id, value }));
}

function control(view: FieldView, id: string): Typed {
  const text = typeof view.default === "string" ? view.default : "";
  if (view.kind === "choice") {
    const options = view.choices.map((label, at) => html("option", { value: String(at) }, label));
    if (view.default === null || !view.required) {
      options.unshift(html("option", { value: "" }, view.required ? "Choose…" : "—"));
    }
    const select = html("select", { id }, ...options);
    select.value = text;
    return select;
  }
  if (view.kind === "boolean") {
    const box = html("input", { id, type: "checkbox" });
    box.checked = view.default === true;
    return box;
  }
  if (view.kind === "json" || text.includes("\n")) {
    const rows = Math.min(8, Math.max(2, text.split("\n").length));
    const area = html("textarea", { id, rows, spellcheck: "false", class: view.kind === "json" && "code" });
    area.value = text;
    return area;
  }
  // Not of type number: that would keep from Python, and from the person, what it does not understand.
  const modes = { integer: "numeric", number: "decimal" } as const;
  const inputmode = view.kind === "text" ? null : modes[view.kind];
  const line = html("input", { id, type: "text", inputmode, autocomplete: "off", spellcheck: "false" });
  line.value = text;
  return line;
}

export class QuestionForm {
  readonly element: HTMLElement;
  #store: Store;
  #asks = html("span");
  #title = html("b");
  #others = html("span", "about");
  #about = html("p", "about");
  #fields = new Map<string, Field>();
  #list = html("div", "fields");
  #word = html("span");
  #button = html("button", { type: "submit", class: "primary" }, icon("resume"), this.#word);
  #error = html("p", { class: "wrong", role: "alert" });
  #form: HTMLFormElement;
  #code = html("code");
  #hint = html("p", "about", "It can be answered from code, in the same process: ", this.#code);
  #question: QuestionView | null = null;
  #drawn = "";
  #told: Refusal | null = null;

  constructor(store: Store) {
    this.#store = store;
    // Python says what does not fit, so that there is one judge.
    this.#form = html("form", { novalidate: true }, this.#list, html("div", "send", this.#button, this.#error));
    listen(this.#form, "submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    // A browser would send a form on Enter, but not inside of JupyterLab.
    listen(this.#form, "keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      if (!(event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#send();
    });
    const heading = html("p", "asks", this.#asks, this.#title, this.#others);
    this.element = html("section", { class: "question", "aria-label": "Question", hidden: true }, heading, this.#about, this.#form, this.#hint);
  }

  update(): void {
    const { view, connection, pending, refusal } = this.#store;
    const question = view?.run.question;
    if (!question) {
      this.#close();
      return;
    }
    const drawn = JSON.stringify(question);
    if (drawn !== this.#drawn) this.#draw(question);
    this.#drawn = drawn;
    show(this.element, true);
    // What was typed stays while the connection is gone.
    show(this.#form, connection === "live" || connection === "connecting");
    show(this.#hint, connection === "lost" || connection === "saved");
    const others = (view.run.questions ?? 1) - 1;
    setText(this.#others, others ? `${plural(others, "more question")} ${others === 1 ? "waits" : "wait"}.` : "");
    // Beside the button that resumes a run whose subflow asks there must not be another of that name.
    const [rest, busy] = question.asker ? ANSWER : LABELS.resume;
    setText(this.#word, pending.has("answer") ? busy : rest);
    set(this.#button, { "aria-disabled": (pending.has("answer") || connection !== "live") });
    if (refusal !== this.#told) this.#tell(refusal);
  }

  #draw(question: QuestionView): void {
    this.#question = question;
    this.#asks.replaceChildren(...(question.asker ? [html("b", {}, question.asker), " asks for "] : ["Asks for "]));
    setText(this.#title, question.title);
    setText(this.#about, question.about);
    show(this.#about, question.about !== "");
    setText(this.#code, question.code);
    this.#fields = new Map(question.fields.map((field, at) => [field.name, new Field(field, `field-${at}`, this.#edited)]));
    this.#list.replaceChildren(...[...this.#fields.values()].map((field) => field.element));
    this.#tell(null);
    this.#told = this.#store.refusal;
  }

  /** Once each field that did not fit was looked at, nothing is left to be said. */
  #edited = (): void => {
    if (![...this.#fields.values()].some((field) => field.wrong)) setText(this.#error, "");
  };

  #send(): void {
    const question = this.#question;
    if (!question) return;
    const input: Input = {};
    for (const [name, field] of this.#fields) input[name] = field.value;
    this.#store.answer(question.flow_run, question.key, input);
  }

  #tell(refusal: Refusal | null): void {
    this.#told = refusal;
    setText(this.#error, refusal?.error ?? "");
    for (const [name, field] of this.#fields) field.complain(refusal?.fields[name] ?? "");
    const first = [...this.#fields].find(([name]) => refusal?.fields[name]);
    if (first && this.#hasFocus()) first[1].focus();
  }

  #close(): void {
    if (this.element.hidden) return;
    const had = this.#hasFocus();
    show(this.element, false);
    this.#drawn = "";
    if (had) this.element.closest<HTMLElement>(".panel")?.focus({ preventScroll: true });
  }

  #hasFocus(): boolean {
    const root = this.element.getRootNode();
    return root instanceof ShadowRoot && this.element.contains(root.activeElement);
  }
}
