// The search form. What is typed goes to the kernel as `edit`, which answers `heard`; until then nothing writes over the field.

const HALF = Symbol("a day that is not complete");
const WAIT = { text: 400, range: 150, date: 400 };

function render({ model, el }) {
  const { root, set, send } = part(model, el, "form", "Search");
  own(root);
  const uid = "extenso-" + Math.random().toString(36).slice(2) + "-";
  const typed = new Map(); // field -> what was typed and is not heard yet
  const waiting = new Map(); // field -> { timer, go }
  const fields = new Map(); // name -> { control, fault, write }
  let asked = false; // whether it was this view that asked for the search
  let half = ""; // the day that was left half typed
  let pressed = false; // the pointer is down
  const later = [];

  // What a field says when it is left would move the button that is being pressed away from under the pointer.
  const calm = (act) => (pressed ? later.push(act) : act());
  const press = () => (pressed = true);
  const lift = () => {
    pressed = false;
    setTimeout(() => later.splice(0).forEach((act) => act()), 30); // after the click
  };
  root.addEventListener("pointerdown", press, true);
  window.addEventListener("pointerup", lift);
  window.addEventListener("pointercancel", lift);

  // --- to the kernel
  const now = (name) => {
    const edit = waiting.get(name);
    if (!edit) return;
    clearTimeout(edit.timer);
    waiting.delete(name);
    edit.go();
  };
  const flush = () => [...waiting.keys()].forEach(now);
  const drop = (name) => {
    clearTimeout((waiting.get(name) || {}).timer);
    waiting.delete(name);
    typed.delete(name);
  };
  const edit = (name, value, wait = 0) => {
    drop(name);
    typed.set(name, value);
    waiting.set(name, { go: () => send("edit", { name, value }), timer: setTimeout(() => now(name), wait) });
    if (!wait) now(name);
  };
  const search = () => {
    flush();
    half = ["start", "stop"].find((name) => unfinished(fields.get(name).control)) || "";
    draw();
    if (half) return fields.get(half).control.focus();
    asked = true;
    send("search");
  };

  // --- fields
  const field = (name, label, control, { write, within = null, after = null } = {}) => {
    control.id = uid + name;
    control.dataset.key = name;
    control.classList.add("extenso-input");
    control.setAttribute("aria-describedby", uid + name + "-fault");
    const fault = make("div", { class: "extenso-fault", id: uid + name + "-fault", hidden: true });
    fields.set(name, { control, fault, write: write || ((text) => (control.value = text)) });
    const head = make("label", { class: "extenso-label", for: control.id, text: label });
    return make("div", { class: "extenso-field extenso-of-" + name }, head, within || control, after, fault);
  };
  const choice = (name, label, options) => {
    const control = make("select", { on: { change: () => edit(name, control.value) } });
    const offer = (list, value) => {
      const rows = list.some(([key]) => key === value) ? list : [...list, [value, value]];
      const wanted = JSON.stringify(rows);
      if (control.dataset.rows !== wanted) {
        control.dataset.rows = wanted;
        control.replaceChildren(...rows.map(([key, text]) => make("option", { value: key, text })));
      }
      control.value = value;
    };
    return field(name, label, control, { write: (text) => offer(options(), text) });
  };
  const words = (name, label, example) => {
    const control = make("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: example ? "e.g. " + example : "" });
    control.addEventListener("input", () => edit(name, control.value, WAIT.text));
    control.addEventListener("blur", () => calm(() => now(name)));
    return field(name, label, control);
  };
  // A day half typed has no value to read: it is left alone, and said when the field is left. A year such as 202 is one
  // on its way to 2024.
  const unfinished = (control) => control.validity.badInput || (control.value !== "" && control.value < "1900");
  const day = (name, label) => {
    const control = make("input", { type: "date", max: "9999-12-31" });
    let written = ""; // what stands there by itself; another value was typed
    const write = (text) => {
      if (control.value !== text || unfinished(control)) control.value = text;
      written = control.value;
    };
    const look = () => {
      if (unfinished(control)) {
        drop(name);
        typed.set(name, HALF);
      } else if (typed.get(name) === HALF || control.value !== written) {
        written = control.value;
        edit(name, control.value, WAIT.date);
      }
      if (half === name && !unfinished(control)) half = "";
      draw();
    };
    control.addEventListener("input", look);
    control.addEventListener("keyup", look); // a part of a day is no change of its value, and so no input
    const left = () => {
      half = unfinished(control) ? name : half;
      look();
      now(name);
    };
    control.addEventListener("blur", () => calm(left));
    return field(name, label, control, { write });
  };

  // --- first row: mission, type, days, cloud, search
  const missions = make("div", { class: "extenso-seg extenso-missions", role: "radiogroup", "aria-label": "Mission" });
  const pick = (button) => edit("collection", button.dataset.key);
  roving(missions, (button) => {
    mark(button.dataset.key);
    pick(button);
  });
  for (const [key, word] of model.get("offers").missions || []) {
    const button = make("button", { role: "radio", data: { key } }, make("span", { class: "extenso-strong", text: key }), make("span", { text: word }));
    button.addEventListener("click", () => {
      mark(key);
      pick(button);
    });
    missions.append(button);
  }
  const mark = (mission) => {
    for (const button of missions.children) {
      const on = button.dataset.key === mission;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
  };
  fields.set("collection", { control: missions, fault: make("span"), write: mark });

  const slider = make("input", { type: "range", min: "0", max: "100", step: "1" });
  const cloudText = make("span", { class: "extenso-cloud-text" });
  const sayCloud = () => {
    const why = model.get("offers").cloudless;
    cloudText.textContent = why || (Number(slider.value) < 100 ? "up to " + slider.value + " %" : "any");
    slider.disabled = Boolean(why);
    slider.classList.toggle("extenso-any", Number(slider.value) >= 100);
    slider.setAttribute("aria-valuetext", cloudText.textContent);
  };
  slider.addEventListener("input", () => {
    sayCloud();
    edit("cloud", slider.value, WAIT.range);
  });
  slider.addEventListener("change", () => now("cloud"));
  const writeCloud = (text) => {
    slider.step = Number.isInteger(Number(text)) ? "1" : "any";
    slider.value = text;
    sayCloud();
  };

  const go = make("button", { class: "extenso-btn extenso-primary extenso-go", data: { key: "search" }, on: { click: search } });
  const cancel = make("button", { class: "extenso-btn", text: "Cancel", hidden: true, data: { key: "cancel" }, on: { click: () => send("cancel") } });
  const first = make(
    "div",
    { class: "extenso-form-first" },
    missions,
    choice("product_type", "Product type", () => model.get("offers").types),
    day("start", "From"),
    day("stop", "To"),
    field("cloud", "Cloud", slider, { write: writeCloud, after: cloudText }),
    make("div", { class: "extenso-form-go" }, go),
  );

  // --- second row: spans of days, what is folded, order and size of the list
  const presets = make("div", { class: "extenso-row extenso-presets", role: "group", "aria-label": "Days" });
  for (const [days, label] of model.get("offers").presets || []) {
    const act = () => {
      drop("start");
      drop("stop");
      half = "";
      send("preset", { days });
      draw();
    };
    presets.append(make("button", { class: "extenso-chip", text: label, "aria-pressed": "false", data: { key: "days-" + days, days }, on: { click: act } }));
  }
  const unfold = make("button", {
    class: "extenso-btn extenso-quiet extenso-unfold",
    "aria-controls": uid + "more",
    data: { key: "more" },
    on: { click: () => set({ more: !model.get("more") }) },
  });
  const reset = () => {
    [...typed.keys()].forEach(drop);
    half = "";
    send("reset");
    for (const name of ["start", "stop"]) fields.get(name).control.value = ""; // what is half typed has no other end
    draw();
  };
  const changed = make("span", { class: "extenso-faint extenso-form-note", text: "The form has changed." });
  const last = make("button", {
    class: "extenso-btn extenso-quiet",
    text: "Last search",
    title: "Fill the form as at your last search here, and search again",
    hidden: true,
    data: { key: "last" },
    on: { click: () => send("restore") },
  });
  const inline = (box) => {
    box.classList.add("extenso-inline");
    return box;
  };
  const second = make(
    "div",
    { class: "extenso-form-second" },
    presets,
    unfold,
    inline(choice("sort", "Sort", () => model.get("offers").sorts)),
    inline(choice("page_size", "Show", () => model.get("offers").sizes)),
    make("button", { class: "extenso-btn extenso-quiet", text: "Reset", title: "Take all conditions back; mission and area stay", data: { key: "reset" }, on: { click: reset } }),
    last,
    make("div", { class: "extenso-row extenso-form-end" }, changed, cancel),
  );

  // --- the folded part: the mission's conditions, and a query
  const conditions = make("div", { class: "extenso-form-conditions" });
  const marked = make("code", { class: "extenso-mono extenso-marked", hidden: true });
  const better = make("button", { class: "extenso-btn extenso-quiet extenso-small", hidden: true });
  const q = words("q", "Query in SciHub's language", "orbitdirection:ASCENDING AND NOT filename:*_N0500_*");
  q.append(marked, better);
  const folded = make("div", { class: "extenso-form-folded", id: uid + "more" }, conditions, q);
  let built = "";
  const build = () => {
    const filters = model.get("offers").filters || [];
    if (built === JSON.stringify(filters)) return;
    const gone = built ? JSON.parse(built) : [];
    built = JSON.stringify(filters);
    for (const { name } of gone) {
      now(name);
      typed.delete(name);
      fields.delete(name);
    }
    const box = (item) =>
      item.values.length
        ? choice(item.name, item.label, () => item.values)
        : words(item.name, item.label, item.example);
    redraw(conditions, filters.map(box));
  };
  better.addEventListener("click", () => {
    const { at, suggestion } = model.get("faults").q;
    const text = fields.get("q").control.value;
    const end = at + (text.slice(at).match(/^[^\s:()]*/) || [""])[0].length;
    fields.get("q").control.value = text.slice(0, at) + suggestion + text.slice(end);
    edit("q", fields.get("q").control.value);
    fields.get("q").control.focus();
  });

  // --- from the kernel
  const text = (name) => {
    const { [name]: draft } = model.get("drafts");
    const values = model.get("values");
    const value = draft !== undefined ? draft : name in values ? values[name] : values.filters[name];
    return value === undefined || value === null ? "" : String(value);
  };
  const drawFault = (name, { control, fault }) => {
    const found = name === half ? { text: "This day is not complete.", hint: "" } : typed.has(name) ? null : model.get("faults")[name];
    fault.hidden = !found;
    fault.textContent = found ? found.text + (name === "q" && found.hint ? " " + found.hint : "") : "";
    if (control === missions) return;
    if (found) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
    if (name === "q") drawQuery(found, control);
  };
  const drawQuery = (found, control) => {
    const at = found ? found.at : -1;
    marked.hidden = at < 0;
    better.hidden = !(found && found.suggestion);
    better.textContent = found && found.suggestion ? "Use " + found.suggestion : "";
    if (at < 0) return;
    const from = Math.max(0, at - 40);
    const here = control.value.slice(at, at + 1);
    marked.replaceChildren((from ? "…" : "") + control.value.slice(from, at), make("mark", { text: here.trim() ? here : "\u2423" }), control.value.slice(at + 1, at + 41));
  };
  const draw = () => {
    if (!model.get("values").collection) return;
    build();
    for (const [name, { control, write }] of fields) {
      const value = text(name);
      // A blank at the end is one on the way to the next word, and no reason to take it away.
      const typing = control === root.getRootNode().activeElement && control.type === "text" && control.value.trim() === value.trim();
      if (!typed.has(name) && !typing) write(value);
    }
    for (const [name, entry] of fields) drawFault(name, entry);
    sayCloud();
    for (const chip of presets.children) {
      chip.setAttribute("aria-pressed", String(Number(chip.dataset.days) === model.get("preset") && !typed.has("start") && !typed.has("stop")));
    }
    const count = model.get("count");
    unfold.textContent = (model.get("more") ? "Fewer conditions" : "More conditions") + (count ? " (" + count + " set)" : "");
    unfold.setAttribute("aria-expanded", String(model.get("more")));
    folded.hidden = !model.get("more");
    const searching = model.get("searching");
    go.textContent = searching ? "Searching ..." : model.get("again") ? "Search again" : "Search";
    changed.hidden = searching || !model.get("again");
    if (!searching && cancel === root.getRootNode().activeElement) go.focus();
    cancel.hidden = !searching;
    const offered = model.get("last") && !searching;
    if (!offered && last === root.getRootNode().activeElement) go.focus();
    last.hidden = !offered;
  };
  const answer = (content) => {
    if (content.kind === "heard" && typed.get(content.name) === content.value) {
      typed.delete(content.name);
      draw();
    }
    if (content.kind !== "refused") return;
    if (asked && fields.has(content.name)) fields.get(content.name).control.focus();
    asked = false;
  };

  root.append(first, second, folded);
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches("input, select")) return;
    keep(event);
    search();
  });
  model.on("msg:custom", answer);
  const stop = watch(model, ["offers", "values", "drafts", "faults", "preset", "count", "more", "searching", "again", "last"], draw);
  return () => {
    flush(); // what was typed last is not lost with the view
    window.removeEventListener("pointerup", lift);
    window.removeEventListener("pointercancel", lift);
    model.off("msg:custom", answer);
    stop();
  };
}

export default { render };
