"""What exists: agents, tools, names, search. Knows no network and no HTTP."""
