"use strict";
// Opens the check that a link leads to, moves the sliders, sorts and filters maps, copies. All else needs no script.
const openTarget = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (target) {
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary")?.focus({ preventScroll: true });
  }
};
addEventListener("hashchange", openTarget);
openTarget();

for (const slider of document.querySelectorAll("input[type=range]")) {
  const viewer = slider.parentElement;
  slider.addEventListener("input", () => viewer.style.setProperty("--at", `${slider.value}%`));
}

for (const map of document.querySelectorAll(".map")) {
  const rows = [...map.querySelectorAll(".row")];
  const [tools, name, order, left, said] = [".tools", "[type=search]", "select", "[type=checkbox]", "output"].map(
    (part) => map.querySelector(part),
  );
  const number = (row, key) => (row.dataset[key] === "" ? Infinity : Number(row.dataset[key].replace("inf", "Infinity")));
  const orders = {
    "": () => 0,
    first: (a, b) => number(a, "first") - number(b, "first") || 0,
    largest: (a, b) => number(b, "largest") - number(a, "largest") || 0,
  };
  const show = () => {
    map.append(...[...rows].sort(orders[order.value]));
    for (const row of rows) {
      const text = row.querySelector("summary").textContent.toLowerCase();
      row.hidden = !text.includes(name.value.toLowerCase()) || (left.checked && !row.classList.contains("left"));
    }
    said.value = `${rows.filter((row) => !row.hidden).length} of ${map.dataset.streams} streams`;
  };
  tools.addEventListener("input", show);
  tools.hidden = false;
  show();
}

for (const button of document.querySelectorAll(".accept button")) {
  const line = button.previousElementSibling;
  button.hidden = false;
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(line);
    await navigator.clipboard.writeText(line.textContent);
    button.textContent = "Copied";
  });
}
