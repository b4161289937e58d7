"""Names for the files of results: each once."""

from scratchdet.detecting.names import Names


def test_a_name_is_kept_and_the_later_get_numbers():
    names = Names()
    given = ["a", "b", "a", "a", "a-2", "a-2", "a", "a-5"]
    assert [names.free(name) for name in given] == [
        "a", "b", "a-2", "a-3", "a-2-2", "a-2-3", "a-4", "a-5",
    ]  # fmt: skip


def test_the_list_of_classes_keeps_its_name():
    assert Names().free("classes") == "classes-2"


def test_many_of_the_same_name_take_no_longer_each():
    names = Names()
    assert len({names.free("a") for _ in range(100_000)}) == 100_000
