"""What Batch Transform is told of this machine: how much to send at once."""

from brain_tumor.settings import Settings

_MB = 1_000_000
# AWS's limit of the product of both figures.
_LARGEST_PRODUCT = 100
# What the platform sends when nobody says anything.
_DEFAULT_MB = 6
# Numbers as JSON take up to this many times the bytes of their text: a reference of 8 bytes and an
# object of 24 for "0.5," (docs/serving.md has the measurement).
_MEMORY_OF_JSON = 12
# A short line of JSON Lines: a JPEG of 4 KB in base64. MultiRecord fills requests with as many
# lines as there is room for, and more than `max_images` would be refused.
_SHORT_LINE = 5_500
# Measured while one of 8 million pixels is decoded (VmHWM): grey takes 6, colour 14, with
# transparency 20, 16-bit grey 22; DICOM with a rescale 22, with a sigmoid window 30, three times 16
# bits in JPEG-LS 33, of which half in a process of its own, and in JPEG lossless 38.
_BYTES_A_PIXEL = 38


def execution_parameters(
    settings: Settings, cores: int, memory: int, resident: int
) -> dict[str, str | int]:
    """Return the reply to GET /execution-parameters.

    As many requests at once as there are cores, and as large as AWS allows beside that many; fewer
    and smaller where memory would not hold that many of the worst: each the largest JSON document,
    with one of the largest images being decoded.

    Args:
        settings: the limits of bodies and images.
        cores: those that the container may use.
        memory: bytes that the container may use.
        resident: bytes that are in use now, by the model and its engine above all.
    """
    image = settings.max_pixels * _BYTES_A_PIXEL
    smallest = image + _DEFAULT_MB * _MB * _MEMORY_OF_JSON
    free = memory - resident
    concurrent = max(1, min(cores, _LARGEST_PRODUCT, free // smallest))
    megabytes = (free // concurrent - image) // (_MB * _MEMORY_OF_JSON)
    megabytes = min(
        megabytes,
        _LARGEST_PRODUCT // concurrent,
        int(settings.max_body_mb),
        settings.max_images * _SHORT_LINE // _MB,
    )
    return {
        "MaxConcurrentTransforms": concurrent,
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB": max(1, megabytes),
    }
