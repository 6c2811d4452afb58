"""Secrets, each with the part that must not be seen, and what only looks like one.

Card numbers are those that the networks and processors publish for tests; keys are made up in the
form that their issuers publish, put together here so that no scanner takes them for real.
"""

from __future__ import annotations

B62 = "aZ3kQ9xW7vB2nM5tR8yU1pL4sD6fG0hJcEiOqTzK"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + B62 + "\n" + B62 + "\n-----END RSA PRIVATE KEY-----"
)

CARDS = (
    "4111111111111111", "4242 4242 4242 4242", "4012-8888-8888-1881", "5555555555554444",
    "5105105105105100", "2223003122003222", "378282246310005", "3714 496353 98431",
    "6011111111111117", "6011000990139424", "30569309025904", "3530111333300000",
    "6200000000000005", "4222222222222", "3566002020360505",
)  # fmt: skip
# Text, and the part of it that is secret.
SECRETS: tuple[tuple[str, str], ...] = (
    *((f"card {number} was declined", number) for number in CARDS),
    ("paid with 4242424242424242.", "4242424242424242"),
    ("iban DE89 3704 0044 0532 0130 00 is closed", "3704 0044 0532 0130 00"),
    ("from GB82WEST12345698765432", "WEST12345698765432"),
    ("FR1420041010050500013M02606 refused", "20041010050500013M02606"),
    ("no account for jane.doe+shop@example.co.uk here", "jane.doe+shop@example.co.uk"),
    ("<jane@example.com>: mailbox full", "jane@example.com"),
    ("User(email='jane@example.com')", "jane@example.com"),
    ("call +49 30 901820 now", "30 901820"),
    ("sms to +14155552671 failed", "4155552671"),
    ("sms to +44 (0)20 7946 0958 failed", "7946 0958"),
    (f"bad token {JWT}", JWT.split(".")[2]),
    (f"Bearer {B62}", B62),
    ("header Basic amFuZTpodW50ZXIy refused", "amFuZTpodW50ZXIy"),
    ("AKIA" + "IOSFODNN7EXAMPLE not allowed", "IOSFODNN7EXAMPLE"),
    ("key AIza" + "SyA1234567890abcdefghijklmnopqrstuv-", "SyA1234567890abcdefghijklmnop"),
    ("gh" + "p_" + B62[:36] + " revoked", B62[:36]),
    ("github_pat_" + B62[:30], B62[:30]),
    ("glpat-" + B62[:20], B62[:20]),
    ("xox" + "b-123456789012-" + B62[:24], B62[:24]),
    ("https://hooks.slack.com/services/T00000000/B00000000/" + B62[:24], B62[:24]),
    ("sk" + "_live_" + B62[:24] + " expired", B62[:24]),
    ("sk-" + B62 + " is over its quota", B62),
    ("npm_" + B62[:36], B62[:36]),
    ("SG." + B62[:22] + "." + B62, B62),
    ("AccountKey=" + B62 + B62 + "==;EndpointSuffix=core.windows.net", B62),
    (PEM, B62),
    (PEM.replace("\n", "\\n"), B62),
    (PEM.partition("-----END")[0], B62),
    ("postgres://shop:hunt3r2@db.internal:5432/shop refused", "hunt3r2"),
    ("redis://:hunt3r2@cache:6379/0", "hunt3r2"),
    ("amqp://u:p@ss/w0rd@mq/", "p@ss/w0rd"),
    ("connect failed: host=db user=shop password=hunt3r2 dbname=shop", "hunt3r2"),
    ("password='hunt er2, and more'", "hunt er2, and more"),
    ('{"user": "jane", "password": "hunt\\"er2"}', 'hunt\\"er2'),
    ('"{\\"api_key\\": \\"hunt3r2\\"}"', "hunt3r2"),
    ("GET /login?user=jane&token=hunt3r2&next=/ failed", "hunt3r2"),
    ("client_secret: hunt3r2", "hunt3r2"),
    ("DB_PASSWORD=hunt3r2", "hunt3r2"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
    ("{'Authorization': 'Digest username=jane'}", "Digest username=jane"),
    ("Authorization: Custom abc def", "Custom abc def"),
    ("Cookie: sid=abc123; theme=dark", "sid=abc123; theme=dark"),
    ("[(b'cookie', b'sid=abc123')]", "sid=abc123"),
    ("sessionid=abc123def", "abc123def"),
    ("{'password': ['hunt3r2']}", "hunt3r2"),
    ("X-Api-Key: hunt3r2", "hunt3r2"),
    ("cvv=123", "123"),
)

LOOK_ALIKES: tuple[str, ...] = (
    "order 4111111111111112 not found",
    "order 1234567890123456 not found",
    "order 2024112100012345 not found",
    "shipment 9400110200881234567890 lost",
    "id 3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "id 41111111-1111-4111-1111-411111111111",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "md5 d41d8cd98f00b204e9800998ecf8427e",
    "commit 17cf603a2b4c6d8e0f1a2b3c4d5e6f7a8b9c0d1e",
    "at 2026-11-21T14:52:55.123456+01:00",
    "at 1763736775123 ms", "at 1763736775123456789 ns",
    "needs starlette>=1.10.0,<2 but found 0.49.1",
    "django 6.1.3 on CPython 3.13.0 (main, Oct 7 2024)",
    "pi is 3.141592653589793",
    "0x7f3b4c2d1e80: <Shop object at 0x7f3b4c2d1e80>",
    "127.0.0.1:8000 refused the connection",
    "http://inventory.internal:8080/stock/espresso answered 503",
    "git@github.com:shop/shop.git not found",
    "npm react@18.2.0 is missing",
    "@app.route is no decorator",
    "the token has expired", "token: expired", "password: must not be empty",
    "invalid password", "KeyError: 'password'", "session closed", "bearer token missing",
    "Basic authentication required", "unknown fields: ['password', 'name']",
    "InvalidToken: the signature does not fit",
    "max_tokens=512 is too much", "tokens: 512", "secretary: Jane", "author: Jane Doe",
    "passenger=12A", "compass: north", "pinned=3", "monkey: banana", "keyboard=us",
    "a+b=c", "1 + 12345678", "version 1.2.3+20241121", "2 ** 64 = 18446744073709551616",
    "list index out of range", "division by zero",
    "invalid literal for int() with base 10: 'espresso'",
    "'NoneType' object has no attribute 'price'",
    "expected str, got int: 42",
    "UNIQUE constraint failed: shop_order.number",
    'duplicate key value violates unique constraint "shop_pkey" DETAIL: Key (id)=(42) exists',
    "[Errno 111] Connection refused", "HTTPConnectionPool(host='inventory', port=80): timed out",
    "SKU 0123-4567-8901 is out of stock", "EAN 4006381333931 unknown", "ISBN 978-3-16-148410-0",
)  # fmt: skip
