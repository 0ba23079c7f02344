"""Accelerators whose memory and speed are known, by the name that `hardware.device` gives."""

from dataclasses import dataclass

from dsmath.errors import UserError, nearest


@dataclass(frozen=True, slots=True)
class Device:
    """What a datasheet says: GB of 10⁹ bytes, dense operations a second (without sparsity), bytes a second.

    Of its memory a device shows a little more than this (an 80 GB H100 85.5 × 10⁹ bytes); that rest is left to the
    allocator's fragmentation.
    """

    memory_gb: float
    bf16_flops: float
    fp32_flops: float
    bandwidth: float
    source: str


DEVICES = {
    "h100-80gb": Device(80, 989.4e12, 66.9e12, 3.35e12, "NVIDIA H100 datasheet, SXM5"),
    "h100-pcie-80gb": Device(80, 756.4e12, 51.2e12, 2.04e12, "NVIDIA H100 PCIe product brief"),
    "h200-141gb": Device(141, 989.4e12, 66.9e12, 4.8e12, "NVIDIA H200 datasheet, SXM"),
    "a100-80gb": Device(80, 312e12, 19.5e12, 2.039e12, "NVIDIA A100 datasheet, SXM 80 GB"),
    "a100-40gb": Device(40, 312e12, 19.5e12, 1.555e12, "NVIDIA A100 datasheet, 40 GB"),
    "l40s-48gb": Device(48, 362e12, 91.6e12, 0.864e12, "NVIDIA L40S datasheet"),
    "a10-24gb": Device(24, 125e12, 31.2e12, 0.6e12, "NVIDIA A10 datasheet"),
    "l4-24gb": Device(24, 121e12, 30.3e12, 0.3e12, "NVIDIA L4 datasheet"),
    "rtx4090-24gb": Device(24, 165.2e12, 82.6e12, 1.008e12, "NVIDIA Ada GPU architecture whitepaper"),
    "rtx3090-24gb": Device(24, 71e12, 35.6e12, 0.936e12, "NVIDIA GA102 GPU architecture whitepaper"),
}


def device_of(name: str) -> Device:
    """The device of this name.

    Raises:
        UserError: with the nearest name.
    """
    if name not in DEVICES:
        near = nearest(name, DEVICES) or next((known for known in DEVICES if known.startswith(name.lower())), None)
        hint = f", did you mean {near}?" if near else ""
        raise UserError(f"hardware.device = {name}: no such device is known{hint}; there are {', '.join(DEVICES)}")
    return DEVICES[name]
