"use strict";
// Opens the check that a link leads to, and moves the sliders. Everything else works without a script.
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
  const frames = slider.parentElement.querySelector(".frames");
  slider.addEventListener("input", () => frames.style.setProperty("--at", `${slider.value}%`));
}
