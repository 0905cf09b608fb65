"""Probable duplicates of patients and facilities: who may be the same, how sure that is, and why.

`names` and `places` compare what people and facilities are called, `scoring` weighs what agrees and what does not,
`search` finds and stores the pairs. A pair is a question to a steward; nothing here merges anything.
"""
