"""Power mode and clocks of a Jetson, from the files that NVIDIA's tools and the kernel have."""

from pathlib import Path

import pytest

from edge.system.power import Power, power

MODES = """\
# pm_config
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=15W >
< PM_CONFIG DEFAULT=2 >
"""


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """Files of a Jetson Orin."""
    for name, text in {
        "etc/nvpmodel.conf": MODES,
        "var/lib/nvpmodel/status": "pmode:0002\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "729600\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1510400\n",
        "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
        "sys/class/devfreq/17000000.gpu/max_freq": "624750000\n",
        "sys/class/devfreq/15480000.nvdec/cur_freq": "1\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_jetson_has_a_mode_and_clocks(jetson: Path) -> None:
    assert power(jetson) == Power("15W", 729, 1510, 306, 624)


def test_what_cannot_be_read_is_not_known(jetson: Path) -> None:
    (jetson / "var/lib/nvpmodel/status").unlink()
    (jetson / "sys/class/devfreq/17000000.gpu/cur_freq").write_text("unknown")
    assert power(jetson) == Power(None, 729, 1510, None, 624)


def test_a_number_without_a_name_is_no_mode(jetson: Path) -> None:
    (jetson / "var/lib/nvpmodel/status").write_text("pmode:0007")
    assert power(jetson) == Power(None, 729, 1510, 306, 624)


def test_any_other_box_has_none(tmp_path: Path) -> None:
    assert power(tmp_path) is None
