from __future__ import annotations

from scaledec.report.palette import BACKGROUND, class_colours, cluster_colours, family_colours
from scaledec.synthetic.families import FAMILY_NAMES


def test_every_family_has_a_colour_of_its_own_and_the_background_is_pale() -> None:
    colours = family_colours(FAMILY_NAMES)
    assert len(set(colours.values())) == len(FAMILY_NAMES)
    assert colours["noise"] == BACKGROUND


def test_a_cluster_has_the_colour_of_its_family_and_a_second_one_another() -> None:
    known = family_colours(FAMILY_NAMES)
    colours = cluster_colours(4, ["tremor", "noise", "tremor", "glitch"], known)
    assert colours[0] == known["tremor"]
    assert colours[1] == BACKGROUND
    assert colours[3] == known["glitch"]
    assert colours[2] not in known.values()


def test_without_families_clusters_are_coloured_by_number() -> None:
    assert len(set(cluster_colours(12))) == 12
    assert cluster_colours(20)[14] == cluster_colours(20)[0]


def test_forty_two_clusters_have_different_colours_and_only_the_background_is_pale() -> None:
    colours = class_colours(42, background=3)
    assert len(set(colours)) == 42
    assert colours[3] == BACKGROUND
    assert class_colours(5)[:2] == class_colours(42)[:2]
