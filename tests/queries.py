"""Queries by the thousand: valid ones made by the grammar, the same damaged, garbage, and those that someone would try."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from extenso_nb.query import KEYWORDS

__all__ = ["nasty", "queries", "valid"]

_WORDS = (
    "GRD", "SLC", "S2MSI1C", "S2MSI2A", "OL_1_EFR___", "L2__NO2___", "Sentinel-1", "Sentinel-2", "Sentinel-5", "VV",
    "VH", "IW", "IW1", "ascending", "DESCENDING", "NRT-3h", "Fast-24h", "31TCJ", "20MNC", "S2A", "02.14", "Level-2A",
    "SAFE", "794.75", "true", "a", "é", "日本", "x\\:y", "\\AND", "\\u0041", "a&b", "x|y", "NOT_", "1e5", "-5", "\\-x",
    "e\u0301", "ß", "\U0001f6f0",
)  # fmt: skip
_PHRASES = (
    '"Near Real Time"', '"VV VH"', '"Sentinel-5 Precursor"', '""', '"*"', '"a\\"b\\\\"', '"Earth Observation"',
    '"  "', '"TO"', '"2024-06-01T10:56:19.024Z"', '"\u2028"', '"\\u0000"', '"NOT"',
    '"S2A_MSIL1C_20240601T105619_N0510_R094_T31TCJ_20240601T134512"',
)  # fmt: skip
_WILDCARDS = (
    "S2A*", "*_T31TCJ_*", "*_1SD?_*", "?", "**", "*a*a*a*b", "S1?_IW_*", "*.SAFE", "????", "\\**", "*\\?*",
    "*?*?*?*?*", "a?*", "*_*_*_*_*_*_*_*_*x", "S*2*A*1*0*", "*é", "*\\ *",
)  # fmt: skip
_REGEXES = (
    "/.+KB/", "/S[12 ]A.*/", "/(a+)+b/", "/(a|aa)*c/", "/[^a-c\\]]+/", "/S2A_.*(N05|N04).{3,40}/", "//",
    "/\\d+\\.\\d+ MB/", '/"x.y"@/', "/(.*)*x/", "/(a?){30}a{30}/", "/.{0,200}/", "/[\\w_]+/", "/a\\/b/",
    "/(((((a*)*)*)*)*)*b/", "/.*[A-Z].{60}/", "/(x+x+)+y/", "/(.*,){20}/", "/([0-9_]|.)*T/", "/a{1,100}b{1,100}/",
)  # fmt: skip
_BAD_REGEXES = (
    "/^a$/", "/a{5,2}/", "/(a/", "/a)/", "/[/", "/a**b++/", "/(((a{99}){99}){99}){99}/", "/~a/", "/<1-5>/", "/[z-a]/",
    "/\\/", "/(a{1000}){1000}/",
)  # fmt: skip
_DATES = (
    "NOW", "NOW-7DAYS", "NOW/DAY", "NOW-1YEAR", "NOW+3MONTHS-7DAYS/DAYS", "2024-06-01T00:00:00Z",
    "2024-06-01T10:56:19.024Z", "2015-01-01T00:00:00Z+1DAY", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59Z+1SECOND", "0001-01-01T00:00:00Z-1DAY", "NOW-999999999YEARS", "NOW+999999999MONTHS",
    "NOW-999999999SECONDS+999999999DAYS/YEAR", "NOW-1DAY-1DAY-1DAY/HOUR/DAY/MONTH/YEAR", "2024-02-29T00:00:00Z-1YEAR",
    "1582-10-10T00:00:00Z",
)  # fmt: skip
_BAD_DATES = (
    "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2023-02-29T00:00:00Z", "2024-06-31T00:00:00Z", "2024-06-01",
    "NOW-1", "NOW-1DAY1", "NOW/", "NOWT", "2024-06-01T24:00:00Z", "2024-06-01T23:59:60Z",
    "NOW-99999999999999999999DAYS", "-2024-06-01T00:00:00Z", "٢٠٢٤-06-01T00:00:00Z",
)  # fmt: skip
_NUMBERS = ("0", "5", "100", "-5", "12345", "175", "999999999999999", "007")
_BAD_NUMBERS = (
    "9" * 400,
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "-Infinity",
    "1_000",
    "0x10",
    "٣",
    "1e",
    "--5",
    "1.2.3",
    "1e-999999",
    "½",
)
_POINTS = (
    "0 0",
    "1.4 43.6",
    "180 90",
    "-180 -90",
    "180 0",
    "-180 0",
    "0 90",
    "0 -90",
    "179.999999 -89.999999",
    "1e1 -2.5e-3",
)
_BAD_GEOMETRIES = (
    "POINT(nan nan)", "POINT(inf 0)",
    "POINT(1e400 0)", "POINT(200 2)", "POINT(2 91)", "POINT()", "POLYGON EMPTY", "POLYGON((0 0,1 1))",
    "POLYGON((0 0,1 1,2 2,0 0))", "POLYGON((0 0,0 0,0 0,0 0))", "POLYGON((0 0,1 0,1 1,0 1))", "CIRCLE(0 0 1)",
    "ENVELOPE(1,2,3)", "ENVELOPE(1,2,3,4)", "91, 0", "0, 181", "POINT(1 2", "POINT 1 2",
    "MULTIPOLYGON(((0 0,1 1,1 0,0 0)),EMPTY)", "POINT(1 2) POINT(3 4)", "GEOMETRYCOLLECTION EMPTY", "POINT Z(1 2 3)",
    "POINT M(1 2 3)", "CURVEPOLYGON((0 0,1 0,1 1,0 0))", "SRID=4326;POINT(1 2)", "1e999, 0",
    "TRIANGLE((0 0,1 0,1 1,0 0))", "POLYGON((0 0,360 0,360 10,0 10,0 0))",
    "GEOMETRYCOLLECTION(" * 30 + "POINT(1 2)" + ")" * 30,
)  # fmt: skip
_PLAIN_KEYWORDS = tuple(KEYWORDS.values())
_RELATIONS = ("Intersects", "Contains", "IsWithin")
_LETTERS = 'aNOTADR*?:"\\/()[]{}~^!+-&| \t.,0159ZT_é\u3000\x00\x1f\ud800\U0010ffff\u200b\u202e\ufeff\ufffe'


def _ring(chance: random.Random, crossing: bool) -> str:
    """A ring: a box mostly; else corners anywhere, so that it crosses itself, the antimeridian, or a pole."""
    if not crossing:
        west, south = chance.uniform(-179, 170), chance.uniform(-89, 80)
        east, north = west + chance.uniform(0.01, 9), south + chance.uniform(0.01, 9)
        corners = [(west, south), (east, south), (east, north), (west, north)]
    else:
        corners = [(chance.randint(-180, 180), chance.randint(-90, 90)) for _ in range(chance.randint(3, 12))]
    return "((" + ",".join(f"{x:.6g} {y:.6g}" for x, y in [*corners, corners[0]]) + "))"


def _geometry(chance: random.Random) -> str:
    match chance.randrange(9):
        case 0:
            return f"{chance.uniform(-90, 90):.4f}, {chance.uniform(-180, 180):.4f}"
        case 1:
            return f"POINT({chance.choice(_POINTS)})"
        case 2:
            west, east, lat = chance.randint(-180, 180), chance.randint(-180, 180), chance.randint(0, 90)
            return f"ENVELOPE({west},{east},{lat},-{lat})"
        case 3 | 4:
            return "POLYGON" + _ring(chance, False)
        case 5:
            return "POLYGON" + _ring(chance, True)
        case 6:
            return (
                "MULTIPOLYGON("
                + ",".join(_ring(chance, chance.random() < 0.3) for _ in range(chance.randint(1, 3)))
                + ")"
            )
        case 7:
            return "LINESTRING(" + ",".join(chance.choices(_POINTS, k=chance.randint(2, 5))) + ")"
        case _:
            return f"GEOMETRYCOLLECTION(POINT({chance.choice(_POINTS)}),POLYGON{_ring(chance, chance.random() < 0.3)})"


def _bound(chance: random.Random, values: tuple[str, ...]) -> str:
    value = chance.choice(values)
    return "*" if chance.random() < 0.2 else f'"{value}"' if chance.random() < 0.2 else value


def _range(chance: random.Random, values: tuple[str, ...]) -> str:
    return f"{chance.choice('[{')}{_bound(chance, values)} TO {_bound(chance, values)}{chance.choice(']}')}"


def _value(chance: random.Random, kind: str, bad: float) -> str:
    wrong = chance.random() < bad
    match kind:
        case "spatial":
            relation = chance.choice(("Intersects", "Contains", "IsWithin", "intersects", "CONTAINS"))
            return f'"{relation}({chance.choice(_BAD_GEOMETRIES) if wrong else _geometry(chance)})"'
        case "date":
            dates = _BAD_DATES if wrong else _DATES
            return _range(chance, dates) if chance.random() < 0.8 else f'"{chance.choice(dates)}"'
        case "int" | "double":
            numbers = (
                _BAD_NUMBERS
                if wrong
                else _NUMBERS
                if kind == "int"
                else (*_NUMBERS, "0.5", "1e2", ".5", "-1.5E-3", "3.")
            )
            return _range(chance, numbers) if chance.random() < 0.6 else f'"{chance.choice(numbers)}"'
    match chance.randrange(8):
        case 0 | 1 | 2:
            return chance.choice(_WORDS)
        case 3:
            return chance.choice(_PHRASES)
        case 4:
            return chance.choice(_WILDCARDS)
        case 5:
            return chance.choice(_BAD_REGEXES if wrong else _REGEXES)
        case 6 if kind != "free":
            return _range(chance, ("a", "S2A", "\\*", "x.y", "31TCJ", "TO_"))
    return "*" if chance.random() < 0.2 else chance.choice(_WORDS)


def _clause(chance: random.Random, depth: int, bad: float) -> str:
    roll = chance.random()
    if depth and roll < 0.25:
        return f"({_expression(chance, depth - 1, bad)})"
    if roll < 0.35:
        return chance.choice(("NOT ", "!", "-", "+")) + _clause(chance, 0, bad)
    if roll < 0.45:
        return _value(chance, "free", bad)
    keyword = chance.choice(_PLAIN_KEYWORDS)
    name = keyword.name if chance.random() < 0.9 else keyword.name.title()
    if roll < 0.5 and keyword.kind in {"text", "string"}:
        return f"{name}:({' OR '.join(chance.choices(_WORDS, k=3))})"
    return f"{name}:{_value(chance, keyword.kind, bad)}" + ("^2" if chance.random() < 0.03 else "")


def _expression(chance: random.Random, depth: int, bad: float) -> str:
    joint = chance.choice((" AND ", " OR ", " ", " && ", " || "))
    return joint.join(_clause(chance, depth, bad) for _ in range(chance.choice((1, 1, 2, 2, 3, 4))))


def valid(chance: random.Random) -> str:
    """A query as the grammar has it; some have a `+` beside OR, which is refused."""
    return _expression(chance, 3, 0.0)


def _damaged(chance: random.Random, text: str, other: str) -> str:
    for _ in range(chance.randint(1, 5)):
        at, length = chance.randrange(len(text) + 1), chance.randint(0, 8)
        match chance.randrange(7):
            case 0:
                text = text[:at] + text[at + length :]
            case 1:
                text = text[:at] + "".join(chance.choices(_LETTERS, k=length)) + text[at:]
            case 2:
                text = text[:at] + chance.choice(_LETTERS) + text[at + 1 :]
            case 3:
                text = text[:at] + other[chance.randrange(len(other) + 1) :]
            case 4:
                text = text[:at] + text[at : at + length] * chance.randint(2, 60) + text[at + length :]
            case 5:
                text = (
                    text[:at] + chr(ord(text[at]) ^ (1 << chance.randrange(7))) + text[at + 1 :]
                    if at < len(text)
                    else text
                )
            case _:
                text = text[::-1] if chance.random() < 0.1 else text.swapcase()
    return text


def _garbage(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return "".join(chance.choices(_LETTERS, k=chance.randint(1, 60)))
    return "".join(
        chr(chance.choice((chance.randrange(128), chance.randrange(0x3000), chance.randrange(0x110000))))
        for _ in range(chance.randint(1, 40))
    )


# --- those that someone would try --------------------------------------------------------------------------------
def _star(chance: random.Random, count: int, digits: int = 0) -> str:
    """A ring of `count` corners that crosses itself about as often as is possible."""
    corners = [f"{chance.uniform(-80, 80):.{digits}f} {chance.uniform(-80, 80):.{digits}f}" for _ in range(count)]
    return ",".join([*corners, corners[0]])


def _triangles(chance: random.Random, most: int, kind: str) -> str:
    return ",".join(f"{kind}(({_star(chance, 3)}))" for _ in range(chance.randint(1, most)))


def _holes() -> str:
    holes = (f",({x} {y},{x + 1} {y},{x} {y + 1},{x} {y})" for x in range(-80, 80, 7) for y in range(-70, 70, 9))
    return "".join(holes)[:9800].rpartition(",(")[0]


def _around(count: int) -> str:
    """Round and round the Earth."""
    corners = [f"{(index * 119 + 180) % 360 - 180} {index % 80}" for index in range(count)]
    return ",".join([*corners, corners[0]])


def _place(geometry: str, relation: str = "Intersects") -> str:
    return f'footprint:"{relation}({geometry})"'


def _fill(piece: str, joint: str = " ", most: int = 1024, length: int = 10_000) -> str:
    return joint.join([piece] * min(most, (length + len(joint)) // (len(piece) + len(joint))))


def nasty(chance: random.Random) -> Iterator[str]:
    """What would take long, or much memory, or deep recursion, if it were let. No two rounds are the same."""
    makers: list[Callable[[], str]] = [
        lambda: "(" * chance.randint(1, 5000),
        lambda: "(" * 49 + _fill("a", length=9900) + ")" * 49,
        lambda: "NOT " * chance.randint(1, 2000) + "a",
        lambda: chance.choice("!-+") * chance.randint(1, 9999) + "a",
        lambda: _fill("a", " OR "),
        lambda: _fill("-a", most=700),
        lambda: _fill(f"-a{chance.randrange(10)}*"),
        lambda: _fill("-*a*b*", most=500),
        lambda: _fill("-/(a|b)*c{9}/"),
        lambda: _fill("-/.*.{99}/"),
        lambda: _fill("-/a{400}/"),
        lambda: _fill('-"a b"', most=600),
        lambda: _fill("-title:*x*x", most=500),
        lambda: _fill("-title:/.*x/", most=500),
        lambda: _fill("-mode:a", most=500),
        lambda: _fill("-size:9", most=500),
        lambda: _fill('-size:["1" TO "2"]'),
        lambda: "title:" + "*a" * chance.randint(1, 4990) + "b",
        lambda: "title:" + "?" * chance.randint(1, 9990),
        lambda: "title:" + "*?" * chance.randint(1, 4990) + "x",
        lambda: "*" + "a*" * chance.randint(1, 4990),
        lambda: "*_" * chance.randint(1, 4990) + "x",
        lambda: "title:/" + chance.choice(("(a+)+", "(a|a)*", "(.*)*", "(.+.+)+", ".*[A-Z0-9]")) * chance.randint(1, 90) + "x/",
        lambda: f"/.*[A-Z0-9_].{{{chance.randint(1, 480)}}}/",
        lambda: f"/(.?){{{chance.randint(1, 240)}}}x/",
        lambda: f"/({'|'.join(chance.choices('abS2_.', k=chance.randint(2, 230)))})*x/",
        lambda: "title:/" + "(" * 50 + "a" + ")*" * 50 + "/",
        lambda: "title:/" + "[" + "a" * 9000 + "]*/",
        lambda: "title:/" + "[" + "a-z" * 3000 + "]*/",
        lambda: "title:/" + "x" * chance.randint(1, 9000) + "/",
        lambda: "title:/" + "a?" * chance.randint(1, 4900) + "/",
        lambda: "title:/" + "\\" * 9000 + "/",
        lambda: '"' + "\\" * chance.randint(1, 9990) + '"',
        lambda: '"' + "a " * chance.randint(1, 4990) + '"',
        lambda: "-title:" + "\\ " * 4000,
        lambda: "\\u0041" * 1600,
        lambda: "orbitnumber:" + "9" * chance.randint(1, 9900),
        lambda: "cloudcoverpercentage:" + "9" * chance.randint(1, 9900) + "e9",
        lambda: "cloudcoverpercentage:1e" + "9" * chance.randint(1, 20),
        lambda: "cloudcoverpercentage:0." + "0" * chance.randint(1, 9900) + "1",
        lambda: "beginposition:[NOW" + "+1DAY" * chance.randint(1, 1900) + " TO *]",
        lambda: "beginposition:[NOW" + "/DAY" * chance.randint(1, 2400) + " TO *]",
        lambda: "beginposition:[NOW" + "-999999999YEARS" * chance.randint(1, 600) + " TO *]",
        lambda: _fill("-beginposition:[NOW+1DAY/DAY TO *]"),
        lambda: _fill('-beginposition:"NOW+1DAY-1DAY/DAY"'),
        lambda: _place("POINT(" + "1" * 9000 + " 2)"),
        lambda: _place("POINT(0." + "1" * 9000 + " 2)"),
        lambda: _place("POINT(1e-" + "9" * 3 + " 2)"),
        lambda: _place("(" * chance.randint(1, 9000)),
        lambda: _place("GEOMETRYCOLLECTION(" * chance.randint(1, 300) + "POINT(1 2)" + ")" * 300),
        lambda: _place("POLYGON((" + _star(chance, chance.randint(3, 1500)) + "))", chance.choice(_RELATIONS)),
        lambda: _place("POLYGON((" + _star(chance, chance.randint(3, 400), 4) + "))"),
        lambda: _place("POLYGON((" + _around(chance.randint(3, 1200)) + "))"),
        lambda: _place("LINESTRING(" + _star(chance, chance.randint(2, 1500)) + ")", chance.choice(_RELATIONS)),
        lambda: _place("MULTIPOINT(" + _star(chance, chance.randint(2, 1500)) + ")", chance.choice(_RELATIONS)),
        lambda: _place("MULTILINESTRING(" + _fill("(0 0,9 9)", ",", 9000, 9900) + ")", "IsWithin"),
        lambda: _place("MULTIPOLYGON(" + _triangles(chance, 250, "") + ")", "IsWithin"),
        lambda: _place("GEOMETRYCOLLECTION(" + _triangles(chance, 220, "POLYGON") + ")", chance.choice(_RELATIONS)),
        lambda: _place("GEOMETRYCOLLECTION(" + _fill("POINT(1 2)", ",", 9000, 9900) + ")", chance.choice(_RELATIONS)),
        lambda: _place("POLYGON((-90 -80,90 -80,90 80,-90 80,-90 -80)" + _holes() + ")"),
        lambda: _place("POLYGON((-180 90,0 90,180 90,180 -90,0 -90,-180 -90,-180 90))", "IsWithin"),
        lambda: _place("POLYGON((" + ",".join(f"{x} 80" for x in [*range(-180, 181, 1), *range(-180, 181, 1)]) + ",-180 80))"),
        lambda: " ".join(f'-footprint:"Contains({chance.randint(-90, 90)},{chance.randint(-180, 180)})"' for _ in range(300)),
        lambda: " ".join(f'-footprint:"Intersects(POLYGON{_ring(chance, True)})"' for _ in range(60)),
        lambda: _fill(_place("1,2"), " OR "),
        lambda: _fill("x" * chance.randint(1, 60) + ":y"),
        lambda: "".join(chance.choices(list(KEYWORDS), k=8)) + ":x",
        lambda: _fill("platformname:a", " OR "),
        lambda: "title:(" + _fill("a*b*c", " OR ", 1024, 9980) + ")",
        lambda: "\x00" * chance.randint(1, 10_000),
        lambda: "\u3000" * 9999 + "a",
        lambda: "a" * chance.randint(9_990, 200_000),
        lambda: _fill(chance.choice(_REGEXES), " OR "),
        lambda: _fill("-" + chance.choice(_WILDCARDS)),
    ]  # fmt: skip
    while True:
        yield from (maker() for maker in makers)


def queries(seed: int, count: int, recorded: tuple[str, ...] = ()) -> Iterator[str]:
    """`count` texts, the same for the same seed: half damaged, a quarter valid or nearly so, the rest garbage and attacks."""
    chance = random.Random(seed)
    attacks = nasty(chance)
    pool = [valid(chance) for _ in range(200)] + [text for text in recorded if len(text) < 1500]
    for number in range(count):
        roll = chance.random()
        if roll < 0.24:
            text = _expression(chance, 3, 0.15 if roll < 0.08 else 0.0)
            pool[number % 200] = text[:1500]
        elif roll < 0.80:
            text = _damaged(chance, chance.choice(pool), chance.choice(pool))
        elif roll < 0.99:
            text = _garbage(chance)
        else:
            text = next(attacks)
        yield text
