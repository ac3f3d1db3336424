// The list of classes: names, definitions, colours, examples; and who is labelling.

import { act, propose, toast } from "./actions.js";
import { element } from "./cards.js";
import { verdictColour } from "./colours.js";
import { app, chosenRows, countVerdicts, rowsOfVerdict, usedClasses } from "./store.js";
import { drawTile } from "./thumbs.js";

const $ = (id) => document.getElementById(id);

export function drawClasses(box) {
  const classes = usedClasses(), counts = countVerdicts();
  const frozen = app.session.read_only;
  const lines = classes.flatMap((c, i) => [line(c.name, c.code, c.n, {
    key: i < 9 && !frozen ? String(i + 1) : "", title: c.definition, edit: () => editClass(c), propose: frozen ? null : () => propose(c.key),
  }), ...(frozen && c.definition ? [element("p", "soft definition", c.definition)] : [])]);
  for (const [word, name] of [["artefact", "artefact"], ["between", "in between"]]) {
    const code = app.verdicts.indexOf(word);
    if (code > 0 && counts[code]) lines.push(line(name, code, counts[code], { key: frozen ? "" : word === "artefact" ? "X" : "B" }));
  }
  box.replaceChildren(...lines);
  if (!lines.length) box.append(element("p", "soft", frozen ? "None." : "None yet. Choose a cluster and type a name."));
  $("class-list").replaceChildren(...classes.map((c) => { const o = element("option"); o.value = c.name; return o; }));
}

function line(name, code, n, { key, title = "", edit, propose: ask }) {
  const box = element("div", "class"), swatch = element("i", "swatch"), label = element("button", "label", name);
  swatch.style.background = verdictColour(code);
  label.title = title || `Show the tiles of ${name}`;
  label.addEventListener("click", () => app.setFocus({ kind: "verdict", title: name, rows: rowsOfVerdict(code) }));
  box.append(element("kbd", "acts", key || " "), swatch, label, element("span", "soft", String(n)));
  if (ask) {
    const more = element("button", "small", "propose"), about = element("button", "small", "…");
    more.title = `Tiles that may be ${name}`;
    more.addEventListener("click", ask);
    about.setAttribute("aria-label", `Describe ${name}`);
    about.addEventListener("click", edit);
    box.append(more, about);
  }
  return box;
}

function editClass(about) {
  let examples = about.examples.slice();
  const draw = () => $("class-shown").replaceChildren(...examples.slice(0, 10).map((row) => element("canvas")));
  const fill = () => { draw(); [...$("class-shown").children].forEach((canvas, i) => drawTile(canvas, examples[i])); };
  $("class-name").value = about.name;
  $("class-definition").value = about.definition;
  $("class-colour").value = verdictColour(about.code);
  $("class-examples").onclick = () => { examples = chosenRows().slice(0, 10); fill(); };
  const dialog = $("class-edit");
  dialog.onclose = () => {
    if (dialog.returnValue !== "ok") return;
    act("define", { class: about.key, name: $("class-name").value.trim(), definition: $("class-definition").value.trim(),
      colour: $("class-colour").value, examples });
  };
  dialog.returnValue = "";
  dialog.showModal();
  fill();
}

/** Asks who is labelling; the answer is remembered on this computer. */
export function askExpert({ cancel }) {
  const dialog = $("who");
  $("who-name").value = app.expert;
  $("who-list").replaceChildren(...(app.experts || app.session.experts).map((name) => {
    const option = element("option"); option.value = name; return option;
  }));
  return new Promise((done) => {
    dialog.oncancel = (e) => { if (!cancel) e.preventDefault(); };
    dialog.onclose = () => {
      const name = $("who-name").value.trim();
      if (!name) { if (!cancel) dialog.showModal(); return; }
      try { localStorage.setItem("wootz-expert", name); } catch { /* a browser that keeps nothing */ }
      done(name);
    };
    dialog.showModal();
  });
}

export async function showHistory(actions) {
  $("history-list").replaceChildren(...actions.map((action) => {
    const item = element("li", action.in_effect ? "" : "undone");
    const button = element("button", "small", action.in_effect ? "Undo" : "Redo"), time = element("time");
    time.textContent = action.when ? new Date(action.when).toLocaleString() : "";
    button.addEventListener("click", async () => {
      if (await act(action.in_effect ? "undo" : "redo", { target: action.id })) $("history").close();
    });
    item.append(element("span", "", action.text), time, ...(action.can_undo ? [button] : []));
    return item;
  }));
  if (!actions.length) toast("Nothing has been done yet.");
  else $("history").showModal();
}
