// Two quicklooks on the map compared: the first left of a line that is dragged, the second right of it.

function render({ model, el }) {
  const { root, send } = part(model, el, "swipe", "Comparison of two quicklooks");
  let here = true;
  let map = null;
  let share = 0.5;
  let clipped = [];
  let frame = 0;
  const names = [make("div", { class: "extenso-swipe-name" }), make("div", { class: "extenso-swipe-name extenso-swipe-right" })];
  const line = make("div", {
    class: "extenso-swipe-line",
    role: "slider",
    tabindex: "0",
    "aria-label": "Line between the two quicklooks",
    "aria-orientation": "horizontal",
    "aria-valuemin": "0",
    "aria-valuemax": "100",
  });
  line.append(make("span", { class: "extenso-swipe-grip", text: "\u2039 \u203a", "aria-hidden": "true" }));
  const done = make("button", {
    class: "extenso-btn extenso-small extenso-swipe-done",
    text: "End comparison",
    on: { click: () => send("end") },
  });
  root.append(...names, line, done);

  const images = () => {
    const found = [null, null];
    if (map)
      map.eachLayer((layer) => {
        if (!layer._image || typeof layer._url !== "string") return;
        model.get("pair").forEach((one, at) => {
          if (layer._url.length === one.length && layer._url.endsWith(one.mark)) found[at] = layer._image;
        });
      });
    return found;
  };
  const clip = () => {
    const box = root.getBoundingClientRect();
    if (!map || root.hidden || !box.width) return;
    images().forEach((image, at) => {
      if (!image) return;
      const rect = image.getBoundingClientRect();
      if (!rect.width) return;
      // While the map zooms the picture is scaled: what is cut off is measured in its own pixels.
      const cut = Math.min(Math.max(box.left + share * box.width - rect.left, 0), rect.width) * (image.offsetWidth / rect.width);
      image.style.clipPath = at === 0 ? `inset(0 ${image.offsetWidth - cut}px 0 0)` : `inset(0 0 0 ${cut}px)`;
      if (!clipped.includes(image)) clipped.push(image);
    });
  };
  const free = () => {
    for (const image of clipped) image.style.clipPath = "";
    clipped = [];
  };
  const follow = () => {
    const end = performance.now() + 400;
    cancelAnimationFrame(frame);
    const step = () => {
      clip();
      if (here && performance.now() < end) frame = requestAnimationFrame(step);
    };
    step();
  };
  const move = (to) => {
    share = Math.min(Math.max(to, 0), 1);
    line.style.left = 100 * share + "%";
    line.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    line.setAttribute("aria-valuetext", Math.round(100 * share) + " % " + names[0].textContent + ", the rest " + names[1].textContent);
    clip();
  };
  line.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const steps = { ArrowLeft: share - step, ArrowDown: share - step, ArrowRight: share + step, ArrowUp: share + step, Home: 0, End: 1 };
    if (event.key === "Escape") send("end");
    else if (event.key in steps) move(steps[event.key]);
    else return;
    keep(event);
  });
  line.addEventListener("pointerdown", (event) => {
    line.setPointerCapture(event.pointerId);
    line.focus({ preventScroll: true });
    keep(event);
  });
  line.addEventListener("pointermove", (event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    const box = root.getBoundingClientRect();
    move((event.clientX - box.left) / box.width);
  });
  for (const name of ["mousedown", "dblclick", "click"]) line.addEventListener(name, (event) => event.stopPropagation());

  const ends = [
    watch(model, ["pair"], () => {
      const pair = model.get("pair");
      free();
      root.hidden = pair.length !== 2;
      if (root.hidden) return;
      names.forEach((node, at) => {
        node.textContent = pair[at].name;
      });
      move(share);
      follow();
    }),
  ];
  leaflet(model, el, () => here).then((found) => {
    if (!found || !here) return;
    map = found;
    const still = "move zoom viewreset resize moveend";
    const moving = "zoomanim zoomend layeradd";
    map.on(still, clip);
    map.on(moving, follow);
    ends.push(() => {
      map.off(still, clip);
      map.off(moving, follow);
    });
    follow();
  });
  return () => {
    here = false;
    cancelAnimationFrame(frame);
    free();
    ends.forEach((end) => end());
  };
}

export default { render };
