"""SMART backend services: a registered program proves with its own key who it is, and gets a token for minutes.

A token is never wider than the program's user, and narrowed to the types of resource that its scopes name.
"""

PREFIX = "mls_"  # of a token
