"""The clinical resources over HTTP: a module per resource, and the modules that every list and every write shares."""
