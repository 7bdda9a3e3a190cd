"use strict";
// Texts of a model, shown: characters that act on the page made visible, words compared, gold answers found.

const ACTING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu;
const MAX_COMPARED = 1000; // words of each text; beyond, only what both begin and end with is found equal

function visible(text) {
  return text.replace(ACTING, (c) => `‹U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
}

function pieces(text) {
  return text.match(/\s+|[\p{L}\p{N}\p{M}_]+|[^\s\p{L}\p{N}\p{M}_]/gu) ?? [];
}

/** Which pieces of `before` and `after` are not in their longest common subsequence: two arrays of booleans. */
function difference(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const removed = before.map((_, i) => i >= start && i < before.length - end);
  const added = after.map((_, i) => i >= start && i < after.length - end);
  const rows = before.length - start - end, columns = after.length - start - end;
  if (rows > MAX_COMPARED || columns > MAX_COMPARED) return [removed, added];
  const lengths = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1));
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      lengths[i][j] = before[start + i] === after[start + j]
        ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  for (let i = 0, j = 0; i < rows && j < columns;) {
    if (before[start + i] === after[start + j]) removed[start + i++] = added[start + j++] = false;
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else j++;
  }
  return [removed, added];
}

/** Which pieces of a text belong to a gold alias, compared as In-accuracy does: without case, punctuation, articles. */
function goldPieces(texts, aliases) {
  const words = [];
  texts.forEach((text, index) => {
    const word = plain(text);
    if (word) words.push({ word, index });
  });
  const found = texts.map(() => false);
  for (const alias of aliases) {
    const wanted = pieces(alias).map(plain).filter(Boolean);
    for (let at = 0; wanted.length && at + wanted.length <= words.length; at++) {
      if (wanted.every((word, i) => words[at + i].word === word)) {
        for (let i = words[at].index; i <= words[at + wanted.length - 1].index; i++) found[i] = true;
      }
    }
  }
  return found;
}

function plain(piece) {
  const word = piece.normalize("NFD").toLowerCase().trim();
  return /^(a|an|the|[!-/:-@[-`{-~]*)$/.test(word) ? "" : word;
}

/** Spaces between two changed words are changed too: one mark for a phrase, not one for each word. */
function joined(texts, changed) {
  return changed.map((is, i) => is || (!texts[i].trim() && changed[i - 1] === true && changed[i + 1] === true));
}

/** A text as elements: `changed` pieces in <ins> or <del>, gold ones in <mark>. Text only ever enters as text. */
function marked(texts, changes, tag, gold) {
  const changed = joined(texts, changes);
  const parts = document.createDocumentFragment();
  for (let i = 0; i < texts.length;) {
    let j = i;
    while (j < texts.length && changed[j] === changed[i] && gold[j] === gold[i]) j++;
    let node = document.createTextNode(texts.slice(i, j).join(""));
    if (gold[i]) node = element("mark", {}, node);
    if (changed[i]) node = element(tag, {}, node);
    parts.append(node);
    i = j;
  }
  return parts;
}

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
