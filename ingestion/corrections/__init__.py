"""The way of refused rows to whoever sent them and back: a CSV to correct in a spreadsheet, and what it says on return.

lists (with suggestions) writes, returned reads, tokens tie the two. What spreadsheets do to cells is in
ingestion/spreadsheets.py.
"""
