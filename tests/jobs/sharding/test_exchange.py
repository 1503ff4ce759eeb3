"""Ring against parameter server, by formulas that a reader can redo, and the links that they are reckoned with."""

from __future__ import annotations

import pytest

from jobs.sharding.collective import compare, fit, read_hccl_test, ring, server
from jobs.sharding.errors import ShardingRefused
from jobs.sharding.site import Link

TABLE = """the minbytes is 8192, maxbytes is 67108864, iters is 20, warmup_iters is 5
data_size(Bytes): |   avg_time(us): | alg_bandwidth(GB/s): | check_result:
8192              |     764.55    |       0.00998        | success
1048576           |    1778.30    |       0.54916        | success
4194304           |    1801.75    |       2.16803        | NULL
"""


def simulated_ring(size: int, ranks: int) -> list[int]:
    """Bytes that each rank sends when the chunks really go round."""
    sent, chunks = [0] * ranks, [list(range(ranks)) for _ in range(ranks)]
    for _ in range(2 * (ranks - 1)):
        for rank in range(ranks):
            sent[rank] += size // len(chunks[rank])
    return sent


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_a_ring_sends_what_its_chunks_are(ranks):
    size = 1024 * ranks
    assert {ring(size, ranks, None).sent} == set(simulated_ring(size, ranks))


def test_times_are_those_of_the_latency_bandwidth_model():
    link = Link(20e-6, 25e9)
    assert ring(10**9, 4, link).seconds == pytest.approx(6 * 20e-6 + 1.5 * 10**9 / 25e9)
    assert server(10**9, 4, link).seconds == pytest.approx(2 * 20e-6 + 8 * 10**9 / 25e9)


@pytest.mark.parametrize(("ranks", "all_bytes", "busiest_port"), [(2, 0.5, 0.5), (4, 0.25, 0.625), (8, 0.125, 0.7812)])
def test_the_manuals_60_percent_is_held_against_each_measure(ranks, all_bytes, busiest_port):
    compared = compare(26 * 10**9, ranks, None)
    assert compared["saved"] == {"all_bytes": all_bytes, "busiest_port": busiest_port}
    assert compared["holds"] == {"all_bytes": all_bytes >= 0.6, "busiest_port": busiest_port >= 0.6}
    assert f"{all_bytes:.1%} of all bytes" in compared["said"] and "only a measured link can say" in compared["said"]


def test_with_little_to_exchange_the_ring_is_slower_and_it_is_said_from_where_on():
    link = Link(100e-6, 10e9)
    even = compare(10**9, 8, link)["even_bytes"]
    for size in (even // 2, even * 2):
        assert (ring(size, 8, link).seconds < server(size, 8, link).seconds) is (size > even)
    small = compare(even // 10, 8, link)
    assert small["saved"]["seconds"] < 0 and small["holds"]["seconds"] is False


def test_one_node_exchanges_no_gradients():
    assert "nothing to save" in compare(10**9, 1, None)["said"]


def test_a_link_is_found_again_in_what_it_would_measure():
    link = Link(12e-6, 80e9)
    found = fit([(2**k, ring(2**k, 8, link).seconds) for k in range(13, 27)], 8)
    assert (found.latency_s, found.bytes_per_s) == (pytest.approx(12e-6), pytest.approx(80e9))


def test_all_reduce_tests_table_is_read_and_fitted():
    points = read_hccl_test(TABLE)
    assert points == [(8192, pytest.approx(764.55e-6)), (1048576, pytest.approx(1778.3e-6)), (4194304, 1801.75e-6)]
    link = fit(points, 8)
    assert link.latency_s >= 0 and link.bytes_per_s > 0
    assert read_hccl_test(TABLE.replace("avg_time", "aveg_time")) == points


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no table of all_reduce_test"),
        (TABLE.replace("success", "failed"), "its result is wrong"),
        ("8192 | 10.0 | 1.0 | success\n", "two sizes or more"),
    ],
)
def test_what_is_no_measurement_is_refused(text, said):
    with pytest.raises(ShardingRefused, match=said):
        read_hccl_test(text)


def test_a_measurement_of_nonsense_gives_no_link():
    with pytest.raises(ShardingRefused, match="two ranks"):
        fit([(1, 1.0), (2, 2.0)], 1)
