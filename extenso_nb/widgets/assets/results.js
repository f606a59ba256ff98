// The products found, as cards or as rows, with facets and the details of one.
// Keyboard in the list: arrows, Home, End; Space selects, Enter opens the details, M lays the picture on the map.

const KEYS = "arrows move, Space selects, Enter opens details, M puts the picture on the map";
const POINTING = 40; // milliseconds: a pointer that crosses the list does not ask for every product on its way
const FEW = 8; // values of a facet shown before "more"

// Columns of the table: heading, what it is sorted by, and the cell.
const COLUMNS = [
  { name: "Product", key: (item) => item.name, class: "name", cell: (item) => item.name },
  { name: "Time (UTC)", key: (item) => item.moment, class: "time", cell: (item) => item.time },
  { name: "Cloud", key: (item) => item.cloudy, class: "cloud", cell: (item) => cloudOf(item) },
  { name: "Covers", key: (item) => item.covered, class: "cover", cell: (item) => item.cover },
  { name: "Size", key: (item) => item.bytes, class: "size", cell: (item) => item.size },
  { name: "State", key: (item) => item.storage, class: "storage", cell: (item) => storageOf(item) },
];

function cloudOf(item, word = "") {
  if (!item.cloud) return "";
  const dot = make("span", { class: "extenso-dot", "aria-hidden": "true" });
  dot.style.setProperty("--x-colour", item.colour);
  return make("span", { class: "extenso-cloud" }, dot, item.cloud + word);
}

function storageOf(item) {
  return make("span", { class: item.storage === "cold" ? "extenso-cold" : "", text: item.storage });
}

// The buttons of a group are one stop of Tab; arrows go on from there.
function oneStop(group) {
  const settle = (chosen) => {
    for (const button of group.querySelectorAll("button")) button.tabIndex = button === chosen ? 0 : -1;
  };
  group.addEventListener("focusin", (event) => {
    if (event.target.matches("button")) settle(event.target);
  });
  settle(group.querySelector("button[aria-checked=true]") || group.querySelector("button"));
}

function render({ model, el }) {
  const { root, set, send } = part(model, el, "results", "Results");
  own(root);
  const pictures = new Map();
  const items = () => model.get("items");
  const active = () => root.getRootNode().activeElement;

  // --- what stands there always --------------------------------------------------------------------------------
  const caption = make("span", { class: "extenso-strong extenso-caption" });
  const earlier = make("span", { class: "extenso-chip extenso-warn" });
  const views = make("div", { class: "extenso-seg", role: "radiogroup", "aria-label": "How products are shown" });
  for (const [value, text] of [["gallery", "Gallery"], ["table", "Table"]]) {
    const pick = () => set({ view: value });
    views.append(make("button", { role: "radio", "aria-checked": "false", text, data: { value }, on: { click: pick } }));
  }
  const filter = make("button", { class: "extenso-btn extenso-small", "aria-expanded": "false", on: { click: () => unfold() } });
  const hiding = make("span", { class: "extenso-faint extenso-hiding" });
  const everything = make("button", { class: "extenso-btn extenso-quiet extenso-small", text: "Show all", on: { click: () => send("show_all") } });
  const every = make("button", {
    class: "extenso-btn extenso-quiet extenso-small",
    text: "Select all shown",
    on: { click: () => choose(shownIds(), true) },
  });
  const clear = make("button", {
    class: "extenso-btn extenso-quiet extenso-small",
    text: "Clear",
    "aria-label": "Clear: take the products of this list out of the basket",
    on: { click: () => choose(basket().filter((id) => known().has(id)), false) },
  });
  const facets = make("div", { class: "extenso-facets", hidden: true });
  const least = make("input", {
    class: "extenso-input extenso-least",
    type: "number",
    min: "0",
    max: "100",
    step: "5",
    "aria-label": "Hide what covers less than so many per cent of the area",
  });
  const covering = make("label", { class: "extenso-row extenso-covering" }, "Hide what covers less than", least, "% of the area");
  const empty = make("div", { class: "extenso-empty" });
  const gallery = make("div", { class: "extenso-cards", role: "listbox", "aria-multiselectable": "true", "aria-label": "Products: " + KEYS });
  const lines = make("div", { class: "extenso-lines", role: "rowgroup" });
  const heads = make("div", { class: "extenso-heads", role: "row" });
  const table = make(
    "div",
    { class: "extenso-table", role: "grid", "aria-multiselectable": "true", "aria-label": "Products: " + KEYS },
    make("div", { role: "rowgroup", class: "extenso-headgroup" }, heads),
    lines,
  );
  const more = make("button", { class: "extenso-btn extenso-more", on: { click: () => more.ariaDisabled !== "true" && send("more") } });
  const working = make("div", { class: "extenso-working", "aria-hidden": "true", hidden: true });
  const scroller = make("div", { class: "extenso-scroller" }, gallery, table, empty, more);
  const tools = make("div", { class: "extenso-row extenso-tools" }, filter, hiding, everything, make("span", { class: "extenso-grow" }), every, clear);
  const list = make(
    "div",
    { class: "extenso-listing" },
    make("div", { class: "extenso-row" }, caption, earlier, make("span", { class: "extenso-grow" }), views),
    tools,
    facets,
    working,
    scroller,
  );
  const sheet = make("div", { class: "extenso-sheet", role: "group", "aria-label": "Details of a product", hidden: true });
  const trouble = make("div", { class: "extenso-trouble extenso-bad", role: "alert" });
  root.append(list, sheet, trouble);
  roving(views, (button) => button.click());

  // --- cards and rows ------------------------------------------------------------------------------------------
  // Each is made once and kept while its product is listed; what changes on it is changed on it.
  let nodes = new Map();
  let current = null;
  let order = { column: -1, down: false };
  const asTable = () => model.get("view") === "table";
  const box = () => (asTable() ? lines : gallery);
  const known = () => new Set(items().map((item) => item.id));
  const shown = () => [...box().children].filter((node) => !node.hidden);
  const shownIds = () => shown().map((node) => node.dataset.id);

  const act = (name, text) => make("span", { class: "extenso-act", text, data: { act: name } });
  const acts = () => make("span", { class: "extenso-acts", "aria-hidden": "true" }, act("details", "Details"), act("drape", "On map"));
  const tick = () => make("span", { class: "extenso-tick", text: "✓", "aria-hidden": "true" });
  const started = () => make("span", { class: "extenso-ordered" });

  const makeCard = (item) =>
    make(
      "div",
      { class: "extenso-card", role: "option", title: item.id, tabIndex: -1, "aria-selected": "false", data: { id: item.id } },
      make("div", { class: "extenso-picture" }),
      acts(),
      tick(),
      make(
        "div",
        { class: "extenso-facts" },
        make("div", { class: "extenso-strong extenso-cut", text: item.name }),
        make("div", { class: "extenso-faint", text: item.time }),
        make("div", { class: "extenso-line" }, cloudOf(item, " cloud"), item.cover ? make("span", { text: "covers " + item.cover }) : null),
        make("div", { class: "extenso-line" }, make("span", { text: item.size }), storageOf(item)),
        started(),
      ),
    );
  const makeLine = (item) => {
    const row = make("div", { class: "extenso-tr", role: "row", title: item.id, tabIndex: -1, "aria-selected": "false", data: { id: item.id } });
    for (const column of COLUMNS) row.append(make("div", { class: "extenso-td extenso-td-" + column.class, role: "gridcell" }, column.cell(item)));
    row.firstChild.replaceChildren(tick(), make("div", { class: "extenso-cut" }, item.name, started()));
    row.lastChild.append(acts());
    return row;
  };
  const label = (item, node) => {
    const words = [item.name, item.time, item.cloud && item.cloud + " cloud", item.cover && "covers " + item.cover + " of the area"];
    words.push(item.size, item.storage, model.get("ordered")[item.id], model.get("draped").includes(item.id) && "on the map");
    node.setAttribute("aria-label", words.filter(Boolean).join(", "));
  };

  const dressOrdered = (id) => {
    nodes.get(id).querySelector(".extenso-ordered").textContent = model.get("ordered")[id] || "";
  };
  const dressSelected = (id, on) => {
    const node = nodes.get(id);
    if (!node) return;
    node.classList.toggle("extenso-chosen", on);
    node.setAttribute("aria-selected", String(on));
  };
  const dressDraped = (id) => {
    const on = model.get("draped").includes(id);
    nodes.get(id).classList.toggle("extenso-draped", on);
    nodes.get(id).querySelector("[data-act=drape]").textContent = on ? "Off map" : "On map";
  };
  const dressPicture = (id) => {
    const frame = nodes.get(id)?.querySelector(".extenso-picture");
    if (!frame || !pictures.has(id)) return;
    const uri = pictures.get(id);
    if (uri) frame.replaceChildren(make("img", { alt: "", src: uri, decoding: "async" }));
    else frame.textContent = "no picture";
  };

  // Puts cards or rows in order, makes those that lack, and drops those that are gone.
  const drawItems = () => {
    const shelf = box();
    const focused = shelf.contains(active());
    const made = new Map();
    const fresh = [];
    for (const item of items()) {
      const before = nodes.get(item.id);
      const text = JSON.stringify(item);
      const keeps = before && before.parentNode === shelf && before.extensoItem === text;
      const node = keeps ? before : asTable() ? makeLine(item) : makeCard(item);
      node.extensoItem = text;
      made.set(item.id, node);
      if (!keeps) fresh.push(item);
    }
    nodes = made;
    (asTable() ? gallery : lines).replaceChildren();
    arrange();
    const chosen = new Set(basket());
    const away = new Set(model.get("hidden"));
    for (const { id } of fresh) {
      dressOrdered(id);
      dressDraped(id);
      dressPicture(id);
      dressSelected(id, chosen.has(id));
      nodes.get(id).hidden = away.has(id);
    }
    for (const item of items()) label(item, nodes.get(item.id));
    for (const id of pictures.keys()) if (!nodes.has(id)) pictures.delete(id);
    if (fresh.length === nodes.size) scroller.scrollTop = 0;
    settle(focused);
    pointed = null;
    drawHovered();
  };
  const arrange = () => {
    const wanted = sorted().map((item) => nodes.get(item.id));
    const there = [...box().children];
    if (there.length <= wanted.length && there.every((node, at) => node === wanted[at])) box().append(...wanted.slice(there.length));
    else box().replaceChildren(...wanted);
  };
  // Where there is no figure a product comes last, whichever way the others go.
  const sorted = () => {
    if (!asTable() || order.column < 0) return items();
    const key = COLUMNS[order.column].key;
    const lacks = (value) => value === null || value === undefined || value === "";
    const sign = order.down ? -1 : 1;
    return [...items()].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (lacks(x) || lacks(y)) return lacks(x) - lacks(y);
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  };
  // One product is in the order of Tab: the one that had the keyboard last, or the first.
  const settle = (focused) => {
    const left = shown();
    if (!nodes.has(current) || nodes.get(current).hidden) current = left.length ? left[0].dataset.id : null;
    for (const node of box().children) if (node.tabIndex === 0 && node.dataset.id !== current) node.tabIndex = -1;
    if (current === null) return;
    nodes.get(current).tabIndex = 0;
    if (focused) nodes.get(current).focus({ preventScroll: true });
  };
  const focus = (id) => {
    const node = nodes.get(id);
    if (!node) return;
    if (nodes.get(current)) nodes.get(current).tabIndex = -1;
    current = id;
    node.tabIndex = 0;
    node.focus({ preventScroll: true });
    reveal(node);
  };
  // Scrolls the list only; scrollIntoView would move the whole notebook. Twice, for what was never drawn has a guessed height.
  const reveal = (node) => {
    const once = () => {
      const frame = scroller.getBoundingClientRect();
      const top = frame.top + (asTable() ? heads.offsetHeight : 0) + 4;
      const place = node.getBoundingClientRect();
      if (place.top < top) scroller.scrollTop -= top - place.top;
      else if (place.bottom > frame.bottom - 4) scroller.scrollTop += place.bottom - frame.bottom + 4;
    };
    once();
    requestAnimationFrame(once);
  };

  // --- what is done to them ------------------------------------------------------------------------------------
  // What is clicked says what it means, not what the basket then is: an order may have emptied that meanwhile. Until the
  // kernel has heard it, the list shows what was meant.
  let meant = [];
  let unheard = 0;
  const basket = () => (unheard ? meant : model.get("selected"));
  const choose = (ids, on) => {
    const others = basket().filter((id) => !ids.includes(id));
    meant = on ? [...others, ...ids] : others;
    unheard += 1;
    drawSelected();
    send("select", { ids, on });
  };
  const toggle = (id) => choose([id], !basket().includes(id));
  let opening = false;
  const open = (id) => {
    opening = true;
    send("details", { id });
  };
  let timer = null;
  let told = "";
  let under = "";
  const point = (id) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      told = id;
      if (model.get("hovered") !== id) set({ hovered: id });
    }, POINTING);
  };
  const idOf = (event) => event.target.closest("[data-id]")?.dataset.id;
  const pressed = (event) => {
    const id = idOf(event);
    if (!id) return;
    const name = event.target.closest("[data-act]")?.dataset.act;
    focus(id);
    if (name === "details") open(id);
    else if (name === "drape") send("drape", { id });
    else toggle(id);
  };
  const columns = () => (asTable() ? 1 : getComputedStyle(gallery).gridTemplateColumns.split(" ").length);
  const typed = (event) => {
    const ids = shownIds();
    if (!ids.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = ids.indexOf(current);
    const wide = columns();
    const steps = { ArrowDown: at + wide, ArrowUp: at - wide, Home: 0, End: ids.length - 1 };
    if (!asTable()) Object.assign(steps, { ArrowRight: at + 1, ArrowLeft: at - 1 });
    if (event.key in steps) focus(ids[Math.min(Math.max(steps[event.key], 0), ids.length - 1)]);
    else if (event.key === " ") toggle(current);
    else if (event.key === "Enter") open(current);
    else if (event.key === "m" || event.key === "M") send("drape", { id: current });
    else return;
    keep(event);
  };
  for (const shelf of [gallery, lines]) {
    shelf.addEventListener("click", pressed);
    shelf.addEventListener("keydown", typed);
    // Of moves only: a list that scrolls under a pointer at rest is not pointed at.
    shelf.addEventListener("pointermove", (event) => {
      const id = idOf(event) || under;
      if (id !== under) point(id);
      under = id;
    });
    shelf.addEventListener("pointerleave", () => {
      under = "";
      point("");
    });
    shelf.addEventListener("focusin", (event) => idOf(event) && point(idOf(event)));
    shelf.addEventListener("focusout", (event) => {
      if (!shelf.contains(event.relatedTarget) && !shelf.matches(":hover")) point("");
    });
  }

  // --- the table's heads ---------------------------------------------------------------------------------------
  COLUMNS.forEach((column, at) => {
    const sort = () => {
      const before = order.column === at ? (order.down ? "down" : "up") : "";
      order = before === "down" ? { column: -1, down: false } : { column: at, down: before === "up" };
      arrange();
      settle(false);
      scroller.scrollTop = 0;
      drawHeads();
    };
    const button = make("button", { text: column.name, title: "Sort the products loaded", on: { click: sort } });
    heads.append(make("div", { class: "extenso-th extenso-td-" + column.class, role: "columnheader", "aria-sort": "none" }, button));
  });
  const drawHeads = () => {
    [...heads.children].forEach((head, at) => {
      head.setAttribute("aria-sort", at !== order.column ? "none" : order.down ? "descending" : "ascending");
    });
  };
  roving(heads, () => {});
  oneStop(heads);

  // --- facets --------------------------------------------------------------------------------------------------
  const spread = new Set(); // fields of which all values are shown
  const unfold = () => {
    facets.hidden = !facets.hidden;
    filter.setAttribute("aria-expanded", String(!facets.hidden));
  };
  const chip = (facet, one) =>
    make(
      "button",
      {
        class: "extenso-chip" + (one.count || one.on ? "" : " extenso-none"),
        "aria-pressed": String(one.on),
        "aria-label": `${one.text}, ${one.count} products`,
        data: { key: facet.name + "=" + one.value },
        on: { click: () => send("facet", { name: facet.name, value: one.value }) },
      },
      one.text,
      make("span", { class: "extenso-count", text: String(one.count) }),
    );
  const facetRow = (facet) => {
    const all = spread.has(facet.name) || facet.values.length <= FEW + 1;
    const values = facet.values.filter((one, at) => all || at < FEW || one.on);
    const group = make("div", { class: "extenso-facet", role: "group", "aria-label": facet.label });
    group.append(make("span", { class: "extenso-label", text: facet.label, "aria-hidden": "true" }));
    const chips = make("div", { class: "extenso-chips" }, ...values.map((one) => chip(facet, one)));
    if (facet.values.length > FEW + 1) {
      const turn = () => {
        spread[spread.has(facet.name) ? "delete" : "add"](facet.name);
        drawFacets();
      };
      const text = all ? "fewer" : `${facet.values.length - values.length} more`;
      chips.append(make("button", { class: "extenso-btn extenso-quiet extenso-small", text, data: { key: facet.name + " more" }, on: { click: turn } }));
    }
    group.append(chips);
    return group;
  };
  const drawFacets = () => {
    const rows = model.get("facets");
    const on = rows.reduce((sum, facet) => sum + facet.values.filter((one) => one.on).length, 0) + (model.get("least_coverage") > 0);
    filter.textContent = on ? `Filter (${on} on)` : "Filter";
    covering.hidden = !model.get("words").area;
    if (active() !== least) least.value = String(model.get("least_coverage"));
    // Moving the field would take the keyboard from it: the rows before it are exchanged, and it stays.
    if (covering.parentNode !== facets) facets.append(chipRows, covering);
    redraw(chipRows, rows.map(facetRow));
    for (const group of chipRows.querySelectorAll(".extenso-chips")) {
      roving(group, () => {});
      oneStop(group);
    }
  };
  const chipRows = make("div", { class: "extenso-chiprows" });
  least.addEventListener("change", () => {
    const value = Math.min(Math.max(Number(least.value) || 0, 0), 100);
    least.value = String(value);
    set({ least_coverage: value });
  });

  // --- words ---------------------------------------------------------------------------------------------------
  const drawWords = () => {
    const words = model.get("words");
    const some = items().length > 0;
    caption.textContent = words.caption || "Results";
    earlier.hidden = !words.earlier;
    earlier.textContent = words.earlier || "";
    earlier.title = words.why || "";
    hiding.textContent = words.hidden || "";
    everything.hidden = !words.hidden;
    tools.hidden = !some;
    views.hidden = !some;
    if (!some && !facets.hidden) unfold();
    const atMore = active() === more;
    more.hidden = !words.more;
    more.textContent = words.busy ? "Searching ..." : words.more || "";
    more.setAttribute("aria-disabled", String(Boolean(words.busy)));
    if (atMore && more.hidden && current) focus(current);
    working.hidden = !words.busy;
    root.classList.toggle("extenso-busy", Boolean(words.busy));
    const notice = words.empty || {};
    empty.hidden = !notice.title;
    const parts = [make("div", { class: "extenso-title", text: notice.title || "" })];
    for (const line of notice.lines || []) parts.push(make("div", { class: "extenso-faint", text: line }));
    if (notice.button) {
      parts.push(make("button", { class: "extenso-btn", text: notice.button, data: { key: "all" }, on: { click: () => send("show_all") } }));
    }
    redraw(empty, parts);
    trouble.textContent = words.trouble || "";
    root.classList.toggle("extenso-fetching", Boolean(words.fetching));
    gallery.hidden = asTable() || !some || Boolean(notice.title);
    table.hidden = !asTable() || !some || Boolean(notice.title);
    drawFacets();
  };
  const drawView = () => {
    for (const button of views.children) button.setAttribute("aria-checked", String(button.dataset.value === model.get("view")));
    oneStop(views);
    drawItems();
    drawWords();
    if (nodes.has(current)) reveal(nodes.get(current));
  };

  // --- what changes on them ------------------------------------------------------------------------------------
  let chosen = new Set();
  const drawSelected = () => {
    const now = new Set(basket());
    for (const id of now) if (!chosen.has(id)) dressSelected(id, true);
    for (const id of chosen) if (!now.has(id)) dressSelected(id, false);
    chosen = now;
    clear.disabled = !items().some((item) => now.has(item.id));
    drawSheetButtons();
  };
  let away = new Set();
  const drawHidden = () => {
    away = new Set(model.get("hidden"));
    const focused = box().contains(active());
    for (const [id, node] of nodes) if (node.hidden !== away.has(id)) node.hidden = away.has(id);
    settle(focused);
  };
  let pointed = null;
  const drawHovered = () => {
    const id = model.get("hovered");
    if (pointed) pointed.classList.remove("extenso-hovered");
    pointed = nodes.get(id) || null;
    if (!pointed) return;
    pointed.classList.add("extenso-hovered");
    if (id !== told && !list.hidden) reveal(pointed);
  };
  const relabel = () => {
    for (const item of items()) if (nodes.has(item.id)) label(item, nodes.get(item.id));
  };
  const drawOrdered = () => {
    for (const id of nodes.keys()) dressOrdered(id);
    relabel();
  };
  const drawDraped = () => {
    for (const id of nodes.keys()) dressDraped(id);
    relabel();
    drawSheetButtons();
  };
  const received = (message) => {
    if (message.kind === "heard" && unheard) {
      unheard -= 1;
      drawSelected();
    }
    if (message.kind !== "pictures") return;
    for (const [id, uri] of Object.entries(message.pictures)) {
      pictures.set(id, uri);
      dressPicture(id);
    }
  };

  // --- details -------------------------------------------------------------------------------------------------
  const sheetPick = make("button", { class: "extenso-btn extenso-primary", on: { click: () => toggle(model.get("sheet").id) } });
  const sheetDrape = make("button", { class: "extenso-btn", on: { click: () => send("drape", { id: model.get("sheet").id }) } });
  const back = make("button", { class: "extenso-btn extenso-quiet extenso-small", text: "‹ Back to the list", on: { click: () => send("details", { id: "" }) } });
  const previous = make("button", { class: "extenso-btn extenso-small", text: "Previous", on: { click: () => step(-1) } });
  const next = make("button", { class: "extenso-btn extenso-small", text: "Next", on: { click: () => step(1) } });
  const place = make("span", { class: "extenso-faint extenso-place" });
  const inside = make("div", { class: "extenso-inside" });
  sheet.append(
    make("div", { class: "extenso-row" }, back, make("span", { class: "extenso-grow" }), place, previous, next),
    inside,
    make("div", { class: "extenso-row" }, sheetPick, sheetDrape),
  );
  const step = (by) => {
    const ids = shownIds();
    const id = ids[ids.indexOf(model.get("sheet").id) + by];
    if (id) send("details", { id });
  };
  const copier = (id, text) => {
    const copy = make("button", { class: "extenso-btn extenso-small", text: "Copy", "aria-label": "Copy the identifier", data: { key: "copy" } });
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(id);
        copy.textContent = "Copied";
      } catch (error) {
        // A page without encryption has no clipboard: mark the text, and the user copies it.
        getSelection().selectAllChildren(text);
        copy.textContent = "Press Ctrl+C";
      }
      setTimeout(() => (copy.textContent = "Copy"), 2000);
    });
    return copy;
  };
  let scrolled = 0;
  let opened = "";
  const drawSheet = () => {
    const facts = model.get("sheet");
    const was = opened;
    opened = facts.id || "";
    if (opened && !was) scrolled = scroller.scrollTop;
    const focused = sheet.contains(active());
    sheet.hidden = !opened;
    list.hidden = Boolean(opened);
    if (!opened) {
      if (!was) return;
      scroller.scrollTop = scrolled;
      if (nodes.has(was) && !nodes.get(was).hidden) {
        if (focused) focus(was);
        else reveal(nodes.get(was));
      }
      return;
    }
    const picture = make("div", { class: "extenso-quicklook" });
    if (facts.picture) picture.append(make("img", { alt: "Quicklook of " + facts.id, src: facts.picture }));
    else picture.append(make("span", { class: "extenso-faint", text: facts.note || "Fetching ..." }));
    const text = make("span", { class: "extenso-mono extenso-identifier", text: facts.id });
    const rows = facts.facts.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value })));
    const parts = [
      make("div", { class: "extenso-row" }, make("span", { class: "extenso-title", text: facts.name }), make("span", { class: "extenso-faint", text: facts.time })),
      make("div", { class: "extenso-row extenso-idrow" }, text, copier(facts.id, text)),
      picture,
      make("dl", { class: "extenso-dl" }, ...rows),
    ];
    redraw(inside, parts);
    if (opened !== was) inside.scrollTop = 0;
    const ids = shownIds();
    const at = ids.indexOf(opened);
    place.textContent = at < 0 ? "" : `${at + 1} of ${ids.length}`;
    previous.setAttribute("aria-disabled", String(at <= 0));
    next.setAttribute("aria-disabled", String(at < 0 || at >= ids.length - 1));
    if (opened && at >= 0) {
      if (nodes.get(current)) nodes.get(current).tabIndex = -1;
      current = opened;
      nodes.get(current).tabIndex = 0;
    }
    if (opening && !focused) back.focus({ preventScroll: true });
    opening = false;
    drawSheetButtons();
  };
  const drawSheetButtons = () => {
    const id = model.get("sheet").id;
    if (!id) return;
    const on = basket().includes(id);
    sheetPick.textContent = on ? "Take out of the basket" : "Select";
    sheetPick.classList.toggle("extenso-primary", !on);
    sheetDrape.textContent = model.get("draped").includes(id) ? "Take off map" : "Show on map";
  };
  sheet.addEventListener("keydown", (event) => {
    if (event.key === "Escape") send("details", { id: "" });
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") step(event.key === "ArrowLeft" ? -1 : 1);
    else return;
    keep(event);
  });

  // --- together ------------------------------------------------------------------------------------------------
  model.on("msg:custom", received);
  const ends = [
    watch(model, ["view"], drawView),
    watch(model, ["items"], () => (drawItems(), drawWords())),
    watch(model, ["hidden"], drawHidden),
    watch(model, ["ordered"], drawOrdered),
    watch(model, ["facets", "least_coverage"], drawFacets),
    watch(model, ["words"], drawWords),
    watch(model, ["selected"], drawSelected),
    watch(model, ["draped"], drawDraped),
    watch(model, ["hovered"], drawHovered),
    watch(model, ["sheet"], drawSheet),
  ];
  send("pictures");
  return () => {
    clearTimeout(timer);
    model.off("msg:custom", received);
    for (const end of ends) end();
  };
}

export default { render };
