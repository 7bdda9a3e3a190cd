"use strict";
// The trajectory viewer. The address holds the whole state: the form is filled from it and writes to it.

const PAGE = 20;
const form = document.getElementById("filters");
const list = document.getElementById("pairs");
const more = document.getElementById("next");
const view = { data: null, found: [], shown: 0, question: "" };

const RIGHT = { "i->c": ["incorrect", "correct"], "c->i": ["correct", "incorrect"], "c->c": ["correct", "correct"], "i->i": ["incorrect", "incorrect"] };

async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

/** The pair at `row` as one object; what is stored once for many pairs is looked up. */
function pairAt(row) {
  const { data } = view, column = data.pairs, question = data.questions[column.question[row]];
  return {
    ...question,
    split: data.splits[column.split[row]],
    iteration: column.iteration[row],
    init: column.init[row],
    corr: column.corr[row],
    initial: data.texts[column.initial[row]],
    correction: data.texts[column.correction[row]],
    transition: data.transitions[column.transition[row]],
    change: data.categories[column.category[row]],
    kept: column.kept[row] === 1,
    reason: data.reasons[column.reason[row]],
    flags: column.flags[row].map((flag) => data.flags[flag]),
    cut: column.cut[row],
    tokens: column.tokens[row],
    rewards: data.rewards.map((name) => [name, column[`initial_${name}`][row], column[`correction_${name}`][row]]),
  };
}

/** The form's values that differ from its defaults, as the address holds them. */
function stateOfForm() {
  const state = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") state.append(name, value);
  if (view.question) state.set("question", view.question);
  return state;
}

function fillForm(state) {
  form.reset();
  for (const [name, value] of state) {
    if (name === "transition") {
      for (const box of form.elements.transition) if (box.value === value) box.checked = true;
    } else if (name in form.elements && name !== "length") form.elements[name].value = value;
  }
  view.question = state.get("question") ?? "";
  const hidden = ["change", "reason", "flag", "reward", "of", "min", "max"];
  if (hidden.some((name) => state.get(name))) form.querySelector(".more").open = true;
}

/** A test for row numbers; every filter looks at one column only, words at the texts. */
function matcher(state) {
  const { data } = view, column = data.pairs, tests = [];
  const only = (values, names, wanted) => {
    const codes = new Set(wanted.map((name) => names.indexOf(name)));
    tests.push((row) => codes.has(values[row]));
  };
  if (state.get("split")) only(column.split, data.splits, [state.get("split")]);
  if (state.get("iteration")) tests.push((row) => column.iteration[row] === Number(state.get("iteration")));
  if (state.has("transition")) only(column.transition, data.transitions, state.getAll("transition"));
  if (state.get("kept")) tests.push((row) => column.kept[row] === (state.get("kept") === "yes" ? 1 : 0));
  if (state.get("change")) only(column.category, data.categories, [state.get("change")]);
  if (state.get("reason")) only(column.reason, data.reasons, [state.get("reason")]);
  if (state.get("flag")) {
    const code = data.flags.indexOf(state.get("flag"));
    tests.push((row) => column.flags[row].includes(code));
  }
  if (state.get("reward")) {
    const values = column[`${state.get("of") || "correction"}_${state.get("reward")}`] ?? [];
    if (state.get("min")) tests.push((row) => values[row] >= Number(state.get("min")));
    if (state.get("max")) tests.push((row) => values[row] <= Number(state.get("max")));
  }
  if (state.get("question")) {
    const code = data.questions.findIndex((question) => question.id === state.get("question"));
    tests.push((row) => column.question[row] === code);
  }
  const words = (state.get("words") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) tests.push((row) => words.every((word) => searched(row).some((text) => text.includes(word))));
  return (row) => tests.every((test) => test(row));
}

/** The lower-case texts of a pair that words are looked for in, each made once. */
function searched(row) {
  const { data } = view, column = data.pairs;
  data.lower ??= data.texts.map((text) => text.toLowerCase());
  const question = data.questions[column.question[row]];
  question.lower ??= [question.question, ...question.answers].join("\n").toLowerCase();
  return [question.lower, data.lower[column.initial[row]], data.lower[column.correction[row]]];
}

function update(state) {
  const matches = matcher(state), total = view.data.pairs.question.length;
  view.found = [];
  for (let row = 0; row < total; row++) if (matches(row)) view.found.push(row);
  view.shown = 0;
  list.replaceChildren();
  showFollowed();
  document.getElementById("found").textContent = view.found.length === total
    ? `${total.toLocaleString("en")} pairs.`
    : `${view.found.length.toLocaleString("en")} of ${total.toLocaleString("en")} pairs.`;
  showMore();
}

function showMore() {
  const rows = view.found.slice(view.shown, view.shown + PAGE);
  list.append(...rows.map((row) => card(pairAt(row))));
  view.shown += rows.length;
  more.hidden = view.shown >= view.found.length;
  return rows.length;
}

/** The table of a followed question: its accuracy and changes at every checkpoint. */
function showFollowed() {
  const box = document.getElementById("followed");
  box.hidden = !view.question;
  if (box.hidden) return;
  const { data } = view, column = data.pairs;
  const code = data.questions.findIndex((question) => question.id === view.question);
  const question = data.questions[code];
  const back = element("a", { href: address(new URLSearchParams()) }, "Back to the list");
  if (!question) return box.replaceChildren(element("p", {}, "This question is not among those in this file. "), back);
  const rows = data.iterations.map((number) => {
    const counts = data.transitions.map(() => 0);
    column.question.forEach((of, row) => {
      if (of === code && column.iteration[row] === number) counts[column.transition[row]]++;
    });
    const pairs = counts.reduce((sum, count) => sum + count, 0);
    const share = (...names) => names.reduce((sum, name) => sum + counts[data.transitions.indexOf(name)], 0) / pairs;
    const percent = (value) => (pairs ? `${(100 * value).toFixed(0)} %` : "–");
    const cells = [pairs, percent(share("c->i", "c->c")), percent(share("i->c", "c->c")), ...counts];
    return element("tr", {}, element("th", { scope: "row" }, "M", element("sub", {}, String(number))),
      ...cells.map((cell) => element("td", { class: "number" }, String(cell))));
  });
  const heads = ["Checkpoint", "Pairs", "t1", "t2", ...data.transitions.map((name) => name.replace("->", "→"))];
  const head = element("tr", {}, ...heads.map((name, i) => element("th", { scope: "col", class: i ? "number" : "" }, name)));
  box.replaceChildren(
    element("h2", {}, visible(question.question)),
    element("p", { class: "note" }, `${question.id}, at every checkpoint. `, back),
    element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))),
  );
}

function address(state) {
  const text = state.toString();
  return `#trajectories${text ? `?${text}` : ""}`;
}

function card(pair) {
  const article = element("article", { class: "pair", tabindex: "-1", "data-question": pair.id });
  const place = element("span", { class: "place" }, `${pair.split} · M`, element("sub", {}, String(pair.iteration)),
    ` · answer ${pair.init + 1}, correction ${pair.corr + 1}`);
  const badge = (text, kind = "plain") => element("span", { class: `badge ${kind}` }, text);
  const kept = pair.kept ? "kept: " : "not kept: ";
  article.append(
    element("header", {}, place,
      badge(pair.transition.split("->").map((side) => (side === "i" ? "incorrect" : "correct")).join(" → "),
        pair.transition.replace("->", "-")),
      badge(pair.change.replaceAll("_", " ")), badge(kept + pair.reason.replaceAll("_", " ")),
      ...pair.flags.map((flag) => badge(flag.replaceAll("_", " ")))),
    element("h2", {}, visible(pair.question)),
    element("p", { class: "gold" }, "Gold: ", element("b", {}, visible(pair.answers.join("; ")))),
    texts(pair), foot(pair));
  return article;
}

function texts(pair) {
  const before = pieces(visible(pair.initial)), after = pieces(visible(pair.correction));
  const [removed, added] = difference(before, after);
  const side = (title, index, parts, changed, tag) => {
    const verdict = RIGHT[pair.transition][index];
    const cut = pair.cut[index] ? ", truncated" : "";
    const body = parts.length ? marked(parts, changed, tag, goldPieces(parts, pair.answers))
      : element("span", { class: "empty" }, "no text");
    return element("div", {},
      element("h3", {}, `${title}: `, element("span", { class: verdict }, `${verdict === "correct" ? "✓" : "✗"} ${verdict}`),
        ` · ${pair.tokens[index]} tokens${cut}`),
      element("div", { class: "text" }, body));
  };
  return element("div", { class: "texts" }, side("Initial answer", 0, before, removed, "del"),
    side("Correction", 1, after, added, "ins"));
}

function foot(pair) {
  const rewards = pair.rewards.map(([name, before, after]) => element("span", {}, `${name} ${before} → ${after}`));
  const follow = new URLSearchParams({ question: pair.id });
  return element("footer", {}, ...rewards, element("span", { class: "links" },
    element("a", { href: address(follow), class: "follow" }, "Follow this question")));
}

function readAddress() {
  const [anchor, query = ""] = location.hash.slice(1).split("?");
  if (anchor !== "trajectories" || !view.data) return;
  const state = new URLSearchParams(query);
  fillForm(state);
  update(state);
}

let waiting = 0;
form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const state = stateOfForm();
    history.replaceState(null, "", address(state));
    update(state);
  }, 120);
});
document.getElementById("clear").addEventListener("click", () => (location.hash = "#trajectories"));
form.addEventListener("submit", (event) => event.preventDefault());
more.addEventListener("click", () => {
  const first = view.shown;
  showMore();
  list.children[first]?.focus();
});
window.addEventListener("hashchange", readAddress);

document.addEventListener("keydown", (event) => {
  if (document.getElementById("trajectories").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && view.question) location.hash = "#trajectories";
  if (event.target.matches("input, select, textarea")) return;
  const current = event.target.closest(".pair");
  if (event.key === "/") {
    event.preventDefault();
    form.elements.words.focus();
  } else if (event.key === "j" || event.key === "k") {
    const last = !current?.nextElementSibling && event.key === "j" && current;
    if (last) showMore();
    const next = event.key === "j" ? (current ? current.nextElementSibling : list.firstElementChild) : current?.previousElementSibling;
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "f" && current) current.querySelector(".follow").click();
});

unpack(document.getElementById("data").textContent).then((data) => {
  view.data = data;
  const state = new URLSearchParams(location.hash.split("?")[1] ?? "");
  fillForm(state);
  update(state);
  document.documentElement.dataset.ready = "";
});
