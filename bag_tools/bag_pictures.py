"""Pictures of a bag, as cameras delivered them."""

import numpy as np

from bag_tools.bag_reader import Bag, BagMessage
from mimic_contracts.errors import MimicError
from mimic_contracts.images import CompressedImage, RawImage


def picture_payload(bag: Bag, message: BagMessage) -> RawImage | CompressedImage:
    """Pixels or file of a picture message; its own stamp is not used any more. Raises MimicError when it is none."""
    content = bag.decode(message)
    try:
        data = np.frombuffer(content.data, np.uint8)
        if not data.size:
            raise MimicError("picture has no data")
        if message.channel.type_name.endswith("/CompressedImage"):
            return CompressedImage(stamp_ns=0, format=content.format, data=data)
        return RawImage(
            stamp_ns=0,
            height_px=content.height,
            width_px=content.width,
            encoding=content.encoding,
            step_bytes=content.step,
            is_bigendian=bool(content.is_bigendian),
            data=data,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise MimicError(f"{message.channel.type_name} is defined in the bag as something else ({error})") from error
