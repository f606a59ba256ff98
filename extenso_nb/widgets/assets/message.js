// One line that says what happened; an error also says why and what to do, and can be copied.

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "extenso-message";
  // Both regions stay in the page: a reader announces changes of a region, not new regions.
  const status = document.createElement("div");
  const alert = document.createElement("div");
  status.setAttribute("role", "status");
  alert.setAttribute("role", "alert");
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "extenso-copy";
  copy.textContent = "Copy report";
  root.append(status, alert, copy);
  el.append(root);

  const text = () => ["title", "detail", "hint"].map((name) => model.get(name)).filter(Boolean).join("\n");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      copy.textContent = "Copied";
    } catch (error) {
      copy.textContent = "Select the text to copy it";
    }
    setTimeout(() => (copy.textContent = "Copy report"), 2000);
  });

  const draw = () => {
    const level = model.get("level");
    const bad = level === "error" || level === "warning";
    root.dataset.level = level;
    root.hidden = !model.get("title");
    const title = document.createElement("strong");
    title.textContent = model.get("title");
    const parts = [title];
    for (const name of ["detail", "hint"]) {
      if (!model.get(name)) continue;
      const part = document.createElement("span");
      part.className = "extenso-" + name;
      part.textContent = model.get(name);
      parts.push(" ", part);
    }
    (bad ? status : alert).replaceChildren();
    (bad ? alert : status).replaceChildren(...parts);
    copy.hidden = level !== "error";
  };
  for (const name of ["level", "title", "detail", "hint"]) model.on("change:" + name, draw);
  draw();
  return () => {
    for (const name of ["level", "title", "detail", "hint"]) model.off("change:" + name, draw);
  };
}

export default { render };
