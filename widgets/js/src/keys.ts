/** The keys that the panel knows. */

import { html } from "./dom";

const KEYS = [
  ["Arrows", "along the edges, up and down"],
  ["Enter", "open"],
  ["Esc", "close"],
  ["F", "next failed"],
  ["/", "find"],
  ["G T L", "graph, timeline, list"],
  ["+ − 0", "zoom, whole graph"],
  ["PgUp PgDn", "turn pages"],
  ["?", "these keys"],
] as const;

/** What each of them does, not shown at first. */
export function keyTable(): HTMLElement {
  const rows = KEYS.map(([key, what]) => html("span", {}, html("kbd", {}, key), ` ${what}`));
  return html("section", { class: "keys", "aria-label": "Keys", hidden: true }, ...rows);
}
