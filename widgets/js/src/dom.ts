/** Small helpers to make and patch elements.  Text only ever goes in as text. */

type Attributes = Record<string, string | number | boolean | null | undefined>;
/** What a new element has: attributes, or its class alone. */
type Having = Attributes | string;

const SVG = "http://www.w3.org/2000/svg";

export function html<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  having: Having = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  return made(document.createElement(tag), having, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  having: Having = {},
  ...children: Node[]
): SVGElementTagNameMap[K] {
  return made(document.createElementNS(SVG, tag) as SVGElementTagNameMap[K], having, children);
}

function made<E extends Element>(element: E, having: Having, children: (Node | string)[]): E {
  set(element, typeof having === "string" ? { class: having } : having);
  element.append(...children);
  return element;
}

/** Sets attributes, touching only those that differ; null, undefined and false remove, true sets empty or, of ARIA, true. */
export function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) {
      if (element.hasAttribute(name)) element.removeAttribute(name);
    } else {
      const text = value === true && !name.startsWith("aria-") ? "" : String(value);
      if (element.getAttribute(name) !== text) element.setAttribute(name, text);
    }
  }
}

/** A button; `press` is what it does. */
export function button(attributes: Attributes, press: () => void, ...children: (Node | string)[]): HTMLButtonElement {
  const button = html("button", { type: "button", ...attributes }, ...children);
  listen(button, "click", press);
  return button;
}

/** Calls `hear` with each event of a kind. */
export function listen<K extends keyof HTMLElementEventMap>(
  target: EventTarget,
  kind: K,
  hear: (event: HTMLElementEventMap[K]) => void,
  options?: AddEventListenerOptions,
): void {
  target.addEventListener(kind, hear as EventListener, options);
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows a text, and nothing at all where it is empty. */
export function tell(element: HTMLElement, text: string): void {
  setText(element, text);
  show(element, text !== "");
}

/** The event has done something here: neither the page nor the notebook is to act on it, too. */
export function taken(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}

/** The event is a key with a modifier, which belongs to the browser or the notebook. */
export function isModified(event: KeyboardEvent): boolean {
  return event.ctrlKey || event.metaKey || event.altKey;
}

/** The number that the element of an event carries, or one that it lies in, as `data-NAME`; null for none. */
export function numberOf(target: EventTarget | null, name: string): number | null {
  const found = target instanceof Element ? target.closest(`[data-${name}]`) : null;
  return found && Number(found.getAttribute(`data-${name}`));
}

export function show(element: HTMLElement, shown: boolean): void {
  if (element.hidden === shown) element.hidden = !shown;
}

/** True for who has asked that nothing moves by itself. */
export function isMotionReduced(): boolean {
  return !!window.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
}

/** Puts `children` first in `parent`, in that order; those that stand right are not touched, and keep the focus. */
export function arrange(parent: Element, children: Element[]): void {
  children.forEach((child, place) => {
    const there = parent.children[place] ?? null;
    if (there !== child) parent.insertBefore(child, there);
  });
}
