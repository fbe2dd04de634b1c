/** In JupyterLab the static picture is the output below the live view; it shows only while there is no live view. */

const OUTPUT = ".jp-OutputArea-child";
const ATTACH_EVERY = 100;
const ATTACH_TRIES = 50;

/** Hides the picture of the run `runId` beside `element`, also one that comes later; returns what shows it again. */
export function coverPicture(element: Element, runId: string): () => void {
  const hidden = new Map<HTMLElement, string>();
  let observer: MutationObserver | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const hide = (own: Element): void => {
    for (let next = own.nextElementSibling; next; next = next.nextElementSibling) {
      const pictures = next.querySelectorAll<HTMLElement>("[data-tidegate-picture]");
      const matches = [...pictures].some((picture) => ["", runId].includes(picture.dataset.tidegatePicture ?? ""));
      if (matches && next instanceof HTMLElement && !hidden.has(next)) {
        hidden.set(next, next.style.display);
        next.style.display = "none";
      }
    }
  };
  // A host may put the view into the document some time after it was rendered.
  const attach = (triesLeft: number): void => {
    const own = element.closest(OUTPUT);
    if (own?.parentElement) {
      observer = new MutationObserver(() => hide(own));
      observer.observe(own.parentElement, { childList: true, subtree: true });
      hide(own);
    } else if (triesLeft) {
      timer = setTimeout(() => attach(triesLeft - 1), ATTACH_EVERY);
    }
  };
  attach(ATTACH_TRIES);

  return () => {
    clearTimeout(timer);
    observer?.disconnect();
    for (const [output, display] of hidden) output.style.display = display;
    hidden.clear();
  };
}
