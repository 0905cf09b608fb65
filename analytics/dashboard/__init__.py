"""/dashboard: what the marts say, to look at. Server-rendered; each figure has its words, its table and its CSV."""
