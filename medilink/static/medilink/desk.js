// What unfold's pages name in their attributes. Alpine's build without eval finds there only what is registered.
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
});
