"""The production stack started whole, and tried: `python -m tests.stack --help`."""

import argparse
import os
import signal
import sys

import django

from medilink import embedded

embedded.configure_nothing()  # the models' tables are read by name only; the stack's own settings are its processes'
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
django.setup()

from tests.stack import image, in_image, production, rolling, smoke  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=production.__doc__)
    parser.add_argument("--web", type=int, default=3, metavar="N", help="web processes (default 3)")
    parser.add_argument("--worker", type=int, default=2, metavar="N", help="workers (default 2)")
    parser.add_argument("--rolling", type=int, metavar="ROUNDS", help="restart each under load, that often round")
    parser.add_argument("--files", type=int, default=60, help="of the night that is loaded meanwhile (default 60)")
    parser.add_argument("--stay", action="store_true", help="stay until Ctrl-C, to be looked at")
    parser.add_argument("--as-image", action="store_true", help="from what the image would hold (tests/stack/image.py)")
    said = parser.parse_args()
    if lacking := production.missing() + (image.missing() if said.as_image else []):
        print(f"Missing on this machine: {', '.join(lacking)}.", file=sys.stderr)
        return 2
    stack = (image.ImageStack if said.as_image else production.Stack)(said.web, said.worker)
    try:
        smoke.run(stack, print, smoke.STEPS)
        if said.as_image:
            smoke.run(stack, print, in_image.STEPS)
            print(stack.told())
        if said.rolling:
            rolled = rolling.restart_each(stack, rounds=said.rolling, files=said.files, say=print)
            print(rolled.told())
            return 1 if rolled.errors or rolled.wrong else 0
        if said.stay:
            print(f"https://{production.HOST}:{stack.port} at 127.0.0.1, trusted by {stack.authority}")
            signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        stack.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
