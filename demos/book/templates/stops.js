// Code that is too wide for its place scrolls with the arrow keys, so the Tab key must reach it; other code it passes over.
const width = new ResizeObserver(changes => {
  for (const { target } of changes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const pre of document.querySelectorAll("pre[tabindex]")) width.observe(pre);
