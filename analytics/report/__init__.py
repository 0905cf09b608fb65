"""The nightly report: `facts` finds what it says, `page` and `paper` set it as HTML and PDF, `nightly` sends."""
