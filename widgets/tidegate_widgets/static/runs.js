// The list of flow runs: its rows are asked for again and again while the page is looked at.
const EVERY = 2000;
const table = document.querySelector("table");
const body = table.tBodies[0];
const filter = document.querySelector("input");
const status = document.querySelector("[role=status]");
let shown = "";

function say(text) {
  if (status.textContent !== text) status.textContent = text;
}

function sift() {
  const wanted = filter.value.trim().toLowerCase();
  const rows = [...body.rows];
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  const left = rows.filter((row) => !row.hidden).length;
  table.hidden = !left;
  if (!rows.length) say("No flow run yet.");
  else if (wanted) say(`${left} of ${rows.length}`);
  else say(rows.length === 1 ? "1 flow run" : `${rows.length} flow runs`);
}

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch("rows");
    const text = await answer.text();
    if (!answer.ok) return say(text.trim());
    if (text !== shown) {
      // What had the focus has it again, or whoever goes through the list by keyboard would begin anew.
      const focused = document.activeElement?.getAttribute("href");
      body.innerHTML = shown = text;
      if (focused) body.querySelector(`a[href="${focused}"]`)?.focus();
    }
    sift();
  } catch {
    say("The server of this page has ended, and no run with it. This shows it again: tidegate graph");
  }
}

filter.addEventListener("input", sift);
body.addEventListener("click", ({ target }) => {
  const isText = target.closest("a") || !getSelection().isCollapsed;
  if (!isText) target.closest("tr").querySelector("a").click();
});
document.addEventListener("visibilitychange", look);
setInterval(look, EVERY);
look();
