// The bar above the map: draw and edit the area, or take it from the view, a place, a file or text.

const MODES = [
  ["Rectangle", "Click two opposite corners on the map."],
  ["Polygon", "Click corner after corner on the map; click the first one again to close it."],
  ["Edit", "Drag a corner; click Edit again to end."],
  ["Delete", "Click an outline; click Delete again to end."],
];
let bars = 0;

function render({ model, el }) {
  const { root, send } = part(model, el, "area", "Area of interest");
  own(root);
  const id = "extenso-area-" + ++bars;
  let here = true;
  let map = null;
  let hint = "";

  // --- drawing: the tool's own modes, without its toolbar of pictures ---
  const active = () => {
    const pm = map && map.pm;
    if (!pm) return "";
    if (pm.globalEditModeEnabled()) return "Edit";
    if (pm.globalRemovalModeEnabled()) return "Delete";
    return pm.globalDrawModeEnabled() ? pm.Draw.getActiveShape() || "" : "";
  };
  const stop = () => {
    map.pm.disableDraw();
    if (map.pm.globalEditModeEnabled()) map.pm.disableGlobalEditMode();
    if (map.pm.globalRemovalModeEnabled()) map.pm.disableGlobalRemovalMode();
  };
  const start = (mode) => {
    if (!map) return;
    const was = active();
    stop();
    if (was !== mode) {
      if (mode === "Edit") map.pm.enableGlobalEditMode();
      else if (mode === "Delete") map.pm.enableGlobalRemovalMode();
      else map.pm.enableDraw(mode);
    }
    said();
  };
  const words = MODES.map(([mode]) =>
    make("button", { text: mode, "aria-pressed": "false", disabled: true, data: { mode }, on: { click: () => start(mode) } }),
  );
  const group = make("div", { class: "extenso-seg", role: "group", "aria-label": "Draw the area" }, ...words);
  const said = () => {
    const mode = active();
    for (const word of words) word.setAttribute("aria-pressed", String(word.dataset.mode === mode));
    hint = (MODES.find(([name]) => name === mode) || ["", ""])[1];
    tell();
  };
  const escape = (event) => {
    if (event.key !== "Escape" || !map || !active()) return;
    stop();
    said();
    keep(event);
  };
  // Wherever the keyboard is: a click on the map leaves it nowhere. Nothing happens unless the map is being drawn on.
  document.addEventListener("keydown", escape, true);

  // --- view, whole Earth ---
  const view = make("button", {
    class: "extenso-btn",
    text: "Use view",
    title: "Take what the map shows as area",
    disabled: true,
    on: {
      click: () => {
        const bounds = map.getBounds();
        send("view", { west: bounds.getWest(), south: bounds.getSouth(), east: bounds.getEast(), north: bounds.getNorth() });
      },
    },
  });
  const clear = make("button", {
    class: "extenso-btn extenso-quiet",
    text: "Clear",
    title: "No area: the whole Earth",
    on: { click: () => send("clear") },
  });

  // --- places ---
  const list = make("ul", { class: "extenso-pop extenso-places", role: "listbox", id: id + "-places", "aria-label": "Places", hidden: true });
  const none = make("div", { class: "extenso-pop extenso-faint extenso-noplace", hidden: true });
  const place = make("input", {
    class: "extenso-input",
    type: "text",
    role: "combobox",
    placeholder: "Place or lat, lon",
    autocomplete: "off",
    "aria-label": "Place",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": id + "-places",
  });
  let at = -1;
  let timer = 0;
  const close = () => {
    list.hidden = none.hidden = true;
    place.setAttribute("aria-expanded", "false");
    place.removeAttribute("aria-activedescendant");
    at = -1;
  };
  const go = (number) => {
    const { text, items } = model.get("places");
    place.value = items[number].label;
    close();
    send("place", { text, at: number });
  };
  const mark = (number) => {
    const options = [...list.children];
    at = options.length ? (number + options.length) % options.length : -1;
    options.forEach((option, order) => option.setAttribute("aria-selected", String(order === at)));
    if (at < 0) place.removeAttribute("aria-activedescendant");
    else {
      place.setAttribute("aria-activedescendant", options[at].id);
      options[at].scrollIntoView({ block: "nearest" });
    }
  };
  place.addEventListener("input", () => {
    clearTimeout(timer);
    close();
    if (place.value.trim()) timer = setTimeout(() => send("find", { text: place.value }), 120);
  });
  place.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!list.hidden) mark(event.key === "ArrowDown" ? at + 1 : at < 0 ? -1 : at - 1);
    } else if (event.key === "Enter") {
      if (!list.hidden) go(Math.max(at, 0));
      else if (place.value.trim()) send("find", { text: place.value });
    } else if (event.key === "Escape") close();
    else return;
    keep(event);
  });
  place.addEventListener("blur", () => setTimeout(close, 150));
  const placing = make("div", { class: "extenso-placing" }, place, list, none);

  // --- files ---
  const picker = make("input", { type: "file", multiple: true, hidden: true, accept: model.get("suffixes") });
  const problem = make("div", { class: "extenso-bad extenso-small-text", hidden: true });
  const refuse = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };
  const upload = async (files) => {
    const chosen = [...files];
    if (!chosen.length) return;
    const total = chosen.reduce((sum, file) => sum + file.size, 0);
    if (total > model.get("most")) {
      refuse(`That is ${(total / 1e6).toFixed(0)} MB; an upload may have ${(model.get("most") / 1e6).toFixed(0)} MB. Simplify it, or read it in a cell with extenso_nb.aoi.area(path).`);
      return;
    }
    try {
      const buffers = await Promise.all(chosen.map((file) => file.arrayBuffer()));
      refuse("");
      send("upload", { names: chosen.map((file) => file.name) }, buffers);
    } catch (error) {
      refuse("The file could not be read by the browser. A folder is no file; zip it.");
    }
  };
  picker.addEventListener("change", () => {
    upload(picker.files);
    picker.value = ""; // or the same file could not be chosen again
  });
  const choose = make("button", {
    class: "extenso-btn",
    text: "Upload",
    title: "GeoJSON, WKT, shapefile, GeoPackage, KML, KMZ, FlatGeobuf or GPX; or drop it here",
    on: { click: () => picker.click() },
  });
  let depth = 0;
  const drag = {
    dragenter: () => (depth += 1),
    dragleave: () => (depth -= 1),
    dragover: () => {},
    drop: (event) => {
      depth = 0;
      upload(event.dataTransfer.files);
    },
  };
  for (const [name, act] of Object.entries(drag))
    root.addEventListener(name, (event) => {
      if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
      act(event);
      root.classList.toggle("extenso-dropping", depth > 0);
      keep(event);
    });

  // --- text ---
  const text = make("textarea", {
    class: "extenso-input extenso-mono",
    rows: "4",
    spellcheck: "false",
    id: id + "-text",
    "aria-describedby": id + "-wrong",
  });
  const wrong = make("div", { class: "extenso-bad extenso-small-text", id: id + "-wrong" });
  const use = make("button", { class: "extenso-btn extenso-primary", text: "Use it", on: { click: () => send("paste", { text: text.value }) } });
  const shut = make("button", { class: "extenso-btn", text: "Close", on: { click: () => open(false) } });
  const paste = make("button", {
    class: "extenso-btn",
    text: "Paste",
    "aria-expanded": "false",
    "aria-controls": id + "-paste",
    on: { click: () => open(box.hidden) },
  });
  const box = make(
    "div",
    { class: "extenso-pop extenso-paste", id: id + "-paste", role: "group", "aria-label": "Area as text", hidden: true },
    make("label", { class: "extenso-label", for: id + "-text", text: "WKT, GeoJSON, or west, south, east, north" }),
    text,
    wrong,
    make("div", { class: "extenso-row" }, use, shut),
  );
  const open = (on) => {
    box.hidden = !on;
    paste.setAttribute("aria-expanded", String(on));
    (on ? text : paste).focus({ preventScroll: true });
  };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send("paste", { text: text.value });
    else return;
    keep(event);
  });

  const echo = make("div", { class: "extenso-echo extenso-cut" });
  const tell = () => {
    const valid = model.get("valid");
    // What is being changed goes on saying how large it is.
    const size = model.get("drawn") && ["Edit", "Delete"].includes(active()) ? model.get("echo") + " \u00b7 " : "";
    echo.textContent = hint && valid ? size + hint : model.get("echo");
    echo.title = echo.textContent;
    echo.classList.toggle("extenso-bad", !valid);
    echo.classList.toggle("extenso-faint", Boolean(hint) || !model.get("drawn"));
    clear.disabled = !model.get("drawn");
  };
  root.append(
    make("div", { class: "extenso-area-row" }, group, choose, make("div", { class: "extenso-pasting" }, paste, box)),
    make("div", { class: "extenso-area-row extenso-area-said" }, placing, echo, view, clear),
    problem,
    picker,
  );

  const ends = [
    watch(model, ["echo", "valid", "drawn"], tell),
    watch(model, ["places"], () => {
      const { text: asked, items } = model.get("places");
      if (asked === undefined || asked !== place.value) return;
      list.replaceChildren(
        ...items.map(({ label, kind }, number) =>
          make(
            "li",
            { role: "option", id: id + "-place-" + number, "aria-selected": "false", on: { mousedown: (event) => (keep(event), go(number)) } },
            make("span", { class: "extenso-cut", text: label }),
            make("span", { class: "extenso-faint", text: kind }),
          ),
        ),
      );
      list.hidden = !items.length;
      none.hidden = Boolean(items.length);
      none.textContent = "No place is called " + asked + ".";
      place.setAttribute("aria-expanded", String(items.length > 0));
      at = -1;
    }),
    watch(model, ["problem"], () => {
      const { at: where, text: what } = model.get("problem");
      wrong.textContent = where === "paste" ? what : "";
      if (where === "paste") text.setAttribute("aria-invalid", "true");
      else text.removeAttribute("aria-invalid");
      refuse(where === "upload" || where === "place" ? what : "");
    }),
  ];
  let taken = model.get("accepted");
  ends.push(
    watch(model, ["accepted"], () => {
      if (model.get("accepted") === taken) return;
      taken = model.get("accepted");
      text.value = "";
      if (!box.hidden) open(false);
    }),
  );

  leaflet(model, el, () => here).then((found) => {
    if (!found || !here) return;
    map = found;
    const events = "pm:globaldrawmodetoggled pm:globaleditmodetoggled pm:globalremovalmodetoggled pm:create";
    map.on(events, said);
    for (const button of [...words, view]) button.disabled = false;
    ends.push(() => map.off(events, said));
    said();
  });
  return () => {
    here = false;
    clearTimeout(timer);
    document.removeEventListener("keydown", escape, true);
    ends.forEach((end) => end());
  };
}

export default { render };
