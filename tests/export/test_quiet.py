"""Remarks of exporters are not shown, and everything is as loud as before afterwards."""

import logging
import warnings

import pytest

from scratchdet.export.quiet import quiet


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["", "torch.onnx", "another"])
def test_remarks_are_not_shown_inside_and_errors_are(name, caplog):
    with quiet():
        warnings.warn("old", FutureWarning, stacklevel=1)
        logging.getLogger(name).warning("a remark")
        logging.getLogger(name).error("an error")
    assert caplog.messages == ["an error"]


def test_all_is_as_loud_as_before_even_after_an_error():
    loggers = [logging.getLogger(name) for name in ("", "torch.onnx")]
    before = [logger.level for logger in loggers], warnings.filters[:]
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert ([logger.level for logger in loggers], warnings.filters[:]) == before
