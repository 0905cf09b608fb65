"""The marts over HTTP: lists with how far to trust them, and the statistics of facilities."""
