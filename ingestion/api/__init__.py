"""What was delivered and what became of it, over HTTP; a steward's decisions call what the admin and commands call."""
