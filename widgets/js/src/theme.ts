/** Whether the host is dark, by the luminance of what really lies behind the view; names of themes mean little. */

const WATCHED = ["class", "style", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind", "data-theme"];

const LATE_SHEET = 300;

/** Calls `apply` now, and again whenever the host's look may have changed; returns what ends the watching. */
export function watchTheme(element: Element, apply: (dark: boolean) => void): () => void {
  let late: ReturnType<typeof setTimeout> | undefined;
  const update = (): void => apply(isDark(element));
  // A host may name its new theme before the style sheet is there.
  const observer = new MutationObserver(() => {
    update();
    clearTimeout(late);
    late = setTimeout(update, LATE_SHEET);
  });
  // Colours are known only once the element is in the document and has a size.
  const sizes = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(update);
  sizes?.observe(element);
  for (const target of [document.documentElement, document.body]) {
    observer.observe(target, { attributes: true, attributeFilter: WATCHED });
  }
  const preference = window.matchMedia?.("(prefers-color-scheme: dark)");
  preference?.addEventListener("change", update);
  update();
  return () => {
    clearTimeout(late);
    observer.disconnect();
    sizes?.disconnect();
    preference?.removeEventListener("change", update);
  };
}

export function isDark(element: Element): boolean {
  for (let at: Element | null = element; at; at = at.parentElement ?? hostOf(at)) {
    const luminance = luminanceOf(getComputedStyle(at).backgroundColor);
    if (luminance !== null) return luminance < 0.35;
  }
  return window.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false;
}

function hostOf(element: Element): Element | null {
  const root = element.getRootNode();
  return root instanceof ShadowRoot ? root.host : null;
}

/** Relative luminance of `rgb(…)` or `rgba(…)`; null for what is mostly transparent or not understood. */
export function luminanceOf(color: string): number | null {
  const parts = /^rgba?\(([^)]+)\)$/.exec(color)?.[1]?.split(/[\s,/]+/).map(Number);
  if (!parts || parts.length < 3 || parts.some(Number.isNaN) || (parts[3] ?? 1) < 0.5) return null;
  const [r, g, b] = parts.slice(0, 3).map((value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
