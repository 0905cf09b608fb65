"""`manage.py doctor`: what is wrong with this installation, and what to do about it, in plain words.

It looks, and changes nothing. It never shows a password, nor anything of a patient.
"""
