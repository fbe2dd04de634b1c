/** The story of one task run: attempts, where its inputs came from, its error, log, result and code. */

import { button, html, set, setText, show } from "./dom";
import { iconButton } from "./icons";
import type { Fact, Member } from "./protocol";
import type { Select } from "./selection";
import { Tabs } from "./tabs";
import { count } from "./text";

const TABS = ["Error", "Log", "Result", "Inputs", "Code"] as const;
type Tab = (typeof TABS)[number];

/** Rows of labels and texts. */
export function factRows(facts: readonly Fact[]): HTMLElement[] {
  return facts.flatMap((fact) => [html("dt", {}, fact.label), html("dd", {}, fact.text)]);
}

export class MemberStory {
  readonly element: HTMLElement;
  #select: Select;
  #at = html("span", "times");
  #before: HTMLButtonElement;
  #after: HTMLButtonElement;
  #steps: HTMLElement;
  #facts = html("dl");
  #tabs: Tabs<Tab>;
  #page: HTMLElement;
  #chosen: Tab | null = null;
  #shown: Member | null = null;
  #drawn = "";

  /** `prefix` makes the ids of its parts. */
  constructor(select: Select, prefix: string) {
    this.#select = select;
    const step = (to: (member: Member) => number | null): void => {
      const number = this.#shown && to(this.#shown);
      if (this.#shown && number !== null) select({ node: this.#shown.node, member: number });
    };
    this.#before = iconButton("back", "Failed before", () => step((member) => member.steps.before));
    this.#after = iconButton("more", "Next failed", () => step((member) => member.steps.after));
    this.#steps = html("div", "steps", this.#before, this.#at, this.#after);
    this.#page = html("div", { class: "story", role: "tabpanel", id: `${prefix}-story`, tabindex: 0 });
    this.#tabs = new Tabs("About the task run", TABS, prefix, (tab) => this.#turnTo(tab), () => this.#page.id);
    this.element = html("div", { class: "member", hidden: true }, this.#steps, this.#facts, this.#tabs.element, this.#page);
  }

  update(member: Member | undefined): void {
    show(this.element, member !== undefined);
    if (!member || member === this.#shown) return;
    this.#shown = member;
    const { at, of, before, after } = member.steps;
    setText(this.#at, at ? `${count(at)} of ${count(of)} failed` : `${count(of)} failed`);
    set(this.#before, { "aria-disabled": before === null });
    set(this.#after, { "aria-disabled": after === null });
    show(this.#steps, of > 0 && !(of === 1 && at === 1));
    this.#facts.replaceChildren(...factRows(member.facts));
    show(this.#facts, member.facts.length > 0);
    this.#drawTab(member);
  }

  #drawTab(member: Member): void {
    const has = (tab: Tab): boolean => (tab === "Error" ? member.error !== "" : tab !== "Inputs" || member.inputs.length > 0);
    const first: Tab = has("Error") ? "Error" : member.logs.length ? "Log" : "Result";
    const chosen = this.#chosen && has(this.#chosen) ? this.#chosen : first;
    this.#tabs.update(chosen);
    for (const name of TABS) {
      const tab = this.#tabs.of(name);
      show(tab, has(name));
      setText(tab, name === "Log" && member.logs.length ? `Log ${count(member.logs.length)}${member.more ? "+" : ""}` : name);
    }
    set(this.#page, { "aria-labelledby": this.#tabs.of(chosen).id });
    const key = JSON.stringify([chosen, member]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#page.replaceChildren(...this.#contentOf(chosen, member));
  }

  #contentOf(tab: Tab, member: Member): Element[] {
    const hint = (text: string): Element[] => (text ? [html("p", "hint", text)] : []);
    const text = (content: string): Element[] => (content ? [html("pre", {}, content)] : []);
    switch (tab) {
      case "Error":
        return [html("pre", "error", member.error), ...text(member.traceback)];
      case "Log":
        return [
          ...member.logs.map(({ clock, level, text }) =>
            html("div", `line l-${level}`, html("time", {}, clock), html("b", {}, level), html("span", {}, text)),
          ),
          ...hint(member.more ? "and more in the record" : member.logs.length ? "" : "It has logged nothing."),
        ];
      case "Result":
        return [...text(member.result), ...hint(member.result_note)];
      case "Inputs":
        return member.inputs.map(({ parameter, label, node, member: source }) => {
          const link = button({ class: "link" }, () => this.#select({ node, member: source }), label);
          return html("div", "input", html("code", {}, parameter), " from ", link);
        });
      case "Code":
        return [...hint(member.code_note), ...text(member.code)];
    }
  }

  #turnTo(tab: Tab): void {
    this.#chosen = tab;
    if (this.#shown) this.#drawTab(this.#shown);
  }
}
