import pytest

from keras_stt.datasets import Object, Scene, captions, is_correct, scene

pytestmark = pytest.mark.backend_free

BLACK = ((0, 0, 0), (0, 0, 0))
RED = Object("circle", "red", "small", x=6, y=20, rgb=(250, 90, 80))  # 3..9, 17..23
BLUE = Object("cross", "blue", "large", x=24, y=6, rgb=(80, 90, 250))  # 19..29, 1..11
BESIDE = Scene((BLUE, RED), BLACK)


def moved(item, x, y):
    return Object(item.shape, item.colour, item.size, x, y, item.rgb)


def test_side_by_side():
    expected = (
        "a small red circle is left of a large blue cross",
        "a large blue cross is right of a small red circle",
        "there is a small red circle to the left of a large blue cross",
        "to the right of a small red circle there is a large blue cross",
        "a small red circle on the left and a large blue cross on the right",
    )
    assert captions(BESIDE) == expected
    assert captions(Scene((RED, BLUE), BLACK)) == expected


def test_one_above_the_other():
    assert captions(Scene((RED, moved(BLUE, 14, 6)), BLACK)) == (
        "a large blue cross is above a small red circle",
        "a small red circle is below a large blue cross",
        "there is a large blue cross over a small red circle",
        "under a large blue cross there is a small red circle",
        "a large blue cross at the top and a small red circle at the bottom",
    )


@pytest.mark.parametrize("combinations", ["any", "seen", "unseen"])
def test_captions_are_correct_and_true_of_few_other_scenes(combinations):
    scenes = [scene(0, "train", index, combinations) for index in range(300)]
    written = [captions(s) for s in scenes]
    for own, sentences in zip(scenes, written, strict=True):
        assert len(set(sentences)) == 5
        assert all(is_correct(sentence, own) for sentence in sentences)
        assert all(set(s.split()) <= WORDS for s in sentences)
    # Sentences that say the same are true of the same scenes.
    for sentences in written[:20]:
        truths = {
            tuple(is_correct(sentence, s) for s in scenes) for sentence in sentences
        }
        assert len(truths) == 1
        assert sum(truths.pop()) <= 3


TEXT = """a is left of right there to the on and above below over under at top bottom
small large red green blue yellow purple cyan circle square triangle cross"""
WORDS = set(TEXT.split())


@pytest.mark.parametrize(
    ("caption", "truth"),
    [
        ("a small red circle is left of a large blue cross", True),
        # The red one is below the blue one as well, wholly, if less so.
        ("a small red circle is below a large blue cross", True),
        ("a small red circle is above a large blue cross", False),
        ("a small red circle is right of a large blue cross", False),
        ("a large blue cross is left of a small red circle", False),
        ("a small blue circle is left of a large red cross", False),
        ("a large red circle is left of a large blue cross", False),
        ("a small red square is left of a large blue cross", False),
        ("a small red circle is left of a small red circle", False),
        ("a red circle is left of a large blue cross", False),
        ("a small red circle is left of a large blue cross there", False),
        ("small red circle is left of a large blue cross", False),
        ("", False),
    ],
)
def test_the_judge(caption, truth):
    assert is_correct(caption, BESIDE) is truth


def test_a_direction_in_which_the_objects_overlap_is_wrong():
    beside = Scene((RED, moved(BLUE, 24, 14)), BLACK)  # rows 17..23 and 9..19
    assert not is_correct("a large blue cross is above a small red circle", beside)
    apart = Scene((RED, moved(BLUE, 24, 11)), BLACK)  # rows 17..23 and 6..16
    assert is_correct("a large blue cross is above a small red circle", apart)


def test_objects_that_look_alike():
    twins = Scene((RED, moved(RED, 20, 20)), BLACK)
    for sentence in captions(twins):
        assert is_correct(sentence, twins)
    assert not is_correct("a small red circle is above a small red circle", twins)
