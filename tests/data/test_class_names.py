from scratchdet.data.class_names import COCO_CLASSES, SYNONYMS, VOC_CLASSES


def test_voc_has_its_20_classes_in_alphabetical_order():
    assert len(VOC_CLASSES) == 20
    assert list(VOC_CLASSES) == sorted(set(VOC_CLASSES))


def test_coco_has_80_classes():
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80


def test_every_class_of_voc_is_found_in_coco_by_name_or_synonym():
    assert {SYNONYMS.get(name, name) for name in COCO_CLASSES} >= set(VOC_CLASSES)


def test_synonyms_join_a_name_of_coco_to_another_of_voc():
    assert set(SYNONYMS) <= set(COCO_CLASSES) - set(VOC_CLASSES)
    assert set(SYNONYMS.values()) <= set(VOC_CLASSES) - set(COCO_CLASSES)
