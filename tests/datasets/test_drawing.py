import hashlib
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from keras_stt.datasets import drawing
from keras_stt.datasets.drawing import Object, Scene, render, scene

pytestmark = pytest.mark.backend_free

SIDES = {"small": 7, "large": 11}
MANY = 20_000


@pytest.fixture(scope="module")
def scenes():
    return [scene(0, "train", index) for index in range(MANY)]


@pytest.fixture(scope="module")
def same(scenes):
    return np.array([s.label == "same" for s in scenes])


def test_scenes_and_pixels_are_the_same_everywhere():
    # A change of these numbers changes the data set: raise its version with them.
    checksums = {
        ("train", 0, 32): "c8a054ace0e2cfe2",
        ("train", 9_999, 32): "6adcdf993edc33df",
        ("test", 7, 32): "380c6300cb27f7cb",
        ("test", 8, 50): "1de2a708207f16b9",
        ("test", 8, 32, "seen"): "83fd464dd16f3ee6",
        ("test", 8, 32, "unseen"): "eadea8c2143d9f58",
    }
    for (split, index, size, *combinations), expected in checksums.items():
        drawn = scene(0, split, index, *combinations)
        digest = hashlib.sha256(repr(drawn).encode())
        digest.update(render(drawn, size).tobytes())
        assert digest.hexdigest()[:16] == expected, (split, index)


def test_first_scene_in_full():
    assert scene(0, "train", 0) == Scene(
        objects=(
            Object(
                shape="cross",
                colour="cyan",
                size="small",
                x=22,
                y=4,
                rgb=(23, 204, 205),
            ),
            Object(
                shape="circle",
                colour="red",
                size="small",
                x=12,
                y=24,
                rgb=(242, 100, 91),
            ),
        ),
        background=((4, 6, 5), (14, 6, 12)),
    )


def test_scenes_differ_between_seeds_splits_and_indices():
    keys = [(s, p, i) for s in (0, 1) for p in ("train", "test", "") for i in range(50)]
    assert len({scene(*key) for key in keys}) == len(keys)


def test_label_is_the_equality_of_the_colours(scenes):
    for s in scenes:
        assert s.label == ("different", "same")[len({o.colour for o in s.objects}) == 1]


def test_labels_are_balanced_in_every_even_prefix_but_not_alternating(same):
    pairs = same.reshape(-1, 2)
    assert (pairs.sum(axis=1) == 1).all()
    assert abs(pairs[:, 0].mean() - 0.5) < 4.5 * 0.5 / len(pairs) ** 0.5


def test_objects_lie_inside_and_far_apart(scenes):
    for s in scenes:
        gaps = []
        for axis in "xy":
            (a, b), (c, d) = sorted(
                (
                    getattr(o, axis) - SIDES[o.size] // 2,
                    getattr(o, axis) + SIDES[o.size] // 2,
                )
                for o in s.objects
            )
            assert a >= 1
            assert max(b, d) <= 30
            gaps.append(c - b)
        # Columns or rows 7 apart never fall into one window of 7.
        assert max(gaps) >= 7


def test_all_pairs_of_colours_occur_equally_often_for_their_label(scenes, same):
    pairs = Counter(tuple(o.colour for o in s.objects) for s in scenes)
    assert len(pairs) == 36
    for (one, two), count in pairs.items():
        expected = MANY / 2 / (6 if one == two else 30)
        assert abs(count - expected) < 4.5 * expected**0.5


def test_colours_are_near_their_names_and_fit_into_a_byte(scenes):
    for s in scenes:
        for o in s.objects:
            mean = drawing.COLOURS[o.colour]
            assert all(abs(a - b) <= 6 for a, b in zip(o.rgb, mean, strict=True))
            assert min(o.rgb) >= 0
            assert max(o.rgb) <= 255
        assert 0 <= min(map(min, s.background)) <= max(map(max, s.background)) < 20


def test_colours_are_equally_bright():
    assert len({sum(rgb) for rgb in drawing.COLOURS.values()}) == 1


def test_all_attributes_occur(scenes):
    objects = [o for s in scenes for o in s.objects]
    assert {o.shape for o in objects} == {"circle", "square", "triangle", "cross"}
    assert {o.size for o in objects} == {"small", "large"}
    assert len({o.colour for o in objects}) == 6
    beside = [abs(a.x - b.x) > abs(a.y - b.y) for a, b in (s.objects for s in scenes)]
    first_left = [a.x < b.x for a, b in (s.objects for s in scenes)]
    for share in (np.mean(beside), np.mean(first_left)):
        assert 0.47 < share < 0.53


def test_combinations():
    # Each colour lacks one shape, and has the others equally often.
    scenes = [scene(0, "train", index, "seen") for index in range(5000)]
    pairs = Counter((o.colour, o.shape) for s in scenes for o in s.objects)
    assert len(pairs) == 6 * 3
    for count in pairs.values():
        assert abs(count - 10_000 / 18) < 4.5 * (10_000 / 18) ** 0.5
    lacking = {(c, s) for c in drawing.COLOURS for s in drawing.SHAPES} - set(pairs)
    assert lacking == set(drawing.UNSEEN.items())
    assert {shape for _, shape in lacking} == set(drawing.SHAPES)
    firsts = 0
    for index in range(500):
        one, two = scene(0, "train", index, "unseen").objects
        first, second = ((o.colour, o.shape) in lacking for o in (one, two))
        assert first != second
        firsts += first
    assert 190 < firsts < 310


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("attribute", ["shape", "colour", "pair", "size", "x", "y"])
def test_each_object_alone_is_distributed_alike_for_both_labels(
    scenes, same, which, attribute
):
    objects = [s.objects[which] for s in scenes]
    if attribute == "pair":
        values = np.array([f"{o.colour} {o.shape}" for o in objects])
    else:
        values = np.array([getattr(o, attribute) for o in objects])
    for value, count in Counter(values.tolist()).items():
        is_same = same[values == value]
        z = (is_same.mean() - 0.5) / (0.5 / count**0.5)
        assert abs(z) < 4.5, (value, z)


def test_only_the_pair_of_colours_depends_on_the_label(scenes, same):
    # Where objects are, how large and of which shapes, both taken together.
    codes = Counter()
    for s, label in zip(scenes, same, strict=True):
        one, two = s.objects
        key = (
            one.size,
            two.size,
            one.x < two.x,
            one.y < two.y,
            one.shape == two.shape,
        )
        codes[key, bool(label)] += 1
    for key in {key for key, _ in codes}:
        different, equal = codes[key, False], codes[key, True]
        assert abs(equal - different) < 4.5 * (equal + different) ** 0.5


def _accuracy(features, labels):
    """Share of held-out labels that ridge regression on the features predicts."""
    features = (features - features.mean(0)) / (features.std(0) + 1e-6)
    train, test = np.split(np.arange(len(features)), [len(features) * 2 // 3])
    x, y = features[train], 2.0 * labels[train] - 1.0
    weights = np.linalg.solve(x.T @ x + 10.0 * np.eye(x.shape[1]), x.T @ y)
    return np.mean((features[test] @ weights > 0) == labels[test])


def test_sums_over_objects_do_not_tell_the_label_but_products_do(scenes, same):
    # By side, not by order: the left or upper object first, as a model sees them.
    names = list(drawing.COLOURS)
    colours = np.array(
        [
            [names.index(o.colour) for o in sorted(s.objects, key=lambda o: o.x)]
            for s in scenes
        ]
    )
    one, two = (np.eye(6)[colours[:, k]] for k in (0, 1))
    sums = np.concatenate([one[:, :5], two[:, :5]], axis=1)
    products = (one[:, :, None] * two[:, None]).reshape(len(scenes), 36)
    # Ridge on 0/1 labels is the best additive score; its outputs stay near zero.
    centred = sums - sums.mean(0)
    fitted = centred @ np.linalg.lstsq(centred, 2.0 * same - 1.0, rcond=None)[0]
    assert fitted.var() < 10 * 4.5 / len(scenes)
    assert _accuracy(products, same) == 1.0


def test_linear_readout_of_the_pixels_stays_at_chance(scenes, same):
    # Takes a second: enough images that 3 % off chance can't be luck.
    few = 9_000
    images = np.stack([render(s, 16) for s in scenes[:few]]).reshape(few, -1) / 255.0
    assert abs(_accuracy(images, same[:few]) - 0.5) < 0.035
    mean_colours = images.reshape(few, -1, 3).mean(axis=1)
    assert abs(_accuracy(mean_colours, same[:few]) - 0.5) < 0.035


def _inside(shape, u, v):
    """Whether a point lies in a shape whose box is [-1, 1] x [-1, 1], y downwards."""
    if abs(u) > 1 or abs(v) > 1:
        return False
    return {
        "square": True,
        "circle": u**2 + v**2 <= 1,
        "triangle": abs(u) <= (v + 1) / 2,
        "cross": abs(u) <= Fraction(1, 3) or abs(v) <= Fraction(1, 3),
    }[shape]


def _naive(s, size):
    """The picture, point by point in exact fractions."""
    image = np.zeros((size, size, 3), np.int64)
    for row in range(size):
        for column in range(size):
            share = Fraction(row, size - 1)
            top, bottom = s.background
            colour = [
                _round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True)
            ]
            for o in s.objects:
                radius = Fraction(SIDES[o.size], 2)
                points = [
                    _inside(
                        o.shape,
                        (x - o.x - Fraction(1, 2)) / radius,
                        (y - o.y - Fraction(1, 2)) / radius,
                    )
                    for x in _points(column, size)
                    for y in _points(row, size)
                ]
                cover = Fraction(sum(points), 64)
                colour = [
                    _round(a + (b - a) * cover)
                    for a, b in zip(colour, o.rgb, strict=True)
                ]
            image[row, column] = colour
    return image


def _points(pixel, size):
    return [(pixel + Fraction(2 * k + 1, 16)) * Fraction(32, size) for k in range(8)]


def _round(x):
    return int((x + Fraction(1, 2)) // 1)


@pytest.mark.parametrize(
    ("shapes", "size"), [(("circle", "triangle"), 13), (("cross", "square"), 9)]
)
def test_render_equals_points_in_exact_fractions(shapes, size):
    s = Scene(
        (
            Object(shapes[0], "red", "large", 24, 9, (251, 94, 83)),
            Object(shapes[1], "cyan", "small", 5, 26, (20, 203, 212)),
        ),
        ((0, 17, 3), (19, 2, 8)),
    )
    np.testing.assert_array_equal(render(s, size), _naive(s, size))


def test_square_has_crisp_edges_where_it_should():
    black = ((0, 0, 0), (0, 0, 0))
    far = Object("square", "blue", "small", 25, 25, (0, 0, 0))
    image = render(
        Scene((Object("square", "red", "small", 6, 9, (250, 90, 80)), far), black)
    )
    expected = np.zeros((32, 32, 3), np.uint8)
    expected[6:13, 3:10] = (250, 90, 80)
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("size", [1, 5, 32, 96])
def test_render_has_the_size_asked_for(size):
    assert render(scene(0, "train", 3), size).shape == (size, size, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, "train", 1), "`seed` must be an integer. Received: 0.0"),
        ((0, 1, 1), "`split` must be a string. Received: 1"),
        ((0, "train", -1), "`index` must be an integer of at least 0. Received: -1"),
        ((0, "train", 1.5), "`index` must be an integer of at least 0. Received: 1.5"),
        ((0, "train", True), "`index` must be .* Received: True"),
        ((0, "train", 1, True), "one of any, seen, unseen. Received: True"),
    ],
)
def test_scene_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        scene(*arguments)


@pytest.mark.parametrize("size", [0, -3, 2.0, None])
def test_render_rejects(size):
    with pytest.raises(ValueError, match="`size` must be an integer of at least 1"):
        render(scene(0, "train", 0), size)


def test_numpy_integers_are_integers():
    assert scene(np.int64(0), "train", np.int32(5)) == scene(0, "train", 5)
