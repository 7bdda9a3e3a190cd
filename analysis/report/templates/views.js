"use strict";
// The page around the texts: which view is open, its colors, sortable tables, printing.

const THEMES = ["system", "light", "dark"];
const themeButton = document.getElementById("theme");
themeButton.addEventListener("click", () => {
  const label = document.getElementById("colors");
  const next = THEMES[(THEMES.indexOf(label.textContent) + 1) % THEMES.length];
  label.textContent = next;
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
});

const views = [...document.querySelectorAll("main[data-view]")];

/** Show the view that the address names; an anchor inside a view opens that view. */
function openView() {
  const [anchor] = location.hash.slice(1).split("?");
  const target = document.getElementById(anchor);
  const view = target?.closest("main[data-view]") ?? views[0];
  for (const other of views) other.hidden = other !== view;
  for (const link of document.querySelectorAll("a.view")) {
    if (link.hash === `#${view.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (target && target !== view) target.scrollIntoView();
  else if (!target) window.scrollTo(0, 0);
}
window.addEventListener("hashchange", openView);
openView();

for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sortBy(table, head, column));
  });
}

function sortBy(table, head, column) {
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("thead th")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => {
    const cell = row.cells[column];
    return cell.querySelector("data")?.value ?? cell.textContent.trim();
  };
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    const order = isNaN(one) || isNaN(other) ? compare(one, other) : one - other;
    return ascending ? order : -order;
  });
  table.tBodies[0].append(...rows);
}

window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll(".report details")) details.open = true;
});
