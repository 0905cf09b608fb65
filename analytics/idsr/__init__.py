"""Integrated Disease Surveillance and Response: cases of notifiable diseases, as a line list and as the weekly form."""
