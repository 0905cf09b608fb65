"""Schema bi described for the tools that read it: from the comments in the database and the metric catalogue."""
