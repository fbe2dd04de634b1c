/** What a run keeps to be looked at, below its graph.  Whatever it holds is text, but for images that are data. */

import { html, listen, set, setText, show } from "./dom";
import type { ArtifactView } from "./protocol";
import type { Store } from "./store";
import { count } from "./text";

const IMAGE = /^data:image\/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]+$/;
const PROTOCOLS = ["http:", "https:", "mailto:", "ftp:", "file:"];

export class Artifacts {
  readonly element: HTMLDetailsElement;
  #store: Store;
  #number = html("span");
  #list = html("div", "list");
  #hint = html("p", "hint");
  #drawn = new Map<number, readonly [view: ArtifactView, element: HTMLElement]>();

  constructor(store: Store) {
    this.#store = store;
    const summary = html("summary", {}, "Artifacts (", this.#number, ")");
    this.element = html("details", { class: "artifacts", hidden: true }, summary, this.#list, this.#hint);
    listen(this.element, "toggle", () => this.update());
  }

  update(): void {
    const { view, artifacts, reachable } = this.#store;
    const total = view?.run.artifacts?.count ?? 0;
    show(this.element, total > 0);
    setText(this.#number, count(total));
    if (!total || !this.element.open) return;
    this.#store.fetchArtifacts();
    for (const each of artifacts.values()) this.#draw(each);
    const more = total - artifacts.size;
    const rest = artifacts.size ? `and ${count(more)} more in the record` : "Loading…";
    setText(this.#hint, !reachable ? "Artifacts need a connection to the kernel." : rest);
    show(this.#hint, more > 0);
  }

  #draw(view: ArtifactView): void {
    const drawn = this.#drawn.get(view.id);
    if (drawn?.[0] === view) return;
    const bar = drawn?.[1].querySelector("progress");
    // Patched, or the bar would jump to its place instead of moving there.
    if (bar && view.kind === "progress") {
      setProgress(drawn![1], view);
      this.#drawn.set(view.id, [view, drawn![1]]);
      return;
    }
    const element = artifact(view);
    this.#drawn.set(view.id, [view, element]);
    if (drawn) drawn[1].replaceWith(element);
    else this.#list.append(element);
  }
}

function artifact(view: ArtifactView): HTMLElement {
  const head = html("div", "head", html("b", "name", view.title));
  if (view.maker) head.append(html("span", "times", view.maker));
  const element = html("article", { class: "artifact", "aria-label": view.title, "data-artifact": view.kind }, head);
  if (view.description) element.append(html("p", "about", view.description));
  element.append(...BODIES[view.kind](view));
  if (view.kind === "progress") setProgress(element, view);
  if (view.note) element.append(html("p", "about", view.note));
  return element;
}

const BODIES: Record<ArtifactView["kind"], (view: ArtifactView) => HTMLElement[]> = {
  text: (view) => (view.text ? [html("pre", { tabindex: 0 }, view.text)] : []),
  table: (view) => [table(view)],
  link: (view) => [link(view)],
  image: (view) => (IMAGE.test(view.url) ? [html("img", { src: view.url, alt: view.description || view.title })] : []),
  progress: () => [html("progress", { max: 100 }), html("span", "times")],
};

function table(view: ArtifactView): HTMLElement {
  const body = html("tbody", {}, ...view.rows.map((row) => html("tr", {}, ...row.map((cell) => html("td", {}, cell)))));
  const drawn = html("table", {}, body);
  if (view.columns.length) {
    drawn.prepend(html("thead", {}, html("tr", {}, ...view.columns.map((name) => html("th", { scope: "col" }, name)))));
  }
  // It may be wider and longer than its place, and whoever has no mouse must be able to go there.
  return html("div", { class: "table", tabindex: 0, role: "group", "aria-label": `Rows of ${view.title}` }, drawn);
}

function link(view: ArtifactView): HTMLElement {
  const text = view.text || view.url;
  return leadsSomewhere(view.url)
    ? html("a", { href: view.url, target: "_blank", rel: "noopener noreferrer" }, text)
    : html("span", {}, text);
}

/** Read as a browser reads an address: it leaves out what hides `javascript:` from a look at the text. */
function leadsSomewhere(address: string): boolean {
  try {
    return PROTOCOLS.includes(new URL(address, document.baseURI).protocol);
  } catch {
    return false;
  }
}

function setProgress(element: HTMLElement, view: ArtifactView): void {
  const told = `${Math.round(view.progress * 10) / 10} %`;
  set(element.querySelector("progress")!, { value: view.progress, "aria-label": view.title });
  setText(element.querySelector("progress + .times")!, told);
}
