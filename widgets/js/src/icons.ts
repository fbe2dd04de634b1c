/**
 * The shapes of the states, each its own, so that no meaning hangs on colour alone; on a 16 x 16 field.
 * `tidegate_widgets/palette.py` holds the same shapes for the static picture, and a test compares the two.
 */

import { button, isMotionReduced, set, svg } from "./dom";
import type { Counts, StateView } from "./protocol";

/** `fill` and `line` are in the state's colour, `faint` is a pale line, `cut` is drawn in the background's. */
type Role = "fill" | "line" | "faint" | "cut" | "dash" | "arc";
type Shape = readonly (readonly [Role, string])[];

const DISC = "M1,8a7,7 0 1,0 14,0a7,7 0 1,0 -14,0z";
const RING = "M1.9,8a6.1,6.1 0 1,0 12.2,0a6.1,6.1 0 1,0 -12.2,0z";
const SQUARE = "M4.5,1h7a3.5,3.5 0 0 1 3.5,3.5v7a3.5,3.5 0 0 1 -3.5,3.5h-7a3.5,3.5 0 0 1 -3.5,-3.5v-7a3.5,3.5 0 0 1 3.5,-3.5z";
const OCTAGON = "M5.1,1h5.8L15,5.1v5.8L10.9,15H5.1L1,10.9V5.1z";
const ARC = "M8,1.9a6.1,6.1 0 0 1 6.1,6.1";

export const SHAPES = {
  idle: [["dash", RING]],
  cancelled: [["line", RING], ["line", "M4.8,8h6.4"]],
  active: [["faint", RING], ["arc", ARC], ["fill", "M6.4,5.5v5l4.1,-2.5z"]],
  cancelling: [["faint", RING], ["arc", ARC], ["fill", "M5.9,5.9h4.2v4.2h-4.2z"]],
  done: [["fill", DISC], ["cut", "M4.6,8.3l2.3,2.3 4.5,-4.9"]],
  cached: [["line", "M8,1l7,7-7,7-7-7z"], ["line", "M5.3,8.2l1.9,1.9 3.5,-3.8"]],
  attention: [["fill", SQUARE], ["cut", "M6,5v6M10,5v6"]],
  retrying: [["fill", SQUARE], ["cut", "M11.4,8a3.4,3.4 0 1 1 -1,-2.4M11.4,3.6v2.2h-2.2"]],
  bad: [["fill", OCTAGON], ["cut", "M5.5,5.5l5,5m0,-5l-5,5"]],
  crashed: [["fill", OCTAGON], ["cut", "M9,3.8l-3.2,4.6h4.2l-3,3.9"]],
} as const satisfies Record<string, Shape>;

export type ShapeName = keyof typeof SHAPES;

const BUTTONS = {
  pause: [["line", "M5.5,3.5v9M10.5,3.5v9"]],
  resume: [["fill", "M5,3.4v9.2l7.4,-4.6z"]],
  suspend: [["line", "M3,8h7.5M7.5,4.8l3.2,3.2-3.2,3.2M13,3.5v9"]],
  retry: [["line", "M12.4,8a4.4,4.4 0 1 1 -1.3,-3.1M12.4,2.4v2.8h-2.8"]],
  cancel: [["line", "M4.5,3.5h7a1,1 0 0 1 1,1v7a1,1 0 0 1 -1,1h-7a1,1 0 0 1 -1,-1v-7a1,1 0 0 1 1,-1z"]],
  plus: [["line", "M8,3v10M3,8h10"]],
  minus: [["line", "M3,8h10"]],
  fit: [["line", "M2,6V2.5h3.5M10.5,2.5H14V6M14,10v3.5h-3.5M5.5,13.5H2V10"]],
  close: [["line", "M4,4l8,8m0,-8l-8,8"]],
  search: [["line", "M2.5,7a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0zM10.3,10.3l3.7,3.7"]],
  back: [["line", "M10,3.5L5.5,8l4.5,4.5"]],
  more: [["line", "M6,3.5L10.5,8 6,12.5"]],
  graph: [["line", "M2,8h4M6,8l4,-4h3M6,8l4,4h3"], ["fill", "M1,6.5h3v3h-3zM12,2.5h3v3h-3zM12,10.5h3v3h-3z"]],
  timeline: [["line", "M2,3.5h6M5,8h6M8,12.5h6"]],
  list: [["line", "M2.5,3.5h.01M2.5,8h.01M2.5,12.5h.01M6,3.5h8M6,8h8M6,12.5h8"]],
} as const satisfies Record<string, Shape>;

export type IconName = ShapeName | keyof typeof BUTTONS;

const ICONS: Record<IconName, Shape> = { ...SHAPES, ...BUTTONS };

export function shapeOf(state: StateView): ShapeName {
  const special: Record<string, ShapeName> = {
    CANCELLED: "cancelled",
    CANCELLING: "cancelling",
    CRASHED: "crashed",
    Cached: "cached",
    AwaitingRetry: "retrying",
    Throttled: "retrying",
    Retrying: "active",
  };
  return special[state.name] ?? special[state.type] ?? state.family;
}

/** The family's class and the shape for each of the counts. */
export const COUNT_LOOKS: Record<keyof Counts, readonly [family: string, shape: ShapeName]> = {
  done: ["done", "done"],
  running: ["active", "active"],
  retrying: ["attention", "retrying"],
  failed: ["bad", "bad"],
  cancelled: ["gone", "cancelled"],
  waiting: ["idle", "idle"],
};

export function icon(name: IconName, family = ""): SVGSVGElement {
  const element = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": true });
  setIcon(element, name, family);
  return element;
}

/** A button with nothing but an icon; `label` says what it does. */
export function iconButton(name: IconName, label: string, press: () => void, kind: string | null = null): HTMLButtonElement {
  return button({ "aria-label": label, title: label, class: kind }, press, icon(name));
}

let turned = 0;

/**
 * Turns the rings of what is at work a bit further.  No animation of CSS: for that the browser draws every frame, for
 * as long as the run takes.
 */
export function turnRings(root: ParentNode): void {
  if (document.hidden || isMotionReduced()) return;
  turned += 45;
  for (const ring of root.querySelectorAll(".arc")) set(ring, { transform: `rotate(${turned % 360} 8 8)` });
}

/** Redraws `element` only when it shows something else: the turning ring must not jump. */
export function setIcon(element: SVGSVGElement, name: IconName, family = ""): void {
  if (element.dataset.icon === name && element.dataset.family === family) return;
  element.dataset.icon = name;
  element.dataset.family = family;
  element.setAttribute("class", `icon ${family && `of-${family}`}`.trim());
  element.replaceChildren(...ICONS[name].map(([role, d]) => svg("path", { class: role, d })));
}
