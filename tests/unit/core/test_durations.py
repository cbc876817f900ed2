"""Durations and sizes: read as people write them, and written for people."""

from __future__ import annotations

import math
import re
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resqued.core.durations import moment, seconds, show_seconds, show_size, size

KB, MB, GB, TB = (1 << shift for shift in (10, 20, 30, 40))


# Durations in seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), (90, 90), ("4s", 4), ("15m", 900), ("2h", 7200), ("250ms", 0.25)],
)
def test_durations(text, expected):
    assert seconds(text) == expected


@given(
    st.integers(0, 10**6),
    st.sampled_from([("", 1), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]),
    st.sampled_from(["", " ", "\t "]),
    st.booleans(),
)
def test_a_number_with_a_unit_in_any_case_and_spacing(number, unit, space, is_upper):
    text = f"{space}{number}{space}{unit[0]}{space}"
    expected = number * unit[1]
    assert seconds(text.upper() if is_upper else text) == expected


@given(st.integers(0, 10**9) | st.floats(0, 1e9))
def test_a_number_is_a_number_of_seconds(number):
    assert seconds(number) == number
    assert isinstance(seconds(number), float)


NO_NUMBERS = ["", " ", "-1", "+1", "1.", ".5", "1,5", "1e3", "5 5", "0x10", "1_000"]
NO_NUMBERS += ["inf", "nan", "²"]
NO_TEXTS = [None, [], {}, b"5"]


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, *NO_TEXTS, "s", "ms", "1 week", "1h30m", "5k"]
)
def test_what_is_no_duration_is_told_with_what_would_be_one(value):
    with pytest.raises(ValueError, match=r"^not a duration such as 90, 4s, 15m or 2h$"):
        seconds(value)


@pytest.mark.parametrize("read", [seconds, size])
@pytest.mark.parametrize(
    "value",
    [-1, -0.5, -math.inf, -(10**400)],
    ids=["-1", "-0.5", "-inf", "-10**400"],
)
def test_less_than_nothing_is_refused(read, value):
    with pytest.raises(ValueError, match=r"^negative$"):
        read(value)


@pytest.mark.parametrize(
    ("read", "problem"), [(seconds, "not a duration"), (size, "not a size")]
)
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_not_one_and_nothing(read, problem, value):
    with pytest.raises(ValueError, match=f"^{problem} such as "):
        read(value)


# Sizes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (0, 0),
        ("0", 0),
        (512, 512),
        (512.0, 512),
        ("512", 512),
        ("512b", 512),
        ("512 B", 512),
        ("4k", 4 * KB),
        ("4K", 4 * KB),
        ("4kB", 4 * KB),
        ("4KiB", 4 * KB),
        ("512M", 512 * MB),
        ("512 MB", 512 * MB),
        ("1.5G", 3 * GB // 2),
        (" 2g ", 2 * GB),
        ("2GiB", 2 * GB),
        ("1T", TB),
    ],
)
def test_sizes(text, expected):
    assert size(text) == expected
    assert isinstance(size(text), int)


@given(
    st.integers(0, 10**4),
    st.sampled_from([("", 1), ("k", KB), ("m", MB), ("g", GB), ("t", TB)]),
    st.sampled_from(["", " "]),
    st.sampled_from(["", "b", "ib"]),
    st.booleans(),
)
def test_a_number_with_a_power_of_1024(number, unit, space, tail, is_upper):
    text = f"{space}{number}{space}{unit[0]}{tail if unit[0] else ''}{space}"
    assert size(text.upper() if is_upper else text) == number * unit[1]


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, *NO_TEXTS, "M", "B", "lots", "5 M B", "5 bytes", "1P", "5s"]
)
def test_what_is_no_size_is_told_with_what_would_be_one(value):
    with pytest.raises(ValueError, match=r"^not a size such as 512M or 2G$"):
        size(value)


@pytest.mark.parametrize("text", ["5bb", "5bib", "5ib", "5 IB"])
def test_a_unit_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="not a size"):
        size(text)


@pytest.mark.parametrize("text", ["0.5", "0.9 b", "0.0001k"])
def test_less_than_a_byte_is_one(text):
    assert size(text) == 1


@given(st.floats(0, 1e6, exclude_min=True))
def test_a_part_of_a_byte_is_a_byte_and_never_without_limit(number):
    assert size(number) == math.ceil(number) > 0


# Whatever it is, it is understood or refused in one line


@given(
    st.text(max_size=12) | st.from_regex(r"[\d.]{1,6} ?[a-zA-Z]{0,3}", fullmatch=True)
)
@example("1\n2")
@example("٣")
@example("\uff15s")
def test_any_text_is_understood_or_refused_in_one_line(text):
    for read in (seconds, size):
        try:
            found, problem = read(text), ""
        except ValueError as error:
            found, problem = 0, str(error)
        assert 0 <= found < math.inf
        assert not problem or re.fullmatch(r"not a (duration|size) such as .+", problem)


@pytest.mark.parametrize("read", [seconds, size])
@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 10**400, "9" * 400],
    ids=["nan", "inf", "number", "digits"],
)
def test_what_is_not_finite_is_refused(read, value):
    with pytest.raises(ValueError, match=r"^not a (duration|size) such as "):
        read(value)


# For people


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (512, "512 bytes"),
        (1023, "1023 bytes"),
        (KB, "1 kB"),
        (1536, "1.5 kB"),
        (100 * KB, "100 kB"),
        (MB, "1 MB"),
        (223_766_118, "213.4 MB"),
        (512 * MB, "512 MB"),
        (GB, "1 GB"),
        (5 * GB // 2, "2.5 GB"),
        (3 * TB, "3072 GB"),
    ],
)
def test_sizes_for_people(count, text):
    assert show_size(count) == text


@given(st.integers(KB, 1 << 60))
def test_a_size_that_was_shown_is_read_as_what_it_was_about(count):
    shown = show_size(count)
    unit = {"kB": KB, "MB": MB, "GB": GB}[shown[-2:]]
    # Half of the last decimal, and the part of a byte that reading cuts off.
    assert abs(size(shown) - count) <= 0.0501 * unit + 1 + count * 1e-15


@given(st.integers(1, 1023), st.sampled_from([KB, MB, GB]))
def test_a_round_size_survives_being_shown(number, unit):
    assert size(show_size(number * unit)) == number * unit


@pytest.mark.parametrize("count", [MB - 1, MB - 51, GB - 1])
def test_the_largest_unit_that_fits_is_shown(count):
    assert show_size(count) in ("1 MB", "1 GB")


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0s"),
        (0.25, "0.25s"),
        (0.5, "0.5s"),
        (4, "4s"),
        (9.999, "10s"),
        (10, "10s"),
        (12.44, "12.4s"),
        (20, "20s"),
        (59.9, "59.9s"),
        (60, "1m00s"),
        (192, "3m12s"),
        (3599.99, "59m59s"),
        (3600, "1h00m"),
        (7500, "2h05m"),
        (86_399, "23h59m"),
        (86_400, "1d00h"),
        (99 * 3600, "4d03h"),
        (400 * 86_400, "400d00h"),
    ],
)
def test_durations_for_people(duration, text):
    assert show_seconds(duration) == text


@given(st.floats(0, 1e8))
@example(59.96)
@example(9.996)
def test_a_duration_that_was_shown_tells_the_time_to_its_last_place(duration):
    shown = show_seconds(duration)
    assert re.fullmatch(
        r"\d+(\.\d{1,2})?s|[1-5]?\dm[0-5]\ds|[12]?\dh[0-5]\dm|\d+d[012]\dh", shown
    )
    told = sum(seconds(part) for part in re.findall(r"[\d.]+[smhd]", shown))
    units = {"s": 1, "m": 60, "h": 3600}
    precision = units[shown[-1]]
    if duration < 60:
        precision = 0.005001 if duration < 10 else 0.050001
        assert abs(told - duration) <= precision
    else:
        assert told <= duration < told + precision


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", 1_795_430_316.0),
        ("-90", 1_795_433_826.0),
        ("2026-11-23T11:38:36Z", 1_795_433_916.0),
        ("2026-11-23 12:38:36+01:00", 1_795_433_916.0),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text, expected):
    assert moment(text, 1_795_433_916.0) == expected


def test_a_moment_without_a_zone_is_local():
    local = datetime(2026, 11, 23, 11, 38).astimezone()
    assert moment("2026-11-23 11:38", 0.0) == local.timestamp()


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "5 weeks"])
def test_what_is_no_moment(text):
    with pytest.raises(ValueError, match="not a time such as"):
        moment(text, 0.0)
