// The timeline: bars of what was found over time; dragging over them, or moving the two handles, chooses days.
function render({ model, el }) {
  const { root, send } = part(model, el, "timeline", "Timeline");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab: arrows, Home and Enter are of the handles
  const line = make("p", { class: "extenso-faint extenso-timeline-hint" });
  const readout = make("span", { class: "extenso-cut extenso-timeline-readout" });
  const highest = make("span", { class: "extenso-faint extenso-timeline-highest" });
  const clear = make("button", { class: "extenso-btn extenso-quiet extenso-small", text: "Clear days", data: { key: "clear" }, on: { click: () => send("clear") } });
  const head = make("div", { class: "extenso-timeline-head" }, readout, highest, clear);
  const columns = make("div", { class: "extenso-timeline-columns", role: "group", "aria-label": "Products found, by date" });
  const band = make("div", { class: "extenso-timeline-band", hidden: true });
  const handles = ["First day", "Last day"].map((label, end) =>
    make("div", { class: "extenso-timeline-handle", role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": "0", "aria-orientation": "horizontal", data: { end: String(end), key: label } }),
  );
  const plot = make("div", { class: "extenso-timeline-plot" }, band, columns, ...handles);
  const axis = make("div", { class: "extenso-timeline-axis", "aria-hidden": "true" });
  const body = make("div", { class: "extenso-timeline-body" }, head, plot, axis);
  root.append(line, body);

  let bars = [];
  let built = "";
  let draft = null; // [first, last] bar while they are being chosen
  let grip = null; // { fixed } while the pointer is down
  let over = -1;
  let released = -1000;

  // --- where days are: in bars, and parts of a bar
  const place = (day, end) => {
    const at = bars.findIndex((bar) => day <= bar.stop);
    if (at < 0) return bars.length;
    const bar = bars[at];
    if (day < bar.start) return at;
    const days = (text) => Date.parse(text) / 86400000;
    return at + (days(day) - days(bar.start) + end) / (days(bar.stop) - days(bar.start) + 1);
  };
  const chosen = () => {
    if (draft) return [draft[0], draft[1] + 1];
    const [start = "", stop = ""] = model.get("band");
    return [start ? place(start, 0) : 0, stop ? place(stop, 1) : bars.length];
  };
  const within = (at) => Math.max(0, Math.min(bars.length - 1, at));
  const whole = () => {
    const [from, to] = chosen();
    const first = within(Math.floor(from));
    return [first, Math.max(first, within(Math.ceil(to) - 1))];
  };
  const at = (event) => {
    const box = columns.getBoundingClientRect();
    return within(Math.floor(((event.clientX - box.left) / box.width) * bars.length));
  };

  // --- choosing
  const choose = (first, last) => {
    draft = [Math.min(first, last), Math.max(first, last)];
    draw();
  };
  const apply = () => {
    if (!draft) return;
    send("select", { start: bars[draft[0]].start, stop: bars[draft[1]].stop });
  };
  const leave = () => {
    grip = null;
    draft = null;
    draw();
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !bars.length) return;
    const end = event.target.dataset.end;
    const [first, last] = whole();
    grip = { fixed: end === "0" ? last : end === "1" ? first : at(event), moved: end === undefined };
    plot.setPointerCapture(event.pointerId);
    if (end === undefined) choose(grip.fixed, grip.fixed);
  });
  plot.addEventListener("pointermove", (event) => {
    if (!bars.length) return;
    over = at(event);
    if (grip) {
      if (over !== grip.fixed) grip.moved = true;
      if (grip.moved || draft) choose(grip.fixed, over);
    }
    say();
  });
  plot.addEventListener("pointerup", () => {
    if (!grip) return;
    released = performance.now();
    grip = null;
    apply();
  });
  plot.addEventListener("pointercancel", leave);
  plot.addEventListener("pointerleave", () => {
    over = -1;
    say();
  });
  for (const [end, handle] of handles.entries()) {
    handle.addEventListener("keydown", (event) => {
      const [first, last] = whole();
      const here = end ? last : first;
      const steps = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1, Home: 0, End: bars.length - 1, PageDown: here - 5, PageUp: here + 5 };
      if (event.key in steps) {
        const to = within(steps[event.key]);
        draft = end ? [first, Math.max(first, to)] : [Math.min(to, last), last];
        draw();
      } else if (event.key === "Enter") apply();
      else if (event.key === "Escape") leave();
      else return;
      keep(event);
    });
    handle.addEventListener("blur", (event) => {
      if (!handles.includes(event.relatedTarget) && !grip && !model.get("counting")) leave();
    });
  }
  roving(columns, () => {});
  columns.addEventListener("focusin", (event) => {
    over = [...columns.children].indexOf(event.target);
    [...columns.children].forEach((bar, index) => (bar.tabIndex = index === over ? 0 : -1));
    say();
  });
  columns.addEventListener("focusout", () => {
    over = -1;
    say();
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && grip) leave();
  });

  // --- drawing
  const build = () => {
    bars = model.get("bars");
    const wanted = JSON.stringify(bars);
    if (wanted === built) return;
    built = wanted;
    grip = draft = null;
    over = -1;
    const most = Math.max(1, ...bars.map((bar) => bar.count));
    const column = (bar, index) => {
      const fill = make("span", { class: "extenso-timeline-fill" });
      fill.style.height = bar.count ? Math.max(3, (100 * bar.count) / most) + "%" : "0";
      const act = () => {
        if (performance.now() - released < 400) return; // the pointer has chosen already
        choose(index, index);
        apply();
      };
      return make("button", { "aria-label": bar.text, tabindex: index ? "-1" : "0", data: { key: bar.start }, on: { click: act } }, fill);
    };
    redraw(columns, bars.map(column));
    highest.textContent = bars.length ? "highest bar " + most.toLocaleString("en") : "";
    label();
  };
  // First and last day at the ends, and between them what has room.
  const label = () => {
    const width = axis.clientWidth;
    if (!bars.length || !width) return axis.replaceChildren();
    const long = (text) => text.length * 6.2 + 10;
    const first = bars[0].first;
    const last = bars[bars.length - 1].last;
    const ends = [make("span", { text: first }), make("span", { class: "extenso-timeline-last", text: last })];
    let free = long(first);
    const between = bars.flatMap((bar, index) => {
      const x = (width * index) / bars.length;
      if (!bar.tick || x < free || x + long(bar.tick) > width - long(last)) return [];
      free = x + long(bar.tick);
      const tick = make("span", { class: "extenso-timeline-tick", text: bar.tick });
      tick.style.left = x + "px";
      return [tick];
    });
    axis.replaceChildren(...(bars.length > 1 ? [ends[0], ...between, ends[1]] : [ends[0]]));
  };
  const count = (first, last) => bars.slice(first, last + 1).reduce((sum, bar) => sum + bar.count, 0);
  const say = () => {
    columns.querySelectorAll("[data-over]").forEach((bar) => delete bar.dataset.over);
    if (over >= 0 && columns.children[over]) columns.children[over].dataset.over = "";
    let text = model.get("hint");
    if (bars.length) {
      const number = (value) => value.toLocaleString("en") + (value === 1 ? " product, " : " products, ");
      const days = (first, last) => (first === last ? bars[first].text : number(count(first, last)) + bars[first].first + " to " + bars[last].last);
      const [first, last] = whole();
      const exact = model.get("band").length > 0 && chosen().every(Number.isInteger);
      if (draft) text = days(...draft) + (grip ? "" : ". Enter searches these days.");
      else if (over >= 0) text = bars[over].text;
      else if (exact) text = count(first, last).toLocaleString("en") + " of " + number(model.get("total")) + bars[first].first + (bars[first].first === bars[last].last ? "" : " to " + bars[last].last);
      else text = days(0, bars.length - 1) + (model.get("counting") ? ". Counting ..." : "");
    }
    readout.textContent = text;
    readout.classList.toggle("extenso-faint", !draft && over < 0);
  };
  const draw = () => {
    line.hidden = !model.get("slim");
    line.textContent = model.get("hint");
    body.hidden = model.get("slim");
    const [from, to] = chosen();
    const all = Math.max(1, bars.length);
    const set = Boolean(draft) || model.get("band").length > 0;
    plot.classList.toggle("extenso-timeline-set", set);
    band.hidden = !set || !bars.length || to <= from;
    band.style.left = (100 * from) / all + "%";
    band.style.width = (100 * Math.max(0, to - from)) / all + "%";
    [...columns.children].forEach((bar, index) => {
      bar.classList.toggle("extenso-out", set && (index + 1 <= from || index >= to));
      const { start, stop } = bars[index];
      const marked = model.get("marked");
      bar.classList.toggle("extenso-marked-bar", marked >= start && marked <= stop);
    });
    const [first, last] = whole();
    for (const [end, handle] of handles.entries()) {
      const index = end ? last : first;
      handle.hidden = !bars.length;
      handle.style.left = (100 * (end ? to : from)) / all + "%";
      handle.setAttribute("aria-valuemax", String(all - 1));
      handle.setAttribute("aria-valuenow", String(index));
      handle.setAttribute("aria-valuetext", bars.length ? (end ? bars[index].last : bars[index].first) : "none");
    }
    if (clear === root.getRootNode().activeElement && !model.get("band").length) handles[0].focus();
    clear.style.visibility = model.get("band").length ? "visible" : "hidden";
    root.setAttribute("aria-busy", String(model.get("counting")));
    say();
  };
  const answered = () => {
    if (!grip) draft = null; // what was chosen here stands in the band now
    draw();
  };
  const stops = [
    watch(model, ["bars"], () => {
      build();
      draw();
    }),
    watch(model, ["band", "counting"], answered),
    watch(model, ["marked", "hint", "slim"], draw),
  ];
  const sizes = new ResizeObserver(label);
  sizes.observe(axis);
  return () => {
    sizes.disconnect();
    stops.forEach((stop) => stop());
  };
}

export default { render };
