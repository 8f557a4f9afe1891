"""X-ray-like pictures, drawn, of nobody: chest, bones, hand, teeth."""

import numpy as np
from PIL import ImageChops, ImageDraw, ImageFilter

from brain_tumor.images import Pixels
from brain_tumor.training.foreign.sketch import CANVAS, blank, blob, polar, tissue, turned

_MIDDLE = CANVAS / 2


def chest_xray(random: np.random.Generator) -> Pixels:
    """Draw a frontal chest: two dark lungs, ribs, heart, spine, diaphragm."""
    image, draw = blank(random.uniform(120, 190))
    width, height = random.uniform(30, 40), random.uniform(55, 70)
    lung = random.uniform(20, 70)
    draw.rectangle((0, 0, CANVAS, random.uniform(5, 20)), fill=20)
    for side in (-1, 1):
        blob(draw, random, (_MIDDLE + side * 42, 92), (width, height), lung, 0.08, side * 0.1)
        draw.line([(_MIDDLE + side * 10, 38), (_MIDDLE + side * 75, 20)], fill=215, width=6)
    ribs, pen = blank()
    for y in np.arange(15, 160, random.uniform(13, 18)):
        for side in (-1, 1):
            box = (_MIDDLE + side * 42 - 44, y, _MIDDLE + side * 42 + 44, y + 40)
            pen.arc(box, 185, 355, fill=int(random.uniform(25, 55)), width=5)
    image = ImageChops.add(image, ribs.filter(ImageFilter.GaussianBlur(1)))
    draw = ImageDraw.Draw(image)
    draw.rectangle((_MIDDLE - 9, 0, _MIDDLE + 9, CANVAS), fill=int(random.uniform(170, 215)))
    blob(draw, random, (_MIDDLE + 16, 118), (34, random.uniform(28, 38)), 195, 0.05, 0.5)
    for side in (-1, 1):
        blob(draw, random, (_MIDDLE + side * 45, 178), (50, random.uniform(22, 34)), 200)
    return tissue(image, random, random.uniform(1.5, 3))


def bone_xray(random: np.random.Generator) -> Pixels:
    """Draw a limb's long bones with a joint."""
    image, draw = blank(random.uniform(0, 40))
    soft, bone = random.uniform(50, 100), random.uniform(150, 240)
    draw.rectangle((_MIDDLE - 45, 0, _MIDDLE + 45, CANVAS), fill=int(soft))
    joint = random.uniform(70, 120)
    pairs = (-14, 14) if random.random() < 0.5 else (0,)
    for top, bottom, places in ((-5, joint - 4, (0,)), (joint + 4, CANVAS + 5, pairs)):
        for place in places:
            x, half = _MIDDLE + place, random.uniform(7, 13) / (0.8 + 0.2 * len(places))
            draw.rectangle((x - half, top, x + half, bottom), fill=int(bone))
            draw.rectangle((x - half / 2, top, x + half / 2, bottom), fill=int(bone * 0.75))
            end = bottom if bottom == joint - 4 else top
            blob(draw, random, (x, end), (half * 1.9, 13), bone * 0.9, 0.1)
    return tissue(turned(image, random, 90), random, random.uniform(0.8, 2))


def hand_xray(random: np.random.Generator) -> Pixels:
    """Draw a hand: five rays of finger bones over a wrist, flesh round them."""
    flesh, flesh_pen = blank()
    bones, bone_pen = blank()
    wrist, bone = (_MIDDLE, 165.0), random.uniform(150, 230)
    blob(flesh_pen, random, (_MIDDLE, 135), (38, 42), 75)
    flesh_pen.rectangle((_MIDDLE - 24, 150, _MIDDLE + 24, CANVAS), fill=75)
    for finger, angle in enumerate(np.radians([-48, -18, -4, 9, 24]) + random.normal(0, 0.04, 5)):
        reach, near = (85 if finger == 0 else random.uniform(125, 145)), 28.0
        for share in (0.42, 0.26, 0.18, 0.12):
            far = near + share * (reach - 28)
            ends = [polar(wrist, angle, near), polar(wrist, angle, far - 4)]
            flesh_pen.line([ends[0], polar(wrist, angle, far + 4)], fill=75, width=19)
            bone_pen.line(ends, fill=int(bone), width=8)
            for end in ends:
                blob(bone_pen, random, end, (5.5, 5.5), bone, 0.1)
            near = far + 1
    for _ in range(8):
        spot = (wrist[0] + random.uniform(-20, 20), wrist[1] - random.uniform(2, 24))
        blob(bone_pen, random, spot, (7, 6), bone * random.uniform(0.75, 1), 0.15)
    for side in (-11, 11):
        bone_pen.rectangle((_MIDDLE + side - 7, 172, _MIDDLE + side + 7, CANVAS), fill=int(bone))
    image = ImageChops.lighter(flesh, bones)
    return tissue(turned(image, random, 25), random, random.uniform(0.8, 1.6))


def dental_xray(random: np.random.Generator) -> Pixels:
    """Draw two rows of teeth with roots, as bitewing or panorama."""
    image, draw = blank(random.uniform(70, 120))
    width = random.uniform(11, 34)
    bend = random.uniform(0, 0.004)
    gap = random.uniform(2, 8)
    for x in np.arange(-5, CANVAS + 10, width):
        base = _MIDDLE - bend * (x - _MIDDLE) ** 2 + random.normal(0, 2)
        for side in (-1, 1):
            crown, tip = base + side * gap, base + side * (gap + width * random.uniform(1.9, 2.6))
            half = width * 0.45
            grey = random.uniform(170, 235)
            neck = crown + side * width
            draw.polygon(
                [(x - half, neck), (x - half / 3, tip), (x + half / 3, tip), (x + half, neck)],
                fill=int(grey * 0.8),
            )
            blob(draw, random, (x, (crown + neck) / 2), (half, width * 0.55), grey, 0.1)
            draw.line([(x, neck - side * width / 3), (x, tip)], fill=int(grey * 0.5), width=2)
    return tissue(image, random, random.uniform(0.8, 2))
