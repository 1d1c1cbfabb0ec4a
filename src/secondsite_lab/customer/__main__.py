"""`python -m secondsite_lab.customer`: shop until stopped; `… verify --log FILE`: what of it is still there."""

import argparse
import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import dns.exception

from secondsite_lab.customer.attempt import Attempt, Refused, Shop
from secondsite_lab.customer.shopping import Habit, shop_until_stopped
from secondsite_lab.customer.verify import verify
from secondsite_lab.topology import SERVICE_NAME, SERVICE_PORT, WORLD, ZONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="secondsite_lab.customer",
        description="A customer of the shop: orders and uploads without pause, one JSON line for each attempt. "
        "With 'verify' it asks the shop which of the acknowledged ones exist now.",
    )
    parser.add_argument("act", nargs="?", choices=("shop", "verify"), default="shop")
    parser.add_argument("--url", default=f"http://{SERVICE_NAME}.{ZONE}:{SERVICE_PORT}", help="the shop (%(default)s)")
    parser.add_argument("--name-server", default=WORLD.address, help="asked anew for each connection (%(default)s)")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds of patience with an attempt (%(default)s)")
    parser.add_argument("--order-interval", type=float, default=200.0, help="ms between orders; 0: none (%(default)s)")
    parser.add_argument("--upload-interval", type=float, default=1000.0, help="ms between uploads (%(default)s)")
    parser.add_argument("--upload-size", type=int, default=4096, help="bytes of an upload (%(default)s)")
    parser.add_argument("--duration", type=float, help="stop after so many seconds")
    parser.add_argument("--log", type=Path, help="append the lines to this file too; verify reads it")
    parser.add_argument("--address", help="verify: ask this address and not the name server")
    return parser


def _shop(shop: Shop, options: argparse.Namespace) -> None:
    habit = Habit(options.order_interval / 1000, options.upload_interval / 1000, options.upload_size, options.duration)
    with ExitStack() as open_files:
        outputs: list[TextIO] = [sys.stdout]
        if options.log is not None:
            outputs.append(open_files.enter_context(options.log.open("a")))

        def tell(attempt: Attempt) -> None:
            for output in outputs:
                print(attempt.line(), file=output, flush=True)

        asyncio.run(shop_until_stopped(shop, habit, tell))


def main() -> None:
    """Exit codes: 0 done, 2 usage, 3 the shop could not be asked."""
    parser = _parser()
    options = parser.parse_args()
    shop = Shop(urlsplit(options.url), options.name_server, options.timeout)
    if options.act == "shop":
        _shop(shop, options)
        return
    if options.log is None:
        parser.error("verify needs --log FILE")
    try:
        verdict = asyncio.run(verify(shop, options.log.read_text().splitlines(), options.address))
    except (OSError, Refused, dns.exception.DNSException) as error:
        print(f"secondsite_lab.customer: {type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(3) from None
    print(verdict.document())


if __name__ == "__main__":
    main()
