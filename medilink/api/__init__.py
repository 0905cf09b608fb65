"""The API's wiring: who is calling, and what every request and every refusal have in common."""
