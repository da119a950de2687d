"""A fake of NVIDIA's board support package: its files as far as flashing looks, and stubs that record.

The package itself cannot be had here. The stubs of ``apply_binaries.sh`` and ``l4t_initrd_flash.sh`` write
what they were called with, and nothing else: what NVIDIA's tools do is not shown by any test.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_VERSION = """\
BSP_BRANCH={}
BSP_MAJOR={}
BSP_MINOR={}
BSP_VERSION="${{BSP_BRANCH}}.${{BSP_MAJOR}}.${{BSP_MINOR}}"
"""
_STUB = """\
#!/usr/bin/env python3
# A stub that records its call.
import json, os, sys
from pathlib import Path
names = ("ROOTFS_AB", "ROOTFS_RETRY_COUNT_MAX")
call = [sys.argv[0], sys.argv[1:], {n: os.environ[n] for n in names if n in os.environ}, os.getcwd()]
with Path(@RECORD@).open("a") as record:
    record.write(json.dumps(call) + chr(10))
sys.exit(int(os.environ.get("STUB_FAILS", "") == Path(sys.argv[0]).name))
"""
_PARTITION = """\
        <partition name="{name}" {more}type="data">
            <allocation_policy> sequential </allocation_policy>
            <size> {size} </size>
        </partition>
"""
PARTITIONS = (
    ("primary_gpt", "", "19968"),
    ("A_kernel", 'id="3" ', "134217728"),
    ("A_kernel-dtb", "", "786432"),
    ("B_kernel", "", "134217728"),
    ("B_kernel-dtb", "", "786432"),
    ("RECNAME", "", "RECSIZE"),
    ("esp", "", "67108864"),
    ("UDA", "", "419430400"),
    ("reserved", "", "502792192"),
    ("APP", 'id="1" ', "APPSIZE"),
    ("APP_b", 'id="2" ', "APPSIZE"),
    ("secondary_gpt", "", "0xFFFFFFFFFFFFFFFF"),
)


def layout(partitions: Sequence[tuple[str, str, str]] = PARTITIONS) -> str:
    """A layout as NVIDIA writes it, with two root file systems behind a boot flash."""
    listed = "".join(
        _PARTITION.format(name=n, more=more, size=size) for n, more, size in partitions
    )
    return (
        '<?xml version="1.0"?>\n<!-- of NVIDIA -->\n<partition_layout version="01.00.0000">\n'
        '    <device type="spi" instance="0" sector_size="512" num_sectors="131072">\n'
        '        <partition name="BCT" type="boot_config_table"><size> 2097152 </size></partition>\n'
        "    </device>\n"
        '    <device type="external" instance="0" sector_size="512" num_sectors="EXT_NUM_SECTORS">\n'
        f"{listed}    </device>\n</partition_layout>\n"
    )


def fake_bsp(folder: Path, release: tuple[int, int, int] = (39, 2, 0)) -> Path:
    """Make the package; ``calls`` reads what its stubs were called with."""
    bsp = folder / "Linux_for_Tegra"
    record = json.dumps(str(bsp / "calls"))
    for name in ("apply_binaries.sh", "tools/kernel_flash/l4t_initrd_flash.sh"):
        _write(bsp / name, _STUB.replace("@RECORD@", record), 0o755)
    _write(bsp / "nv_tegra/bsp_version", _VERSION.format(*release))
    for name in ("t234_nvme", "t264_nvme"):
        _write(bsp / f"tools/kernel_flash/flash_l4t_{name}_rootfs_ab.xml", layout())
    for name in ("qspi", "qspi_sdmmc_rootfs_ab"):
        _write(bsp / f"bootloader/generic/cfg/flash_t234_{name}.xml", layout())
    for board, conf in {
        "jetson-orin-nano-devkit": "p3768-0000-p3767-0000-a0.conf",
        "jetson-agx-orin-devkit": "p3737-0000-p3701-0000.conf",
        "jetson-agx-thor-devkit": "p3834-0008-p4071-0000-nvme.conf",
    }.items():
        _write(bsp / conf, "# of NVIDIA\n")
        (bsp / f"{board}.conf").symlink_to(conf)
    shell = bsp / "rootfs/usr/bin/dash"
    shell.parent.mkdir(parents=True)
    shell.write_bytes(b"\x7fELF" + bytes(14) + b"\xb7\x00")
    _write(bsp / "rootfs/etc/fstab", "/dev/root / ext4 defaults 0 1\n")
    return bsp


def calls(bsp: Path) -> list[Any]:
    """What the stubs were called with, in order: program, arguments, variables, folder."""
    path = bsp / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
