// What unfold's pages name in their attributes. Alpine's build without eval finds there only what is registered, and
// reads expressions, no statements.
document.addEventListener("alpine:init", () => {
  for (const component of [searchForm, searchDropdown, searchCommand]) Alpine.data(component.name, component);

  // Attributes may not name globals, so these stand in for them on every page.
  Alpine.data("theme", (chosen) => ({
    ...theme(chosen),
    window: { get location() { return { pathname: location.pathname, search: location.search }; } },
  }));

  Alpine.data("desk", (tab) => ({
    activeTab: (tab && getCurrentTab()) || tab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
    init() {
      this.$watch("sidebarDesktopOpen", (isOpen) => localStorage.setItem("sidebarDesktopOpen", isOpen ? "1" : "0"));
    },
  }));

  // Two statements, an `if`, and a style as text, which would be an inline one.
  const says = (attribute, start) => document.querySelectorAll(`[${CSS.escape(attribute)}^="${start}"]`);
  for (const one of says("x-on:click", "sidebarDesktopOpen = ")) {
    one.setAttribute("x-on:click", "sidebarDesktopOpen = !sidebarDesktopOpen");
  }
  for (const one of says("x-on:keydown.enter.prevent", "if (")) {
    const code = one.getAttribute("x-on:keydown.enter.prevent");
    one.setAttribute("x-on:keydown.enter.prevent", code.replace(/^if \((.+?)\) /, "$1 && "));
  }
  for (const one of says("x-bind:style", "'width: ' + ")) {
    one.setAttribute("x-bind:style", "{ width: changeListWidth + 'px' }");
  }
});
