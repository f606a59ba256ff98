// The basket: chips, what they come to, where they go, and the order.

const SHOWN_CHIPS = 8;
const BUCKET_FIELDS = [
  ["endpoint", "Endpoint", "address of the S3 service", "text"],
  ["bucket", "Bucket", "if not in the endpoint", "text"],
  ["prefix", "Prefix", "optional", "text"],
  ["access_key", "Access key", "", "text"],
  ["secret_key", "Secret key", "", "password"],
];

function render({ model, el }) {
  const { root, set, send } = part(model, el, "basket", "Basket");
  own(root);
  let all = false;
  let open = false;

  // --- chips
  const empty = make("span", { class: "extenso-faint", text: "Basket empty: select products in the list or on the map." });
  const title = make("span", { class: "extenso-strong", text: "Basket" });
  const chips = make("div", { class: "extenso-basket-chips", role: "group", "aria-label": "Products in the basket" });
  const more = make("button", { class: "extenso-btn extenso-quiet extenso-small", on: { click: () => ((all = !all), drawChips()) } });
  const chip = ({ id }) => {
    const name = make("span");
    const day = make("span", { class: "extenso-faint" });
    const drop = make("button", { class: "extenso-basket-drop", text: "\u00d7", on: { click: () => send("remove", { id }) } });
    const point = (to) => () => set({ hovered: to });
    const node = make("span", { class: "extenso-chip", title: id, on: { mouseenter: point(id), mouseleave: point("") } }, name, day, drop);
    node.addEventListener("focusin", point(id));
    node.addEventListener("focusout", point(""));
    const update = (item) => {
      tell(name, item.name);
      tell(day, item.day + (item.cold ? ", cold" : ""));
      drop.setAttribute("aria-label", "Remove " + item.name + " " + item.day);
      drop.title = "Remove";
    };
    return { node, update };
  };
  const drawChips = () => {
    const items = model.get("items");
    const shown = all ? items : items.slice(0, SHOWN_CHIPS);
    keyed(chips, shown, (item) => item.id, chip);
    more.hidden = items.length <= SHOWN_CHIPS;
    more.setAttribute("aria-expanded", String(all));
    tell(more, all ? "Show fewer" : "and " + (items.length - SHOWN_CHIPS) + " more");
    const none = items.length === 0;
    empty.hidden = !none;
    for (const box of [title, sums, foot]) box.hidden = none;
    chips.hidden = none;
    if (none) open = all = false;
    if (none) drawForm();
  };
  const drawHovered = () => {
    const hovered = model.get("hovered");
    for (const node of chips.children) node.classList.toggle("extenso-pointed", node.title === hovered);
  };

  // --- what it comes to
  const facts = make("span", { class: "extenso-basket-facts" });
  const used = make("div", { class: "extenso-basket-used" });
  const mine = make("div", { class: "extenso-basket-mine" });
  const bar = make("div", { class: "extenso-bar extenso-basket-bar", "aria-hidden": "true" }, used, mine);
  const words = make("span", { class: "extenso-faint" });
  const sums = make("div", { class: "extenso-basket-sums" }, facts, make("div", { class: "extenso-basket-quota" }, bar, words));
  const drawSums = () => {
    tell(facts, model.get("facts").join(" \u00b7 "));
    const quota = model.get("quota");
    tell(words, quota.words || "");
    words.className = quota.over ? "extenso-bad" : "extenso-faint";
    bar.hidden = !quota.bar;
    bar.classList.toggle("extenso-over", Boolean(quota.over));
    used.style.width = 100 * (quota.used || 0) + "%";
    mine.style.width = 100 * (quota.order || 0) + "%";
  };

  // --- what the estimate refused
  const reasons = make("ul", { class: "extenso-basket-reasons" });
  const drop = make("button", { class: "extenso-btn extenso-small", text: "Remove those", on: { click: () => send("remove_refused") } });
  const refused = make("div", { class: "extenso-basket-refused" }, reasons, drop);
  const drawRefused = () => {
    const rows = model.get("refused");
    refused.hidden = rows.length === 0;
    reasons.replaceChildren(
      ...rows.map((row) => make("li", { title: row.id }, make("span", { class: "extenso-strong", text: row.name }), ": " + row.reason)),
    );
  };

  // --- where it goes
  const free = make("button", { text: "Free storage", on: { click: () => ((open = false), send("free"), drawForm()) } });
  const own_ = make("button", { text: "My bucket...", on: { click: () => ((open = !open), drawForm(), open && first().focus()) } });
  const seg = make("div", { class: "extenso-seg", role: "group", "aria-label": "Destination" }, free, own_);
  const place = make("span", { class: "extenso-faint extenso-cut" });
  const inputs = {};
  const form = make("form", { class: "extenso-basket-form", autocomplete: "off", "aria-label": "My bucket" });
  for (const [key, label, placeholder, type] of BUCKET_FIELDS) {
    const required = !["bucket", "prefix"].includes(key);
    // A browser would offer to keep these; they are keys of one order.
    const complete = type === "password" ? "new-password" : "off";
    inputs[key] = make("input", { class: "extenso-input", type, placeholder, required, autocomplete: complete, spellcheck: "false" });
    form.append(make("label", { class: "extenso-field" }, make("span", { class: "extenso-label", text: label }), inputs[key]));
  }
  const first = () => inputs.endpoint;
  const use = make("button", { class: "extenso-btn", text: "Use this bucket" });
  use.type = "submit";
  const leave = make("button", { class: "extenso-btn extenso-quiet", text: "Close", on: { click: () => ((open = false), forget(), drawForm(), own_.focus()) } });
  const promise = make("span", { class: "extenso-faint", text: "The keys go to the kernel once, and are kept in no file and no notebook." });
  form.append(make("div", { class: "extenso-row extenso-basket-use" }, use, leave, promise));
  const forget = () => {
    for (const key of ["access_key", "secret_key"]) inputs[key].value = "";
  };
  form.addEventListener("submit", (event) => {
    keep(event);
    const given = Object.fromEntries(BUCKET_FIELDS.map(([key]) => [key, inputs[key].value]));
    forget();
    send("bucket", given);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    leave.click();
    keep(event);
  });
  const drawForm = () => {
    form.hidden = !open;
    own_.setAttribute("aria-expanded", String(open));
  };
  const drawPlace = () => {
    const to = model.get("destination");
    const bucket = to.kind === "bucket";
    free.setAttribute("aria-pressed", String(!bucket));
    own_.setAttribute("aria-pressed", String(bucket));
    const name = [to.bucket, to.prefix].filter(Boolean).join("/");
    tell(place, !bucket ? "" : (name ? name + " at " : "") + to.endpoint + (to.ready ? "" : " (enter its keys again)"));
    place.title = place.textContent;
    for (const key of ["endpoint", "bucket", "prefix"]) if (bucket && !inputs[key].value) inputs[key].value = to[key] || "";
    open = bucket && !to.ready && model.get("items").length > 0;
    drawForm();
  };

  // --- what can be done
  const clear = make("button", { class: "extenso-btn extenso-quiet", text: "Clear", on: { click: () => send("clear") } });
  const estimate = make("button", { class: "extenso-btn", on: { click: () => send("estimate") } });
  const order = make("button", { class: "extenso-btn extenso-primary", on: { click: () => send("order") } });
  const drawBusy = () => {
    tell(estimate, model.get("estimating") ? "Estimating ..." : "Estimate");
    estimate.disabled = model.get("estimating");
    order.disabled = model.get("ordering");
    const count = model.get("items").length;
    tell(order, model.get("ordering") ? "Ordering ..." : "Order " + count);
    // "Order 2" alone is also what the second order is called.
    order.setAttribute("aria-label", order.textContent + (count === 1 ? " product" : " products"));
  };
  const to = make("span", { class: "extenso-label", text: "Destination" });
  const foot = make(
    "div",
    { class: "extenso-row" },
    to,
    seg,
    make("div", { class: "extenso-grow extenso-cut" }, place),
    make("div", { class: "extenso-row extenso-basket-acts" }, clear, estimate, order),
  );
  const note = make("div", { class: "extenso-faint", role: "status" });
  const head = make("div", { class: "extenso-basket-head" }, title, empty, chips, more);
  root.append(head, sums, refused, foot, form, note);

  const stops = [
    watch(model, ["items"], drawChips),
    watch(model, ["hovered", "items"], drawHovered),
    watch(model, ["facts", "quota"], drawSums),
    watch(model, ["refused"], drawRefused),
    watch(model, ["destination"], drawPlace),
    watch(model, ["estimating", "ordering", "items"], drawBusy),
    watch(model, ["note"], () => (tell(note, model.get("note")), (note.hidden = !model.get("note")))),
  ];
  return () => stops.forEach((stop) => stop());
}

export default { render };
