"""Product identifiers: every one of the recorded answers, the grammar both ways, and what is refused and how."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from extenso_nb import products
from extenso_nb.errors import InputError, ProductIdError

LOOSE = re.compile(rb"(?<![A-Za-z0-9])S(?:1[A-Z]|2[A-Z]|3[A-Z_]|5P)_[A-Za-z0-9_\-]{20,}")
NOT_PRODUCTS = {
    "auxiliary": r"_AUX_|_OPER_(?:GIP|CFG|LUT|REF|MPL|GRI|DEM)_|^S3[A-Z_]_.{9}AX_|^S2__OPER_",
    "granule or datastrip": r"^S2[A-Z]_OPER_MSI_L|^S3[A-Z_]_[A-Z]{2}_0_.{5}G_|^S1[A-Z]_[a-z]",
    "telemetry": r"^S3[A-Z_]_TM_",
    "with a suffix (quicklook, map ...)": r"(?:-ql|_quicklook|_thumbnail|_ql|-thumb\w*|_ortho\w*|_NAVATT\w*)$",
    "another catalogue's own name": r"^S2[A-Z]_T?\d\d[A-Z]{3}_\d{8}|^S2[A-Z]_tile_"
    r"|^S2[A-Z]_MSIL2A_\d{8}T\d{6}_R\d{3}_T\w{5}_\d{8}T\d{6}$"
    r"|^S3[A-Z]_[A-Z]{2}_\d_[A-Z0-9_]{3,6}_\d{8}T\d{6}_\d{8}T\d{6}_\d{4}_\d{3}_\d{3}(?:_\d{4})?$|^S3[A-Z]_SY_2_V(?:10|G1)_\d{8}T\d{6}_\d{8}T\d{6}_[A-Z]+$"
    r"|^S5P_L2_[A-Z0-9_]{6}_?\d{8}T\d{6}_\d{8}T\d{6}_\d{5}$",
    "cut short": r"^S1[A-Z]_\w{2}_\w{4}_\w{4}_\d{8}T\d{6}$",
}


def test_every_identifier_of_the_recorded_answers(shared_data: Path) -> None:
    found: set[str] = set()
    text_files = {".json", ".xml", ".safe", ".txt", ".geojson"}
    for path in sorted(shared_data.rglob("*")):
        if path.is_file() and (path.suffix in text_files or "catalog" in path.parts):
            found |= {text.decode("ascii") for text in LOOSE.findall(path.name.encode() + b"\n" + path.read_bytes())}
    missions: Counter[str] = Counter()
    others: dict[str, list[str]] = {}
    for text in sorted(found):
        try:
            product = products.parse(text)
        except ProductIdError:
            reason = next((name for name, pattern in NOT_PRODUCTS.items() if re.search(pattern, text)), "unexplained")
            others.setdefault(reason, []).append(text)
            continue
        assert products.format(product) == text
        assert product.start <= product.stop
        assert product.archive_name.startswith(text)
        assert 1_000_000 <= product.typical_size <= 10_000_000_000
        missions[product.collection] += 1
    assert others.get("unexplained", []) == []
    assert sum(missions.values()) > 800
    assert missions["S1"] >= 90
    assert missions["S2"] >= 150
    assert missions["S3"] >= 450
    assert missions["S5P"] >= 30
    assert sum(len(texts) for reason, texts in others.items() if reason == "cut short") <= 3


def test_names_of_the_real_products(shared_data: Path) -> None:
    names = [
        path.name
        for path in shared_data.glob("s*/**/*")
        if path.name.endswith((".SAFE", ".SEN3"))
        or re.match(r"S[123]\w{60,}\.zip$|S5P_(?:OFFL|NRTI|RPRO)\w+\.nc$", path.name)
    ]
    assert len(names) > 40
    for name in names:
        product = products.parse(name)
        assert products.format(product) == products.strip(name)
        assert name.replace(".zip", "").startswith(product.id)


def test_recorded_relative_orbits_agree_with_the_formula(shared_data: Path) -> None:
    """SciHub's answers give orbit and relative orbit of Sentinel-1 products."""
    checked = 0
    for path in sorted((shared_data / "catalog" / "dhus_scihub").iterdir()):
        text = path.read_bytes().decode("utf-8", "replace")
        for entry in text.split('"title":')[1:]:
            name = re.match(r'\s*"(S1[A-Z]_\w+)"', entry)
            relative = re.search(r'"name":\s*"relativeorbitnumber",\s*"content":\s*"(\d+)"', entry)
            if name is None or relative is None:
                continue
            assert products.parse(name[1]).relative_orbit_number == int(relative[1])
            checked += 1
    assert checked > 50


def test_one_of_each() -> None:
    grd = products.parse("S1A_IW_GRDH_1SDV_20241124T180254_20241124T180319_056700_06F516_BA27_COG")
    assert (grd.collection, grd.platform, grd.instrument) == ("S1", "Sentinel-1A", "SAR-C SAR")
    assert (grd.product_type, grd.processing_level, grd.sensor_mode, grd.polarisation) == ("GRD", "L1", "IW", "VV VH")
    assert (grd.orbit_number, grd.relative_orbit_number) == (56700, (56700 - 73) % 175 + 1)
    assert (grd.start, grd.stop) == (
        datetime(2024, 11, 24, 18, 2, 54, tzinfo=UTC),
        datetime(2024, 11, 24, 18, 3, 19, tzinfo=UTC),
    )
    assert grd.archive_name == "S1A_IW_GRDH_1SDV_20241124T180254_20241124T180319_056700_06F516_BA27_COG.SAFE.zip"
    assert 1_200_000_000 <= grd.typical_size <= 1_400_000_000
    assert (grd["suffix"], grd["unique"], str(grd)) == ("_COG", "BA27", grd.id)

    l2a = products.parse("S2C_MSIL2A_20260319T103019_N0512_R108_T32UPE_20260319T151320")
    assert (l2a.platform, l2a.instrument, l2a.product_type, l2a.processing_level) == (
        "Sentinel-2C",
        "MSI",
        "S2MSI2A",
        "L2A",
    )
    assert (l2a.tile_id, l2a.relative_orbit_number, l2a.processing_baseline) == ("32UPE", 108, "05.12")
    assert l2a.start == l2a.stop
    assert l2a.created is None
    assert l2a.orbit_number is None
    assert products.parse("S2A_MSIL2Ap_20170630T105031_N0205_R051_T31UFS_20170630T105303").product_type == "S2MSI2Ap"

    old = products.parse("S2A_OPER_PRD_MSIL1C_PDMC_20151219T220449_R139_V20151219T145832_20151219T145833")
    assert (old.product_type, old.tile_id, old.relative_orbit_number) == ("S2MSI1C", None, 139)
    assert old.created == datetime(2015, 12, 19, 22, 4, 49, tzinfo=UTC)
    assert (old.start.second, old.stop.second) == (32, 33)
    assert old.typical_size > 2_000_000_000

    olci = products.parse(
        "S3C_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002"
    )
    assert (olci.platform, olci.instrument, olci.product_type) == ("Sentinel-3C", "OLCI", "OL_1_EFR___")
    assert (olci.processing_level, olci.timeliness, olci.processing_baseline) == ("L1", "Near Real Time", "002")
    assert (olci.relative_orbit_number, olci.extension) == (334, ".SEN3")
    assert products.parse("S3_" + olci.id[3:]).platform == "Sentinel-3"
    area = products.parse(
        "S3B_SY_2_V10____20200401T163346_20200411T163346_20200421T171207_NORTH_AMERICA_____LN2_O_NT_002"
    )
    assert (area.instrument, area.relative_orbit_number, area["instance"].rstrip("_")) == (
        "SYNERGY",
        None,
        "NORTH_AMERICA",
    )

    no2 = products.parse("S5P_RPRO_L2__NO2____20220222T112503_20220222T130634_22602_03_020400_20221106T094213")
    assert (no2.platform, no2.instrument, no2.product_type) == ("Sentinel-5P", "TROPOMI", "L2__NO2___")
    assert (no2.processing_level, no2.orbit_number, no2.timeliness) == ("L2", 22602, "Reprocessing")
    assert (no2.processing_baseline, no2.archive_name) == ("020400", no2.id + ".nc")
    assert products.parse("S5P_NRTI" + no2.id[8:]).typical_size < no2.typical_size / 10


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("S1D_IW_SLC__1SDV_20260105T060000_20260105T060027_000900_0012AB_00FF", {"relative_orbit_number": None}),
        ("S1C_IW_RAW__0SSH_20250118T171404_20250118T171421_000638_000538_4B8B", {"relative_orbit_number": 117}),
        (
            "S1A_IW_SL1__1_SH_20141031T095929_20141031T100002_003072_003842_91FC",
            {"product_type": "SLC", "polarisation": "HH"},
        ),
        ("S1A_IW_ETA__AXDV_20240601T055126_20240601T055151_054126_0694C4_5A1B", {"processing_level": "L1"}),
        (
            "S1A_S6_RAW__0SDV_20210402T115511_20210402T115536_037271_046407_C438",
            {"sensor_mode": "SM", "processing_level": "L0"},
        ),
        (
            "S1A_WV_OCN__2SSV_20150619T211030_20150619T211738_006447_008883_C1F4",
            {"processing_level": "L2", "sensor_mode": "WV"},
        ),
        ("S2D_MSIL1C_20290101T000000_N0600_R143_T60XWV_20290101T000001", {"platform": "Sentinel-2D"}),
        ("S5P_PAL__L2__NO2____20180501T000743_20180501T014913_02839_01_020301_20211108T074437", {"timeliness": None}),
        (
            "S5P_OFFL_L1B_RA_BD7_20241203T104901_20241203T123031_37002_03_020100_20241204T083504",
            {"processing_level": "L1B"},
        ),
        (
            "S3A_SR_1_SRA_BS_20181123T034448_20181123T034708_20181218T182901_0139_018_047______LN3_O_NT_003",
            {"instrument": "SRAL"},
        ),
        (
            "S3A_MW_1_MWR____20210611T002436_20210611T020700_20210611T023106_6143_072_373______LN3_O_NR_004",
            {"instrument": "MWR"},
        ),
    ],
)
def test_rare_ones(text: str, attributes: dict[str, object]) -> None:
    product = products.parse(text)
    assert {name: getattr(product, name) for name in attributes} == attributes
    assert products.format(product) == text


# --- both ways -------------------------------------------------------------------------------------------------------
moments = st.datetimes(datetime(2014, 1, 1), datetime(2039, 12, 31)).map(lambda moment: moment.replace(microsecond=0))
spans = st.tuples(moments, moments).map(sorted)
HEX = "0123456789ABCDEF"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}"


def number(count: int, low: int = 0, high: int | None = None) -> st.SearchStrategy[str]:
    return st.integers(low, 10**count - 1 if high is None else high).map(lambda value: f"{value:0{count}d}")


@st.composite
def sentinel1(draw: st.DrawFn) -> str:
    start, stop = draw(spans)
    mode = draw(st.sampled_from(["IW", "EW", "WV", "S1", "S4", "S6", "EN", "N3", "RF"]))
    kind = draw(
        st.sampled_from(["GRDH_1S", "GRDM_1S", "GRDF_1A", "SLC__1S", "RAW__0N", "OCN__2S", "ETA__AX", "SL1__1_"])
    )
    pol = draw(st.sampled_from(["SH", "SV", "DH", "DV", "HH", "HV", "VV", "VH"]))
    tail = (
        f"{draw(number(6))}_{draw(st.text(HEX, min_size=6, max_size=6))}_{draw(st.text(HEX, min_size=4, max_size=4))}"
    )
    cog = draw(st.sampled_from(["", "_COG"]))
    return f"S1{draw(st.sampled_from(LETTERS))}_{mode}_{kind}{pol}_{stamp(start)}_{stamp(stop)}_{tail}{cog}"


@st.composite
def sentinel2(draw: st.DrawFn) -> str:
    tile = draw(number(2, 1, 60)) + draw(st.from_regex("[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]", fullmatch=True))
    level = draw(st.sampled_from(["L1C", "L2A", "L2Ap"]))
    return (
        f"S2{draw(st.sampled_from(LETTERS))}_MSI{level}_{stamp(draw(moments))}_N{draw(number(4))}"
        f"_R{draw(number(3, 1, 143))}_T{tile}_{stamp(draw(moments))}"
    )


@st.composite
def sentinel2_old(draw: st.DrawFn) -> str:
    start, stop = draw(spans)
    head = f"S2A_{draw(st.sampled_from(['OPER', 'USER']))}_PRD_MSI{draw(st.sampled_from(['L1B', 'L1C', 'L2A']))}"
    centre = draw(st.sampled_from(["PDMC", "EPA_", "MPS_", "SGS_"]))
    return f"{head}_{centre}_{stamp(draw(moments))}_R{draw(number(3, 1, 143))}_V{stamp(start)}_{stamp(stop)}"


@st.composite
def sentinel3(draw: st.DrawFn) -> str:
    start, stop = draw(spans)
    kind = draw(
        st.sampled_from(["OL_1_EFR___", "OL_2_WFR___", "SL_2_LST___", "SR_1_SRA_BS", "SY_2_V10___", "SL_0_SLT___"])
    )
    orbit = f"{draw(number(4))}_{draw(number(3))}_{draw(number(3, 1, 385))}_{draw(number(4) | st.just('____'))}"
    name = draw(st.sampled_from(["AFRICA", "NORTH_AMERICA", "GLOBAL", "A2"])).ljust(17, "_")
    instance = draw(st.sampled_from([orbit, name, "_" * 17]))
    tail = f"{draw(st.sampled_from(['MAR', 'LN1', 'ESA']))}_{draw(st.sampled_from('OFDR_'))}"
    late = draw(st.sampled_from(["NR", "ST", "NT", "AL"]))
    satellite = "S3" + draw(st.sampled_from(LETTERS + "_"))
    return f"{satellite}_{kind}_{stamp(start)}_{stamp(stop)}_{stamp(draw(moments))}_{instance}_{tail}_{late}_{draw(number(3))}"


@st.composite
def sentinel5p(draw: st.DrawFn) -> str:
    start, stop = draw(spans)
    stream = draw(st.sampled_from(["NRTI", "OFFL", "RPRO", "PAL_"]))
    kind = draw(st.sampled_from(["L2__NO2___", "L2__O3_TCL", "L2__AER_AI", "L1B_RA_BD3", "L2__O3__PR"]))
    numbers = f"{draw(number(5))}_{draw(number(2))}_{draw(number(6))}"
    return f"S5P_{stream}_{kind}_{stamp(start)}_{stamp(stop)}_{numbers}_{stamp(draw(moments))}"


identifiers = st.one_of(sentinel1(), sentinel2(), sentinel2_old(), sentinel3(), sentinel5p())


@given(identifiers, st.sampled_from(["", ".SAFE", ".SAFE.zip", ".SEN3", ".SEN3.zip", ".nc", ".zip", ".ZIP", ".SAFE/"]))
def test_round_trip(text: str, ending: str) -> None:
    product = products.parse("/some/where/" + text + ending)
    assert products.format(product) == text
    assert products.parse(products.format(product)) == product
    assert hash(product) == hash(products.parse(text))
    assert products.strip(product.archive_name) == text
    assert product.start.tzinfo is UTC


@given(identifiers, st.data())
def test_a_changed_identifier_is_another_product_or_refused(text: str, data: st.DataObject) -> None:
    """Whatever is accepted says what it says: no two texts give equal products."""
    at = data.draw(st.integers(0, len(text) - 1))
    change = data.draw(st.characters(codec="utf-8") | st.just(""))
    other = text[:at] + change + text[at + 1 :]
    assume(other != text)
    try:
        product = products.parse(other)
    except ProductIdError:
        return
    assert products.format(product) == products.strip(other)
    assert (product == products.parse(text)) is (product.id == text)


@given(identifiers, st.sampled_from(["\n", " ", "\t", "\r\n", "\x00", "x", "_", "\u2028"]))
def test_nothing_may_follow_or_precede(text: str, junk: str) -> None:
    for bad in (text + junk, junk + text):
        with pytest.raises(ProductIdError):
            products.parse(bad)


@given(identifiers)
def test_digits_are_ascii(text: str) -> None:
    arabic = text.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    with pytest.raises(ProductIdError):
        products.parse(arabic)


@given(st.text(max_size=120))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with pytest.raises(ProductIdError):
        products.parse(text)


# --- what is refused, and how ----------------------------------------------------------------------------------------
GRD = "S1A_IW_GRDH_1SDV_20241124T180254_20241124T180319_056700_06F516_BA27"
L2A = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
EFR = "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002"
NO2 = "S5P_OFFL_L2__NO2____20200303T013547_20200303T031717_12367_01_010302_20200306T053815"


@pytest.mark.parametrize(
    ("good", "old", "new", "says"),
    [
        (GRD, "20241124T180254", "20241324T180254", "month 13 in start (20241324T180254)"),
        (GRD, "20241124T180319", "20241131T180319", "day 31 in stop"),
        (GRD, "20241124T180319", "20231124T180319", "is before start"),
        (GRD, "_IW_", "_XW_", "mode (character 4) is 'XW', not IW, EW"),
        (GRD, "1SDV", "1SDX", "polarisation (character 14) is 'DX'"),
        (GRD, "06F516", "06f516", "small letters"),
        (GRD, "_BA27", "_BA2", "unique (character 63) is 'BA2', not 4 hexadecimal digits"),
        (GRD, "_BA27", "", "the end where '_' belongs"),
        (GRD, "_BA27", "_BA27_COG2", "'2' follows after its end"),
        (L2A, "_R094", "_R144", "relative orbit 144 is not within 1 to 143"),
        (L2A, "T31TCJ", "T61TCJ", "zone of the tile 61 is not within 1 to 60"),
        (L2A, "T31TCJ", "T31ICJ", "tile (character 39) is '31ICJ', not an MGRS tile"),
        (L2A, "_N0510", "", "'_R' where '_N' belongs"),
        (L2A, "L2A", "L3A", "level (character 7) is 'L3A', not L1C, L2A or L2Ap"),
        (L2A, "T105619", "T245619", "hour 24 in start"),
        (EFR, "_334_", "_386_", "relative orbit 386 is not within 1 to 385"),
        (EFR, "OL_1", "OL_9", "level (character 7) is '9', not 0, 1 or 2"),
        (EFR, "_NR_", "_XX_", "timeliness (character 88) is 'XX'"),
        (NO2, "OFFL", "OFFX", "stream (character 4) is 'OFFX', not NRTI"),
        (NO2, "12367", "1236X", "orbit (character 52) is '1236X', not 5 digits"),
        (NO2, "20200306T053815", "20200230T053815", "day 30 in creation"),
    ],
)
def test_the_field_that_is_wrong_is_named(good: str, old: str, new: str, says: str) -> None:
    assert old in good
    with pytest.raises(ProductIdError) as caught:
        products.parse(good.replace(old, new, 1))
    assert says in caught.value.message
    mission = {"S1": "Sentinel-1", "S2": "Sentinel-2", "S3": "Sentinel-3", "S5": "Sentinel-5P"}[good[:2]]
    assert mission in caught.value.hint or f"Did you mean {good}" in caught.value.hint
    if mission in caught.value.hint:
        example = caught.value.hint.split(" reads ")[1].rstrip(".")
        assert products.parse(example).id == example


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("S1A_AUX_CAL_V20190228T092500_G20240327T102320", "an auxiliary file"),
        ("S1A_OPER_AUX_POEORB_OPOD_20210101T121923_V20201211T225942_20201213T005942", "an auxiliary file"),
        (
            "S3__SL_2_SSTAAX_20250319T120000_99991231T235959_20250320T064232___________________MET_O_NN_001",
            "an auxiliary",
        ),
        ("S2A_OPER_MSI_L1C_TL_SGS__20151223T181253_A002624_T20MNC_N02.01", "a granule"),
        ("S2A_OPER_MSI_L1C_DS_2APS_20221206T125331_S20221206T105430_N05.09", "a datastrip"),
        (
            "S3A_OL_0_EFR__G_20210523T001824_20210523T002024_20210523T021009_0120______________SVL_O_NR_OPE",
            "a granule of level 0",
        ),
        ("S3A_TM_0_NAT____20210324T230511_20210325T004702_20210325T004950_6111_070_030______LN2_O_AL_002", "telemetry"),
        ("S2A_T13TDE_20250718T175132_L2A", "an item in a STAC catalogue"),
        (L2A + "-ql", "'-ql' follows after its end"),
        ("LC08_L1TP_170052_20200101_20200113_01_T1", "not the identifier of a Sentinel-1, -2, -3 or -5P product"),
        ("", "empty"),
        (".SAFE", "empty"),
        (L2A.lower(), "small letters"),
        ("S2B_MSIL2A_" + "9" * 5000, "start"),
    ],
)
def test_what_is_not_a_product_is_said(text: str, says: str) -> None:
    with pytest.raises(ProductIdError) as caught:
        products.parse(text)
    assert says in caught.value.message
    assert len(caught.value.message) < 400


def test_other_types_are_refused() -> None:
    for value in (None, 7, b"S2A", ["S2A"]):
        with pytest.raises(ProductIdError, match="is text, not"):
            products.parse(value)  # type: ignore[arg-type]


def test_patch() -> None:
    product = products.parse(L2A)
    later = product.patch(start=datetime(2024, 6, 11, 10, 56, 19, tzinfo=UTC), tile="31TDJ")
    assert later.id == L2A.replace("20240601T105619", "20240611T105619").replace("T31TCJ", "T31TDJ")
    with pytest.raises(ProductIdError, match="No such field: frame"):
        product.patch(frame="1")
    with pytest.raises(ProductIdError, match="tile"):
        product.patch(tile="99")


def test_format_refuses_attributes_that_the_name_does_not_say() -> None:
    from dataclasses import replace

    with pytest.raises(ProductIdError, match="says something else"):
        products.format(replace(products.parse(L2A), tile_id="31TDJ"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("S1", "S1"),
        ("s2", "S2"),
        ("Sentinel-3", "S3"),
        ("SENTINEL 2", "S2"),
        ("sentinel_1", "S1"),
        ("S5P", "S5P"),
        ("s5p", "S5P"),
        ("S5", "S5P"),
        ("Sentinel-5", "S5P"),
        ("Sentinel-5P", "S5P"),
        ("Sentinel-5 Precursor", "S5P"),
        (" S3 ", "S3"),
    ],
)
def test_collection(text: str, name: str) -> None:
    assert products.collection(text) == name
    assert name in products.COLLECTIONS


@pytest.mark.parametrize(
    "text", ["", "S4", "S6", "S2P", "S1P", "Landsat-8", "S2A_MSIL1C", "2", "S٢", "ſ2", "S1\x00", "S22", None, 2]
)
def test_no_collection(text: object) -> None:
    with pytest.raises(InputError, match="not a collection") as caught:
        products.collection(text)  # type: ignore[arg-type]
    assert "S1, S2, S3, S5P" in caught.value.hint


def test_strip() -> None:
    assert products.strip(rf"C:\data\{L2A}.SAFE.zip") == L2A
    assert products.strip(f"s3://bucket/a/{L2A}.SAFE/") == L2A
    assert products.strip(f"{L2A}.zarr") == L2A
    assert products.strip(f"{L2A}.SAFE\n") != L2A
    assert products.strip("") == ""
