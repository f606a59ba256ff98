// What lies over the map: the product pointed at, the legend of the footprints, and the quicklooks with their opacity.

function render({ model, el }) {
  const { root, set, send } = part(model, el, "over", "On the map");
  own(root);
  let here = true;
  const label = make("div", { class: "extenso-over-label", hidden: true });
  const legend = make("div", { class: "extenso-over-card extenso-legend" });
  const zoom = make("button", {
    class: "extenso-btn extenso-small extenso-over-card",
    text: "Zoom to results",
    on: { click: () => send("results") },
  });
  const compare = make("button", {
    class: "extenso-btn extenso-small",
    text: "Compare",
    on: { click: () => send("compare") },
  });
  const rows = make("div", { class: "extenso-drape-rows" });
  const drapes = make(
    "div",
    { class: "extenso-over-card extenso-drapes", role: "group", "aria-label": "Quicklooks on the map", hidden: true },
    make("div", { class: "extenso-drape-head" }, make("span", { class: "extenso-label", text: "Quicklooks, opacity" }), compare),
    rows,
  );
  root.append(label, make("div", { class: "extenso-over-foot" }, drapes, zoom, legend));

  const row = ({ id, name, opacity }) =>
    make(
      "div",
      { class: "extenso-drape-row", data: { id } },
      make("span", { class: "extenso-cut", text: name, title: id }),
      make("input", {
        type: "range",
        min: "0",
        max: "100",
        step: "5",
        value: String(Math.round(100 * opacity)),
        "aria-label": "Opacity of " + name,
        data: { key: "o" + id },
        on: { input: (event) => send("opacity", { id, value: Number(event.target.value) / 100 }) },
      }),
      make("button", {
        class: "extenso-btn extenso-quiet extenso-small",
        text: "Remove",
        "aria-label": "Remove " + name,
        data: { key: "r" + id },
        on: { click: () => send("remove", { id }) },
      }),
    );
  let shown = "";
  const ends = [
    watch(model, ["label"], () => {
      label.textContent = model.get("label");
      label.hidden = !model.get("label");
    }),
    watch(model, ["found"], () => {
      zoom.hidden = !model.get("found");
    }),
    watch(model, ["legend"], () => {
      const entries = model.get("legend");
      legend.hidden = entries.length === 0;
      legend.replaceChildren(
        entries.length > 1 ? make("div", { class: "extenso-label", text: "Cloud, %" }) : "",
        ...entries.map(([colour, text]) => {
          const patch = make("i", {});
          patch.style.background = colour;
          return make("span", {}, patch, text);
        }),
      );
    }),
    watch(model, ["drapes", "swiping"], () => {
      const list = model.get("drapes");
      const key = JSON.stringify(list.map((one) => one.id));
      // A slider that is being dragged is not replaced under the pointer.
      if (key !== shown) redraw(rows, list.map(row));
      shown = key;
      const active = root.getRootNode().activeElement;
      for (const one of list) {
        const slider = [...rows.querySelectorAll("input")].find((node) => node.dataset.key === "o" + one.id);
        if (slider && slider !== active) slider.value = String(Math.round(100 * one.opacity));
      }
      drapes.hidden = list.length === 0;
      compare.hidden = list.length < 2;
      compare.setAttribute("aria-pressed", String(model.get("swiping")));
    }),
  ];

  // Nothing is pointed at any more; of a footprint the map itself says when the pointer comes, not when it goes.
  const left = (event) => {
    const on = event.type === "mouseover" && event.target.closest(".leaflet-interactive");
    if (!on && model.get("label")) send("left");
  };
  leaflet(model, el, () => here).then((map) => {
    if (!map || !here) return;
    const box = map.getContainer();
    box.addEventListener("mouseover", left);
    box.addEventListener("mouseleave", left);
    const measure = () => {
      const size = { width: box.clientWidth, height: box.clientHeight };
      if (size.width && JSON.stringify(size) !== JSON.stringify(model.get("size"))) set({ size });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    ends.push(() => {
      observer.disconnect();
      box.removeEventListener("mouseover", left);
      box.removeEventListener("mouseleave", left);
    });
  });
  return () => {
    here = false;
    ends.forEach((end) => end());
  };
}

export default { render };
